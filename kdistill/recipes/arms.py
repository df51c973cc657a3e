"""Start reading here: how a teacher, a baseline and a distilled student are trained, and how a model is scored on test.

Each function does one job from beginning to end and returns its results. It prints nothing: the session's `Listener`
is notified of the progress. `make` calls the function of a run that is missing.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.core.formatting import number
from kdistill.datasets import Split
from kdistill.evaluation import calibration, metrics, predict
from kdistill.evaluation.measures import Measure
from kdistill.recipes import hints, soft_loss, transfer_set
from kdistill.recipes.attempt import train
from kdistill.recipes.raw_values import preprocessing_of
from kdistill.recipes.session import Session
from kdistill.runs import Result, ScoresOnTest, run_of_model
from kdistill.teachers import doubts, load, logits_file
from kdistill.teachers.teacher import AnyTeacher
from kdistill.training import fit, losses
from kdistill.training.augmentation import Augmentation
from kdistill.training.hints import Hint


def train_teacher(session: Session, seed: int, name: str = "teacher") -> Result:
    """Train the teacher, or a further member of it, on the labels alone; see `attempt.train` for files and errors."""
    return train(
        session, session.experiment.run(name, seed), labels_alone(session, "teacher"), data_of(session, "teacher")
    )


def baseline(session: Session, seed: int) -> Result:
    """Train the student on the labels alone: the accuracy that distillation has to beat."""
    run = session.experiment.run("baseline", seed)
    return train(session, run, labels_alone(session, "baseline"), data_of(session, "baseline"))


def distill(session: Session, seed: int, teacher: AnyTeacher) -> Result:
    """Train the same student, from the same initial weights and on the same batches, towards the teacher's logits.

    Raises:
        ConfigError: there are hints that do not fit the models: see `hints.between`.
        ModelError: the images are augmented, and the teacher is a file of logits without a model.
    """
    if session.teacher_files:
        session.listener.note(_how_good(teacher, session.measure))
    for note in soft_loss.notes(session.config, session.splits):
        session.listener.note(note)
    hinted = hints.between(session, teacher)
    data = with_soft_targets(session, data_of(session, "distilled"), teacher, hinted)
    objective = distillation(session, teacher, hinted)
    return train(session, session.experiment.run("distilled", seed), objective, data, teacher)


def evaluate(
    session: Session, path: Path, teacher: AnyTeacher | None = None
) -> tuple[ScoresOnTest, NDArray[np.float32]]:
    """Score the model file of a run on the test split, every example once.

    Args:
        session: has the data.
        path: of a `.keras` file.
        teacher: compared with the model, several by their mean probability. If it is None, or has no logits on test,
            `agreement` and `kl_to_teacher` are None.

    Where the config standardises logits, which makes probabilities bad, all arms are also scored with a temperature
    fitted on validation, unless that is test.

    Returns:
        The scores, and the logits (n, classes).
    """
    splits = session.splits
    model, _ = models.load_classifier(path, *splits.fitting)
    predictor = predict.predictor(model)
    logits = _logits(session, path, predictor, splits.test)
    scores = _scores(session, logits, model.count_params(), path.stat().st_size)
    if teacher is not None and teacher.test is not None:
        taught = teacher.together(teacher.test)
        scores["agreement"] = metrics.agreement(taught, logits, splits.task)
        scores["kl_to_teacher"] = metrics.kl_to_teacher(taught, logits, splits.task)
    if session.config.distill.standardize and session.config.data.validation != "test":
        validation = _logits(session, path, predictor, splits.validation)
        scores.update(calibration.fitted(validation, splits.validation.all_labels, logits, splits.test.all_labels))
    return scores, logits


def evaluate_file(session: Session, path: Path) -> ScoresOnTest:
    """Score a model file, possibly from elsewhere, on the test split.

    Its raw values are scaled as `preprocessing_of` says. The listener is told how the model was changed for the
    data and, of one that no run has made, what its outputs on validation make doubtful.

    Raises:
        ModelError: the file does not fit the data, or is of other classes.
        ConfigError: the values of the data cannot be scaled in this way.
    """
    splits, preprocess = session.splits, preprocessing_of(session, path)
    doubts.check_classes(path, splits, "model", hint=None)
    model, notes = models.load_classifier(path, *splits.fitting)
    for note in notes:
        session.listener.note(note)
    parameters, is_raw = model.count_params(), doubts.gets_raw_values(splits, preprocess, models.scales_inputs(model))
    predictor = predict.predictor(models.with_scaling(model, splits.shape, splits.preprocessing(preprocess)))
    if run_of_model(path) is None:
        validation = _logits(session, path, predictor, splits.validation)
        cause = doubts.of_raw_values(path in session.teacher_files) if is_raw else ""
        every_class = any(map(session.config.every_class_counts, ("teacher", "student")))
        for doubt in doubts.of_outputs(splits, validation, cause, every_class, "model"):
            session.listener.warning(f"{path}: {doubt}")
    test = _logits(session, path, predictor, splits.test)
    return _scores(session, test, parameters, path.stat().st_size)


def _how_good(teacher: AnyTeacher, measure: Measure) -> str:
    """Return in a sentence how good a teacher is on validation, by a measure, or by its accuracy."""
    measure, value = teacher.judged_by(measure)
    who = "Teacher" if len(teacher.paths) == 1 else "Teachers, by their mean probability"
    return f"{who}: validation {measure.words} {number(value)} ({', '.join(map(str, teacher.paths))})"


def evaluate_teacher(session: Session, teacher: AnyTeacher) -> ScoresOnTest:
    """Score a teacher from files on the test split; several by their mean probability.

    Raises:
        ModelError: there are no logits for the test split.
    """
    if teacher.test is None:  # found out before anything is trained, unless the file was changed since
        raise ModelError(f"{', '.join(map(str, teacher.paths))}: expected logits for the test split")
    size = logits_file.model_bytes(teacher.paths)
    return _scores(session, teacher.together(teacher.test), teacher.parameters, size)


def labels_alone(session: Session, arm: str) -> losses.Objective:
    """Return the objective of an arm without soft targets."""
    return losses.hard_objective(class_weights(session, arm), session.splits.task)


def distillation(session: Session, teacher: AnyTeacher, hinted: Mapping[Hint, float]) -> losses.Objective:
    """Return the objective of the distilled arm, by the keys of `distill` and the hints of `hints.between`.

    Several teachers have their shares of the mean.
    """
    keys = session.config.distill
    return losses.distillation_objective(
        keys.alpha,
        keys.temperature,
        keys.teacher_temperature,
        keys.scale_by_t_squared,
        keys.soft_loss,
        class_weights=class_weights(session, "distilled"),
        task=session.splits.task,
        standardize=keys.standardize,
        own=keys.own_numbers(),
        hints=hinted,
        shares=teacher.shares,
    )


def class_weights(session: Session, arm: str) -> tuple[float, ...] | None:
    """Return the weight of each class in an arm's hard term, by label; None where all examples count the same."""
    weights = session.class_weights_of(arm)
    return None if weights is None else tuple(weights.values())


