"""Interrupted runs, through the real command line: they go on, and end bit by bit as if nothing had happened."""

import json
import os
import signal
import subprocess

import killing
import numpy as np
import pytest
from interrupting import after, signal_at
from typer.testing import CliRunner

from kdistill.cli import app
from kdistill.core.errors import OutputError
from kdistill.core.listener import EpochProgress
from kdistill.runs import Experiment, RunWriter, judge

# Dropout, a schedule and early stopping's memory: all that a run has to remember.
EPOCHS = 40
LONG = [
    "--set", f"student.epochs={EPOCHS}", "--set", "student.patience=null", "--set", "student.dropout=0.2",
    "--set", "student.schedule=cosine", "--set", "teacher.epochs=3", "--set", "teacher.hidden=[16]",
    "--set", "training.batch_size=67",
]  # fmt: skip
LONGER = ["--set", "student.epochs=250"]  # to be hit in the middle from outside
OFTEN = ["--set", "training.checkpoint_every=1"]


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def arguments(folder, arm="baseline"):
    return [{"baseline": "baseline", "distilled": "distill"}[arm], "--output-dir", folder, *LONG]


def run_in(folder, arm="baseline"):
    return Experiment(folder / "quickstart").run(arm, 0)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The outcome of the baseline that nobody disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    invoke(*arguments(folder))
    return killing.outcome(run_in(folder))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_a_checkpoint_and_the_same_command_goes_on(tmp_path, monkeypatch, uninterrupted, number, code):
    with monkeypatch.context() as patch:
        signal_at(patch, 7, number)
        stopped = invoke(*arguments(tmp_path), code=code)
    assert "baseline, seed 0: stopped after epoch 7, with a checkpoint" in stopped.stderr
    assert "run the same command again to resume" in stopped.stderr
    run = run_in(tmp_path)
    assert judge(run).state == "interrupted"
    assert len(run.history()) == 7
    assert "resuming at epoch 8" in invoke(*arguments(tmp_path)).stderr
    assert killing.outcome(run) == uninterrupted
    attempts = [(attempt["from_epoch"], attempt["from_batch"]) for attempt in run.manifest["attempts"]]
    assert attempts == [(0, 0), (7, 0)]


