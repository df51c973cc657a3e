"""Answers of many models, counted: against scikit-learn and plain loops."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import ttest_1samp
from sklearn.metrics import confusion_matrix, recall_score

from kdistill.report.collect.confusion import Pairs, Tally

CLASSES, EXAMPLES, SEEDS = 4, 120, 3
RANDOM = np.random.default_rng(0)
LABELS = np.arange(EXAMPLES) % CLASSES
NAMES = ("a", "b", "c", "d")


def logits():
    return RANDOM.normal(0, 1.5, (EXAMPLES, CLASSES)) + 2 * np.eye(CLASSES)[LABELS]


@pytest.fixture(scope="module")
def models():
    return [(logits(), logits()) for _ in range(SEEDS)]


@pytest.fixture(scope="module")
def pairs(models):
    pairs = Pairs(Tally("baseline", LABELS, CLASSES), Tally("distilled", LABELS, CLASSES))
    for baseline, distilled in models:
        pairs.add(baseline, distilled)
    return pairs


def test_confusion_matrices_are_means_over_the_seeds(pairs, models):
    found = pairs.confusion(NAMES)
    for side, shown in enumerate((found.baseline, found.distilled)):
        each = [confusion_matrix(LABELS, pair[side].argmax(-1), normalize="true") for pair in models]
        np.testing.assert_allclose(shown, np.mean(each, axis=0))
        np.testing.assert_allclose(shown.sum(axis=1), 1)
    np.testing.assert_allclose(found.difference, found.distilled - found.baseline)
    assert (found.classes, found.left_out, found.seeds) == (["a", "b", "c", "d"], 0, SEEDS)


def test_bins_of_confidence_hold_every_answer_once(pairs, models):
    found = pairs.distilled.reliability()
    confidence = np.concatenate([softmax(pair[1], axis=-1).max(-1) for pair in models])
    right = np.concatenate([pair[1].argmax(-1) == LABELS for pair in models])
    assert found.count.sum() == EXAMPLES * SEEDS
    assert found.runs == SEEDS
    for number, (low, high) in enumerate(zip(found.edges, found.edges[1:], strict=False)):
        inside = (confidence > low) & (confidence <= high)
        assert found.count[number] == inside.sum()
        if inside.any():
            assert found.confidence[number] == pytest.approx(confidence[inside].mean())
            assert found.accuracy[number] == pytest.approx(right[inside].mean())
        else:
            assert np.isnan(found.accuracy[number])
    errors = []
    for _, distilled in models:
        one = Tally("distilled", LABELS, CLASSES)
        one.add(distilled)
        alone = one.reliability()
        gap = alone.count * np.abs(np.nan_to_num(alone.confidence - alone.accuracy))
        errors.append(gap.sum() / EXAMPLES)
    assert found.ece == pytest.approx(np.mean(errors))


def test_examples_that_changed_are_counted_seed_by_seed(pairs, models):
    right = [(pair[0].argmax(-1) == LABELS, pair[1].argmax(-1) == LABELS) for pair in models]
    np.testing.assert_array_equal(pairs.fixed, sum(taught & ~alone for alone, taught in right))
    np.testing.assert_array_equal(pairs.broken, sum(alone & ~taught for alone, taught in right))
    assert pairs.fixed.max() > 0 < pairs.broken.max()


def test_classes_come_with_their_paired_intervals_most_improved_first(pairs, models):
    changes = pairs.class_changes(NAMES, Tally("teacher", LABELS, CLASSES))
    assert [change.difference for change in changes] == sorted((c.difference for c in changes), reverse=True)
    for change in changes:
        number = NAMES.index(change.name)
        alone, taught = (
            np.array([recall_score(LABELS, pair[side].argmax(-1), average=None)[number] for pair in models])
            for side in (0, 1)
        )
        interval = ttest_1samp(taught - alone, 0).confidence_interval(0.95)
        assert (change.baseline, change.distilled) == pytest.approx((alone.mean(), taught.mean()))
        assert (change.low, change.high) == pytest.approx(tuple(interval))
        assert change.fixed == pytest.approx(pairs.fixed[number == LABELS].sum() / SEEDS)
        assert change.broken == pytest.approx(pairs.broken[number == LABELS].sum() / SEEDS)
        assert (change.examples, change.teacher) == (EXAMPLES // CLASSES, None)


def test_of_many_classes_those_are_shown_in_which_most_has_changed():
    labels = np.repeat(np.arange(30), 4)
    right = 9 * np.eye(30)[labels]
    changed = right.copy()
    changed[labels == 25] = 9 * np.eye(30)[7]
    pairs = Pairs(Tally("baseline", labels, 30), Tally("distilled", labels, 30))
    pairs.add(right, changed)
    found = pairs.confusion([str(number) for number in range(30)])
    assert len(found.classes) == 20
    assert found.left_out == 10
    assert {"7", "25"} <= set(found.classes)
    assert found.classes == sorted(found.classes, key=int)
    row, column = found.classes.index("25"), found.classes.index("7")
    assert found.difference[row, column] == 1
    assert found.difference[row, row] == -1


def test_a_class_without_test_examples_has_no_share_and_no_row():
    labels = np.array([0, 0, 1])
    pairs = Pairs(Tally("baseline", labels, 3), Tally("distilled", labels, 3))
    pairs.add(np.eye(3)[labels], np.eye(3)[labels])
    assert np.isnan(pairs.confusion(["a", "b", "c"]).baseline[2]).all()
    assert [change.name for change in pairs.class_changes(["a", "b", "c"], pairs.distilled)] == ["a", "b"]
