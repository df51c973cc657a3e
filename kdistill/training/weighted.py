"""Soft losses that weigh each example: WTTM by how unsure the teacher is, WSLD by who knows the label better.

For arguments and shapes see `training.softened`.
"""

import tensorflow as tf

from kdistill.training.softened import Factor, Shares, cross_entropy, factor_of, kl, of_label, softened

TINY = 1e-7  # what the authors of WSLD add to the teacher's cross-entropy


def wttm_loss(
    teacher_logits: tf.Tensor, student_logits: tf.Tensor, gamma: Factor = 0.1, shares: Shares = None
) -> tf.Tensor:
    """Return the mean over the batch of u * KL(p_t^gamma / u || p_s), in nats; u is the sum of p_t^gamma over classes.

    Zheng and Yang, "Knowledge Distillation Based on Transformed Teacher Matching" (2024), arXiv:2402.11148. The power
    gamma is a teacher's temperature of 1 / gamma, and the student's is 1. u is 1 for a teacher that is
    sure, and larger for one that is not. Of several teachers p_t is the mean of their probabilities.
    """
    teacher, student = softened(teacher_logits, student_logits, shares=shares)
    powers = gamma * teacher
    log_u = tf.reduce_logsumexp(powers, axis=-1)
    return tf.reduce_mean(tf.exp(log_u) * kl(powers - log_u[..., None], student))


def wsld_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    labels: tf.Tensor,
    temperature: Factor = 2.0,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
    shares: Shares = None,
) -> tf.Tensor:
    """Return T^2 * a batch mean of u * cross-entropy of the softened outputs, in nats; u = 1 - exp(-CE_s / CE_t).

    Zhou et al., "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance Tradeoff Perspective" (2021),
    arXiv:2102.00650. CE_s and CE_t are the cross-entropies of the label at T = 1, and u is a constant
    for gradients: near 0 where the student knows the label better than the teacher does. Of several teachers the
    targets are means of probabilities.
    """
    teacher, student = (-of_label(p, labels) for p in softened(teacher_logits, student_logits, shares=shares))
    u = tf.stop_gradient(1.0 - tf.exp(-student / (teacher + TINY)))
    teacher, student = softened(teacher_logits, student_logits, temperature, teacher_temperature, shares)
    loss = tf.reduce_mean(u * cross_entropy(teacher, student))
    return factor_of(temperature, scale) * loss
