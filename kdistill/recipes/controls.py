"""How each control arm is trained: as the distilled student is, on the same batches, but for one thing.

`core.controls` has what each of them tells. A function here takes the model that the control needs, if it needs one.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.core.task import Task
from kdistill.evaluation.metrics import Floats
from kdistill.evaluation.predict import Predict
from kdistill.recipes import arms, hints
from kdistill.recipes.attempt import train
from kdistill.recipes.session import Session
from kdistill.runs import Result, Run
from kdistill.teachers.teacher import AnyTeacher, ModelTeacher
from kdistill.training import losses

SHUFFLE = 1  # after the seed of a run, in the seed of the exchange of teacher outputs


def smoothed(session: Session, run: Run, _: AnyTeacher | None) -> Result:
    """Train on smoothed labels: KL from equal probabilities with the weight of the smoothing, no teacher.

    Up to a constant it is the cross-entropy of labels (1 - e) y + e / k (Szegedy et al. 2016, section 7).
    """
    share, data = float(session.config.controls[run.arm] or 0), arms.data_of(session, run.arm)
    equal = np.zeros(len(session.splits.classes), np.float32)
    data = dataclasses.replace(
        data,
        teacher_train=np.broadcast_to(equal, (len(data.train), len(equal))),
        teacher_validation=np.broadcast_to(equal, (len(data.validation), len(equal))),
    )
    return train(session, run, _soft_at_1(session, run.arm, share), data)


def pseudo(session: Session, run: Run, teacher: AnyTeacher) -> Result:
    """Train on the teacher's decisions in place of its softened outputs, with the weight alpha of the soft term.

    The KL divergence from a certain answer is the cross-entropy of that answer; T is 1.
    """
    data, task = arms.with_soft_targets(session, arms.data_of(session, run.arm), teacher), session.splits.task
    certain = [
        None if logits is None else np.asarray(task.certain(teacher.together(logits)), np.float32)
        for logits in (data.teacher_train, data.teacher_validation)
    ]
    data = dataclasses.replace(data, teacher_train=certain[0], teacher_validation=certain[1])
    if data.teachers:
        data = dataclasses.replace(data, teachers=[_deciding(data.teachers, teacher, task)])
    return train(session, run, _soft_at_1(session, run.arm, session.config.distill.alpha), data, teacher)


def shuffled(session: Session, run: Run, teacher: AnyTeacher) -> Result:
    """Train as the distilled student, on the teacher's outputs for another example of the same answer, or for any.

    Its features for hints are exchanged along with its logits.
    """
    hinted, task = hints.between(session, teacher), session.splits.task
    data = arms.with_soft_targets(session, arms.data_of(session, run.arm), teacher, hinted)
    among_all = session.config.controls[run.arm] == "all"

    def order(logits: Floats, split: int) -> NDArray[np.int64]:
        answers = np.zeros(len(logits)) if among_all else task.decided(teacher.together(logits))
        return exchanged(answers, np.random.default_rng([run.seed, SHUFFLE, split]))

    others = order(teacher.on(session.transfer_set), 0)
    changed = dataclasses.replace(
        data,
        teacher_train=None if data.teacher_train is None else data.teacher_train[others],
        teacher_validation=teacher.validation[order(teacher.validation, 1)],
        features_train=[features[others] for features in data.features_train],
        guided_by=others,
    )
    return train(session, run, arms.distillation(session, teacher, hinted), changed, teacher)


def taught_by_baseline(session: Session, run: Run, baseline: AnyTeacher) -> Result:
    """Train as the distilled student, with the student's own baseline for a teacher, also in the layers of hints."""
    hinted = hints.between(session, baseline, is_own=True)
    data = arms.with_soft_targets(session, arms.data_of(session, run.arm), baseline, hinted)
    return train(session, run, arms.distillation(session, baseline, hinted), data, baseline)


def continued(session: Session, run: Run, baseline: ModelTeacher) -> Result:
    """Train on the labels alone, with a fresh optimizer, from the weights of the baseline on."""
    return train(session, run, arms.labels_alone(session, run.arm), arms.data_of(session, run.arm), start=baseline)


# By the names of `core.controls.CONTROLS`.
TRAINED: dict[str, Callable[..., Result]] = {
    "smoothed": smoothed,
    "pseudo": pseudo,
    "shuffled": shuffled,
    "self": taught_by_baseline,
    "continued": continued,
}


def exchanged(answers: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return an order (n,) in which every example has the place of one with an equal answer.

    Args:
        answers: (n,), or (n, classes) of multi-label data.
        rng: draws the order.
    """
    groups = np.unique(answers, axis=0, return_inverse=True)[1].reshape(-1)
    by_group = np.argsort(groups, kind="stable")
    order = np.empty(len(groups), np.int64)
    order[by_group] = by_group[np.lexsort([rng.random(len(groups)), groups[by_group]])]
    return order


def _soft_at_1(session: Session, arm: str, weight: float) -> losses.Objective:
    """Return the distillation objective with KL at T = 1 and a weight of the soft term."""
    return losses.distillation_objective(
        weight, 1.0, class_weights=arms.class_weights(session, arm), task=session.splits.task
    )


def _deciding(predictors: Sequence[Predict], teacher: AnyTeacher, task: Task) -> Predict:
    """Return a function from raw values to certain logits of what several teachers decide together."""

    def decide(images: tf.Tensor) -> tf.Tensor:
        each = np.stack([predict(images).numpy() for predict in predictors], axis=1)
        return tf.constant(task.certain(teacher.together(each)))

    return decide
