"""One attempt at a run: trained from its first epoch or its last checkpoint, recorded, saved, scored on validation.

It prints nothing: the session's `Listener` is notified of every epoch. `arms` says what each arm is trained on.
"""

import contextlib
import dataclasses
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import kdistill
from kdistill import models
from kdistill.core import backend, files, signals
from kdistill.core.controls import is_taught
from kdistill.core.errors import DivergedError, OutputError
from kdistill.core.formatting import first_few
from kdistill.core.listener import EpochDone, EpochProgress, EpochRecord, Listener, RunFinished, RunStarted
from kdistill.core.task import are_labelled
from kdistill.datasets.chance import at_chance
from kdistill.datasets.splits import Splits, about_data
from kdistill.evaluation import metrics, predict
from kdistill.evaluation.verdict import little_to_teach
from kdistill.modelfiles import names
from kdistill.recipes import checks, soft_loss, transfer_set
from kdistill.recipes.budgets import budget_of, told
from kdistill.recipes.formulas import formula_of_run
from kdistill.recipes.session import Session
from kdistill.runs import Experiment, Result, Run, RunWriter, judge
from kdistill.runs.checkpoints import Cadence, Checkpoint
from kdistill.runs.writer import STATE
from kdistill.teachers import doubts
from kdistill.teachers.teacher import AnyTeacher, ModelTeacher
from kdistill.training import optimizers, trackers
from kdistill.training.fit import Data, Fit
from kdistill.training.losses import Objective

NAMED_AT_MOST = 10  # classes, with their weights
TRAINED_LONGER = (
    "The distilled student goes on from the baseline's weights, so that it is trained for longer than the baseline: "
    "what that gives by itself is told by the control `continued`, which is not among `controls`."
)
NO_IMPROVEMENT = "no improvement"
FEWEST_JUDGED = 5  # epochs, from which on a run is taken for more than a trial
EVERY_EXAMPLE_THE_SAME = ("val_nll", "val_accuracy", "val_top5_accuracy")


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
    warnings = _told(session, _warnings(session, run, teacher))
    _note(session, run, data)
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
    result = _result(session, writer, fit, teacher)
    afterwards = [*_learnt_little(session, run, result, writer.history), *_still_improving(session, run, result)]
    result["warnings"] = warnings + _told(session, afterwards)
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


def _result(session: Session, writer: RunWriter, fit: Fit, teacher: AnyTeacher | None) -> Result:
    """Save the model of a finished fit, and return all of its result but the warnings."""
    run, validation = writer.run, session.splits.validation
    more = transfer_set.adjust(session, run, fit)
    with files.writing(run.folder):
        models.save(fit.model, run.model_file)
        splits = session.splits
        names.write(run.folder, splits.classes, splits.features, splits.inputs, splits.task)
    logits = predict.logits(fit.predict, validation)
    scores = metrics.score(logits, validation.all_labels)
    weights = session.class_weights_of(run.arm)
    if session.config.training_for(run.role).steps is not None:
        more["updates"] = budget_of(session.config, run.role, splits).after(len(writer.history))
    if splits.has_unlabelled or _leaves_classes_out(session, run):
        more["trained_on"] = examples_in(fit.data)
    if weights is not None:
        more["class_weights"] = weights
    if fit.data.augmentation:
        more["augmentation"] = dataclasses.asdict(fit.data.augmentation)
    if teacher:
        more["soft_targets"] = _soft_targets(fit.data)
    result: Any = {
        "arm": run.arm,
        "seed": run.seed,
        **_epochs(session, run, len(writer.history)),
        "best_epoch": fit.stopping.best_epoch,
        "stopped": NO_IMPROVEMENT if fit.stopping.patience_left == 0 else "all epochs done",
        "validation": scores.to_json(),
        **_on_right_labels(splits, logits),
        "parameters": fit.model.count_params(),
        "file_bytes": run.model_file.stat().st_size,
        "weights_sha256": models.fingerprint(fit.model),
        "teacher_validation": teacher.validation_scores.to_json() if teacher else None,
        "teacher_parameters": teacher.parameters if teacher else None,
        "formula": formula_of_run(session, run, len(teacher.paths) if teacher else 0),
        **more,
        "run_info": {
            "seconds": round(sum(record["seconds"] for record in writer.history), 2),
            "compiled": fit.engine.compiled,  # false where XLA cannot take a layer, or is slower
        },
    }
    return result


def _epochs(session: Session, run: Run, done: int) -> dict[str, int]:
    """Return the epochs that are done, and their updates if the config says how many there may be."""
    of_updates = session.config.training_for(run.role).steps is not None
    updates = budget_of(session.config, run.role, session.splits).after(done)
    return {"epochs": done, **({"updates": updates} if of_updates else {})}


def _on_right_labels(splits: Splits, logits: metrics.Floats) -> dict[str, Any]:
    """Return the scores of logits (n, classes) on the right labels of validation, where these are not those in use."""
    right = splits.right_validation
    return {"validation_right": metrics.score(logits, right.all_labels).to_json()} if right else {}


def _soft_targets(data: Data) -> str:
    if not data.teachers and not data.guide:
        return "computed once"
    return "computed for every augmented image" if data.augmentation else "computed in every epoch"


