"""The losses against float64 NumPy, against identities with a known answer, and against Keras's own."""

from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from compiled_terms import terms_and_gradient
from scipy.special import log_softmax

from kdistill.config import Distill
from kdistill.core.soft_losses import DECLARED
from kdistill.training import losses

TEMPERATURES = [0.5, 1.0, 2.0, 4.0, 20.0]


def reference_soft(teacher, student, temperature, teacher_temperature=None, scaled=True):
    teacher_p = log_softmax(teacher.astype(np.float64) / (teacher_temperature or temperature), axis=-1)
    student_p = log_softmax(student.astype(np.float64) / temperature, axis=-1)
    kl = (np.exp(teacher_p) * (teacher_p - student_p)).sum(axis=-1).mean()
    return kl * temperature**2 if scaled else kl


def reference_hard(labels, student):
    return -log_softmax(student.astype(np.float64), axis=-1)[np.arange(len(labels)), labels].mean()


def logits(kind, classes=10, batch=32, seed=0):
    rng = np.random.default_rng(seed)
    moderate = rng.normal(0, 3, (2, batch, classes))
    match kind:
        case "moderate":
            return moderate
        case "huge":
            return np.sign(moderate) * 1e4
        case "ties":
            return np.round(moderate)
        case _:
            return np.zeros_like(moderate)


