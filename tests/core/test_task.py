"""The two tasks: what logits say about labels, by definition and against SciPy."""

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from kdistill.core.task import MULTI, SINGLE, TASKS, of_labels

RNG = np.random.default_rng(0)
LOGITS, OTHERS = RNG.normal(0, 3, (2, 50, 4))


def test_the_task_is_that_of_the_labels_shape():
    assert of_labels(np.zeros(3, np.int32)) is SINGLE
    assert of_labels(np.zeros((3, 2), np.int32)) is MULTI
    assert TASKS == {"single": SINGLE, "multi": MULTI}


def test_probabilities_and_their_mean_over_several_models():
    np.testing.assert_allclose(SINGLE.probabilities(LOGITS), softmax(LOGITS, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(MULTI.probabilities(LOGITS), expit(LOGITS), rtol=1e-12)
    both = np.stack([LOGITS, OTHERS], axis=1)
    for task in (SINGLE, MULTI):
        mean = (task.probabilities(LOGITS) + task.probabilities(OTHERS)) / 2
        np.testing.assert_allclose(task.probabilities(task.mean_logits(both)), mean, rtol=1e-9)
    np.testing.assert_allclose(MULTI.mean_logits(both), logit((expit(LOGITS) + expit(OTHERS)) / 2), rtol=1e-9)
    assert np.isfinite(MULTI.mean_logits(1e4 * both)).all()


def test_a_multi_label_decision_is_right_if_every_class_is():
    logits = np.array([[1.0, -1.0], [1.0, -1.0], [0.0, -1.0], [-1.0, -1.0]])
    labels = np.array([[1, 0], [1, 1], [1, 0], [0, 0]])
    np.testing.assert_array_equal(MULTI.decided(logits), [[1, 0], [1, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(MULTI.correct(logits, labels), [True, False, True, True])
    np.testing.assert_array_equal(MULTI.same(logits, -logits), [False, False, False, False])
    np.testing.assert_array_equal(MULTI.examples(labels, 2), [3, 1])
    np.testing.assert_array_equal(MULTI.has(labels, 1), [False, True, False, False])
    np.testing.assert_array_equal(SINGLE.has(labels[:, 1], 1), [False, True, False, False])


def test_confidence_is_that_of_each_decision():
    confidence, right = MULTI.confidence(np.array([[2.0, -3.0]]), np.array([[1, 1]]))
    np.testing.assert_allclose(confidence, [expit(2.0), expit(3.0)])
    np.testing.assert_array_equal(right, [True, False])


def test_margins_are_0_where_decisions_agree_and_else_the_distance_of_the_reference():
    np.testing.assert_array_equal(MULTI.margins(LOGITS, LOGITS + 1e-9 * np.sign(LOGITS)), np.zeros(50))
    np.testing.assert_allclose(MULTI.margins(np.array([[0.1, -2.0]]), np.array([[-0.1, -2.0]])), [0.1])
    np.testing.assert_allclose(SINGLE.margins(np.array([[0.1, 2.0]]), np.array([[3.0, 2.0]])), [1.9])


@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_kl_is_0_of_equal_models_and_positive_of_others(task):
    np.testing.assert_allclose(task.kl(LOGITS, LOGITS), 0, atol=1e-12)
    assert (task.kl(LOGITS, OTHERS) > 0).all()
    assert task.kl(LOGITS, OTHERS).shape == (50,)


def test_kl_and_nll_of_multi_label_logits_are_sums_over_the_classes():
    p, q = expit(LOGITS), expit(OTHERS)
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=-1)
    np.testing.assert_allclose(MULTI.kl(LOGITS, OTHERS), expected, rtol=1e-9)
    assert MULTI.nll_of_equal(4) == pytest.approx(4 * np.log(2))
    assert SINGLE.nll_of_equal(4) == pytest.approx(np.log(4))


def test_probabilities_are_told_from_logits():
    assert SINGLE.are_probabilities(softmax(LOGITS, axis=-1))
    assert MULTI.are_probabilities(expit(LOGITS))
    assert not SINGLE.are_probabilities(expit(LOGITS))
    for task in (SINGLE, MULTI):
        assert not task.are_probabilities(LOGITS)
