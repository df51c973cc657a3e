"""Streams that go away, through real pipes: a reader that has left, a full disk, a closed stderr."""

import io
import os
import subprocess
import sys

import pytest

from kdistill.cli.output import write_out
from kdistill.runs import Experiment, judge

LIGHT = [["--version"], ["--help"], ["config", "ls"], ["config", "show", "--json"], ["config", "init", "-"]]
LIGHT += [["reproduce", "--help"], ["config", "init", "-h"]]
TWO_EPOCHS = ["--set", "training.epochs=2", "--set", "training.batch_size=67"]


def run(arguments, stdout, stderr=subprocess.PIPE):
    program = [sys.executable, "-m", "kdistill", *map(str, arguments)]
    done = subprocess.run(program, stdout=stdout, stderr=stderr, timeout=300)
    return done.returncode, (done.stderr or b"").decode()


@pytest.fixture
def gone():
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def full():
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    with open("/dev/full", "w") as file:
        yield file


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_a_reader_that_has_gone_is_no_error(arguments, gone):
    assert run(arguments, gone) == (0, "")


@pytest.mark.parametrize("arguments", [["config", "check", "nope.yaml"], ["bogus"]], ids=" ".join)
def test_a_failure_keeps_its_exit_code(arguments, gone):
    code = 2 if arguments == ["bogus"] else 3
    assert run(arguments, gone)[0] == code
    assert run(arguments, gone, gone)[0] == code


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_a_full_disk_is_one_message(arguments, full):
    code, said = run(arguments, full)
    assert code == 7
    assert said.splitlines() == ["Error: standard output cannot be written: No space left on device"]


def test_closed_streams_are_no_bug():
    shell = f"{sys.executable} -m kdistill config ls >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell], timeout=300).returncode == 0


@pytest.mark.slow
def test_narration_that_nobody_reads_does_not_stop_training(gone, tmp_path):
    """As in `kdistill baseline -v 2>&1 | head -1`."""
    assert run(["baseline", "-v", "--output-dir", tmp_path, *TWO_EPOCHS], gone, gone) == (0, "")
    assert judge(Experiment(tmp_path / "quickstart").run("baseline", 0)).counts


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "\\u2028\\udcff"), ("utf-8", "\u2028\\udcff")])
def test_characters_that_a_stream_does_not_have_are_escaped(monkeypatch, encoding, shown):
    """As the names of files on standard output, which would else end in an error."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert write_out("a\u2028\udcff")
    assert stream.buffer.getvalue().decode(encoding) == f"a{shown}\n"
