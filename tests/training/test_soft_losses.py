"""The soft losses beside kl and mse: golden values of the authors' code, float64 NumPy, identities, hostile logits."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from compiled_terms import terms_and_gradient
from scipy.special import log_softmax, logsumexp

from kdistill.core.soft_losses import DECLARED, WARMUP, declared
from kdistill.training import decoupled, losses
from kdistill.training.softened import standardized

# Values, and gradients of row 0, that the authors' code gives in float64 (that of WSLD was transcribed), without the
# hard term. Other gradients are held against the references below.
TEACHER = np.array([[9.0, 1.0, -4.0], [2.0, -3.0, 5.0]])
STUDENT = np.array([[3.0, 2.0, -1.0], [-2.0, 4.0, 1.0]])
LABELS = np.array([0, 2], np.int32)
GOLDEN = [
    ("kl", {"temperature": 1.0}, 1.6611910716, (-0.1391316, 0.1325263, 0.0066053)),
    ("kl", {"temperature": 4.0}, 7.1925483954, (-0.7717475, 0.4950536, 0.2766939)),
    ("kl", {"temperature": 1.0, "teacher_temperature": 4.0}, 1.4459405855, None),  # TTM with gamma 1/4
    ("dkd", {"temperature": 4.0}, 59.7149772110, (-0.7717475, -1.0457841, 1.8175316)),
    ("dist", {"temperature": 1.0}, 1.4486702234, (-0.071361, 0.0737269, -0.0023659)),
    ("dist", {"temperature": 4.0}, 24.6052812903, (-1.3092025, 1.5684622, -0.2592597)),
    ("wttm", {"gamma": 0.25}, 2.2807460335, None),
    ("wttm", {"gamma": 0.1}, 2.8422171024, None),
    ("nkd", {"temperature": 1.0, "gamma": 1.5}, 6.1391263542, None),
    ("nkd", {"temperature": 3.0, "gamma": 3.5}, 37.5466873417, None),
    ("wsld", {"temperature": 2.0}, 5.1113349300, (-0.4064691, 0.3302477, 0.0762214)),
    ("mse", {}, 21.1666666667, (-2.0, 0.3333333, 1.0)),
]
NEW = ["dkd", "nkd", "dist", "wttm", "wsld"]
ALL = [*NEW, "standardize"]


def loss_of(name, teacher, student, labels=LABELS, **numbers):
    """Return a soft loss, or `standardize`: kl of standardised logits."""
    if name == "standardize":
        return losses.kl_loss(standardized(teacher), standardized(student), numbers.get("temperature", 2.0))
    if DECLARED[name].needs_labels:
        numbers["labels"] = labels
    return losses.SOFT_LOSSES[name](teacher, student, **numbers)


def value_and_gradient(name, teacher, student, labels=LABELS, **numbers):
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        value = loss_of(name, teacher, variable, labels, **numbers)
    return value.numpy(), tape.gradient(value, variable).numpy()


@pytest.mark.parametrize(("name", "numbers", "value", "gradient"), GOLDEN)
def test_the_values_and_gradients_are_those_of_the_authors_code(name, numbers, value, gradient):
    scale = {"scale": 1.0} if "teacher_temperature" in numbers else {}
    found, slope = value_and_gradient(name, TEACHER, STUDENT, **numbers, **scale)
    np.testing.assert_allclose(found, value, atol=1e-9)
    if gradient is not None:
        np.testing.assert_allclose(slope[0], gradient, atol=1e-7)


def test_standardised_logits_give_the_authors_value_and_gradient():
    value, gradient = value_and_gradient("standardize", TEACHER, STUDENT)
    np.testing.assert_allclose(value, 0.4906513421, atol=1e-9)
    np.testing.assert_allclose(gradient[0], (-0.0286281, 0.0381708, -0.0095427), atol=1e-7)


def test_the_parts_of_dkd_are_those_of_the_authors_code_and_add_up_to_kl():
    target, other, p_label = decoupled.dkd_parts(TEACHER, STUDENT, LABELS, 4.0)
    np.testing.assert_allclose(16 * np.mean(target), 4.6333343167, atol=1e-9)
    np.testing.assert_allclose(16 * np.mean(other), 6.8852053618, atol=1e-9)
    each = [losses.kl_loss(TEACHER[[row]], STUDENT[[row]], 4.0, scale=1.0).numpy() for row in (0, 1)]
    np.testing.assert_allclose(target + (1 - p_label) * other, each, rtol=1e-12)


# References in float64 NumPy. A target is the mean of several teachers' probabilities.


def target_of(teacher, temperature):
    log_p = log_softmax(np.asarray(teacher, np.float64) / temperature, axis=-1)
    return log_p if log_p.ndim == 2 else logsumexp(log_p, axis=1) - np.log(log_p.shape[1])


def without_label(log_p, labels):
    """Return the distributions (batch, classes - 1) of the other classes, and their joint probability; logarithms."""
    rest = np.stack([np.delete(row, label) for row, label in zip(log_p, labels, strict=True)])
    return rest - logsumexp(rest, axis=1, keepdims=True), logsumexp(rest, axis=1)


def reference(name, teacher, student, labels, temperature=2.0, **own):
    t, s = target_of(teacher, temperature), target_of(student, temperature)
    t1, s1 = target_of(teacher, 1), target_of(student, 1)
    rows, squared = np.arange(len(labels)), temperature**2
    match name:
        case "dkd":
            (t_others, t_rest), (s_others, s_rest) = without_label(t, labels), without_label(s, labels)
            tl, sl = t[rows, labels], s[rows, labels]
            target = np.exp(tl) * (tl - sl) + np.exp(t_rest) * (t_rest - s_rest)
            other = (np.exp(t_others) * (t_others - s_others)).sum(axis=1)
            return squared * (own.get("target", 1) * target + own.get("other", 8) * other).mean()
        case "nkd":
            (t_others, _), (s_others, _) = without_label(t, labels), without_label(s, labels)
            other = -(np.exp(t_others) * s_others).sum(axis=1)
            return (-np.exp(t1[rows, labels]) * s1[rows, labels] + own.get("gamma", 1.5) * squared * other).mean()
        case "dist":
            of_rows, of_columns = correlations(np.exp(t), np.exp(s)), correlations(np.exp(t).T, np.exp(s).T)
            rows, columns = own.get("rows", 1), own.get("columns", 1)
            return squared * (rows * (1 - np.mean(of_rows)) + columns * (1 - np.mean(of_columns)))
        case "wttm":
            powers = own.get("gamma", 0.1) * t1
            u = logsumexp(powers, axis=1, keepdims=True)
            return (np.exp(u[:, 0]) * (np.exp(powers - u) * (powers - u - s1)).sum(axis=1)).mean()
        case "wsld":
            u = 1 - np.exp(s1[rows, labels] / (1e-7 - t1[rows, labels]))
            return squared * (u * -(np.exp(t) * s).sum(axis=1)).mean()
        case "standardize":
            t, s = (target_of(z_scores(each), temperature) for each in (teacher, student))
            return squared * (np.exp(t) * (t - s)).sum(axis=1).mean()


def correlations(some, others):
    some, others = (each - each.mean(axis=1, keepdims=True) for each in (some, others))
    norms = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    return (some * others).sum(axis=1) / (norms + 1e-8)


def z_scores(z):
    z = np.asarray(z, np.float64)
    return (z - z.mean(axis=-1, keepdims=True)) / (z.std(axis=-1, ddof=1, keepdims=True) + 1e-7)


def some_logits(kind, classes=10, batch=16, seed=0):
    drawn = np.random.default_rng(seed).normal(0, 3, (2, batch, classes))
    return np.sign(drawn) * 1000 if kind == "hostile" else np.round(drawn) if kind == "ties" else drawn


def some_labels(batch=16, classes=10):
    return (np.arange(batch) * 7 % classes).astype(np.int32)


OTHER_NUMBERS = {
    "dkd": {"target": 0.3, "other": 2.0},
    "nkd": {"gamma": 0.7},
    "dist": {"rows": 0.5, "columns": 2.0},
    "wttm": {"gamma": 0.6},
}


@pytest.mark.parametrize("classes", [3, 10, 100])
@pytest.mark.parametrize("kind", ["moderate", "ties", "hostile"])
@pytest.mark.parametrize("name", ALL)
def test_a_soft_loss_matches_float64_numpy(name, kind, classes):
    (teacher, student), labels = some_logits(kind, classes), some_labels(classes=classes)
    divided = {} if name == "wttm" else {"temperature": 3.0}
    for own in ({}, OTHER_NUMBERS.get(name, {})):
        value, gradient = value_and_gradient(name, teacher, student, labels, **divided, **own)
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(value, reference(name, teacher, student, labels, 3.0, **own), rtol=1e-9, atol=1e-9)


def slope_of(name, teacher, student, labels, step=1e-5):
    """Return the central differences of a reference."""
    gradient = np.zeros_like(student)
    for place in np.ndindex(student.shape):
        moved = [student.copy(), student.copy()]
        for each, sign in zip(moved, (1, -1), strict=True):
            each[place] += sign * step
        low, high = (reference(name, teacher, each, labels) for each in moved[::-1])
        gradient[place] = (high - low) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", ["dkd", "nkd", "dist", "wttm", "standardize"])
def test_the_gradient_is_the_slope_of_the_reference(name):
    (teacher, student), labels = some_logits("moderate", 4, 5), some_labels(5, 4)
    numbers = {} if name == "wttm" else {"temperature": 2.0}
    _, gradient = value_and_gradient(name, teacher, student, labels, **numbers)
    np.testing.assert_allclose(gradient, slope_of(name, teacher, student, labels), rtol=1e-5, atol=1e-7)


def test_the_weight_of_wsld_is_a_constant_for_gradients():
    (teacher, student), labels = some_logits("moderate", 4, 5), some_labels(5, 4)
    ce_s, ce_t = (-log_softmax(z, axis=-1)[np.arange(5), labels] for z in (student, teacher))
    u = 1 - np.exp(-ce_s / (ce_t + 1e-7))
    p_s, p_t = (np.exp(log_softmax(z / 2, axis=-1)) for z in (student, teacher))
    _, gradient = value_and_gradient("wsld", teacher, student, labels)
    np.testing.assert_allclose(gradient, 2 * u[:, None] * (p_s - p_t) / 5, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_what_trains_stays_finite_in_float32_on_hostile_logits(name):
    """Under XLA, with logits of +-1000, and with a student that is sure of the right and of the wrong class."""
    teacher, student = (z.astype(np.float32) for z in some_logits("hostile"))
    labels = some_labels()
    student[:4], teacher[2:6] = 1000 * np.eye(10)[labels[:4]], -1000 * np.eye(10)[labels[2:6]]
    loss, standardize = ("kl", True) if name == "standardize" else (name, False)
    objective = losses.distillation_objective(0.9, 2.0, soft_loss=loss, standardize=standardize)

    terms, gradient = terms_and_gradient(objective, labels, teacher, student)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(terms["soft"], reference(name, teacher, student, labels), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["dkd", "dist", "standardize"])
def test_a_student_like_its_teacher_has_nothing_to_learn(name):
    (teacher, _), labels = some_logits("moderate"), some_labels()
    value, gradient = value_and_gradient(name, teacher, teacher.copy(), labels, temperature=2.0)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_standardised_logits_ignore_shift_and_scale_of_each_row():
    teacher, student = some_logits("moderate")
    scales, shifts = np.linspace(0.5, 9, 16)[:, None], np.linspace(-50, 50, 16)[:, None]
    moved = loss_of("standardize", teacher / scales - shifts, scales * student + shifts)
    np.testing.assert_allclose(moved, loss_of("standardize", teacher, student), rtol=1e-5)
    np.testing.assert_allclose(standardized(student), z_scores(student), rtol=1e-12)


def test_a_row_of_equal_logits_is_standardised_to_zeros_with_a_finite_gradient():
    _, gradient = value_and_gradient("standardize", TEACHER, np.full((2, 3), 7.0))
    assert np.isfinite(gradient).all()


def test_with_the_power_1_wttm_is_kl_at_temperature_1():
    """All its weights are 1 then; so it is TTM, of the same power."""
    teacher, student = some_logits("moderate")
    np.testing.assert_allclose(
        loss_of("wttm", teacher, student, gamma=1.0), losses.kl_loss(teacher, student, 1.0), rtol=1e-12
    )


def test_wttm_of_a_teacher_that_is_sure_is_ttm_and_of_an_unsure_one_more():
    _, student = some_logits("moderate")
    sure, unsure = 1e4 * np.eye(10)[some_labels()], np.zeros((16, 10))
    for teacher, weight in ((sure, 1.0), (unsure, 10**0.75)):
        ttm = losses.kl_loss(teacher, student, 1.0, teacher_temperature=4.0, scale=1.0)
        np.testing.assert_allclose(loss_of("wttm", teacher, student, gamma=0.25), weight * ttm, rtol=1e-9)


def test_with_two_classes_dkd_is_a_multiple_of_kl_and_so_refused():
    (teacher, student), labels = some_logits("moderate", 2), some_labels(classes=2)
    target, other, _ = decoupled.dkd_parts(teacher, student, labels, 2.0)
    np.testing.assert_allclose(other, 0, atol=1e-12)
    np.testing.assert_allclose(np.mean(target), losses.kl_loss(teacher, student, 2.0, scale=1.0), rtol=1e-12)
    np.testing.assert_allclose(np.abs(standardized(student)), np.sqrt(0.5), rtol=1e-6)


def test_the_columns_of_dist_teach_nothing_in_a_batch_of_one_or_two():
    slopes = {
        rows: np.abs(value_and_gradient("dist", TEACHER[:rows], STUDENT[:rows], temperature=4.0, rows=0.0)[1]).max()
        for rows in (1, 2)
    }
    assert slopes[1] == 0
    assert slopes[2] < 1e-4 < np.abs(value_and_gradient("dist", TEACHER, STUDENT, columns=0.0)[1]).max()


def test_dist_depends_on_what_else_is_in_the_batch():
    teacher, student = some_logits("moderate")
    halves = [loss_of("dist", teacher[half], student[half]).numpy() for half in (slice(8), slice(8, 16))]
    assert abs(np.mean(halves) - loss_of("dist", teacher, student).numpy()) > 1e-3


@pytest.mark.parametrize("kind", ["moderate", "hostile"])
@pytest.mark.parametrize("name", NEW)
def test_several_teachers_teach_the_mean_of_their_probabilities(name, kind):
    teachers = np.stack([some_logits(kind, seed=seed)[0] for seed in range(3)], axis=1)
    student, labels = some_logits(kind, seed=9)[1], some_labels()
    numbers = {} if name == "wttm" else {"temperature": 2.0}
    value = loss_of(name, teachers, student, labels, **numbers)
    np.testing.assert_allclose(value, reference(name, teachers, student, labels), rtol=1e-9)
    same = np.stack([teachers[:, 0]] * 3, axis=1)
    one = loss_of(name, teachers[:, 0], student, labels, **numbers)
    np.testing.assert_allclose(loss_of(name, same, student, labels, **numbers), one, rtol=1e-9)


def test_several_teachers_are_standardised_one_by_one():
    teachers = np.stack([some_logits("moderate", seed=seed)[0] for seed in range(3)], axis=1)
    scaled = teachers * np.array([1.0, 5.0, 0.2])[:, None]
    student = some_logits("moderate", seed=9)[1]
    np.testing.assert_allclose(
        loss_of("standardize", scaled, student), loss_of("standardize", teachers, student), rtol=1e-5
    )


# Declarations and functions belong together.


@pytest.mark.parametrize("name", DECLARED)
def test_a_declaration_and_its_function_name_the_same_numbers_with_the_same_defaults(name):
    loss, parameters = DECLARED[name], dict(inspect.signature(losses.SOFT_LOSSES[name]).parameters)
    assert [parameters.pop(key).name for key in ("teacher_logits", "student_logits")]
    assert (parameters.pop("labels", None) is not None) == loss.needs_labels
    divides = [parameters.pop(key, None) for key in ("temperature", "teacher_temperature", "scale")]
    assert [each is not None for each in divides] == [loss.divides] * 3
    assert parameters.pop("shares").default is None  # of several teachers, which every loss takes
    own = {key.name: key.default for key in loss.keys if key.name != WARMUP}
    assert {key: parameter.default for key, parameter in parameters.items()} == own


@pytest.mark.parametrize("name", DECLARED)
def test_a_loss_of_multi_label_data_has_a_function(name):
    assert (name in losses.LOSSES["multi"][1]) == DECLARED[name].multi_label


@pytest.mark.parametrize("name", ALL)
def test_the_objective_mixes_both_terms(name):
    (teacher, student), labels = some_logits("moderate"), some_labels()
    loss, standardize = ("kl", True) if name == "standardize" else (name, False)
    alpha = declared(loss, standardize).alpha
    objective = losses.distillation_objective(alpha, 3.0, soft_loss=loss, standardize=standardize)
    terms = objective(labels, teacher, student)
    hard = -log_softmax(student, axis=-1)[np.arange(16), labels].mean()
    np.testing.assert_allclose(terms["soft"], reference(name, teacher, student, labels, 3.0), rtol=1e-9)
    np.testing.assert_allclose(terms["loss"], alpha * terms["soft"] + (1 - alpha) * hard, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("dkd", {}, lambda soft, hard: hard + soft),
        ("nkd", {}, lambda soft, hard: hard + soft),
        ("dist", {}, lambda soft, hard: hard + 2 * soft),
        ("wttm", {}, lambda soft, hard: hard + 45 * soft),
        ("wsld", {}, lambda soft, hard: hard + 2.5 * soft),
        ("kl", {"standardize": True}, lambda soft, hard: 0.1 * hard + 9 * soft),
        ("kl", {}, lambda soft, hard: 0.1 * hard + 0.9 * soft),
    ],
)
def test_the_authors_loss_is_the_factor_times_ours(name, ours, theirs):
    (teacher, student), labels = some_logits("moderate"), some_labels()
    loss = declared(name, ours.get("standardize", False))
    terms = losses.distillation_objective(loss.alpha, loss.temperature or 1, soft_loss=name, **ours)(
        labels, teacher, student
    )
    np.testing.assert_allclose(loss.factor * terms["loss"], theirs(terms["soft"], terms["hard"]), rtol=1e-12)


def test_the_authors_numbers():
    assert {name: (loss.temperature, loss.weights) for name, loss in DECLARED.items() if name != "mse"} == {
        "kl": (4, (0.1, 0.9)),
        "dkd": (4, (1, 1)),
        "nkd": (1, (1, 1)),
        "dist": (4, (1, 2)),
        "wttm": (None, (1, 45)),
        "wsld": (2, (1, 2.5)),
    }
    assert (declared("kl", True).temperature, declared("kl", True).weights) == (2, (0.1, 9))
    assert {loss.key(key.name): key.default for loss in DECLARED.values() for key in loss.keys} == {
        "dkd_target": 1, "dkd_other": 8, "dkd_warmup": 20, "nkd_gamma": 1.5, "dist_rows": 1, "dist_columns": 1,
        "wttm_gamma": 0.1,
    }  # fmt: skip


def test_the_soft_term_of_dkd_rises_over_the_warm_up():
    objective = losses.distillation_objective(0.5, 4.0, soft_loss="dkd", own={"warmup": 20})
    assert [objective.numbers_in(epoch)["scale"] for epoch in (1, 10, 20, 21)] == [0.8, 8.0, 16.0, 16.0]
    at_once = losses.distillation_objective(0.5, 4.0, soft_loss="dkd", own={"warmup": 0})
    assert at_once.numbers_in(1) == at_once.numbers == objective.numbers
