"""DIST, the soft loss that matches correlations rather than values."""

import tensorflow as tf

from kdistill.training.softened import Factor, Shares, factor_of, root, softened

TINY = 1e-8  # what the authors add to the product of the norms


def dist_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: Factor = 4.0,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
    rows: Factor = 1.0,
    columns: Factor = 1.0,
    shares: Shares = None,
) -> tf.Tensor:
    """Return T^2 * (rows * (1 - mean correlation of rows) + columns * (1 - mean correlation of columns)).

    Huang et al., "Knowledge Distillation from A Stronger Teacher" (2022), arXiv:2205.10536: Pearson's
    correlation of the softened outputs, over the classes of each example (rows) and over the batch for each class
    (columns). So it depends on which examples are in a batch, and over a batch of one or two its columns teach nothing.

    Arguments and shapes: see `training.softened`; of several teachers the mean of the softened outputs is matched.

    Returns:
        A scalar, at least 0 and at most 2 * T^2 * (rows + columns).
    """
    teacher, student = (
        tf.exp(p) for p in softened(teacher_logits, student_logits, temperature, teacher_temperature, shares)
    )
    distance = rows * _distance(teacher, student, -1) + columns * _distance(teacher, student, 0)
    return factor_of(temperature, scale) * distance


def _distance(some: tf.Tensor, others: tf.Tensor, axis: int) -> tf.Tensor:
    """Return 1 - the mean of Pearson's correlations along an axis; that of constant values is 0."""
    some, others = (each - tf.reduce_mean(each, axis=axis, keepdims=True) for each in (some, others))
    norms = root(tf.reduce_sum(tf.square(some), axis=axis)) * root(tf.reduce_sum(tf.square(others), axis=axis))
    return 1.0 - tf.reduce_mean(tf.reduce_sum(some * others, axis=axis) / (norms + TINY))
