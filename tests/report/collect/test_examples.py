"""Which examples are shown, and how their values become pictures or rows."""

import numpy as np
import pytest
from scipy.special import softmax

from kdistill.core.scaling import Standardization
from kdistill.datasets.split import whole
from kdistill.datasets.splits import Source, divide
from kdistill.report.collect import examples
from kdistill.report.collect.confusion import Pairs, Tally


def splits(images, classes=2, scale: object = 1 / 255, features=()):
    labels = np.arange(len(images)) % classes
    part = whole(images, labels)
    names = tuple("abcdefghij"[:classes])
    return divide(Source(part, part, names, scale, ("x", "x"), ("y", "y"), features=features), "test", 0)


def taken(labels, *seeds):
    """Return the answers of some seeds, each given by what baseline and distilled are right about."""
    pairs = Pairs(Tally("baseline", labels, 2), Tally("distilled", labels, 2))
    for baseline, distilled in seeds:
        outputs = [np.eye(2)[np.where(right, labels, 1 - labels)] for right in (baseline, distilled)]
        pairs.add(*outputs)
    return pairs, {"baseline": pairs.baseline, "distilled": pairs.distilled}


def test_examples_changed_in_most_seeds_come_first_and_those_changed_back_are_left_out():
    data = splits(np.zeros((6, 2, 2), np.uint8))
    first = np.array([0, 1, 0, 1, 1, 0], bool), np.array([1, 0, 1, 1, 0, 0], bool)
    second = np.array([0, 0, 1, 1, 1, 0], bool), np.array([1, 1, 0, 1, 0, 0], bool)
    fixed, broken = examples.changes(data, *taken(data.test.all_labels, first, second), most=5)
    assert [(one.example.number, one.fixed_in, one.broken_in) for one in fixed] == [(0, 2, 0)]
    assert [(one.example.number, one.fixed_in, one.broken_in) for one in broken] == [(4, 0, 2)]
    assert fixed[0].seeds == 2
    assert fixed[0].example.label == 0
    expected = softmax([0, 1])
    np.testing.assert_allclose(fixed[0].probabilities["baseline"], expected)
    np.testing.assert_allclose(fixed[0].probabilities["distilled"], expected[::-1])


def test_an_example_is_fixed_only_if_the_mean_over_the_seeds_says_so_too():
    """Its card shows the means: a baseline that is right on average was not wrong."""
    data = splits(np.zeros((2, 2, 2), np.uint8))
    pairs = Pairs(Tally("baseline", data.test.all_labels, 2), Tally("distilled", data.test.all_labels, 2))
    right, wrong = np.array([[9.0, 0], [0, 9]]), np.array([[0.0, 0.1], [0.1, 0]])
    for baseline in (right, wrong, wrong):  # sure when it is right, unsure when it is wrong
        pairs.add(baseline, right)
    assert pairs.fixed.tolist() == [2, 2]
    tallies = {"baseline": pairs.baseline, "distilled": pairs.distilled}
    assert examples.changes(data, pairs, tallies, most=5) == ([], [])
    pairs = Pairs(Tally("baseline", data.test.all_labels, 2), Tally("distilled", data.test.all_labels, 2))
    for distilled in (right, wrong, wrong):
        pairs.add(right, distilled)
    tallies = {"baseline": pairs.baseline, "distilled": pairs.distilled}
    assert examples.changes(data, pairs, tallies, most=5) == ([], [])


def test_no_more_are_shown_than_were_asked_for():
    data = splits(np.zeros((40, 2, 2), np.uint8))
    none, every = np.zeros(40, bool), np.ones(40, bool)
    for most in (0, 1, 7):
        fixed, broken = examples.changes(data, *taken(data.test.all_labels, (none, every)), most=most)
        assert (len(fixed), len(broken)) == (most, 0)


@pytest.mark.parametrize(
    ("image", "scale", "expected"),
    [
        (np.array([[0, 255]], np.uint8), 1 / 255, [[0, 255]]),
        (np.array([[0.0, 16.0]], np.float32), 1 / 16, [[0, 255]]),
        (np.array([[-3.0, 1.0]], np.float32), Standardization((0.0,), (1.0,)), [[0, 255]]),
        (np.array([[2.0, 2.0]], np.float32), Standardization((0.0,), (1.0,)), [[0, 0]]),
        (np.array([[[0], [255]]], np.uint8), 1 / 255, [[0, 255]]),
        (np.array([[[0, 1, 2], [3, 4, 5]]], np.uint8), 1 / 255, [[[0, 1, 2], [3, 4, 5]]]),
        (np.array([[[9, 8, 7, 0], [1, 2, 3, 0]]], np.uint8), 1 / 255, [[[9, 8, 7], [1, 2, 3]]]),
    ],
)
def test_images_become_bytes_that_can_be_shown(image, scale, expected):
    shown = examples.example(splits(np.stack([image] * 4), scale=scale), 0)
    assert shown.image.dtype == np.uint8
    np.testing.assert_array_equal(shown.image, expected)
    assert (shown.values, shown.more_values) == ((), 0)


def test_rows_are_shown_by_the_names_of_their_columns_a_wide_one_cut():
    rows = np.arange(4 * 15, dtype=np.float32).reshape(4, 15)
    shown = examples.example(splits(rows, scale=None, features=tuple(f"<{number}>" for number in range(15))), 1)
    assert shown.image is None
    assert shown.values[:2] == [("<0>", 15.0), ("<1>", 16.0)]
    assert (len(shown.values), shown.more_values) == (12, 3)
    unnamed = examples.example(splits(rows[:, :2], scale=None), 3)
    assert unnamed.values == [("value 0", 45.0), ("value 1", 46.0)]
    assert unnamed.more_values == 0


def test_softened_outputs_go_from_sure_to_unsure_over_different_classes():
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (200, 5))
    shown = examples.softened(splits(np.zeros((200, 2, 2), np.uint8), 5), logits, 4.0)
    sure = [one.plain.max() for one in shown]
    assert len(shown) == 4
    assert sure == sorted(sure, reverse=True)
    assert len({one.example.label for one in shown}) == 4
    for one in shown:
        np.testing.assert_allclose(one.plain, softmax(logits[one.example.number]))
        np.testing.assert_allclose(one.soft, softmax(logits[one.example.number] / 4))


def test_several_teachers_are_softened_one_by_one_and_then_averaged():
    logits = np.random.default_rng(0).normal(0, 3, (7, 3, 5))
    expected = np.mean([softmax(logits[:, number] / 2, axis=-1) for number in range(3)], axis=0)
    np.testing.assert_allclose(examples.probabilities(logits, 2.0), expected)


@pytest.mark.parametrize(
    ("shape", "is_image"),
    [((8, 8), True), ((8, 8, 1), True), ((8, 8, 3), True), ((9,), False), ((8, 8, 3, 2), False), ((8, 8, 9), False)],
)
def test_shapes_that_can_be_displayed_as_images(shape, is_image):
    assert examples.is_image(shape) is is_image
