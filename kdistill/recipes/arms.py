"""The page to read: how a teacher, a baseline and a distilled student are made, and how they are scored.

A recipe does one job from beginning to end and returns what it found out; it prints nothing, a `Listener` hears how
it goes. Recipes do the work unasked: whether a run is there already is the business of `make`.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.evaluation import metrics, predict
from kdistill.recipes.attempt import train
from kdistill.recipes.session import Session
from kdistill.runs import Result, ScoresOnTest
from kdistill.teachers import load, logits_file
from kdistill.teachers.teacher import AnyTeacher
from kdistill.training import fit, losses
from kdistill.training.augmentation import Augmentation


def train_teacher(session: Session, seed: int) -> Result:
    """Train the teacher on labels alone; see `attempt.train` for the result."""
    return train(session, session.experiment.run("teacher", seed), losses.hard_objective(), _data(session))


def baseline(session: Session, seed: int) -> Result:
    """Train the student on labels alone: what distillation has to beat."""
    return train(session, session.experiment.run("baseline", seed), losses.hard_objective(), _data(session))


def distill(session: Session, seed: int, teacher: AnyTeacher) -> Result:
    """Train the same student, from the same weights and on the same batches, against the teacher's logits.

    They are computed once, unless the images are augmented: then the teacher is asked about each image that the student
    sees.

    Raises:
        ModelError: the images are augmented, and of the teacher there are only logits.
    """
    run = session.experiment.run("distilled", seed)
    distillation = session.config.distill
    objective = losses.distillation_objective(
        distillation.alpha,
        distillation.temperature,
        distillation.teacher_temperature,
        distillation.scale_by_t_squared,
        distillation.soft_loss,
    )
    return train(session, run, objective, _data(session, teacher), teacher)


def _data(session: Session, teacher: AnyTeacher | None = None) -> fit.Data:
    """Return what an arm is trained on."""
    train, validation = session.splits.train, session.splits.validation
    augmentation = _augmentation(session)
    if teacher is None:
        return fit.Data(train, validation, augmentation=augmentation)
    if augmentation is None:
        return fit.Data(train, validation, teacher.train, teacher.validation)
    load.check_augmentation(session.config, teacher)
    session.listener.note(
        "Augmentation: the teacher is asked about every image as the student sees it; cached logits are not used"
    )
    return fit.Data(train, validation, None, teacher.validation, teacher.predictors, augmentation)


def _augmentation(session: Session) -> Augmentation | None:
    keys = session.config.augmentation
    if not keys.changes_images:
        return None
    return Augmentation(keys.shift, keys.flip, keys.crop or 0)


def check_student(session: Session) -> None:
    """Refuse a student whose file does not fit the data, before its teacher is trained for nothing.

    Raises:
        ModelError: naming the file.
    """
    if model := session.config.student.model:
        models.load_classifier(Path(model), session.splits.shape, len(session.splits.classes))


def evaluate(
    session: Session, path: Path, teacher: AnyTeacher | None = None
) -> tuple[ScoresOnTest, NDArray[np.float32]]:
    """Score a model file on the test split, every example once.

    Args:
        session: says which data.
        path: of a `.keras` file.
        teacher: whom to compare a student with, several by their mean probability; without one, or without its logits
            on test, `agreement` and `kl_to_teacher` are None.

    Returns:
        The scores, and the logits (n, classes).
    """
    test, classes = session.splits.test, len(session.splits.classes)
    model, _ = models.load_classifier(path, session.splits.shape, classes)
    logits = predict.logits(predict.predictor(model), test)
    metrics.check_logits(logits, str(path))
    taught = None if teacher is None or teacher.test is None else metrics.ensemble_logits(teacher.test)
    own: Any = dataclasses.asdict(metrics.score(logits, test.all_labels))
    scores: ScoresOnTest = own | {
        "parameters": model.count_params(),
        "file_bytes": path.stat().st_size,
        "agreement": None if taught is None else metrics.agreement(taught, logits),
        "kl_to_teacher": None if taught is None else metrics.kl_to_teacher(taught, logits),
    }
    return scores, logits


def evaluate_teacher(session: Session, teacher: AnyTeacher) -> ScoresOnTest:
    """Score a teacher that is no run of the experiment on the test split; several by their mean probability.

    Raises:
        ModelError: there are no logits for the test split.
    """
    if teacher.test is None:  # which is found out earlier, unless the file was changed since
        raise ModelError(f"{', '.join(map(str, teacher.paths))}: expected logits for the test split")
    own: Any = dataclasses.asdict(metrics.score(metrics.ensemble_logits(teacher.test), session.splits.test.all_labels))
    return own | {
        "parameters": teacher.parameters,
        "file_bytes": logits_file.model_bytes(teacher.paths),
        "agreement": None,
        "kl_to_teacher": None,
    }
