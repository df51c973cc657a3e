"""The division of a data set: stratified, disjoint, complete, and the same for the same split seed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdistill.core.errors import ConfigError, DataError
from kdistill.datasets.split import Split, whole
from kdistill.datasets.splits import Source, divide
from kdistill.datasets.stratify import stratified

CLASSES = ("cat", "dog", "eel")


def split(labels, seed=0):
    labels = np.asarray(labels)
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 2, 2), np.uint8)
    return whole(images, labels)


def source(train=(0, 1, 2) * 20, test=(0, 1, 2) * 5, classes=CLASSES):
    return Source(
        split(train), split(test, 1), classes, 1 / 255, ("train-images", "test-images"), ("train-file", "test-file")
    )


def test_rows_are_taken_by_position():
    part = Split(np.arange(10, dtype=np.uint8) * 2, np.arange(10, dtype=np.int32), np.array([7, 3, 5]))
    images, labels = part.take(np.array([2, 0]))
    assert images.tolist() == [10, 14]
    assert labels.tolist() == [5, 7]
    assert len(part) == 3
    with pytest.raises(IndexError):
        part.take(np.array([3]))


def test_what_is_taken_is_a_copy():
    part = split([0, 1, 2])
    images, labels = part.take(np.array([0]))
    assert not np.shares_memory(images, part.images)
    assert not np.shares_memory(labels, part.labels)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_chunks_are_all_rows_in_order(size):
    part = Split(np.arange(9, dtype=np.uint8), np.arange(9, dtype=np.int32), np.array([8, 1, 4, 0, 6]))
    chunks = list(part.chunks(size))
    assert np.concatenate([labels for _, labels in chunks]).tolist() == [8, 1, 4, 0, 6]
    assert all(len(labels) == size for _, labels in chunks[:-1])


def test_the_types_are_those_that_training_takes():
    splits = divide(source(), 0.25, 0)
    assert splits.train.images.dtype == np.uint8
    assert splits.train.labels.dtype == np.int32
    assert splits.train.rows.dtype == np.int64
    assert splits.shape == (2, 2)
    assert splits.scale == 1 / 255


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(8, 40), min_size=2, max_size=6),
    fraction=st.floats(0.2, 0.8),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_split_is_stratified_disjoint_complete_and_repeatable(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = np.arange(100, 100 + len(labels))
    padded = np.concatenate([np.full(100, -1), labels]).astype(np.int32)
    train, held_out = stratified(rows, padded, fraction, seed)
    assert sorted([*train, *held_out]) == rows.tolist()
    assert len(held_out) == int(np.ceil(fraction * len(rows)))
    expected = len(held_out) * np.array(counts) / len(rows)
    assert (abs(np.bincount(padded[held_out], minlength=len(counts)) - expected) <= 1).all()
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    again = stratified(rows, padded, fraction, seed)
    assert all(np.array_equal(a, b) for a, b in zip((train, held_out), again, strict=True))


def test_the_split_depends_on_the_split_seed():
    first, same, other = (divide(source(), 0.25, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.validation.rows, same.validation.rows)
    assert not np.array_equal(first.validation.rows, other.validation.rows)
    assert first.split_fingerprint == same.split_fingerprint != other.split_fingerprint
    assert first.fingerprint == other.fingerprint


def test_validation_shares_the_arrays_of_train():
    splits = divide(source(), 0.25, 0)
    assert splits.validation.images is splits.train.images
    assert not splits.validation_is_test
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (45, 15, 15)


def test_validation_on_test_is_the_test_split_and_leaves_train_whole():
    splits = divide(source(), "test", 0)
    assert splits.validation_is_test
    assert splits.validation is splits.test
    assert len(splits.train) == 60
    assert splits.split_fingerprint != divide(source(), 0.25, 0).split_fingerprint


def test_the_fingerprint_follows_images_labels_and_class_names():
    def fingerprint(changed):
        return divide(changed, "test", 0).fingerprint

    original = source()
    images = original.train.images.copy()
    images[0, 0, 0] ^= 1
    changed = [
        source(train=(1, 0, 2) + (0, 1, 2) * 19),
        source(test=(1, 0, 2) * 5),
        source(classes=("cat", "dog", "elk")),
        Source(whole(images, original.train.labels), original.test, CLASSES, 1 / 255, ("", ""), ("", "")),
        Source(whole(images.reshape(-1, 4), original.train.labels), original.test, CLASSES, 1, ("", ""), ("", "")),
    ]
    assert fingerprint(source()) == fingerprint(original)
    assert len({fingerprint(each) for each in [original, *changed]}) == 1 + len(changed)


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_label_outside_the_classes_is_named_with_its_file_and_position(part, label):
    with pytest.raises(DataError, match=rf"{part}-file: label {label} at position 2 .*expected 0 to 2"):
        divide(source(**{part: (0, 1, label, 1)}), 0.5, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["train", "test"])
def test_an_image_that_is_no_number_is_named_with_its_file_and_position(part, value):
    original = source(train=(0, 1, 2) * 700)
    images = {name: getattr(original, name).images.astype(np.float32) for name in ("train", "test")}
    row = len(images[part]) - 4
    images[part][row, 1, 0] = value
    changed = {
        name: Split(images[name], getattr(original, name).labels, getattr(original, name).rows) for name in images
    }
    with pytest.raises(DataError, match=rf"{part}-images: the image at position {row} \(counted from 0\)"):
        divide(dataclasses.replace(original, **changed), 0.5, 0)


@pytest.mark.parametrize("part", ["train", "test"])
def test_as_many_images_as_labels_are_expected(part):
    original = source()
    short = Split(getattr(original, part).images[:-1], getattr(original, part).labels, getattr(original, part).rows)
    with pytest.raises(DataError, match=rf"{part}-images: .* images; expected as many .* in {part}-file"):
        divide(dataclasses.replace(original, **{part: short}), 0.5, 0)


@pytest.mark.parametrize("part", ["train", "test"])
def test_one_class_alone_is_refused(part):
    with pytest.raises(
        DataError, match=rf"{part}-file: expected examples of at least two classes; all 4 have the label 1 \(dog\)"
    ):
        divide(source(**{part: (1, 1, 1, 1)}), 0.5, 0)


@pytest.mark.parametrize("part", ["train", "test"])
def test_no_examples_are_refused(part):
    with pytest.raises(DataError, match=f"{part}-file: expected labels; received none"):
        divide(source(**{part: ()}), 0.5, 0)


def test_a_class_with_one_example_cannot_be_divided():
    with pytest.raises(DataError, match="train-file: class eel has 1 example: expected at least 2") as error:
        divide(source(train=(0, 1) * 10 + (2,)), 0.3, 0)
    assert "`test`" in error.value.hint
    assert divide(source(train=(0, 1) * 10 + (2,)), "test", 0).validation_is_test


@pytest.mark.parametrize(("fraction", "part", "size"), [(0.01, "validation", 1), (0.99, "train", 0)])
def test_a_fraction_that_leaves_less_than_one_example_a_class_is_refused(fraction, part, size):
    message = f"data.validation: {fraction} of 60 examples leaves {size} for {part}: .* 3 classes"
    with pytest.raises(ConfigError, match=message):
        divide(source(), fraction, 0)


@pytest.mark.parametrize(("fraction", "part"), [(0.1, "validation"), (0.9, "train")])
def test_a_fraction_that_leaves_a_class_out_is_refused(fraction, part):
    with pytest.raises(ConfigError, match=f"leaves {part} no example of class eel, which has 2"):
        divide(source(train=(0, 1) * 50 + (2, 2)), fraction, 0)


def test_a_class_without_examples_is_no_obstacle():
    assert len(divide(source(train=(0, 1) * 10), 0.2, 0).validation) == 4
