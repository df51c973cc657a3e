"""One attempt at a run: trained from its first epoch or its last checkpoint, recorded, saved, scored on validation.

It prints nothing: the session's `Listener` is notified of every epoch. `arms` says what each arm is trained on.
"""

import contextlib
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import kdistill
from kdistill import models
from kdistill.core import backend, signals
from kdistill.core.errors import DivergedError, OutputError
from kdistill.core.listener import EpochDone, EpochProgress, EpochRecord, Listener, RunFinished, RunStarted
from kdistill.datasets.splits import about_data
from kdistill.recipes import remarks
from kdistill.recipes.budgets import budget_of
from kdistill.recipes.result import saved
from kdistill.recipes.session import Session
from kdistill.runs import Experiment, Result, Run, RunWriter
from kdistill.runs.checkpoints import Cadence, Checkpoint
from kdistill.runs.writer import STATE
from kdistill.teachers.teacher import AnyTeacher, ModelTeacher
from kdistill.training import optimizers, trackers
from kdistill.training.fit import Data, Fit
from kdistill.training.losses import Objective


def train(
    session: Session,
    run: Run,
    objective: Objective,
    data: Data,
    teacher: AnyTeacher | None = None,
    start: ModelTeacher | None = None,
) -> Result:
    """Train one run of a session to minimise `objective`, save and score it; write its folder from manifest to result.

    Args:
        session: of the run's experiment.
        run: its folder is written.
        objective: the loss.
        data: the splits, with the soft targets that the objective needs.
        teacher: the model behind the soft targets, if there is one.
        start: the model whose weights the run starts from; None: as `student.initial_weights` says.

    Raises:
        DivergedError: naming the epoch and what to try.
        OutputError: the folder cannot be written.
    """
    warnings = _told(session, remarks.before(session, run, teacher))
    remarks.note(session, run, data)
    # Until the last epoch: whatever TensorFlow calls while it builds and compiles may swallow an interrupt.
    with signals.deferred(session.title(run)) as received:
        fit = _fit(session, run, objective, data, start)
        writer = _writer(session, run, fit, teacher or start)
        with _recording_failure(session, run, writer, fit), _tracking(session, writer, fit) as listener:
            cadence = Cadence(session.config.training_for(run.role).checkpoint_every)
            checkpoints = _Checkpointing(writer, fit, cadence, session.title(run), received, listener)
            for record in fit.epochs(checkpoints.after_segment):
                checkpoints.after_epoch(record)
            checkpoints.stop_if_asked()
    result = saved(session, writer, fit, teacher)
    result["warnings"] = warnings + _told(session, remarks.after(session, run, result, writer.history))
    writer.finish(result)
    session.listener.handle(RunFinished(run.name, run.of_seed, result))
    return result


def _told(session: Session, warnings: list[str]) -> list[str]:
    """Send warnings to the session's listener, and return them."""
    for warning in warnings:
        session.listener.warning(warning)
    return warnings


def _fit(session: Session, run: Run, objective: Objective, data: Data, start: ModelTeacher | None) -> Fit:
    """Return a fit before its first epoch, with a fresh optimizer, and the model that the run starts from."""
    plan, splits = session.config.training_for(run.role), session.splits
    section = getattr(session.config, run.role)
    note = session.listener.note
    shape, classes, kind = splits.example
    budget = budget_of(session.config, run.role, splits)
    model = models.build(section, run.role, shape, classes, splits.scale, run.seed, note, kind, splits.task)
    if start is not None:
        model.set_weights(start.model.get_weights())
    elif baseline := session.start_of(run):
        model.set_weights(models.load_classifier(baseline.model_file, *splits.fitting)[0].get_weights())
    return Fit(
        model,
        optimizers.build(plan, budget.per_epoch),
        objective,
        data,
        batch_size=plan.batch_size,
        epochs=budget.epochs,
        last_batches=budget.within(budget.epochs),
        patience=plan.patience,
        monitor=plan.monitor,
        seed=run.seed,
    )


def _writer(session: Session, run: Run, fit: Fit, source: AnyTeacher | None) -> RunWriter:
    """Open the folder of a run, and bring a fresh fit to the state of its last checkpoint."""
    spec = session.specification(run.arm, run.seed, source.identity if source else None)
    writer = RunWriter(run, spec, _provenance(session, run, source), session.listener.warning)
    if writer.checkpoint:
        _restore(fit, writer.checkpoint)
        session.listener.note(f"{session.title(run)}: resuming at epoch {writer.checkpoint.epochs + 1}")
    started = RunStarted(run.name, run.of_seed, fit.last_epoch, tuple(writer.history), fit.data.epoch_examples)
    session.listener.handle(started)
    return writer


