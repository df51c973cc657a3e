"""One attempt at a run, from its first epoch or its last checkpoint to its result: trained, recorded, saved, scored.

It prints nothing: the session's `Listener` hears how it goes. What is trained on, and against whom, is for `recipes`.
"""

import contextlib
import dataclasses
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
from kdistill.core import backend, files, signals
from kdistill.core.errors import DivergedError, OutputError
from kdistill.core.listener import EpochDone, EpochProgress, Listener, RunFinished, RunStarted
from kdistill.evaluation import metrics, predict
from kdistill.evaluation.verdict import little_to_teach
from kdistill.modelfiles import names
from kdistill.recipes.session import Session
from kdistill.runs import STATE, Cadence, Checkpoint, Experiment, Result, Run, RunWriter, SplitScores, judge
from kdistill.teachers import load
from kdistill.teachers.teacher import AnyTeacher
from kdistill.training import optimizers, trackers
from kdistill.training.fit import Data, Fit
from kdistill.training.losses import Objective


def train(session: Session, run: Run, objective: Objective, data: Data, teacher: AnyTeacher | None = None) -> Result:
    """Train, save and score one run of a session; write its folder from manifest to result.

    Args:
        objective: what is minimised.
        data: what is trained on, and what the epochs are watched on.
        teacher: of a distilled run.

    Raises:
        DivergedError: naming the epoch and what to try.
        OutputError: the folder cannot be written.
    """
    warnings = _warnings(session, run, teacher)
    for warning in warnings:
        session.listener.warning(warning)
    # Until the last epoch: whatever TensorFlow calls while it builds and compiles may swallow an interrupt.
    with signals.held_back(session.title(run)) as received:
        fit = _fit(session, run, objective, data)
        writer = _begin(session, run, fit, teacher)
        with _recording_failure(session, run, writer, fit), _following(session, writer, fit) as listener:
            care = _Checkpointing(writer, fit, _cadence(session, run), session.title(run), received, listener)
            for record in fit.epochs(care.after_segment):
                writer.record(record)
                listener.hear(EpochDone(record))
                care.after(record["epoch"])
            care.stop_if_asked()
    result = _result(session, writer, fit, teacher)
    result["warnings"] = warnings
    writer.finish(result)
    session.listener.hear(RunFinished(run.arm, run.seed, result))
    return result


def _begin(session: Session, run: Run, fit: Fit, teacher: AnyTeacher | None) -> RunWriter:
    """Open the folder of a run, and bring a fresh fit to where its last checkpoint was."""
    spec = session.specification(run.arm, run.seed, teacher.weights if teacher else None)
    writer = RunWriter(run, spec, _about(session, teacher), session.listener.warning)
    if writer.checkpoint:
        _take_up(fit, writer.checkpoint)
        session.listener.note(f"{session.title(run)}: goes on in epoch {writer.checkpoint.epochs + 1}")
    plan, examples = session.config.training_for(run.role), len(fit.data.train)
    session.listener.hear(RunStarted(run.arm, run.seed, plan.epochs, tuple(writer.history), examples))
    return writer


@contextlib.contextmanager
def _recording_failure(session: Session, run: Run, writer: RunWriter, fit: Fit) -> Iterator[None]:
    """Record in the run's folder why it ended by itself; say of one that diverged what to try next."""
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


def _cadence(session: Session, run: Run) -> Cadence:
    return Cadence(session.config.training_for(run.role).checkpoint_every)


