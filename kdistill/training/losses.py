"""The losses, as pure functions of logits.

    soft = T^2 * mean_batch sum_classes p_t * (log p_t - log p_s)     p_t = softmax(z_t / T_t), p_s = softmax(z_s / T)
    hard = mean_batch cross_entropy(y, softmax(z_s))
    loss = alpha * soft + (1 - alpha) * hard

With several teachers p_t is the mean of their softened outputs. Hinton, Vinyals and Dean, "Distilling the Knowledge in
a Neural Network" (2015), section 2, and section 1 on ensembles. Everything is computed from logits through
`log_softmax`, so logits of +-1e4 give finite values and gradients, and in the dtype of the student's logits. Nothing
here checks its input: models, data and config have been checked before. What these functions return is what a training
step minimises: `Objective` mixes them.

The soft term may be another one, which matches the logits themselves (`squared_loss`):

    soft = T^2 * mean_batch mean_classes (z_t / T_t - z_s / T)^2
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import tensorflow as tf

Terms = dict[str, tf.Tensor]
# A number; in a compiled step a scalar tensor, so that runs of other numbers share the step.
Factor: TypeAlias = float | tf.Tensor


def soft_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: Factor,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
) -> tf.Tensor:
    """Return the mean over the batch of KL(teacher || student), both softened by `temperature`.

    Hinton et al. 2015, equation 1 and the last paragraph before section 2.1: gradients of softened outputs shrink as
    1/T^2, so a `scale` of T^2 keeps the soft and the hard term in proportion when T changes.

    Args:
        teacher_logits: shape (batch, classes), or of several teachers (batch, teachers, classes).
        student_logits: shape (batch, classes).
        temperature: T, above 0; it softens both models unless `teacher_temperature` is given.
        teacher_temperature: T_t, above 0, where the teacher is softened differently.
        scale: what the divergence is multiplied by; T^2 unless it is given.

    Returns:
        A scalar in nats, at least 0 up to rounding.
    """
    teacher_temperature, scale = _defaults(temperature, teacher_temperature, scale)
    teacher = tf.nn.log_softmax(teacher_logits / teacher_temperature)
    if len(teacher.shape) > len(student_logits.shape):  # several: the logarithm of their mean, without underflow
        teacher = tf.reduce_logsumexp(teacher, axis=-2) - math.log(teacher.shape[-2])
    student = tf.nn.log_softmax(student_logits / temperature)
    return scale * tf.reduce_mean(tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1))


def squared_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: Factor = 1.0,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
) -> tf.Tensor:
    """Return the mean squared difference of both models' logits, each divided by its temperature.

    With a `scale` of T^2 and one temperature T cancels: what is left is the mean squared error of the logits, of
    Ba and Caruana, "Do Deep Nets Really Need to be Deep?" (2014), and Kim et al., "Comparing Kullback-Leibler
    Divergence and Mean Squared Error Loss in Knowledge Distillation" (2021). For logits of equal means, T^2 * KL tends
    to half of it as T grows (Hinton et al. 2015, section 2.1); unlike KL it also matches the means.

    Args:
        teacher_logits: shape (batch, classes), or of several teachers (batch, teachers, classes): their mean counts.
        student_logits: shape (batch, classes).
        temperature: T, above 0; it divides both models' logits unless `teacher_temperature` is given.
        teacher_temperature: T_t, above 0, where the teacher's are divided by another number.
        scale: what the squares are multiplied by; T^2 unless it is given.

    Returns:
        A scalar in squared logits, at least 0: the mean over the batch and the classes.
    """
    teacher_temperature, scale = _defaults(temperature, teacher_temperature, scale)
    teacher = teacher_logits / teacher_temperature
    if len(teacher.shape) > len(student_logits.shape):
        teacher = tf.reduce_mean(teacher, axis=-2)
    return scale * tf.reduce_mean(tf.math.squared_difference(teacher, student_logits / temperature))


def hard_loss(labels: tf.Tensor, student_logits: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of integer `labels` (batch,) under `student_logits` (batch, classes), in nats."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=student_logits))


def _defaults(temperature: Factor, teacher_temperature: Factor | None, scale: Factor | None) -> tuple[Factor, Factor]:
    """Return the teacher's temperature and the scale: T and T^2 where they are not given."""
    return (
        temperature if teacher_temperature is None else teacher_temperature,
        temperature * temperature if scale is None else scale,
    )


