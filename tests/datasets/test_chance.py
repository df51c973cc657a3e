"""What is no better than chance, by accuracy and where every class counts."""

import numpy as np
import pytest

from kdistill import config as configs
from kdistill.datasets.chance import at_chance

LABELS = np.array([0] * 80 + [1] * 20)


def test_by_default_the_share_of_the_most_frequent_class_is_chance():
    warning = "The student is no better than predicting the most frequent class (0.8000 on validation)."
    assert at_chance({"accuracy": 0.8}, LABELS, "student") == warning
    assert at_chance({"accuracy": 0.81}, LABELS) is None


def test_where_every_class_counts_a_low_accuracy_may_be_right():
    scores = {"accuracy": 0.6, "balanced_accuracy": 0.7}
    assert at_chance(scores, LABELS) is not None
    assert at_chance(scores, LABELS, every_class=True) is None
    warning = "The student is no better than predicting one class for every example (balanced accuracy 0.5000 on"
    assert at_chance({"accuracy": 0.8, "balanced_accuracy": 0.5}, LABELS, "student", True).startswith(warning)


def test_scores_of_an_early_version_are_judged_by_the_accuracy_of_each_class():
    assert at_chance({"accuracy": 0.8, "class_accuracy": [1.0, 0.0]}, LABELS, every_class=True)
    assert at_chance({"accuracy": 0.6, "class_accuracy": [0.5, 1.0]}, LABELS, every_class=True) is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("name=x", [False, False]),
        ("data.class_weights=balanced", [True, True]),
        ("student.monitor=val_macro_f1", [False, True]),
        ("training.monitor=val_balanced_accuracy", [True, True]),
        ("training.monitor=val_accuracy", [False, False]),
    ],
)
def test_when_every_class_counts(override, expected):
    config = configs.load("quickstart", [override])
    assert [config.every_class_counts(role) for role in ("teacher", "student")] == expected


def test_an_accuracy_that_chance_explains_is_hardly_better():
    labels = np.arange(400) % 4  # a standard error of 0.25 is 0.0217
    warning = (
        "The model is hardly better than predicting the most frequent class (0.2900 on validation; that gives 0.2500)."
    )
    assert at_chance({"accuracy": 0.29}, labels, "model") == warning
    assert at_chance({"accuracy": 0.30}, labels) is None
    assert "no better" in at_chance({"accuracy": 0.25}, labels)
    # With a class of most examples, a good model may be little above its share.
    assert at_chance({"accuracy": 0.61}, np.repeat([0, 1], [60, 40])) is None
