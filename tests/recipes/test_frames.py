"""How many frames of kdistill stand between a command and the compiled step: what somebody who reads along has to hold.

Counted are frames of real calls whose file lies in kdistill/, from the function of the command to the step while it is
traced. With workers those of the parent are counted to where it hands a task over, and those of the worker from there.
"""

import io
import json
import sys
from pathlib import Path

import keras
import pytest
from small_experiment import SHORT, session
from typer.testing import CliRunner

import kdistill
from kdistill.cli import app
from kdistill.core import signals
from kdistill.experiments import reproduce
from kdistill.experiments.workers import Task, TaskKey, worker_process

PACKAGE = str(Path(kdistill.__file__).parent)
STUDENT = "student.hidden=[13]"  # of a shape that no other test has: an engine is traced once in a process


def frames():
    """Return the functions of kdistill that are being called, outermost first."""
    found, frame = [], sys._getframe(1)
    while frame:
        if frame.f_code.co_filename.startswith(PACKAGE):
            found.insert(0, frame.f_code.co_qualname)
        frame = frame.f_back
    return found


@pytest.fixture
def traced(monkeypatch):
    """The frames of every step that is traced."""
    seen, apply = [], keras.optimizers.Optimizer.apply

    def watched(self, *arguments):
        seen.append(frames())
        return apply(self, *arguments)

    monkeypatch.setattr(keras.optimizers.Optimizer, "apply", watched)
    return seen


def run(folder, *arguments):
    overrides = [part for text in (*SHORT, STUDENT) for part in ("--set", text)]
    return CliRunner().invoke(app, [*arguments, "--output-dir", str(folder), "--overwrite", "--quiet", *overrides])


def from_the_command(name, calls):
    return calls[calls.index(name) :]


def test_a_distilled_run_is_few_frames_from_its_command(experiment_copy, traced):
    assert run(experiment_copy, "distill").exit_code == 0
    calls = from_the_command("distill", traced[0])
    assert calls[-1] == "Engine._loop.<locals>.step"
    assert len(calls) <= 11, calls


def test_a_run_of_a_worker_is_few_frames_from_the_command(experiment_copy, traced, monkeypatch):
    class HandedOverError(Exception):
        pass

    handed_over, to_json = [], Task.to_json

    def watched(self):
        handed_over.append(frames())
        raise HandedOverError

    monkeypatch.setattr(Task, "to_json", watched)
    assert run(experiment_copy, "reproduce", "--seeds", "2", "--workers", "2").exit_code == 1
    monkeypatch.setattr(Task, "to_json", to_json)
    parent = from_the_command("reproduce", handed_over[0])

    tasks = reproduce.tasks_of(session(experiment_copy, STUDENT.replace("13", "14"), overwrite=True), {0: 0})
    (task,) = (task for task in tasks if task.key == TaskKey("distilled", 0))
    output = io.StringIO()
    monkeypatch.setattr(worker_process.os, "fdopen", lambda *_, **__: output)
    monkeypatch.setattr(worker_process.os, "dup2", lambda *_: None)
    monkeypatch.setattr(signals, "raise_on_termination", lambda: None)
    monkeypatch.setattr(
        worker_process, "_listen", lambda lines: list(map(lines.put, [json.dumps(task.to_json()), None]))
    )
    worker_process.main()
    assert json.loads(output.getvalue().splitlines()[-1])["event"] == "Done"
    worker = from_the_command("main", traced[0])
    assert worker[-1] == "Engine._loop.<locals>.step"
    assert len(parent) + len(worker) <= 16, [parent, worker]