def _fit(session: Session, run: Run, objective: Objective, data: Data) -> Fit:
    """Return a fit that has not begun: a fresh model and optimizer, as the config says."""
    plan = session.config.training_for(run.role)
    model = models.build(
        getattr(session.config, run.role),
        run.role,
        session.splits.shape,
        len(session.splits.classes),
        session.splits.scale,
        run.seed,
        session.listener.note,
    )
    return Fit(
        model,
        optimizers.build(plan, steps_per_epoch=-(-len(data.train) // plan.batch_size)),
        objective,
        data,
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        patience=plan.patience,
        monitor=plan.monitor,
        seed=run.seed,
    )


def _following(session: Session, writer: RunWriter, fit: Fit) -> AbstractContextManager[Listener]:
    """Return who hears of the epochs: the session's listener, and its trackers, who are told the learning rate too."""
    plan = session.config.training_for(writer.run.role)
    steps = -(-len(fit.data.train) // plan.batch_size)

    def more(epoch: int) -> dict[str, Any]:
        soft = {} if fit.objective.uses_teacher else {"soft": None}
        return {"learning_rate": optimizers.learning_rate_after(plan, steps, epoch), **soft}

    return trackers.tracking(session.options.track, writer.run.folder, writer.history, session.listener, more)


@dataclass(frozen=True)
class _Checkpointing:
    """Makes a checkpoint of a run when one is due, or when a signal asks to stop."""

    writer: RunWriter
    fit: Fit
    cadence: Cadence
    title: str
    received: signals.Received
    listener: Listener

    def after_segment(self, done: float) -> None:
        """Take care of a run in the middle of an epoch, of which the share `done` is done."""
        self.listener.hear(EpochProgress(done))
        self.stop_if_asked()
        if self.cadence.due_within():
            self._checkpoint()

    def after(self, epoch: int) -> None:
        """Take care of a run at the end of an epoch."""
        self.stop_if_asked()
        if self.cadence.due_after(epoch):
            self._checkpoint()

    def stop_if_asked(self) -> None:
        """Raise Stopped after a checkpoint, if a signal has come in."""
        if self.received.signum is not None:
            self._checkpoint()
            done = self.fit.epochs_done
            epoch = f"in epoch {done + 1}" if self.fit.batches_done else f"after epoch {done}"
            raise signals.Stopped(self.received.signum, f"{self.title}: stopped {epoch}, with a checkpoint")

    def _checkpoint(self) -> None:
        with self.cadence.timed():
            state = self.fit.state()
            self.writer.write_checkpoint(
                self.fit.epochs_done,
                self.fit.batches_done,
                lambda path: np.savez(path, **state),  # type: ignore[arg-type]
            )


def _take_up(fit: Fit, checkpoint: Checkpoint) -> None:
    """Bring a fresh fit to where it was at a checkpoint."""
    with np.load(checkpoint.folder / STATE, allow_pickle=False) as state:
        try:
            fit.restore(dict(state))
        except (KeyError, ValueError) as error:
            raise OutputError(
                f"{checkpoint.folder}: expected this model and optimizer; received another version: {error}",
                hint=f"Remove {checkpoint.folder.parent} to start this run afresh.",
            ) from error


def _result(session: Session, writer: RunWriter, fit: Fit, teacher: AnyTeacher | None) -> Result:
    """Save the model of a finished fit and gather what is known of it."""
    run = writer.run
    with files.writing(run.folder):
        models.save(fit.model, run.model_file)
        names.write(run.folder, session.splits.classes, session.splits.features)
    validation = session.splits.validation
    logits = predict.logits(fit.predict, validation)
    scores = metrics.score(logits, validation.all_labels)
    return {
        "arm": run.arm,
        "seed": run.seed,
        "epochs": len(writer.history),
        "best_epoch": fit.stopping.best_epoch,
        "stopped": "no improvement" if fit.stopping.patience_left == 0 else "all epochs done",
        "validation": _document(scores),
        "parameters": fit.model.count_params(),
        "file_bytes": run.model_file.stat().st_size,
        "weights_sha256": models.fingerprint(fit.model),
        "teacher_validation": _document(teacher.validation_scores) if teacher else None,
        "formula": session.config.distill.formula(len(teacher.paths)) if teacher else "loss = hard",
        **_about_images(fit),
        "run_info": {
            "seconds": round(sum(record["seconds"] for record in writer.history), 2),
            "compiled": fit.engine.compiled,  # false where XLA cannot take a layer, or is slower
        },
    }


def _document(scores: metrics.Scores) -> SplitScores:
    document: Any = dataclasses.asdict(scores)
    return document


def _about_images(fit: Fit) -> Result:
    """Return how images were augmented, if they were, and where the soft targets are from, if there are any."""
    data, about = fit.data, Result()
    if data.augmentation:
        about["augmentation"] = dataclasses.asdict(data.augmentation)
    if fit.objective.uses_teacher:
        about["soft_targets"] = "computed for every augmented image" if data.teachers else "computed once"
    return about


def _warnings(session: Session, run: Run, teacher: AnyTeacher | None) -> list[str]:
    """Return what speaks against the comparison that this run is for, known before it is trained."""
    warnings = session.splits.all_warnings
    if teacher:
        warnings += load.warnings(session.config, session.splits, teacher)
        taught = teacher.validation_scores.accuracy
        rival = session.experiment.run("baseline", run.seed)
        if judge(rival, session.specification("baseline", run.seed)).counts:
            warnings += little_to_teach(run.seed, taught, (rival.result or {})["validation"]["accuracy"])
    return warnings


def _about(session: Session, teacher: AnyTeacher | None) -> dict[str, Any]:
    """Return what a manifest records beside the specification."""
    packages = ("tensorflow", "keras", "numpy")
    return {
        "data": load.about_data(session.splits),
        "teacher_files": [_place(path, session.experiment) for path in teacher.paths] if teacher else [],
        "threads": session.threads,
        "device": (backend.gpus() or ["CPU"])[0],
        "versions": {
            "kdistill": kdistill.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
    }


def _place(teacher_file: Path, experiment: Experiment) -> str:
    """Return a path that stays right when the experiment is moved with its teacher in it."""
    path, home = teacher_file.resolve(), experiment.cache.parent.resolve()
    return os.path.relpath(path, experiment.folder.resolve()) if path.is_relative_to(home) else str(path)
