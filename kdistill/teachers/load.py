"""Teachers loaded from their files and checked against the data and the config, before anything is trained."""

from pathlib import Path

from kdistill import models
from kdistill.config import Config
from kdistill.core.errors import ModelError
from kdistill.datasets import Splits
from kdistill.datasets.splits import about_data
from kdistill.runs import Run, run_in
from kdistill.teachers import doubts
from kdistill.teachers.files import LOGITS_HINT, TeacherFiles
from kdistill.teachers.logits_file import SUFFIX
from kdistill.teachers.teacher import AnyTeacher, LogitsTeacher, ModelTeacher, TeacherEnsemble


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
    teacher = loaded[0] if len(loaded) == 1 else TeacherEnsemble(loaded, found.shares)
    check_augmentation(config, teacher)
    return teacher


def _load_one(config: Config, splits: Splits, cache: Path, path: Path, run: Run | None) -> AnyTeacher:
    if path.suffix == SUFFIX:
        return LogitsTeacher(path, splits)
    doubts.check_classes(path, splits)
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


def check_augmentation(config: Config, teacher: AnyTeacher) -> None:
    """Raise ModelError if images are augmented and a teacher is a file of logits."""
    if config.augmentation.changes_images and not teacher.predictors:
        raise ModelError(
            f"{', '.join(map(str, teacher.paths))}: augmentation changes the images in every epoch, and a file of "
            "logits has no model that computes the logits of changed images",
            hint="Remove the section `augmentation`, or give the teacher as a `.keras` file.",
        )
