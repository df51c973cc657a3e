"""Metrics against plain loops and scikit-learn; every example counted once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss, recall_score

from kdistill import evaluation
from kdistill.datasets import Split
from kdistill.errors import ModelError


@pytest.fixture(scope="module")
def outputs():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (500, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 500)
    labels[:300] = logits[:300].argmax(-1)
    return logits, labels


def test_scores_agree_with_scikit_learn(outputs):
    logits, labels = outputs
    scores = evaluation.score(logits, labels)
    probabilities = softmax(logits.astype(np.float64), axis=-1)
    assert scores.accuracy == accuracy_score(labels, logits.argmax(-1))
    assert scores.nll == pytest.approx(log_loss(labels, probabilities, labels=range(10)), rel=1e-9)
    expected = recall_score(labels, logits.argmax(-1), average=None)
    np.testing.assert_allclose(scores.class_accuracy, expected, rtol=1e-12)


def test_a_class_without_examples_has_no_accuracy():
    scores = evaluation.score(np.eye(3, dtype=np.float32)[:2], np.array([0, 1]))
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
    assert evaluation.score(logits, labels).ece == pytest.approx(expected, rel=1e-9)


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
    value = evaluation.calibration_error(np.array(confidence), np.array(correct))
    assert value == pytest.approx(expected)


def test_agreement_and_divergence_of_a_model_with_itself(outputs):
    logits, _ = outputs
    assert evaluation.agreement(logits, logits + 3) == 1.0
    assert evaluation.kl_to_teacher(logits, logits + 3) == pytest.approx(0.0, abs=1e-6)
    assert evaluation.agreement(logits, -logits) < 0.5
    assert evaluation.kl_to_teacher(logits, -logits) > 0.5


@pytest.mark.parametrize("batch_size", [1, 7, 10, 23, 1000])
def test_every_example_is_scored_once_in_order_whatever_the_batch(batch_size):
    images = np.arange(23 * 4, dtype=np.uint8).reshape(23, 2, 2)
    rows = np.random.default_rng(0).permutation(23)
    split = Split(images, np.zeros(23, np.int32), rows)
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten()])
    seen = evaluation.logits(evaluation.predictor(model), split, batch_size)
    np.testing.assert_array_equal(seen, images[rows].reshape(23, 4))


def test_large_examples_are_taken_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH_VALUES", 9)
    split = Split(np.zeros((5, 2, 2), np.uint8), np.zeros(5, np.int32), np.arange(5))
    sizes = []

    def predict(images):
        sizes.append(len(images))
        return tf.zeros((len(images), 3))

    assert evaluation.logits(predict, split).shape == (5, 3)
    assert sizes == [2, 2, 1]


def test_scores_do_not_overflow():
    scores = evaluation.score(np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32), np.array([0, 0]))
    assert scores.accuracy == 0.5
    assert scores.nll == pytest.approx(1e4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(bad):
    with pytest.raises(ModelError, match="row 1"):
        evaluation.check_logits(np.array([[1.0, 2.0], [bad, 0.0]]), "teacher.keras")


def test_probabilities_are_refused():
    with pytest.raises(ModelError, match="probabilities"):
        evaluation.check_logits(softmax(np.random.default_rng(0).normal(size=(9, 3)), -1), "t.keras")
    evaluation.check_logits(np.random.default_rng(0).normal(size=(9, 3)), "t.keras")
