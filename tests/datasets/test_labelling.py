"""Labels that are set aside: how many of each class are left, which ones, and what is refused."""

import numpy as np
import own_data
import pytest
from heard import Heard
from hypothesis import given
from hypothesis import strategies as st

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.errors import ConfigError
from kdistill.core.task import NO_LABEL
from kdistill.datasets.labelling import keep, proportional
from kdistill.datasets.split import whole

CLASSES = ("cat", "dog", "eel")
TRAIN = whole(np.zeros((100, 2)), np.array([0] * 60 + [1] * 30 + [2] * 10))


def digits(**keys):
    return datasets.load(configs.Data(**keys))


def counts(rows):
    return np.bincount(TRAIN.labels[rows], minlength=3).tolist()


@pytest.mark.parametrize(
    ("labelled", "expected"),
    [
        (10, [6, 3, 1]),
        (0.2, [12, 6, 2]),
        (3, [1, 1, 1]),
        (5, [3, 1, 1]),
        ({"eel": 9, "cat": 1, "dog": 30}, [1, 30, 9]),
    ],
)
def test_classes_keep_their_share_of_labels_and_at_least_one(labelled, expected):
    rows = keep(TRAIN, CLASSES, labelled, 0)
    assert counts(rows) == expected
    assert (np.diff(rows) > 0).all()


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=9).filter(lambda counts: sum(map(bool, counts)) > 1), st.data()
)
def test_shares_are_whole_within_their_bounds_and_near_proportion(of_classes, data):
    found = np.array(of_classes)
    total = data.draw(st.integers(np.count_nonzero(found), found.sum()))
    shares = proportional(found, total)
    assert shares.sum() == total
    assert (shares <= found).all()
    assert ((shares > 0) == (found > 0)).all()
    exact = total * found / found.sum()
    if (exact[found > 0] >= 1).all():
        assert (np.abs(shares - exact) < 1).all()


def test_more_labels_have_the_fewer_ones_among_them_and_another_seed_has_others():
    few, many = (keep(TRAIN, CLASSES, number, 7) for number in (10, 40))
    assert set(few) < set(many)
    assert set(few) != set(keep(TRAIN, CLASSES, 10, 8))


def test_the_other_labels_are_gone_and_nothing_else_changes():
    all_labels, some = digits(), digits(labelled=100)
    assert some.split_fingerprint == all_labels.split_fingerprint
    assert len(some.labelled) == 100
    assert len(some.positions("unlabelled")) == len(some.train) - 100
    unlabelled = some.part(some.positions("unlabelled"))
    assert set(unlabelled.all_labels.tolist()) == {NO_LABEL}
    outside = np.setdiff1d(np.arange(len(some.train.labels)), some.labelled.rows)
    assert set(some.train.labels[outside].tolist()) == {NO_LABEL}
    np.testing.assert_array_equal(some.labelled.all_labels, all_labels.train.labels[some.labelled.rows])
    np.testing.assert_array_equal(some.validation.all_labels, all_labels.validation.all_labels)
    np.testing.assert_array_equal(some.training_part().all_labels, all_labels.training_part().all_labels)
    np.testing.assert_array_equal(some.known.all_labels, all_labels.train.all_labels)


@pytest.mark.parametrize(
    ("labelled", "message"),
    [
        (2, "at least one label for each of the 3 classes; received 2"),
        (0.01, "received 0.01, which is 1"),
        (100, "fewer labels than the 100 examples of train; received 100"),
        ({"cat": 3, "dog": 3}, "there is none for eel"),
        ({"cat": 3, "dog": 3, "eels": 3}, "did you mean 'eel'"),
        ({"cat": 3, "dog": 3, "eel": 11}, "at most the 10 of class eel in train; received 11"),
        ({"cat": 60, "dog": 30, "eel": 10}, "all examples"),
    ],
)
def test_what_cannot_be_is_refused(labelled, message):
    with pytest.raises(ConfigError, match=message):
        keep(TRAIN, CLASSES, labelled, 0)


def test_multi_label_examples_are_drawn_by_their_combinations_of_classes():
    rng = np.random.default_rng(0)
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]])[rng.permutation(np.arange(300) % 3)]
    train = whole(np.zeros((300, 2)), labels)
    rows = keep(train, CLASSES, 30, 0)
    assert labels[rows].sum(axis=0).tolist() == [20, 20, 10]
    labels[:, 2] = np.arange(300) == 0
    with pytest.raises(ConfigError, match=r"leave no labelled example of eel.*: expected one"):
        keep(whole(np.zeros((300, 2)), labels), CLASSES, 30, 1)


def test_own_data_says_how_many_labels_are_left_and_describes_them(tmp_path):
    path = own_data.write_npz(tmp_path / "data.npz")
    data = own_data.data("npz", path, labelled=10, class_weights="balanced")
    heard = Heard()
    splits = datasets.load(data, heard)
    assert [note for note in heard.notes if note.startswith("Labels: ")] == [
        "Labels: 10 of the 36 training examples keep theirs (data.labelled, label_seed 0), 26 are unlabelled; the "
        "validation split keeps all its 4"
    ]
    assert len(splits.labelled) == 10
    document = datasets.describe(data)
    assert document["labelled"] == 10
    assert sum(document["per_class"]["train"]) == 36
