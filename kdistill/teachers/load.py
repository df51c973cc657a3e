"""Teachers loaded from their files and checked against the data and the config, before anything is trained."""

from pathlib import Path

from kdistill import models
from kdistill.config import Config
from kdistill.core.errors import ModelError, OutputError
from kdistill.core.task import MULTI
from kdistill.datasets import Splits
from kdistill.datasets.chance import at_chance
from kdistill.datasets.splits import about_data
from kdistill.evaluation import metrics
from kdistill.modelfiles.names import class_names, task_of
from kdistill.runs import Run, run_in
from kdistill.teachers.class_order import another_order
from kdistill.teachers.files import TeacherFiles
from kdistill.teachers.logits_file import SUFFIX
from kdistill.teachers.teacher import AnyTeacher, LogitsTeacher, ModelTeacher, TeacherEnsemble

LOGITS_HINT = (
    "Any teacher can teach by its logits alone: compute them with its own program for the examples that `kdistill data "
    "export` writes, and give that file with --teacher-logits or in distill.teachers."
)
SUSPICIOUS_NLL = 1.1  # times the NLL of equal probabilities


def load_teacher(config: Config, splits: Splits, cache: Path, found: TeacherFiles) -> AnyTeacher:
    """Load a teacher, or an ensemble of several, and check it.

    Args:
        config: `teacher.preprocessing` is for files that no run has made; `augmentation` needs models.
        splits: the data.
        cache: the folder of cached logits.
        found: the files.

    Raises:
        ModelError: a teacher does not fit the data, or its accuracy is no longer the recorded one.
    """
    pairs = zip(found.paths, found.runs, strict=True)
    loaded = [_load_one(config, splits, cache, path, run) for path, run in pairs]
    teacher = loaded[0] if len(loaded) == 1 else TeacherEnsemble(loaded)
    check_augmentation(config, teacher)
    return teacher


def _load_one(config: Config, splits: Splits, cache: Path, path: Path, run: Run | None) -> AnyTeacher:
    if path.suffix == SUFFIX:
        return LogitsTeacher(path, splits)
    _check_classes(path, splits)
    try:
        teacher = ModelTeacher(path, splits, cache, run, config.teacher.preprocessing)
    except models.OtherClassesError:  # logits would be those of other classes, too
        raise
    except ModelError as error:
        raise ModelError(error.message, f"{error.hint or ''} {LOGITS_HINT}".strip()) from error.__cause__
    trained = run or run_in(path.parent)  # a damaged run
    same_data = trained and trained.model_file == path and (trained.manifest or {}).get("data") == about_data(splits)
    if trained and trained.result and same_data:
        teacher.check_accuracy(trained.result["validation"]["accuracy"])
    return teacher


def _check_classes(path: Path, splits: Splits) -> None:
    """Raise if `classes.json` in the model's folder names other classes, or the same in another order."""
    try:
        names, task = class_names(path), task_of(path)
    except (ModelError, OutputError):
        return  # the file of another program; the number of classes is checked when the model is loaded
    if names is not None and task is not splits.task:
        raise ModelError(
            f"{path}: expected a teacher of data with data.labels: {splits.task.name}; received one of {task.name}",
            hint="Take a teacher that was trained on data of the same kind.",
        )
    if names is not None and names != list(splits.classes):
        received = ", ".join(names[:20])
        raise ModelError(
            f"{path}: expected a teacher of the classes {', '.join(splits.classes[:20])}; received one of {received}",
            hint="Take a teacher that was trained on this data set.",
        )


def check_augmentation(config: Config, teacher: AnyTeacher) -> None:
    """Raise ModelError if images are augmented and a teacher is a file of logits."""
    if config.augmentation.changes_images and not teacher.predictors:
        raise ModelError(
            f"{', '.join(map(str, teacher.paths))}: augmentation changes the images in every epoch, and a file of "
            "logits has no model that computes the logits of changed images",
            hint="Remove the section `augmentation`, or give the teacher as a `.keras` file.",
        )


def possible_cause(teacher: AnyTeacher) -> str:
    """Return a sentence on what makes a good teacher look bad, after a space; empty where nothing comes to mind."""
    if teacher.takes_raw_values:
        return " It gets raw values: if it was trained on scaled ones, set teacher.preprocessing."
    if any(path.suffix == SUFFIX for path in teacher.paths):
        return " Are the rows of the logits in the data's order, and their columns in that of the classes?"
    return ""


def warnings(config: Config, splits: Splits, teacher: AnyTeacher) -> list[str]:
    """Return warnings if a teacher may have seen held-out examples, or is worse on validation than it should be."""
    return [*_may_have_seen(config, splits, teacher), *_knows_little(config, splits, teacher)]


def _may_have_seen(config: Config, splits: Splits, teacher: AnyTeacher) -> list[str]:
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


def _knows_little(config: Config, splits: Splits, teacher: AnyTeacher) -> list[str]:
    labels, scores = splits.validation.all_labels, teacher.validation_scores
    cause, of_equal = possible_cause(teacher), splits.task.nll_of_equal(len(splits.classes))
    if splits.task is MULTI:  # the order of the classes is not judged: each is right or wrong for itself
        if scores.nll < of_equal:
            return []
        return [
            f"The teacher's probabilities are no better than 0.5 for every class (NLL {scores.nll:.2f} on validation; "
            f"{of_equal:.2f}).{cause}"
        ]
    if order := another_order(metrics.ensemble_logits(teacher.validation, splits.task), labels, splits.classes):
        return [order]
    if warning := at_chance(scores.to_json(), labels, every_class=config.every_class_counts("teacher")):
        return [f"{warning}{cause}"]
    if cause and scores.nll > of_equal * SUSPICIOUS_NLL:  # the accuracy may be high nevertheless
        return [
            f"The teacher's probabilities are worse than equal ones would be (NLL {scores.nll:.2f} on validation; "
            f"{of_equal:.2f}).{cause}"
        ]
    return []
