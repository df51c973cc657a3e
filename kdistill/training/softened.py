"""What soft losses have in common: softened outputs, of one teacher or several; the other classes; standardised logits.

All is computed from logits through `log_softmax`, in the dtype of the student's logits, and stays finite where the
logits are +-1000. Shapes: teacher logits (batch, classes), or of several teachers (batch, teachers, classes); student
logits (batch, classes); labels (batch,), integers.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

# A number, or in a compiled step a scalar tensor: runs that differ only in these numbers share the step.
Factor: TypeAlias = float | tf.Tensor
# Of several teachers in their mean, (teachers,).
Shares: TypeAlias = Sequence[float] | tf.Tensor | None
TINY = 1e-7  # what the authors of standardised logits add to the standard deviation


def t_squared(temperature: Factor) -> Factor:
    """Return T^2, the factor of the soft loss.

    Hinton et al. (2015), section 2, last paragraph: the gradients of the soft loss scale as 1/T^2, so a factor of T^2
    keeps the contributions of the soft and the hard loss in proportion when T changes.
    """
    return temperature * temperature


def factor_of(temperature: Factor, scale: Factor | None) -> Factor:
    """Return the factor of a soft loss: `scale`, or T^2 without one."""
    return t_squared(temperature) if scale is None else scale


def mean_of_teachers(log_p: tf.Tensor, student_logits: tf.Tensor, shares: Shares = None) -> tf.Tensor:
    """Return the logarithm of several teachers' mean probabilities, without underflow; that of one teacher unchanged.

    Args:
        log_p: (batch, classes) of one teacher, or (batch, teachers, classes).
        student_logits: (batch, classes).
        shares: (teachers,) weights in the mean, which sum to 1; None: all weigh the same.
    """
    if len(log_p.shape) == len(student_logits.shape):
        return log_p
    if shares is not None:
        weighted = log_p + tf.math.log(tf.cast(shares, log_p.dtype))[:, None]
        return tf.reduce_logsumexp(weighted, axis=-2)
    return tf.reduce_logsumexp(log_p, axis=-2) - math.log(log_p.shape[-2])


def softened(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: Factor = 1.0,
    teacher_temperature: Factor | None = None,
    shares: Shares = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the logarithms (batch, classes) of the softened outputs: the mean of the teachers', and the student's.

    Args:
        teacher_logits: of one teacher or several.
        student_logits: of the student.
        temperature: T, above 0; it softens both models unless `teacher_temperature` is given.
        teacher_temperature: T_t, above 0; T by default.
        shares: of several teachers in the mean: see `mean_of_teachers`.
    """
    divided = teacher_logits / (temperature if teacher_temperature is None else teacher_temperature)
    teacher = mean_of_teachers(tf.nn.log_softmax(divided), student_logits, shares)
    return teacher, tf.nn.log_softmax(student_logits / temperature)


def kl(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Return KL(teacher || student) (batch,) in nats, of logarithms of probabilities (batch, classes)."""
    return tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)


def cross_entropy(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy (batch,) in nats, of logarithms of probabilities (batch, classes)."""
    return -tf.reduce_sum(tf.exp(teacher) * student, axis=-1)


def of_label(log_p: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the entry (batch,) of each example's label."""
    return tf.reduce_sum(tf.where(_is_label(log_p, labels), log_p, 0.0), axis=-1)


def others(log_p: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the probability of all classes but the label, and their distribution, both as logarithms.

    Args:
        log_p: (batch, classes), at least two classes.
        labels: (batch,).

    Returns:
        (batch,), not computed from 1 - p, which would be 0 for a sure model; and (batch, classes), whose entry at the
        label is so low that its probability is 0.
    """
    nothing = tf.constant(log_p.dtype.min / 4, log_p.dtype)
    masked = tf.where(_is_label(log_p, labels), nothing, log_p)
    together = tf.reduce_logsumexp(masked, axis=-1)
    return together, tf.where(_is_label(log_p, labels), nothing, masked - together[..., None])


def _is_label(log_p: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(labels, log_p.shape[-1], on_value=True, off_value=False, dtype=tf.bool)


def standardized(logits: tf.Tensor) -> tf.Tensor:
    """Return logits (..., classes) less their mean over the classes, divided by their standard deviation.

    Sun et al., "Logit Standardization in Knowledge Distillation" (2024), arXiv:2403.01427: with classes - 1 in the
    variance, and 1e-7 added to the deviation. The softmax of the result does not depend on shift and scale of a row.
    """
    centred = logits - tf.reduce_mean(logits, axis=-1, keepdims=True)
    variance = tf.reduce_sum(tf.square(centred), axis=-1, keepdims=True) / (logits.shape[-1] - 1)
    return centred / (TINY + root(variance))


def root(squares: tf.Tensor) -> tf.Tensor:
    """Return the square root, whose gradient at 0 is 0 rather than infinite."""
    positive = squares > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, squares, 1.0)), 0.0)