def test_a_second_signal_stops_at_once_and_loses_nothing_older(tmp_path, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        signal_at(patch, 9, signal.SIGINT, signal.SIGINT)
        invoke(*arguments(tmp_path), *OFTEN, code=130)
    run = run_in(tmp_path)
    assert "resuming at epoch 9" in invoke(*arguments(tmp_path)).stderr
    assert killing.outcome(run) == uninterrupted


def test_a_checkpoint_that_fails_when_asked_to_stop_stops_all_runs(tmp_path, monkeypatch):
    """The failure used to be recorded as that of one run among many, and the next began."""

    def full(writer, *arguments):
        raise OutputError("no space left on device", hint="Make room.")

    monkeypatch.setattr(RunWriter, "write_checkpoint", full)
    signal_at(monkeypatch, 3, signal.SIGINT)
    command = ["reproduce", "--seeds", "2", "--workers", "1", "--output-dir", tmp_path, *LONG]
    stopped = invoke(*command, "--set", "training.checkpoint_every=1000", code=130)
    assert "Error: no space left on device\nMake room.\n" in stopped.stderr
    assert "teacher seed 0: stopped." in stopped.stderr
    begun = [path for path in tmp_path.glob("quickstart/seed-*/*") if path.is_dir()]
    assert len(begun) == 1


@pytest.mark.parametrize("epoch", [EPOCHS, EPOCHS - 1])
def test_a_signal_at_the_very_end_is_not_swallowed(tmp_path, monkeypatch, uninterrupted, epoch):
    with monkeypatch.context() as patch:
        signal_at(patch, epoch, signal.SIGTERM)
        invoke(*arguments(tmp_path), code=143)
    run = run_in(tmp_path)
    assert judge(run).state == "interrupted"
    invoke(*arguments(tmp_path))
    assert killing.outcome(run) == uninterrupted


def test_a_signal_within_an_epoch_goes_on_within_it(tmp_path, monkeypatch):
    """With batches of two an epoch has several segments."""
    small = ["--set", "student.batch_size=2", "--set", "student.epochs=3"]
    invoke(*arguments(tmp_path / "whole"), *small)
    calls = []

    def send(event):
        calls.append(event)
        if len(calls) == 9:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        after(patch, EpochProgress, send)
        stopped = invoke(*arguments(tmp_path / "cut"), *small, code=130)
    assert "stopped in epoch 2, with a checkpoint" in stopped.stderr
    run = run_in(tmp_path / "cut")
    invoke(*arguments(tmp_path / "cut"), *small)
    attempt = run.manifest["attempts"][1]
    assert attempt["from_epoch"] == 1
    assert attempt["from_batch"] > 0
    assert killing.outcome(run) == killing.outcome(run_in(tmp_path / "whole"))


def test_how_often_checkpoints_are_made_changes_nothing(tmp_path, uninterrupted):
    invoke(*arguments(tmp_path), *OFTEN)
    assert killing.outcome(run_in(tmp_path)) == uninterrupted


def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(tmp_path, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        signal_at(patch, 12, signal.SIGTERM)
        invoke(*arguments(tmp_path), *OFTEN, code=143)
    run = run_in(tmp_path)
    newest = sorted(run.checkpoints.folder.iterdir())[-1]
    content = bytearray((newest / "state.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "state.npz").write_bytes(content)
    went_on = invoke(*arguments(tmp_path))
    assert f"{newest.name}: state.npz is not the file that was written" in went_on.stderr
    assert "resuming at epoch 12" in went_on.stderr
    assert killing.outcome(run) == uninterrupted


def test_the_plan_says_which_runs_go_on(tmp_path, monkeypatch):
    signal_at(monkeypatch, 3, signal.SIGINT)
    invoke(*arguments(tmp_path), code=130)
    plan = json.loads(invoke(*arguments(tmp_path), "--dry-run", "--json").stdout)
    assert [entry["state"] for entry in plan["runs"]] == ["interrupted"]


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
    """Each step multiplies the hidden weights by 1 - 2 * 0.01 * 150 = -2: it takes epochs to get out of hand."""
    wild = ["--set", "student.optimizer=sgd", "--set", "student.learning_rate=0.01", "--set", "student.dropout=0"]
    wild += ["--set", "student.l2=150.0"]
    diverged = invoke(*arguments(tmp_path), *OFTEN, *wild, code=5)
    assert "--set student.learning_rate=0.001 --overwrite" in diverged.stderr
    run = run_in(tmp_path)
    assert judge(run).state == "interrupted"
    for place in run.checkpoints.folder.iterdir():
        with np.load(place / "state.npz") as state:
            assert all(np.isfinite(state[name]).all() for name in state if name.startswith("model/"))
    assert "diverged" in invoke(*arguments(tmp_path), *OFTEN, *wild, code=5).stderr
    invoke(*arguments(tmp_path), "--overwrite")


def kill_and_go_on(folder, arm, kills):
    """Kill a run as often as told, every other time inside a checkpoint; let it end; return it."""
    random = np.random.default_rng(0)
    run, killed = run_in(folder, arm), 0
    while killed < kills:
        line = [*arguments(folder, arm), *LONGER, *OFTEN]
        assert killing.kill_once(run, line, random, aimed=killed % 2 == 1), killed
        killed += 1
    code, _, stderr = killing.finish(killing.start([*arguments(folder, arm), *LONGER]))
    assert code == 0, stderr
    attempts = [attempt["from_epoch"] for attempt in run.manifest["attempts"]]
    assert len(attempts) == kills + 1
    assert attempts == sorted(attempts)
    assert attempts[-1] > 0
    assert not list(folder.rglob(".new-*"))
    return run


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(tmp_path):
    invoke(*arguments(tmp_path / "whole"), *LONGER)
    run = kill_and_go_on(tmp_path / "cut", "baseline", kills=2)
    assert killing.outcome(run) == killing.outcome(run_in(tmp_path / "whole"))


@pytest.mark.campaign
def test_killed_two_dozen_times_a_distilled_student_ends_the_same(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        invoke("train-teacher", "--output-dir", folder, *LONG)
    invoke(*arguments(whole, "distilled"), *LONGER)
    run = kill_and_go_on(cut, "distilled", kills=24)
    assert killing.outcome(run) == killing.outcome(run_in(whole, "distilled"))


def test_a_run_that_another_is_at_is_refused(tmp_path, uninterrupted):
    """The second is told who is at it; the first is not disturbed."""
    invoke(*arguments(tmp_path))
    run = run_in(tmp_path)
    with run.locked():
        refused = invoke(*arguments(tmp_path), "--set", "student.hidden=[5]", "--overwrite", code=7)
    assert f"process {os.getpid()} on" in refused.stderr
    assert killing.outcome(run) == uninterrupted


@pytest.mark.campaign
def test_two_processes_on_one_run(tmp_path):
    line = [*arguments(tmp_path), *LONGER]
    first = killing.start(line)
    run = run_in(tmp_path)
    assert killing.wait_for(lambda: killing.lines(run) > 0, first)
    refused = invoke(*line, code=7)
    assert f"process {first.pid} on" in refused.stderr
    assert killing.finish(first)[0] == 0
    invoke(*arguments(tmp_path / "alone"), *LONGER)
    assert killing.outcome(run) == killing.outcome(run_in(tmp_path / "alone"))


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of its own, of 600 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", place], capture_output=True, text=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_is_one_message_and_what_was_there_is_still_good(tiny_disk, uninterrupted):
    """The checkpoints of two runs do not fit at once: the second is refused, and goes on once there is room."""
    filler = tiny_disk / "filler"
    filler.write_bytes(bytes(560_000))
    full = invoke(*arguments(tiny_disk), *OFTEN, code=7)
    assert "the disk is full" in full.stderr
    run = run_in(tiny_disk)
    assert judge(run).state in ("interrupted", "missing")
    filler.unlink()
    invoke(*arguments(tiny_disk), *OFTEN)
    assert killing.outcome(run) == uninterrupted
    filler.write_bytes(bytes(480_000))
    before = (run.folder / "result.json").read_bytes()
    assert (
        "the disk is full"
        in invoke(*arguments(tiny_disk), "--set", "student.hidden=[64]", "--overwrite", code=7).stderr
    )
    assert (run.folder / "result.json").read_bytes() == before
    assert judge(run).counts


def test_a_read_only_disk_is_one_message(tiny_disk):
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    assert "Read-only file system" in invoke(*arguments(tiny_disk), code=7).stderr
