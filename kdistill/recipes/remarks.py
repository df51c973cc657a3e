"""What is said of a run: warnings before it is trained and afterwards, and notes on what it is trained on."""

from collections.abc import Sequence

from kdistill.core.controls import is_taught
from kdistill.core.formatting import first_few
from kdistill.core.listener import EpochRecord
from kdistill.core.task import are_labelled
from kdistill.datasets.chance import at_chance
from kdistill.evaluation.verdict import little_to_teach
from kdistill.recipes import checks, soft_loss, transfer_set
from kdistill.recipes.budgets import budget_of, told
from kdistill.recipes.session import Session
from kdistill.runs import Result, Run, judge
from kdistill.runs.run import NO_IMPROVEMENT
from kdistill.teachers import doubts
from kdistill.teachers.teacher import AnyTeacher
from kdistill.training.segments import Data

NAMED_AT_MOST = 10  # classes, with their weights
TRAINED_LONGER = (
    "The distilled student goes on from the baseline's weights, so that it is trained for longer than the baseline: "
    "what that gives by itself is told by the control `continued`, which is not among `controls`."
)
FEWEST_JUDGED = 5  # epochs, from which on a run is taken for more than a trial
EVERY_EXAMPLE_THE_SAME = ("val_nll", "val_accuracy", "val_top5_accuracy")


def before(session: Session, run: Run, teacher: AnyTeacher | None) -> list[str]:
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


def after(session: Session, run: Run, result: Result, history: Sequence[EpochRecord]) -> list[str]:
    """Return what makes the model of a run that was trained less good than it could be."""
    return [*_learnt_little(session, run, result, history), *_still_improving(session, run, result)]


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


def note(session: Session, run: Run, data: Data) -> None:
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
    chosen = classes_left_out(session, run)
    if not session.splits.has_unlabelled and not chosen:
        return
    of, steps = examples_in(data), budget_of(session.config, run.role, session.splits).per_epoch
    each = " and ".join(f"{count:,} {name}" for name, count in of.items() if count)
    passes = data.epoch_examples / len(data.train)
    often = f", {passes:.3g} passes over them" if passes > 1 else ""
    session.listener.note(f"{run.arm}: {each} examples{chosen}; an epoch has {steps:,} updates in every arm{often}")


def classes_left_out(session: Session, run: Run) -> str:
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
