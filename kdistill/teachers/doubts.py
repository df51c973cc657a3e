"""How a teacher, or any model from a file, can be wrong although it can be computed; refused, or warned of.

Its classes may be others, or in another order; its values may be on another scale, the rows of its logits in another
order, and its training examples may be among those held out. Where no file says so, the outputs on validation do.
`distill` asks about teachers (`of_teacher`), `evaluate FILE` about any model (`of_outputs`).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from kdistill.config import Config
from kdistill.core.errors import ModelError, OutputError
from kdistill.core.scaling import NONE
from kdistill.core.task import MULTI
from kdistill.datasets import Splits
from kdistill.datasets.chance import at_chance
from kdistill.evaluation import metrics
from kdistill.evaluation.metrics import Floats
from kdistill.modelfiles.names import class_names, task_of
from kdistill.teachers.class_order import another_order
from kdistill.teachers.logits_file import SUFFIX

if TYPE_CHECKING:
    from kdistill.teachers.teacher import AnyTeacher

SUSPICIOUS_NLL = 1.1  # times the NLL of equal probabilities
NAMED_AT_MOST = 20  # classes
ROWS = " Are the rows of the logits in the data's order, and their columns in that of the classes?"


def check_classes(
    path: Path,
    splits: Splits,
    role: str = "teacher",
    hint: str | None = "Take a teacher that was trained on this data set.",
    strict: bool = False,
) -> None:
    """Raise ModelError if `classes.json` in a model's folder names other classes, or the same in another order.

    Args:
        path: of the model.
        splits: the data.
        role: what the model is called.
        hint: what to do.
        strict: also raise where the file cannot be read, or is not one of kdistill: ModelError, OutputError.
    """
    try:
        names, task = class_names(path), task_of(path)
    except (ModelError, OutputError):
        if strict:
            raise
        return  # the file of another program; the number of classes is checked when the model is loaded
    if names is not None and task is not splits.task:
        wanted = f"expected a {role} of data with data.labels: {splits.task.name}"
        raise ModelError(f"{path}: {wanted}; received one of {task.name}", hint)
    if names is not None and names != list(splits.classes):
        wanted, received = (", ".join(classes[:NAMED_AT_MOST]) for classes in (splits.classes, names))
        raise ModelError(f"{path}: expected a {role} of the classes {wanted}; received one of {received}", hint)


def of_teacher(config: Config, splits: Splits, teacher: "AnyTeacher") -> list[str]:
    """Return warnings if a teacher may have seen held-out examples, or is worse on validation than it should be."""
    logits = teacher.together(teacher.validation)
    every_class = config.every_class_counts("teacher")
    return [*_may_have_seen(config, splits, teacher), *of_outputs(splits, logits, possible_cause(teacher), every_class)]


def possible_cause(teacher: "AnyTeacher") -> str:
    """Return a sentence on what makes a good teacher look bad, after a space; empty where nothing comes to mind."""
    if teacher.takes_raw_values:
        return of_raw_values()
    return ROWS if any(path.suffix == SUFFIX for path in teacher.paths) else ""


def gets_raw_values(splits: Splits, preprocess: str, scales_inputs: bool) -> bool:
    """Whether neither `preprocess` nor the model scales the values that it gets; tokens need no scaling."""
    return preprocess == NONE and not scales_inputs and splits.vocabulary is None


def of_raw_values(named: bool = True) -> str:
    """Return what to do where a model gets raw values, after a space; `named` is whether the config names its file."""
    naming = "" if named else ", and name the file in distill.teachers"
    how = f"set teacher.preprocessing, such as unit for 0 to 1{naming}"
    return f" It gets raw values: if it was trained on scaled ones, {how}."


def of_outputs(
    splits: Splits, logits: Floats, cause: str = "", every_class: bool = False, role: str = "teacher"
) -> list[str]:
    """Return a warning if a model is worse on validation than it should be; an empty list if it is not.

    Args:
        splits: the data.
        logits: the model's outputs (n, classes) on the validation split.
        cause: a sentence on what makes a good model look bad, after a space.
        every_class: whether every class is to count: see `at_chance`.
        role: what the model is called.
    """
    labels, of_equal = splits.validation.all_labels, splits.task.nll_of_equal(len(splits.classes))
    scores = metrics.score(logits, labels)
    if splits.task is MULTI:  # the order of the classes is not judged: each is right or wrong for itself
        than = "no better than 0.5 for every class" if scores.nll >= of_equal else ""
    else:
        if order := another_order(logits, labels, splits.classes, role):
            return [order]
        if warning := at_chance(scores.to_json(), labels, role, every_class):
            return [f"{warning}{cause}"]
        # The accuracy may be high nevertheless.
        than = "worse than equal ones would be" if cause and scores.nll > of_equal * SUSPICIOUS_NLL else ""
    if not than:
        return []
    nll = f"(NLL {scores.nll:.2f} on validation, where equal probabilities give {of_equal:.2f})"
    return [f"The {role}'s probabilities are {than} {nll}.{cause}"]


def _may_have_seen(config: Config, splits: Splits, teacher: "AnyTeacher") -> list[str]:
    found, unknown = list[str](), list[str]()
    for path, run in zip(teacher.paths, teacher.runs, strict=True):
        about = ((run.manifest if run else None) or {}).get("data") or {}
        if about.get("fingerprint") == splits.fingerprint and about["split_fingerprint"] != splits.split_fingerprint:
            found.append(
                f"{path} was trained on another split of the same data: it may have seen examples of this validation "
                "or test split."
            )
        if about.get("fingerprint") != splits.fingerprint:
            unknown.append(str(path))
    if unknown and config.data.test is not None:
        found.append(
            f"{', '.join(unknown)}: nothing is known of the training data. The test split is held out here, from train "
            f"(data.test: {config.data.test:g}): if the teacher was trained on these examples, its test scores are too "
            "good, and those of its students may be."
        )
    return found
