"""Teachers opened and checked for the data and the config that they are to teach, before anything is trained."""

from pathlib import Path

import numpy as np

from kdistill.config import Config
from kdistill.core.errors import ModelError, OutputError
from kdistill.datasets import Splits, preprocessing
from kdistill.datasets.splits import about_data
from kdistill.modelfiles.names import class_names
from kdistill.runs import Run, run_in
from kdistill.teachers.files import TeacherFiles
from kdistill.teachers.logits_file import SUFFIX
from kdistill.teachers.teacher import AnyTeacher, Logits, Teacher, Teachers

WORSE = 1.1  # than equal probabilities: what a teacher's NLL is suspicious from


def open_teacher(config: Config, splits: Splits, cache: Path, found: TeacherFiles) -> AnyTeacher:
    """Open a teacher, or several, and check them before anything is trained.

    Args:
        config: says how raw values are scaled for models from elsewhere, and whether images are augmented.
        splits: the data.
        cache: where their logits are kept.
        found: the files; several teach the mean of their softened outputs.

    Raises:
        ModelError: one cannot teach this data, or is no longer what it was when it was trained.
    """
    pairs = zip(found.paths, found.runs, strict=True)
    opened = [_open_one(config, splits, cache, path, run) for path, run in pairs]
    teacher = opened[0] if len(opened) == 1 else Teachers(opened)
    check_can_be_asked(config, teacher)
    return teacher


def _open_one(config: Config, splits: Splits, cache: Path, path: Path, run: Run | None) -> AnyTeacher:
    """Open one teacher and check its classes, its logits, its recorded accuracy."""
    if path.suffix == SUFFIX:
        return Logits(path, splits)
    _check_classes(path, splits)
    teacher = Teacher(path, splits, cache, run, config.teacher.preprocessing)
    trained = run or run_in(path.parent)  # which may be damaged
    same_data = trained and trained.model_file == path and (trained.manifest or {}).get("data") == about_data(splits)
    if trained and trained.result and same_data:
        teacher.check_accuracy(trained.result["validation"]["accuracy"])
    return teacher


def _check_classes(path: Path, splits: Splits) -> None:
    """Refuse a teacher of other classes, or of the same in another order, where a file beside it names them."""
    try:
        names = class_names(path)
    except (ModelError, OutputError):
        return  # another program's; that it has as many logits as there are classes is checked when it is loaded
    if names is not None and names != list(splits.classes):
        received = ", ".join(names[:20])
        raise ModelError(
            f"{path}: expected a teacher of the classes {', '.join(splits.classes[:20])}; received one of {received}",
            hint="Take a teacher that was trained on this data set.",
        )


def check_can_be_asked(config: Config, teacher: AnyTeacher) -> None:
    """Refuse to augment images for a teacher that cannot be asked about them.

    Raises:
        ModelError: of the teacher, or of one of several, there are only logits.
    """
    if config.augmentation.changes_images and not teacher.predictors:
        raise ModelError(
            f"{', '.join(map(str, teacher.paths))}: augmentation changes the images in every epoch, and a file of "
            "logits has no model to ask about them",
            hint="Remove the section `augmentation`, or give the teacher as a `.keras` file.",
        )


def unscaled(config: Config, teacher: AnyTeacher) -> str:
    """Return a sentence if a model from elsewhere gets raw values, which it may not be used to; else nothing."""
    pairs = zip(teacher.paths, teacher.runs, strict=True)
    if all(run or path.suffix == SUFFIX for path, run in pairs) or config.teacher.preprocessing != preprocessing.NONE:
        return ""
    return " It gets raw values: if it was trained on scaled ones, set teacher.preprocessing."


def warnings(config: Config, splits: Splits, teacher: AnyTeacher) -> list[str]:
    """Return a warning if a teacher may know what it should not, or knows nothing about the validation split."""
    return [*_may_have_seen(splits, teacher), *_knows_little(config, splits, teacher)]


def _may_have_seen(splits: Splits, teacher: AnyTeacher) -> list[str]:
    """Return a warning of each teacher that is a run on the same data, divided otherwise."""
    found = []
    for path, run in zip(teacher.paths, teacher.runs, strict=True):
        about = ((run.manifest if run else None) or {}).get("data") or {}
        if about.get("fingerprint") == splits.fingerprint and about["split_fingerprint"] != splits.split_fingerprint:
            found.append(
                f"{path} was trained on another division of the same data: it may have seen examples that are for "
                "validation or test here."
            )
    return found


def _knows_little(config: Config, splits: Splits, teacher: AnyTeacher) -> list[str]:
    scores = teacher.validation_scores
    scaling, of_equal = unscaled(config, teacher), float(np.log(len(splits.classes)))
    if at_chance := splits.no_better_than_chance(scores.accuracy):
        return [f"{at_chance}{scaling}"]
    if scaling and scores.nll > of_equal * WORSE:  # the classes may be right all the same
        return [
            f"The teacher's probabilities are worse than equal ones would be (NLL {scores.nll:.2f} on validation; "
            f"{of_equal:.2f}).{scaling}"
        ]
    return []
