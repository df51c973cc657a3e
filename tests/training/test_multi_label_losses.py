"""The losses of multi-label data: against float64 NumPy, and against the losses of one class in the logits (0, z)."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_expit

from kdistill.core.task import MULTI
from kdistill.training import losses


def reference_soft(teacher, student, temperature, teacher_temperature=None, scaled=True):
    """Return the loss of teacher logits (batch, classes) or (batch, teachers, classes)."""
    z = teacher.astype(np.float64) / (teacher_temperature or temperature)
    p = np.exp(log_expit(z))
    p, q = (p.mean(axis=1), np.exp(log_expit(-z)).mean(axis=1)) if z.ndim == 3 else (p, np.exp(log_expit(-z)))
    s = student.astype(np.float64) / temperature
    cross = -(p * log_expit(s) + q * log_expit(-s))
    entropy = -(
        np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0) + np.where(q > 0, q * np.log(np.where(q > 0, q, 1)), 0)
    )
    return (cross - entropy).sum(axis=-1).mean() * (temperature**2 if scaled else 1)


def logits(spread, classes=5, teachers=None, batch=16, seed=0):
    shape = (batch, classes) if teachers is None else (batch, teachers, classes)
    return np.random.default_rng(seed).normal(0, spread, shape)


@pytest.mark.parametrize("teachers", [None, 1, 3])
@pytest.mark.parametrize("spread", [0.1, 3, 100])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_soft_loss_matches_float64_reference(temperature, spread, teachers):
    teacher, student = logits(spread, teachers=teachers), logits(spread, seed=1)
    value = losses.bernoulli_kl_loss(teacher, student, temperature)
    np.testing.assert_allclose(value, reference_soft(teacher, student, temperature), rtol=1e-9, atol=1e-12)
    other = losses.bernoulli_kl_loss(teacher, student, temperature, teacher_temperature=3.0, scale=1.0)
    np.testing.assert_allclose(other, reference_soft(teacher, student, temperature, 3.0, False), rtol=1e-9, atol=1e-12)


def test_of_one_class_both_losses_are_those_of_the_logits_0_and_z():
    teacher, student = logits(4, 1), logits(4, 1, seed=1)
    labels = (logits(1, 1, seed=2) > 0).astype(np.int32)

    def pair(z):
        return np.concatenate([0 * z, z], axis=-1)

    for temperature in (0.5, 2.0, 10.0):
        one = losses.bernoulli_kl_loss(teacher, student, temperature)
        np.testing.assert_allclose(one, losses.kl_loss(pair(teacher), pair(student), temperature), rtol=1e-9)
    one = losses.bernoulli_hard_loss(labels, student)
    np.testing.assert_allclose(one, losses.hard_loss(labels[:, 0], pair(student)), rtol=1e-9)


def test_the_losses_of_several_classes_are_sums_over_them():
    teacher, student, labels = logits(2), logits(2, seed=1), (logits(1, seed=2) > 0).astype(np.int32)
    each = range(teacher.shape[-1])
    soft = sum(losses.bernoulli_kl_loss(teacher[:, [c]], student[:, [c]], 2.0).numpy() for c in each)
    hard = sum(losses.bernoulli_hard_loss(labels[:, [c]], student[:, [c]]).numpy() for c in each)
    np.testing.assert_allclose(losses.bernoulli_kl_loss(teacher, student, 2.0), soft, rtol=1e-12)
    np.testing.assert_allclose(losses.bernoulli_hard_loss(labels, student), hard, rtol=1e-12)


@pytest.mark.parametrize("teachers", [None, 2])
def test_huge_logits_give_finite_values_and_gradients(teachers):
    teacher = np.sign(logits(1, teachers=teachers)).astype(np.float32) * 1e4
    student = tf.Variable(np.sign(logits(1, seed=1)).astype(np.float32) * 1e4)
    labels = (logits(1, seed=2) > 0).astype(np.int32)
    objective = losses.distillation_objective(0.5, 2.0, task=MULTI)
    with tf.GradientTape() as tape:
        terms = objective(labels, teacher, student)
    gradient = tape.gradient(terms["loss"], student)
    assert all(np.isfinite(term) for term in terms.values())
    assert np.isfinite(gradient).all()


def test_equal_models_have_no_soft_loss_and_others_a_positive_one():
    z = logits(3)
    assert losses.bernoulli_kl_loss(z, z, 4.0) == 0
    assert losses.bernoulli_kl_loss(z, z + 1, 4.0) > 0


def test_the_soft_loss_tends_to_an_eighth_of_the_squared_differences():
    """T^2 * KL of a Bernoulli near p = 1/2 is p (1 - p) (z_t - z_s)^2 / 2: its size does not depend on T."""
    teacher, student = logits(1), logits(1, seed=1)
    expected = ((teacher - student) ** 2).sum(axis=-1).mean() / 8
    np.testing.assert_allclose(losses.bernoulli_kl_loss(teacher, student, 1e3), expected, rtol=1e-4)


@pytest.mark.parametrize("soft_loss", ["kl", "mse"])
def test_the_objective_mixes_both_terms(soft_loss):
    teacher, student, labels = logits(2), logits(2, seed=1), (logits(1, seed=2) > 0).astype(np.int32)
    terms = losses.distillation_objective(0.3, 4.0, soft_loss=soft_loss, task=MULTI)(labels, teacher, student)
    expected = reference_soft(teacher, student, 4.0) if soft_loss == "kl" else ((teacher - student) ** 2).mean()
    np.testing.assert_allclose(terms["soft"], expected, rtol=1e-6)
    s = student.astype(np.float64)
    np.testing.assert_allclose(terms["hard"], -np.where(labels, log_expit(s), log_expit(-s)).sum(-1).mean(), rtol=1e-9)
    np.testing.assert_allclose(terms["loss"], 0.3 * terms["soft"] + 0.7 * terms["hard"], rtol=1e-6)
    alone = losses.hard_objective(task=MULTI)(labels, teacher, student)
    np.testing.assert_allclose(alone["loss"], terms["hard"], rtol=1e-12)
