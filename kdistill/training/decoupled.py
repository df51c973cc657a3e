"""Soft losses that treat the label and the other classes apart: DKD and NKD. They need labels, and three classes.

For arguments and shapes see `training.softened`; `scale` is the factor of the loss, T^2 by default.
"""

import tensorflow as tf

from kdistill.training.softened import Factor, Shares, cross_entropy, factor_of, kl, of_label, others, softened


def dkd_parts(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    labels: tf.Tensor,
    temperature: Factor,
    teacher_temperature: Factor | None = None,
    shares: Shares = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return both divergences of DKD and the teacher's probability of the label, each (batch,), without T^2.

    KL(teacher || student) is the first + (1 - that probability) * the second.
    """
    teacher, student = softened(teacher_logits, student_logits, temperature, teacher_temperature, shares)
    (teacher_rest, teacher_others), (student_rest, student_others) = (others(p, labels) for p in (teacher, student))
    label, of_student = of_label(teacher, labels), of_label(student, labels)
    target = tf.exp(label) * (label - of_student) + tf.exp(teacher_rest) * (teacher_rest - student_rest)
    return target, kl(teacher_others, student_others), tf.exp(label)


def dkd_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    labels: tf.Tensor,
    temperature: Factor = 4.0,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
    target: Factor = 1.0,
    other: Factor = 8.0,
    shares: Shares = None,
) -> tf.Tensor:
    """Return T^2 * (target * KL of the label against the rest + other * KL among the rest), a batch mean in nats.

    Zhao et al., "Decoupled Knowledge Distillation" (2022), arXiv:2203.08679. Of several teachers the mean of the
    softened outputs is the target.
    """
    of_target, of_other, _ = dkd_parts(teacher_logits, student_logits, labels, temperature, teacher_temperature, shares)
    loss = tf.reduce_mean(target * of_target + other * of_other)
    return factor_of(temperature, scale) * loss


def nkd_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    labels: tf.Tensor,
    temperature: Factor = 1.0,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
    gamma: Factor = 1.5,
    shares: Shares = None,
) -> tf.Tensor:
    """Return -p_t(y) log p_s(y) at T = 1 + gamma * T^2 * cross-entropy among the other classes at T; a batch mean.

    Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with Normalized Loss
    and Customized Soft Labels" (2023), arXiv:2303.13005. In nats; of several teachers both targets are
    means of probabilities.
    """
    teacher, student = softened(teacher_logits, student_logits, shares=shares)
    of_target = -tf.exp(of_label(teacher, labels)) * of_label(student, labels)
    teacher, student = softened(teacher_logits, student_logits, temperature, teacher_temperature, shares)
    (_, teacher_others), (_, student_others) = (others(p, labels) for p in (teacher, student))
    of_other = cross_entropy(teacher_others, student_others)
    return tf.reduce_mean(of_target + gamma * factor_of(temperature, scale) * of_other)
