"""A worker of the pool that trains nothing: its runs are written and stopped as real ones are, without TensorFlow.

What the pool does with its workers shows in moments so. It is executed in the place of a real one: see `installed`.
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

from places import HELPERS

from kdistill.config import Config
from kdistill.core import signals
from kdistill.core.errors import DivergedError, ModelError
from kdistill.core.listener import EpochDone, RunStarted
from kdistill.experiments.workers import worker_process
from kdistill.runs import Experiment, RunWriter

PERFORM = "kdistill.experiments.workers.perform"
EPOCH = 0.01  # seconds
TOO_HIGH = 1e20  # a learning rate with which training diverges


def installed(monkeypatch, folder):
    """Let every worker that this process starts be a stand-in."""
    program = folder / "worker"
    paths = [str(HELPERS), *sys.path]
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path[:] = {paths}\nimport worker_stand_in\n")
    with program.open("a") as file:
        file.write("worker_stand_in.main()\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))


def perform(task, listener):
    """Do a task: write a run of as many epochs as its config says; a checkpoint after each, or where it is stopped."""
    config, (arm, seed, _) = Config.model_validate(task.config), task.key
    for path in config.distill.teachers if arm in ("", "distilled") else ():
        if not Path(path).exists():
            raise ModelError(f"{path}: no such model file")
    if not task.trains:
        return {"scored": seed}
    plan = config.training_for("teacher" if arm == "teacher" else "student")
    run = Experiment(Path(task.folder)).run(arm, seed)
    with run.locked(), signals.deferred() as received:
        if run.result:
            return run.result
        writer = RunWriter(run, {"seed": seed, "config": task.config}, {}, listener.warning)
        listener.handle(RunStarted(arm, seed, plan.epochs))
        for epoch in range(len(writer.history) + 1, plan.epochs + 1):
            if plan.learning_rate > TOO_HIGH:
                raise DivergedError(f"training diverged in epoch {epoch}", hint="Try less.")
            time.sleep(EPOCH)
            writer.record({"epoch": epoch})
            listener.handle(EpochDone({"epoch": epoch, "best": True}))
            if received.signum is not None or plan.checkpoint_every == 1:
                writer.write_checkpoint(epoch, 0, lambda path, epoch=epoch: path.write_text(str(epoch)))
            if received.signum is not None:
                raise signals.Stopped(received.signum, f"{task.name}: stopped after epoch {epoch}")
        run.model_file.write_bytes(b"model")
        writer.finish({"epochs": plan.epochs})
    return run.result


def main():
    """Do tasks until the input ends, as a worker does."""
    sys.modules[PERFORM] = SimpleNamespace(perform=perform)
    worker_process.main()