@dataclass(frozen=True)
class Objective:
    """What a training step minimises: a function of tensors, and the numbers it takes.

    `terms(labels, teacher_logits, student_logits, **numbers)` returns `loss`, `soft` and `hard`. The numbers are
    kept apart so that they can enter a compiled step as tensors: runs that differ only in them share the step.
    """

    terms: Callable[..., Terms]
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def uses_teacher(self) -> bool:
        """Whether the terms depend on the teacher's logits."""
        return self.terms is not _hard_terms

    def __call__(self, labels: tf.Tensor, teacher_logits: tf.Tensor, student_logits: tf.Tensor) -> Terms:
        """Return the terms at this objective's own numbers."""
        return self.terms(labels, teacher_logits, student_logits, **self.numbers)


def hard_objective() -> Objective:
    """Return the objective of the teacher and the baseline: labels alone. Its `soft` term is 0."""
    return Objective(_hard_terms)


def distillation_objective(
    alpha: float,
    temperature: float,
    teacher_temperature: float | None = None,
    scale_by_t_squared: bool = True,
    soft_loss: str = "kl",
) -> Objective:
    """Return the objective of the distilled arm: `alpha * soft + (1 - alpha) * hard`.

    Args:
        alpha: weight of the soft term, in [0, 1]. Other tools, Keras's examples among them, use the same word for the
            weight of the hard term.
        temperature: see `soft_loss`.
        teacher_temperature: likewise.
        scale_by_t_squared: multiply the soft term by `temperature` squared; it is not scaled otherwise.
        soft_loss: which soft term: a key of `SOFT_TERMS`.
    """
    return Objective(
        SOFT_TERMS[soft_loss],
        {
            "alpha": alpha,
            "temperature": temperature,
            "teacher_temperature": teacher_temperature or temperature,
            "scale": temperature * temperature if scale_by_t_squared else 1.0,
        },
    )


def _hard_terms(labels: tf.Tensor, teacher_logits: tf.Tensor, student_logits: tf.Tensor) -> Terms:
    hard = hard_loss(labels, student_logits)
    return {"loss": hard, "soft": tf.zeros_like(hard), "hard": hard}


def _distillation_terms(
    labels: tf.Tensor, teacher_logits: tf.Tensor, student_logits: tf.Tensor, **numbers: Any
) -> Terms:
    return _mixed(soft_loss, labels, teacher_logits, student_logits, **numbers)


def _squared_terms(labels: tf.Tensor, teacher_logits: tf.Tensor, student_logits: tf.Tensor, **numbers: Any) -> Terms:
    return _mixed(squared_loss, labels, teacher_logits, student_logits, **numbers)


def _mixed(
    soft_term: Callable[..., tf.Tensor],
    labels: tf.Tensor,
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    *,
    alpha: tf.Tensor,
    temperature: tf.Tensor,
    teacher_temperature: tf.Tensor,
    scale: tf.Tensor,
) -> Terms:
    soft = soft_term(teacher_logits, student_logits, temperature, teacher_temperature, scale)
    hard = hard_loss(labels, student_logits)
    return {"loss": alpha * soft + (1.0 - alpha) * hard, "soft": soft, "hard": hard}


# By `distill.soft_loss`. Each has a function of its own, by whose name the compiled steps are told apart.
SOFT_TERMS: dict[str, Callable[..., Terms]] = {"kl": _distillation_terms, "mse": _squared_terms}
