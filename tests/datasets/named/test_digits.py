"""The digits inside scikit-learn."""

import numpy as np

from kdistill.datasets.named import digits


def test_the_digits_are_small_whole_numbers():
    source = digits.read()
    assert source.train.images.shape == (1797, *digits.SHAPE)
    assert source.train.images.dtype == np.uint8
    assert source.train.images.max() * source.scale == 1.0
    assert source.train.images.min() == 0
    assert source.train.images[0].tolist()[:3] == [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
    ]
    assert source.train.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert set(source.train.labels) == set(range(len(source.classes)))


def test_the_test_part_is_stratified_and_apart_from_train():
    source = digits.read()
    assert (len(source.train), len(source.test)) == (1257, 540)
    assert not set(source.train.rows) & set(source.test.rows)
    counts = np.bincount(source.train.labels)
    assert (abs(np.bincount(source.test.labels[source.test.rows]) - 0.3 * counts) <= 1.5).all()


def test_the_test_part_never_changes():
    """Scores of other versions of this tool are of these rows."""
    rows = digits.read().test.rows
    assert rows[:5].tolist() == [10, 21, 24, 25, 28]
    assert int((rows * np.arange(1, 541)).sum()) == 178641774


def test_there_is_nothing_to_download():
    assert digits.fetch()["downloaded"] == []


def test_they_are_described():
    info = digits.info()
    assert info["found"]
    assert info["intact"]
    assert info["examples"] == {"train": 1257, "test": 540}
