"""The lock: one holder, who is named, and nothing left to clear away when it dies."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from kdistill.core.errors import OutputError
from kdistill.runs import Run, lock

HOLD = """
import sys, time
from pathlib import Path
from kdistill.runs import lock
with lock.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of a run, and the run."""
    run = Run(tmp_path / "seed-0" / "baseline", "baseline", 0)
    run.folder.parent.mkdir()
    path = tmp_path / "seed-0" / ".baseline.lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process, run
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_and_told_who_is_at_it(holder):
    process, run = holder
    for attempt in (run.check_free, run.locked().__enter__):
        with pytest.raises(
            OutputError, match=rf"seed-0/baseline: another process .* process {process.pid} on "
        ) as error:
            attempt()
        assert "since 20" in error.value.message


def test_the_lock_of_a_dead_process_is_taken_over(holder):
    process, run = holder
    process.kill()
    process.wait()
    run.check_free()
    with run.locked():
        assert str(os.getpid()) in run._lock_file.read_text()


def test_looking_takes_nothing(tmp_path):
    path = tmp_path / "lock"
    lock.check_free(path)
    assert not path.exists()
    with lock.locked(path):
        pass
    lock.check_free(path)
    with lock.locked(path):
        pass


def test_a_holder_that_has_not_written_its_name_yet(tmp_path):
    path = tmp_path / "lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="not known yet"):
            lock.check_free(path)


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def fail(descriptor, how):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OutputError, match="has no locks"), lock.locked(tmp_path / "lock"):
        pass