def data_of(session: Session, arm: str) -> fit.Data:
    """Return what an arm is trained and validated on, with the augmentation of the config.

    An epoch of every arm has as many examples, and so updates, as there are with and without labels: an arm that is
    trained on fewer of them passes over these several times.
    """
    keys, splits = session.config.augmentation, session.splits
    changes = Augmentation(keys.shift, keys.flip, keys.crop or 0, keys.mixup) if keys.changes_images else None
    train, prior = session.examples_of(arm), transfer_set.prior_of(session, arm)
    return fit.Data(train, splits.validation, augmentation=changes, per_epoch=splits.per_epoch, prior=prior)


def with_soft_targets(session: Session, data: fit.Data, teacher: AnyTeacher, hinted: Collection[Hint] = ()) -> fit.Data:
    """Add the teacher's logits, and its features for hints, computed once; or the teacher itself, to compute them.

    The latter where images are augmented, or features are too large.
    """
    if data.augmentation is None:
        on_train = teacher.on(session.transfer_set)
        data = dataclasses.replace(data, teacher_train=on_train, teacher_validation=teacher.validation)
        return hints.with_features(session, data, teacher, hinted)
    load.check_augmentation(session.config, teacher)
    session.listener.note("Augmentation: the teacher's logits are computed for every image as the student sees it")
    data = dataclasses.replace(data, teachers=teacher.predictors, teacher_validation=teacher.validation)
    return hints.with_features(session, data, teacher, hinted)


def _logits(session: Session, path: Path, predictor: predict.Predict, split: Split) -> NDArray[np.float32]:
    """Return the logits (n, classes) of the model in a file on a split, which are finite."""
    logits = predict.logits(predictor, split)
    metrics.check_logits(logits, str(path), task=session.splits.task)
    return logits


def _scores(session: Session, logits: metrics.Floats, parameters: int | None, file_bytes: int | None) -> ScoresOnTest:
    scores: Any = metrics.score(logits, session.splits.test.all_labels).to_json()
    return scores | {"parameters": parameters, "file_bytes": file_bytes, "agreement": None, "kl_to_teacher": None}
