"""Every measure against scikit-learn, with ties and absent classes; which are shown, and what old scores lack."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)

from kdistill.evaluation import measures, metrics
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL

NAMES = ["a", "b", "c"]


def example(classes, n=400, ties=False, absent=(), seed=0):
    """Return logits (n, classes) of a model that is right in about half, and imbalanced labels (n,)."""
    rng = np.random.default_rng([seed, classes])
    share = 1 / np.arange(1, classes + 1)
    labels = rng.choice(classes, n, p=share / share.sum())
    for label in absent:
        labels[labels == label] = 0
    logits = rng.normal(0, 1, (n, classes)) + 1.2 * np.eye(classes)[labels]
    return (np.round(2 * logits) / 2 if ties else logits).astype(np.float32), labels


def predicted(logits):
    return logits.argmax(axis=-1)


REFERENCES = {
    "accuracy": lambda logits, labels: accuracy_score(labels, predicted(logits)),
    "nll": lambda logits, labels: log_loss(
        labels, softmax(logits.astype(np.float64), axis=-1), labels=range(logits.shape[1])
    ),
    "balanced_accuracy": lambda logits, labels: balanced_accuracy_score(labels, predicted(logits)),
    "macro_f1": lambda logits, labels: f1_score(labels, predicted(logits), average="macro", labels=np.unique(labels)),
    "auc": lambda logits, labels: roc_auc_score(labels, logits[:, 1].astype(np.float64) - logits[:, 0]),
    "top5_accuracy": lambda logits, labels: top_k_accuracy_score(labels, logits, k=5, labels=range(logits.shape[1])),
}


def test_every_measure_has_a_reference():
    assert set(REFERENCES) == {name for name, measure in MEASURES.items() if measure.of is not None}


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("absent", [(), (1,)])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 20, 50])
def test_measures_agree_with_scikit_learn(classes, ties, absent):
    logits, labels = example(classes, ties=ties, absent=absent)
    scores = metrics.score(logits, labels).measures
    suited = {name for name, measure in MEASURES.items() if measure.suits(classes)}
    assert set(scores) == suited
    assert ("auc" in suited, "top5_accuracy" in suited) == (classes == 2, classes >= 20)
    for name in suited:
        if name == "auc" and absent:
            assert scores[name] is None
        elif name == "top5_accuracy" and ties:  # scikit-learn takes the last of equal logits, `accuracy` the first
            mirrored = REFERENCES[name](logits[:, ::-1], classes - 1 - labels)
            assert scores[name] == pytest.approx(mirrored, abs=1e-12)
        else:
            assert scores[name] == pytest.approx(REFERENCES[name](logits, labels), rel=1e-9), name


def test_the_auc_of_equal_scores_is_one_half_and_of_large_ones_exact():
    labels = np.array([0, 1, 0, 1])
    assert MEASURES["auc"].compute(np.zeros((4, 2), np.float32), labels) == 0.5
    far = np.array([[0, -1e4], [0, 1e4], [0, -2e4], [0, 2e4]], np.float32)  # probabilities would be ties
    assert MEASURES["auc"].compute(far, labels) == 1.0
    assert MEASURES["auc"].compute(-far, labels) == 0.0


def test_one_prediction_for_all_has_the_balanced_accuracy_of_chance():
    logits, labels = example(4)
    logits[:] = [3, 0, 0, 0]
    assert MEASURES["balanced_accuracy"].compute(logits, labels) == 0.25


@pytest.mark.parametrize(
    ("name", "labels", "classes", "problem"),
    [
        ("auc", [0, 1, 2], NAMES, "AUC is for 2 classes; the data have 3"),
        ("auc", [0, 0], NAMES[:2], "AUC needs examples of every class; the test split has none of b"),
        ("top5_accuracy", [0, 1, 2], NAMES, "top-5 accuracy is for 20 or more classes; the data have 3"),
        ("auc", [0, 1], NAMES[:2], None),
        ("macro_f1", [0, 0], NAMES, None),
    ],
)
def test_why_a_measure_is_undefined(name, labels, classes, problem):
    assert MEASURES[name].problem(np.array(labels), classes, "test") == problem


def test_gains_and_units():
    assert (ACCURACY.gain(0.01), NLL.gain(0.01)) == (0.01, -0.01)
    assert (ACCURACY.signed(0.0043), NLL.signed(-0.0043)) == ("+0.43", "-0.0043")
    assert (ACCURACY.rounded(0.5), NLL.rounded(0.5)) == ("+50.00", "+0.5000")


def test_monitors_are_the_measures_and_the_objective():
    assert measures.monitors()[:3] == ("val_nll", "val_accuracy", "val_loss")
    assert set(measures.monitors()) == {"val_loss", *(f"val_{name}" for name in MEASURES)}
    assert measures.monitored("val_loss") is None
    assert measures.monitored("val_macro_f1") is MEASURES["macro_f1"]


def test_scores_of_an_early_version_have_the_balanced_accuracy_but_no_f1():
    old = {"accuracy": 0.7, "nll": 0.5, "ece": 0.1, "class_accuracy": [1.0, 0.5, None]}
    assert measures.recorded(old, MEASURES["balanced_accuracy"]) == 0.75
    assert not measures.lacks(old, MEASURES["balanced_accuracy"])
    assert measures.recorded(old, MEASURES["macro_f1"]) is None
    assert measures.lacks(old, MEASURES["macro_f1"])
    assert not measures.lacks({**old, "auc": None}, MEASURES["auc"])  # undefined, which is known


@pytest.mark.parametrize(
    ("imbalance", "chosen", "expected"),
    [
        (1.0, "accuracy", ["accuracy", "auc"]),
        (None, "accuracy", ["accuracy", "auc"]),
        (2.5, "accuracy", ["accuracy", "balanced_accuracy", "macro_f1", "auc"]),
        (1.0, "macro_f1", ["macro_f1", "accuracy", "auc"]),
        (2.5, "nll", ["nll", "accuracy", "balanced_accuracy", "macro_f1", "auc"]),
    ],
)
def test_tables_show_what_imbalance_needs_and_the_chosen_measure_first(imbalance, chosen, expected):
    logits, labels = example(2)
    known = metrics.score(logits, labels).measures
    assert [measure.name for measure in measures.columns(known, imbalance, MEASURES[chosen])] == expected


def test_imbalance_is_of_the_classes_that_have_examples():
    assert measures.imbalance([10, 0, 40]) == 4
