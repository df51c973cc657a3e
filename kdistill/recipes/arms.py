"""The page to read: how a teacher, a baseline and a distilled student are made, and how they are scored.

A recipe does one job from beginning to end and returns what it found out; it prints nothing, a `Listener` hears how
it goes. Recipes do the work unasked: whether a run is there already is the business of `sessions`.
"""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.evaluation import metrics, predict
from kdistill.recipes.attempt import Result, Setting, train
from kdistill.teachers import logits_file, opening
from kdistill.teachers.teacher import AnyTeacher
from kdistill.training import losses
from kdistill.training.augmentation import Augmentation
from kdistill.training.segments import Data

__all__ = [
    "Setting",
    "baseline",
    "check_student",
    "distill",
    "evaluate",
    "evaluate_teacher",
    "open_teacher",
    "train_teacher",
]


def train_teacher(setting: Setting, seed: int) -> Result:
    """Train the teacher on labels alone; see `attempts.train` for the result."""
    return train(setting, setting.experiment.run("teacher", seed), losses.hard_objective(), _data(setting))


def baseline(setting: Setting, seed: int) -> Result:
    """Train the student on labels alone: what distillation has to beat."""
    return train(setting, setting.experiment.run("baseline", seed), losses.hard_objective(), _data(setting))


def distill(setting: Setting, seed: int, teacher: AnyTeacher) -> Result:
    """Train the same student, from the same weights and on the same batches, against the teacher's logits.

    They are computed once, unless the images are augmented: then the teacher is asked about each image that the student
    sees.

    Raises:
        ModelError: the images are augmented, and of the teacher there are only logits.
    """
    run = setting.experiment.run("distilled", seed)
    distillation = setting.config.distill
    objective = losses.distillation_objective(
        distillation.alpha,
        distillation.temperature,
        distillation.teacher_temperature,
        distillation.scale_by_t_squared,
        distillation.soft_loss,
    )
    return train(setting, run, objective, _data(setting, teacher), teacher)


def _data(setting: Setting, teacher: AnyTeacher | None = None) -> Data:
    """Return what an arm is trained on."""
    train, validation = setting.splits.train, setting.splits.validation
    augmentation = _augmentation(setting)
    if teacher is None:
        return Data(train, validation, augmentation=augmentation)
    if augmentation is None:
        return Data(train, validation, teacher.train, teacher.validation)
    opening.check_can_be_asked(setting.config, teacher)
    setting.listener.note(
        "Augmentation: the teacher is asked about every image as the student sees it; cached logits are not used"
    )
    return Data(train, validation, None, teacher.validation, teacher.predictors, augmentation)


def _augmentation(setting: Setting) -> Augmentation | None:
    keys = setting.config.augmentation
    if not keys.changes_images:
        return None
    return Augmentation(keys.shift, keys.flip, keys.crop or 0)


def open_teacher(setting: Setting, *paths: Path) -> AnyTeacher:
    """Open a teacher, or several; see `opening.open_teacher`. What was done to use them is told the listener."""
    teacher = opening.open_teacher(setting.config, setting.splits, setting.experiment.cache, paths)
    for note in teacher.notes:
        setting.listener.note(note)
    return teacher


def check_student(setting: Setting) -> None:
    """Refuse a student whose file does not fit the data, before its teacher is trained for nothing.

    Raises:
        ModelError: naming the file.
    """
    if model := setting.config.student.model:
        models.load_classifier(Path(model), setting.splits.shape, len(setting.splits.classes))


def evaluate(setting: Setting, path: Path, teacher: AnyTeacher | None = None) -> tuple[Result, NDArray[np.float32]]:
    """Score a model file on the test split, every example once.

    Args:
        setting: says which data.
        path: of a `.keras` file.
        teacher: whom to compare a student with, several by their mean probability; without one, or without its logits
            on test, `agreement` and `kl_to_teacher` are None.

    Returns:
        `accuracy`, `nll`, `ece`, `class_accuracy`, `parameters`, `file_bytes`, `agreement`, `kl_to_teacher`; and the
        logits (n, classes).
    """
    test, classes = setting.splits.test, len(setting.splits.classes)
    model, _ = models.load_classifier(path, setting.splits.shape, classes)
    logits = predict.logits(predict.predictor(model), test)
    metrics.check_logits(logits, str(path))
    taught = None if teacher is None or teacher.test is None else metrics.together(teacher.test)
    scores = {
        **dataclasses.asdict(metrics.score(logits, test.all_labels)),
        "parameters": models.parameters(model),
        "file_bytes": path.stat().st_size,
        "agreement": None if taught is None else metrics.agreement(taught, logits),
        "kl_to_teacher": None if taught is None else metrics.kl_to_teacher(taught, logits),
    }
    return scores, logits


def evaluate_teacher(setting: Setting, teacher: AnyTeacher) -> Result:
    """Score a teacher that is no run of the experiment on the test split; several by their mean probability.

    Returns:
        What `evaluate` does, without an agreement; `parameters` and `file_bytes` are None where there are only logits.

    Raises:
        ModelError: there are no logits for the test split.
    """
    if teacher.test is None:  # which is found out earlier, unless the file was changed since
        raise ModelError(f"{', '.join(map(str, teacher.paths))}: expected logits for the test split")
    scores = metrics.score(metrics.together(teacher.test), setting.splits.test.all_labels)
    return {
        **dataclasses.asdict(scores),
        "parameters": teacher.parameters,
        "file_bytes": logits_file.model_bytes(teacher.paths),
        "agreement": None,
        "kl_to_teacher": None,
    }
