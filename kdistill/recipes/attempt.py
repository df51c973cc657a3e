"""One attempt at a run, from its first epoch or its last checkpoint to its result: trained, recorded, saved, scored.

It prints nothing: the setting's `Listener` hears how it goes. What is trained on, and against whom, is for `recipes`.
"""

import dataclasses
import os
import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import kdistill
from kdistill import models
from kdistill.config import Config, Training
from kdistill.core import backend, files, signals
from kdistill.core.errors import DivergedError, OutputError
from kdistill.core.listener import Listener
from kdistill.datasets import Splits
from kdistill.evaluation import metrics, predict, statistics
from kdistill.modelfiles import names
from kdistill.runs import STATE, Cadence, Checkpoint, Experiment, Making, Run, specification
from kdistill.teachers import opening
from kdistill.teachers.teacher import AnyTeacher
from kdistill.training import optimizers, trackers
from kdistill.training.fit import Data, Fit
from kdistill.training.losses import Objective

Result = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What the recipes of one command share.

    Attributes:
        config: what the experiment is.
        splits: its data.
        experiment: its folder.
        threads: intra-op threads, as recorded with each run.
        listener: hears how it goes.
        track: the trackers that hear of the epochs: see `trackers`.
        name: what the run is called, if not by its arm and seed.
    """

    config: Config
    splits: Splits
    experiment: Experiment
    threads: int
    listener: Listener
    track: Sequence[str] = ()
    name: str = ""

    def title(self, run: Run) -> str:
        """Return what a run is called."""
        return self.name or run.title


def train(
    setting: Setting,
    run: Run,
    objective: Objective,
    data: Data,
    teacher: AnyTeacher | None = None,
) -> Result:
    """Train, save and score one run; write its folder from manifest to result.

    Args:
        setting: what the runs of one command share.
        run: which one.
        objective: what is minimised.
        data: what it is trained on and watched on.
        teacher: of a distilled run.

    Returns:
        What stands in `result.json`: `epochs`, `best_epoch`, `stopped`, the `validation` scores of the best weights,
        `parameters`, `file_bytes`, `weights_sha256`, `formula`, `augmentation` and `soft_targets` where there are any,
        `warnings`, and `run_info`.

    Raises:
        DivergedError: naming the epoch and what to try.
        OutputError: the folder cannot be written.
    """
    role = "teacher" if run.arm == "teacher" else "student"
    plan = setting.config.training_for(role)
    warnings = _warnings(setting, run, teacher)
    for warning in warnings:
        setting.listener.warning(warning)
    title = setting.title(run)
    # Until the last epoch: whatever TensorFlow calls while it builds and compiles may swallow an interrupt.
    with signals.held_back(title) as received:
        fit = _fit(setting, run, role, objective, data)
        spec = _specification(setting, run.arm, run.seed, teacher.weights if teacher else None)
        making = Making(run, spec, _about(setting, teacher), setting.listener.warning)
        if making.checkpoint:
            _take_up(fit, making.checkpoint)
            setting.listener.note(f"{title}: goes on in epoch {making.checkpoint.epochs + 1}")
        examples = len(fit.data.train)
        setting.listener.run_started(run.arm, run.seed, plan.epochs, plan.patience, making.history, examples)
        try:
            with _following(setting, making, fit, plan) as listener:
                _run_epochs(making, fit, Cadence(plan.checkpoint_every), title, listener, received)
        except Exception as error:
            making.fail(str(error).partition("\n")[0] or type(error).__name__, fit.epochs_done + 1)
            if not isinstance(error, DivergedError):
                raise
            raise _diverged(setting, run, role, error) from None
    result = {**_result(setting, making, fit, teacher), "warnings": warnings}
    making.finish(result)
    setting.listener.run_finished(run.arm, run.seed, result)
    return result


def _diverged(setting: Setting, run: Run, role: str, error: DivergedError) -> DivergedError:
    """Return the error with what to try next."""
    if run.finished:
        setting.listener.warning(f"{run.folder}: the finished run that was to be replaced is still there")
    rate = setting.config.training_for(role).learning_rate / 10
    return DivergedError(
        error.message, hint=f"Try a smaller learning rate: --set {role}.learning_rate={rate:g} --overwrite"
    )


def _specification(setting: Setting, arm: str, seed: int, teacher_weights: str | None = None) -> dict[str, Any]:
    return specification(setting.config, arm, seed, teacher_weights, setting.splits.fingerprint)


def _fit(setting: Setting, run: Run, role: str, objective: Objective, data: Data) -> Fit:
    """Return a fit that has not begun: a fresh model and optimizer, as the config says."""
    plan = setting.config.training_for(role)
    model = models.build(
        getattr(setting.config, role),
        role,
        setting.splits.shape,
        len(setting.splits.classes),
        setting.splits.scale,
        run.seed,
        setting.listener.note,
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


def _following(setting: Setting, making: Making, fit: Fit, plan: Training) -> AbstractContextManager[Listener]:
    """Return who hears of the epochs: the setting's listener, and its trackers, who are told the learning rate too."""
    steps = -(-len(fit.data.train) // plan.batch_size)

    def more(epoch: int) -> Result:
        soft = {} if fit.objective.uses_teacher else {"soft": None}
        return {"learning_rate": optimizers.learning_rate_after(plan, steps, epoch), **soft}

    return trackers.following(setting.track, making.run.folder, making.history, setting.listener, more)


def _run_epochs(
    making: Making, fit: Fit, cadence: Cadence, title: str, listener: Listener, received: signals.Received
) -> None:
    """Train to the end, recording each epoch, with a checkpoint when one is due or a signal asks to stop."""

    def checkpoint() -> None:
        with cadence.timed():
            state = fit.state()
            making.write_checkpoint(fit.epochs_done, fit.batches_done, lambda path: np.savez(path, **state))  # type: ignore[arg-type]

    def stop_if_asked() -> None:
        if received.signum is not None:
            checkpoint()
            epoch = f"in epoch {fit.epochs_done + 1}" if fit.batches_done else f"after epoch {fit.epochs_done}"
            raise signals.Stopped(received.signum, f"{title}: stopped {epoch}, with a checkpoint")

    def between(done: float) -> None:
        listener.progress(done)
        stop_if_asked()
        if cadence.due_within():
            checkpoint()

    for record in fit.epochs(between):
        making.record(record)
        listener.epoch(record)
        stop_if_asked()
        if cadence.due_after(record["epoch"]):
            checkpoint()
    stop_if_asked()


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


def _result(setting: Setting, making: Making, fit: Fit, teacher: AnyTeacher | None) -> Result:
    """Save the model of a finished fit and gather what is known of it."""
    run = making.run
    with files.writing(run.folder):
        models.save(fit.model, run.model_file)
        names.write(run.folder, setting.splits.classes, setting.splits.features)
    validation = setting.splits.validation
    logits = predict.logits(fit.predict, validation)
    scores = dataclasses.asdict(metrics.score(logits, validation.all_labels))
    return {
        "arm": run.arm,
        "seed": run.seed,
        "epochs": len(making.history),
        "best_epoch": fit.stopping.best_epoch,
        "stopped": "no improvement" if fit.stopping.patience_left == 0 else "all epochs done",
        "validation": scores,
        "parameters": models.parameters(fit.model),
        "file_bytes": run.model_file.stat().st_size,
        "weights_sha256": models.fingerprint(fit.model),
        "teacher_validation": dataclasses.asdict(teacher.validation_scores) if teacher else None,
        "formula": setting.config.distill.formula(len(teacher.paths)) if teacher else "loss = hard",
        **_about_images(fit),
        "run_info": {
            "seconds": round(sum(record["seconds"] for record in making.history), 2),
            "compiled": fit.engine.compiled,  # false where XLA cannot take a layer, or is slower
        },
    }


def _about_images(fit: Fit) -> Result:
    """Return how images were augmented, if they were, and where the soft targets are from, if there are any."""
    data, about = fit.data, Result()
    if data.augmentation:
        about["augmentation"] = dataclasses.asdict(data.augmentation)
    if fit.objective.uses_teacher:
        about["soft_targets"] = "computed for every augmented image" if data.teachers else "computed once"
    return about


def _warnings(setting: Setting, run: Run, teacher: AnyTeacher | None) -> list[str]:
    """Return what speaks against the comparison that this run is for, known before it is trained."""
    warnings = setting.splits.all_warnings
    if teacher:
        warnings += opening.warnings(setting.config, setting.splits, teacher)
        taught = teacher.validation_scores.accuracy
        rival = setting.experiment.run("baseline", run.seed)
        if rival.is_complete() and not rival.conflict(_specification(setting, "baseline", run.seed)):
            warnings += statistics.little_to_teach(run.seed, taught, (rival.result or {})["validation"]["accuracy"])
    return warnings


def _about(setting: Setting, teacher: AnyTeacher | None) -> dict[str, Any]:
    """Return what a manifest records beside the specification."""
    packages = ("tensorflow", "keras", "numpy")
    return {
        "data": opening.about_data(setting.splits),
        "teacher_files": [_place(path, setting.experiment) for path in teacher.paths] if teacher else [],
        "threads": setting.threads,
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