def _warnings(session: Session, run: Run, teacher: AnyTeacher | None) -> list[str]:
    """Return what makes the comparison that this run is for less fair or less telling, known before it is trained."""
    warnings = session.splits.all_warnings
    if session.config.starts_from_baseline(run.arm) and not {run.arm, "continued"} & set(session.config.controls):
        warnings.append(TRAINED_LONGER)
    if teacher and run.arm == "distilled":
        warnings += soft_loss.warnings(session.config, session.splits)
        warnings += doubts.of_teacher(session.config, session.splits, teacher)
        alone = session.experiment.run("baseline", run.seed)
        if judge(alone, session.specification("baseline", run.seed)).counts:
            scores = teacher.validation_scores.to_json(), (alone.result or {})["validation"]
            warnings += little_to_teach(run.seed, *scores, session.measure)
    return warnings


def _learnt_little(session: Session, run: Run, result: Result, history: Sequence[EpochRecord]) -> list[str]:
    """Return a warning if the model that was kept is no better than chance on validation, and why it was kept."""
    labels, every_class = session.splits.validation.all_labels, session.config.every_class_counts(run.role)
    warning = at_chance(result["validation"], labels, run.role, every_class)
    if not warning:
        return []
    best = max(history, key=lambda record: record["val_accuracy"])
    plan = session.config.training_for(run.role)
    monitor, length = plan.monitor, plan.length_key
    if every_class and result.get("stopped") == NO_IMPROVEMENT:
        return [
            f"{warning} Training stopped after epoch {len(history)}, because {monitor} did not improve: a model that "
            f"gives one class at first needs a larger {run.role}.patience, or {run.role}.monitor: val_nll."
        ]
    if every_class or at_chance({"accuracy": best["val_accuracy"]}, labels):
        return [f"{warning} Look at the labels, or try another {run.role}.learning_rate or more {run.role}.{length}."]
    return [
        f"{warning} Its weights are those of epoch {result['best_epoch']}, the best by {monitor}; epoch "
        f"{best['epoch']} has accuracy {best['val_accuracy']:.4f}. Set {run.role}.monitor: val_accuracy to keep that."
    ]


def _still_improving(session: Session, run: Run, result: Result) -> list[str]:
    """Return a warning if the best epoch is the last: a longer training may give a better model.

    Where a schedule lowers the learning rate, the last epoch is the best by intention; a run of few epochs is a trial.
    """
    plan, last = session.config.training_for(run.role), result["epochs"]
    if result["best_epoch"] < last or plan.schedule != "constant" or last < FEWEST_JUDGED:
        return []
    key = f"{checks.section_of(plan.length_key, session.config, run.role)}.{plan.length_key}"
    return [
        f"The {run.role} was still improving when training ended: its best epoch is the last, {last}. A larger "
        f"{key} may give a better one."
    ]


def _note(session: Session, run: Run, data: Data) -> None:
    """Say what the reader of a run's progress may not expect: on what it is trained, and with which weights."""
    for words in told(session.config, session.splits, (run.role,)).values():
        session.listener.note(f"{run.arm}: at most {words}")
    _note_examples(session, run, data)
    if examples_in(data)["labelled"]:  # without them there is no hard term
        _note_class_weights(session, run)


def _note_examples(session: Session, run: Run, data: Data) -> None:
    """Say on what an arm is trained where that is not every example of train, and how many updates make an epoch.

    It is the same for every seed: a listener shows the same note once.
    """
    chosen = _leaves_classes_out(session, run)
    if not session.splits.has_unlabelled and not chosen:
        return
    of, steps = examples_in(data), budget_of(session.config, run.role, session.splits).per_epoch
    each = " and ".join(f"{count:,} {name}" for name, count in of.items() if count)
    passes = data.epoch_examples / len(data.train)
    often = f", {passes:.3g} passes over them" if passes > 1 else ""
    session.listener.note(f"{run.arm}: {each} examples{chosen}; an epoch has {steps:,} updates in every arm{often}")


def _leaves_classes_out(session: Session, run: Run) -> str:
    """Return which classes the examples of a run do not have, after a comma; empty if they have all."""
    names = session.config.distill.left_out(session.splits.classes) if is_taught(run.arm) else []
    return f", {transfer_set.left_out_words(names)}" if names else ""


def examples_in(data: Data) -> dict[str, int]:
    """Return how many labelled and unlabelled examples a run is trained on."""
    labelled = int(are_labelled(data.train.all_labels).sum())
    return {"labelled": labelled, "unlabelled": len(data.train) - labelled}


def _note_class_weights(session: Session, run: Run) -> None:
    """Say which weights the classes have, and whether early stopping counts them."""
    if (weights := session.class_weights_of(run.arm)) is None:
        return
    over = "the labelled examples" if session.splits.has_unlabelled else "train"
    listed = first_few([f"{name}: {weight:.3g}" for name, weight in weights.items()], NAMED_AT_MOST)
    session.listener.note(f"Class weights in the hard term: {listed} (their mean over {over} is 1)")
    monitor = session.config.training_for(run.role).monitor
    if monitor in EVERY_EXAMPLE_THE_SAME:
        session.listener.note(
            f"Early stopping watches {monitor}, in which every example counts the same; in val_balanced_accuracy and "
            "val_macro_f1 every class does, and val_loss has the weights (training.monitor)"
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