KINDS = ["moderate", "huge", "ties", "zero"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_loss_matches_float64_reference(temperature, kind, classes, dtype):
    teacher, student = logits(kind, classes).astype(dtype)
    value = losses.kl_loss(teacher, student, temperature)
    assert value.dtype == dtype
    expected = reference_soft(teacher, student, temperature)
    # float32 rounds log-probabilities of size |z| / T; T^2 magnifies what is left after they cancel.
    size = max(1.0, float(np.abs(student).max()) / temperature)
    atol = 4 * np.finfo(dtype).eps * size * temperature**2
    np.testing.assert_allclose(value.numpy(), expected, rtol=20 * np.finfo(dtype).eps, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_hard_loss_matches_float64_reference(kind):
    _, student = logits(kind)
    labels = np.arange(len(student)) % student.shape[1]
    value = losses.hard_loss(labels.astype(np.int32), student)
    np.testing.assert_allclose(value.numpy(), reference_hard(labels, student), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("name", ["kl", "mse"])
def test_the_objective_mixes_both_terms(name, alpha, scaled):
    teacher, student = logits("moderate")
    labels = np.arange(len(student)) % student.shape[1]
    objective = losses.distillation_objective(alpha, 3.0, 5.0, scaled, name)
    terms = objective(labels.astype(np.int32), teacher, student)
    reference = {"kl": reference_soft, "mse": reference_squares}[name]
    soft, hard = reference(teacher, student, 3.0, 5.0, scaled), reference_hard(labels, student)
    np.testing.assert_allclose(terms["soft"], soft, rtol=1e-12)
    np.testing.assert_allclose(terms["hard"], hard, rtol=1e-12)
    np.testing.assert_allclose(terms["loss"], alpha * soft + (1 - alpha) * hard, rtol=1e-12)
    assert objective.uses_teacher


def test_hard_objective_has_no_soft_term():
    _, student = (tf.constant(z, tf.float64) for z in logits("moderate"))
    labels = tf.zeros(len(student), tf.int32)
    terms = losses.hard_objective()(labels, None, student)
    assert float(terms["soft"]) == 0.0
    assert float(terms["loss"]) == float(terms["hard"]) == float(losses.hard_loss(labels, student))
    assert not losses.hard_objective().uses_teacher


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_equal_logits_give_zero_loss_and_zero_gradient(temperature):
    _, student = logits("moderate")
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        value = losses.kl_loss(student, variable, temperature)
    assert float(value) == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(tape.gradient(value, variable).numpy(), 0.0, atol=1e-14)


def test_at_temperature_one_it_is_cross_entropy_minus_teacher_entropy():
    teacher, student = logits("moderate")
    teacher_log_p, student_log_p = log_softmax(teacher, axis=-1), log_softmax(student, axis=-1)
    cross_entropy = -(np.exp(teacher_log_p) * student_log_p).sum(-1).mean()
    entropy = -(np.exp(teacher_log_p) * teacher_log_p).sum(-1).mean()
    value = losses.distillation_objective(1.0, 1.0)(np.zeros(len(student), np.int32), teacher, student)["loss"]
    assert float(value) == pytest.approx(cross_entropy - entropy, rel=1e-12)


def test_at_high_temperature_it_is_half_the_mean_squared_difference_of_centred_logits():
    """Hinton et al. 2015, section 2.1: distillation matches logits in the limit."""
    teacher, student = logits("moderate")
    classes = student.shape[1]
    difference = (teacher - teacher.mean(-1, keepdims=True)) - (student - student.mean(-1, keepdims=True))
    expected = (difference**2).sum(-1).mean() / (2 * classes)
    value = losses.kl_loss(teacher, student, 1e5)
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_a_constant_added_to_all_logits_changes_nothing():
    teacher, student = logits("moderate")
    moved = losses.kl_loss(teacher + 1000.0, student - 500.0, 4.0)
    assert float(moved) == pytest.approx(float(losses.kl_loss(teacher, student, 4.0)), rel=1e-10)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradients_are_finite_and_right_at_extreme_logits(temperature, dtype):
    teacher, student = (tf.constant(z, dtype) for z in logits("huge"))
    labels = tf.zeros(len(student), tf.int32)
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = losses.distillation_objective(0.5, temperature)(labels, teacher, student)["loss"]
    gradient = tape.gradient(value, student).numpy()
    assert np.isfinite(float(value))
    soft = temperature * (tf.nn.softmax(student / temperature) - tf.nn.softmax(teacher / temperature))
    hard = tf.nn.softmax(student) - tf.one_hot(labels, student.shape[1], dtype=dtype)
    expected = 0.5 * (soft + hard).numpy() / len(student)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_agrees_with_keras_at_moderate_logits(temperature):
    teacher, student = (z.astype(np.float32) / 3 for z in logits("moderate"))
    oracle = keras.distillation.LogitsDistillation(temperature, loss=keras.losses.KLDivergence()).compute_loss(
        tf.constant(teacher), tf.constant(student)
    )
    value = losses.kl_loss(teacher, student, temperature)
    assert float(value) == pytest.approx(float(oracle), rel=1e-4)


def test_known_value():
    """The probe of a survey of distillation tools, whose reference was computed in float32."""
    teacher = np.array([[9.0, 1.0, -4.0], [2.0, -3.0, 5.0]])
    student = np.array([[3.0, 2.0, -1.0], [-2.0, 4.0, 1.0]])
    assert float(losses.kl_loss(teacher, student, 4.0)) == pytest.approx(7.1925473, rel=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_objective_stays_finite_on_hostile_logits(kind, classes):
    """What trains is this, in float32 under XLA; the gradient is that of the student's logits."""
    teacher, student = (values.astype(np.float32) for values in logits(kind, classes))
    labels = np.arange(len(student), dtype=np.int32) % classes
    objective = losses.distillation_objective(0.9, 4.0)

    @tf.function(jit_compile=True)
    def loss_and_gradient(outputs):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            loss = objective(labels, teacher, outputs)["loss"]
        return loss, tape.gradient(loss, outputs)

    loss, gradient = loss_and_gradient(tf.constant(student))
    expected = 0.9 * reference_soft(teacher, student, 4.0) + 0.1 * reference_hard(labels, student)
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=2e-3 if kind == "huge" else 1e-5)
    p_student, p_teacher = (np.exp(log_softmax(z.astype(np.float64) / 4, axis=-1)) for z in (student, teacher))
    p_hard = np.exp(log_softmax(student.astype(np.float64), axis=-1)) - np.eye(classes)[labels]
    np.testing.assert_allclose(
        gradient, (0.9 * 4 * (p_student - p_teacher) + 0.1 * p_hard) / len(labels), rtol=1e-3, atol=1e-6
    )


def reference_of_several(teachers, student, temperature):
    """The mean of the softened outputs, by `np.mean`, in float64."""
    target = np.exp(log_softmax(teachers / temperature, axis=-1)).mean(axis=1)
    log_p = log_softmax(student / temperature, axis=-1)
    terms = np.where(target > 0, target * (np.log(np.maximum(target, 1e-300)) - log_p), 0)
    return terms.sum(-1).mean() * temperature**2


def several(kind="moderate", count=3):
    return np.stack([logits(kind, seed=seed)[0] for seed in range(count)], axis=1), logits(kind, seed=9)[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_several_teachers_teach_the_mean_of_their_softened_outputs(kind, temperature):
    teachers, student = several(kind)
    value = losses.kl_loss(teachers, student, temperature)
    np.testing.assert_allclose(value, reference_of_several(teachers, student, temperature), rtol=1e-9, atol=1e-9)


def test_several_that_agree_are_as_one():
    teacher, student = logits("moderate")
    one = losses.kl_loss(teacher, student, 3.0)
    three = losses.kl_loss(np.stack([teacher] * 3, axis=1), student, 3.0)
    assert float(three) == pytest.approx(float(one), rel=1e-12)


def test_the_mean_is_of_probabilities_and_not_of_logits():
    teachers, student = several()
    of_logits = losses.kl_loss(teachers.mean(axis=1), student, 1.0)
    assert abs(float(losses.kl_loss(teachers, student, 1.0)) - float(of_logits)) > 0.1


def test_a_student_that_is_the_mean_of_its_teachers_has_nothing_to_learn():
    teachers, _ = several()
    mean = np.log(np.exp(log_softmax(teachers / 2.0, axis=-1)).mean(axis=1)) * 2.0
    variable = tf.Variable(mean)
    with tf.GradientTape() as tape:
        value = losses.kl_loss(teachers, variable, 2.0)
    assert float(value) == pytest.approx(0.0, abs=1e-13)
    np.testing.assert_allclose(tape.gradient(value, variable).numpy(), 0.0, atol=1e-13)


def test_several_teachers_at_high_temperature_are_their_mean_logits():
    teachers, student = several()
    difference = teachers.mean(axis=1) - student
    difference -= difference.mean(-1, keepdims=True)
    expected = (difference**2).sum(-1).mean() / (2 * student.shape[1])
    assert float(losses.kl_loss(teachers, student, 1e5)) == pytest.approx(expected, rel=1e-4)


def test_the_config_names_every_soft_loss():
    assert list(DECLARED) == list(losses.SOFT_LOSSES)
    assert get_args(Distill.model_fields["soft_loss"].annotation) == tuple(DECLARED)


def reference_squares(teacher, student, temperature=1.0, teacher_temperature=None, scaled=True):
    teacher, student = teacher.astype(np.float64), student.astype(np.float64)
    difference = teacher / (teacher_temperature or temperature) - student / temperature
    return np.square(difference).mean() * (temperature**2 if scaled else 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("temperature", "teacher_temperature"), [(1.0, None), (4.0, None), (2.0, 3.0)])
@pytest.mark.parametrize("scaled", [True, False])
def test_squared_loss_matches_float64_reference(scaled, temperature, teacher_temperature, kind, classes, dtype):
    teacher, student = logits(kind, classes).astype(dtype)
    value = losses.mse_loss(teacher, student, temperature, teacher_temperature, None if scaled else 1.0)
    assert value.dtype == dtype
    expected = reference_squares(teacher, student, temperature, teacher_temperature, scaled)
    np.testing.assert_allclose(value, expected, rtol=100 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


def test_squared_loss_is_keras_s_mean_squared_error_whatever_t_is():
    teacher, student = (z.astype(np.float32) for z in logits("moderate"))
    oracle = float(keras.losses.MeanSquaredError()(teacher, student))
    for temperature in TEMPERATURES:
        assert float(losses.mse_loss(teacher, student, temperature)) == pytest.approx(oracle, rel=1e-5)


def test_soft_loss_tends_to_half_of_squared_loss_where_the_means_are_equal():
    """Hinton et al. 2015, section 2.1, which assumes logits of mean zero."""
    teacher, student = (z - z.mean(-1, keepdims=True) for z in logits("moderate"))
    value = losses.kl_loss(teacher, student, 1e5)
    assert float(value) == pytest.approx(float(losses.mse_loss(teacher, student)) / 2, rel=1e-4)


def test_squared_loss_also_matches_the_means_of_the_logits():
    """Which KL does not see."""
    teacher, _ = logits("moderate")
    assert float(losses.mse_loss(teacher, teacher - 5.0)) == pytest.approx(25.0)
    assert float(losses.kl_loss(teacher, teacher - 5.0, 1.0)) == pytest.approx(0.0, abs=1e-12)


def test_squared_loss_of_several_teachers_is_against_their_mean_logits():
    teachers, student = several()
    expected = reference_squares(teachers.mean(axis=1), student)
    assert float(losses.mse_loss(teachers, student, 3.0)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_squared_objective_has_the_gradient_of_its_formula(kind):
    teacher, student = (values.astype(np.float32) for values in logits(kind))
    labels = np.arange(len(student), dtype=np.int32) % student.shape[1]
    objective = losses.distillation_objective(0.9, 4.0, soft_loss="mse")

    terms, gradient = terms_and_gradient(objective, labels, teacher, student)
    soft, hard = reference_squares(teacher, student), reference_hard(labels, student)
    np.testing.assert_allclose(terms["soft"], soft, rtol=1e-5)
    np.testing.assert_allclose(terms["loss"], 0.9 * soft + 0.1 * hard, rtol=1e-5)
    p_hard = np.exp(log_softmax(student.astype(np.float64), axis=-1)) - np.eye(student.shape[1])[labels]
    expected = 0.9 * 2 * (student - teacher) / student.size + 0.1 * p_hard / len(labels)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_weighted_hard_loss_matches_float64_reference(kind):
    """The sum is divided by the number of examples, as Keras does it with its `class_weight`."""
    _, student = logits(kind)
    labels, weights = np.arange(len(student)) % student.shape[1], np.linspace(0.1, 7, student.shape[1])
    each = -log_softmax(student, axis=-1)[np.arange(len(labels)), labels]
    value = losses.hard_loss(labels.astype(np.int32), student, tuple(weights))
    np.testing.assert_allclose(value.numpy(), (weights[labels] * each).mean(), rtol=1e-12, atol=1e-12)
    ones = losses.hard_loss(labels.astype(np.int32), student, (1.0,) * student.shape[1])
    np.testing.assert_allclose(ones.numpy(), reference_hard(labels, student), rtol=1e-12, atol=1e-12)


def test_the_weighted_hard_loss_and_its_gradient_are_those_of_keras_with_sample_weights():
    _, student = logits("moderate")
    labels, weights = np.arange(len(student)) % student.shape[1], np.linspace(0.1, 7, student.shape[1])
    found, expected = [tf.Variable(student) for _ in range(2)]
    with tf.GradientTape(persistent=True) as tape:
        own = losses.hard_objective(tuple(weights))(labels.astype(np.int32), found, found)["loss"]
        keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        theirs = keras_loss(labels, expected, sample_weight=weights[labels])
    np.testing.assert_allclose(own, theirs, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(own, found), tape.gradient(theirs, expected), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", losses.SOFT_LOSSES)
def test_class_weights_count_in_the_hard_term_alone(name):
    teacher, student = logits("moderate")
    labels = (np.arange(len(student)) % student.shape[1]).astype(np.int32)
    weights = tuple(np.linspace(0.1, 7, student.shape[1]))
    plain, weighted = [
        losses.distillation_objective(0.3, 2.0, soft_loss=name, class_weights=each)(labels, teacher, student)
        for each in (None, weights)
    ]
    assert plain["soft"] == weighted["soft"]
    np.testing.assert_allclose(weighted["hard"], losses.hard_loss(labels, student, weights), rtol=1e-12)
    np.testing.assert_allclose(weighted["loss"], 0.3 * weighted["soft"] + 0.7 * weighted["hard"], rtol=1e-12)
