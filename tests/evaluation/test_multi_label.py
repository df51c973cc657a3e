"""The measures of multi-label data against scikit-learn's."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss

from kdistill.core.task import MULTI
from kdistill.evaluation import metrics, multi_label
from kdistill.evaluation.measures import MEASURES


def outputs(rounded=False, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (300, classes)).astype(np.float32)
    labels = (logits + rng.normal(0, 2, logits.shape) > 1).astype(np.int32)
    return np.round(logits) if rounded else logits, labels


@pytest.mark.parametrize("rounded", [False, True])  # many equal scores
def test_the_measures_are_scikit_learns(rounded):
    logits, labels = outputs(rounded)
    decided = (logits >= 0).astype(int)
    found = multi_label.mean_average_precision(logits, labels)
    assert found == pytest.approx(average_precision_score(labels, logits, average="macro"), rel=1e-12)
    assert multi_label.macro_f1(logits, labels) == pytest.approx(f1_score(labels, decided, average="macro"), rel=1e-12)
    assert multi_label.subset_accuracy(logits, labels) == accuracy_score(labels, decided)
    expected = sum(log_loss(labels[:, c], expit(logits[:, c].astype(np.float64))) for c in range(5))
    assert multi_label.nll(logits, labels) == pytest.approx(expected, rel=1e-9)


def test_a_class_that_no_example_has_is_left_out():
    logits, labels = outputs()
    labels[:, 2] = 0
    kept = [0, 1, 3, 4]
    for measure in (multi_label.mean_average_precision, multi_label.macro_f1):
        assert measure(logits, labels) == pytest.approx(measure(logits[:, kept], labels[:, kept]), rel=1e-12)


def test_average_precision_does_not_depend_on_the_order_of_equal_scores():
    scores, has = np.array([1.0, 1.0, 0.0]), np.array([True, False, True])
    swapped = np.array([1, 0, 2])
    assert multi_label.average_precision(scores, has) == multi_label.average_precision(scores, has[swapped])


def test_scores_have_calibration_over_all_decisions():
    logits, labels = outputs()
    scores = metrics.score(logits, labels)
    assert scores.accuracy == multi_label.subset_accuracy(logits, labels)
    p = expit(np.abs(logits).astype(np.float64)).ravel()
    right = ((logits >= 0) == labels).ravel()
    assert scores.ece == pytest.approx(metrics.calibration_error(p, right))


def test_agreement_and_kl_take_the_task():
    logits, _ = outputs()
    assert metrics.agreement(logits, logits * 2, MULTI) == 1.0
    assert metrics.kl_to_teacher(logits, logits, MULTI) == pytest.approx(0.0, abs=1e-6)
    assert metrics.agreement(logits, -logits, MULTI) < 0.01
    assert metrics.ensemble_logits(logits[:, None], MULTI) == pytest.approx(logits, rel=1e-6)


def test_measures_are_those_of_the_task():
    logits, labels = outputs()
    found = metrics.score(logits, labels)
    assert set(found.measures) == {"accuracy", "nll", "macro_f1", "mean_average_precision"}
    assert found.measures["mean_average_precision"] == multi_label.mean_average_precision(logits, labels)
    assert found.class_examples == labels.sum(axis=0).tolist()
    assert "mean_average_precision" not in metrics.score(logits, labels.argmax(axis=1)).measures


@pytest.mark.parametrize(
    ("name", "labels", "found"), [("auc", [[0, 1]], "multi"), ("mean_average_precision", [0], "single")]
)
def test_a_measure_of_the_other_task_says_so(name, labels, found):
    problem = MEASURES[name].problem(np.array(labels), ["a", "b"], "test")
    assert problem.endswith(f"the data have {found}")
    assert MEASURES[name].compute(np.zeros((1, 2)), np.array(labels)) is None
