"""Metrics against plain loops and scikit-learn."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss, recall_score

from kdistill.core.errors import ModelError
from kdistill.evaluation import metrics


@pytest.fixture(scope="module")
def outputs():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (500, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 500)
    labels[:300] = logits[:300].argmax(-1)
    return logits, labels


def test_scores_agree_with_scikit_learn(outputs):
    logits, labels = outputs
    scores = metrics.score(logits, labels)
    probabilities = softmax(logits.astype(np.float64), axis=-1)
    assert scores.accuracy == accuracy_score(labels, logits.argmax(-1))
    assert scores.nll == pytest.approx(log_loss(labels, probabilities, labels=range(10)), rel=1e-9)
    expected = recall_score(labels, logits.argmax(-1), average=None)
    np.testing.assert_allclose(scores.class_accuracy, expected, rtol=1e-12)


def test_a_class_without_examples_has_no_accuracy():
    scores = metrics.score(np.eye(3, dtype=np.float32)[:2], np.array([0, 1]))
    assert scores.class_accuracy == [1.0, 1.0, None]


def test_calibration_error_is_the_weighted_gap_of_the_bins(outputs):
    logits, labels = outputs
    probabilities = softmax(logits.astype(np.float64), axis=-1)
    confidence, correct = probabilities.max(-1), probabilities.argmax(-1) == labels
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            gap = abs(confidence[inside].mean() - correct[inside].mean())
            expected += inside.mean() * gap
    assert metrics.score(logits, labels).ece == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("confidence", "correct", "expected"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.5, 0.5], [True, False], 0.0),
        ([0.0, 1.0], [False, True], 0.0),
    ],
)
def test_calibration_error_at_the_edges(confidence, correct, expected):
    value = metrics.calibration_error(np.array(confidence), np.array(correct))
    assert value == pytest.approx(expected)


def test_agreement_and_divergence_of_a_model_with_itself(outputs):
    logits, _ = outputs
    assert metrics.agreement(logits, logits + 3) == 1.0
    assert metrics.kl_to_teacher(logits, logits + 3) == pytest.approx(0.0, abs=1e-6)
    assert metrics.agreement(logits, -logits) < 0.5
    assert metrics.kl_to_teacher(logits, -logits) > 0.5


def test_scores_do_not_overflow():
    scores = metrics.score(np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32), np.array([0, 0]))
    assert scores.accuracy == 0.5
    assert scores.nll == pytest.approx(1e4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(bad):
    with pytest.raises(ModelError, match="row 1"):
        metrics.check_logits(np.array([[1.0, 2.0], [bad, 0.0]]), "teacher.keras")


def test_probabilities_are_refused():
    with pytest.raises(ModelError, match="probabilities"):
        metrics.check_logits(softmax(np.random.default_rng(0).normal(size=(9, 3)), -1), "t.keras")
    metrics.check_logits(np.random.default_rng(0).normal(size=(9, 3)), "t.keras")


def test_several_teachers_are_scored_by_their_mean_probability():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (50, 3, 5)).astype(np.float32)
    mean = softmax(logits.astype(np.float64), axis=-1).mean(axis=1)
    together = metrics.ensemble_logits(logits)
    np.testing.assert_allclose(np.exp(together), mean, rtol=1e-12)
    labels = rng.integers(0, 5, 50)
    scores = metrics.score(together, labels)
    assert scores.accuracy == (mean.argmax(-1) == labels).mean()
    assert scores.nll == pytest.approx(-np.log(mean[np.arange(50), labels]).mean(), rel=1e-12)
    np.testing.assert_array_equal(metrics.ensemble_logits(logits[:, 0]), logits[:, 0])