def _restore(fit: Fit, checkpoint: Checkpoint) -> None:
    with np.load(checkpoint.folder / STATE, allow_pickle=False) as state:
        try:
            fit.restore(dict(state))
        except (KeyError, ValueError) as error:
            raise OutputError(
                f"{checkpoint.folder}: expected this model and optimizer; received another version: {error}",
                hint=f"Remove {checkpoint.folder.parent} to start this run afresh.",
            ) from error


@contextlib.contextmanager
def _recording_failure(session: Session, run: Run, writer: RunWriter, fit: Fit) -> Iterator[None]:
    """Record in the run's folder why it failed; add to a divergence a hint what to try."""
    try:
        yield
    except Exception as error:
        writer.fail(str(error).partition("\n")[0] or type(error).__name__, fit.epochs_done + 1)
        if not isinstance(error, DivergedError):
            raise
        if run.finished:
            session.listener.warning(f"{run.folder}: the finished run that was to be replaced is still there")
        rate = session.config.training_for(run.role).learning_rate / 10
        hint = f"Try a smaller learning rate: --set {run.role}.learning_rate={rate:g} --overwrite"
        raise DivergedError(error.message, hint=hint) from None


def _tracking(session: Session, writer: RunWriter, fit: Fit) -> AbstractContextManager[Listener]:
    """Return the session's listener joined with its trackers, which also get the learning rate of each epoch."""
    plan = session.config.training_for(writer.run.role)
    steps = budget_of(session.config, writer.run.role, session.splits).per_epoch

    def more(epoch: int) -> dict[str, Any]:
        soft = {} if fit.objective.uses_teacher else {"soft": None}
        return {"learning_rate": optimizers.learning_rate_after(plan, steps, epoch), **soft}

    return trackers.tracking(session.options.track, writer.run.folder, writer.history, session.listener, more)


@dataclass(frozen=True)
class _Checkpointing:
    """Records the epochs of a run, and writes a checkpoint when one is due, or when a signal asks to stop."""

    writer: RunWriter
    fit: Fit
    cadence: Cadence
    title: str
    received: signals.Received
    listener: Listener

    def after_segment(self, done: float) -> None:
        self.listener.handle(EpochProgress(done))
        self.stop_if_asked()
        if self.cadence.due_within():
            self._write()

    def after_epoch(self, record: EpochRecord) -> None:
        self.writer.record(record)
        self.listener.handle(EpochDone(record))
        self.stop_if_asked()
        if self.cadence.due_after(record["epoch"]):
            self._write()

    def stop_if_asked(self) -> None:
        """Raise Stopped after a checkpoint, if a signal has come in."""
        if self.received.signum is not None:
            self._write()
            done = self.fit.epochs_done
            epoch = f"in epoch {done + 1}" if self.fit.batches_done else f"after epoch {done}"
            raise signals.Stopped(self.received.signum, f"{self.title}: stopped {epoch}, with a checkpoint")

    def _write(self) -> None:
        with self.cadence.timed():
            state = self.fit.state()
            self.writer.write_checkpoint(
                self.fit.epochs_done,
                self.fit.batches_done,
                lambda path: np.savez(path, **state),  # type: ignore[arg-type]
            )


def _provenance(session: Session, run: Run, source: AnyTeacher | None) -> dict[str, Any]:
    """Return what a manifest records besides the specification, which has no epochs where it has updates."""
    packages = ("tensorflow", "keras", "numpy")
    derived = session.config.training_for(run.role).steps is not None
    return {
        "data": about_data(session.splits),
        **({"epochs": budget_of(session.config, run.role, session.splits).epochs} if derived else {}),
        "teacher_files": [_portable(path, session.experiment) for path in source.paths] if source else [],
        "threads": session.threads,
        "device": (backend.gpus() or ["CPU"])[0],
        "versions": {
            "kdistill": kdistill.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
    }


def _portable(teacher_file: Path, experiment: Experiment) -> str:
    """Return a path that stays right when the experiment is moved with its teacher in it."""
    path, home = teacher_file.resolve(), experiment.cache.parent.resolve()
    return os.path.relpath(path, experiment.folder.resolve()) if path.is_relative_to(home) else str(path)
