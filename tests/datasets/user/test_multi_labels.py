"""Multi-label arrays: what is taken, how it is split, and what is named before anything is trained."""

import numpy as np
import own_data
import pytest
from heard import Heard

from kdistill.core.errors import ConfigError, DataError
from kdistill.core.task import MULTI
from kdistill.datasets.stratify import strata, stratified
from kdistill.datasets.user import load


def data(path, **keys):
    return own_data.data("npz", path, **{"labels": "multi", **keys})


def written(path, **changed):
    found = {name: array for name, array in (own_data.tags() | changed).items() if array is not None}
    np.savez(path, **found)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float32", "int64"])
def test_rows_of_0_and_1_of_any_type_are_taken(tmp_path, dtype):
    arrays = own_data.tags()
    path = written(tmp_path / "a.npz", **{name: arrays[name].astype(dtype) for name in ("y_train", "y_test")})
    splits = load.load(data(path))
    assert splits.task is MULTI
    assert splits.classes == own_data.TAGS
    assert splits.train.labels.dtype == np.int32
    np.testing.assert_array_equal(splits.training_part().all_labels, arrays["y_train"])
    np.testing.assert_array_equal(splits.test.all_labels, arrays["y_test"])


def test_columns_without_names_are_numbered_and_described(tmp_path):
    path = written(tmp_path / "a.npz", classes=None)
    heard = Heard()
    document = load.describe(data(path), heard)
    assert document["classes"] == ["0", "1", "2"]
    arrays = own_data.tags()
    assert document["per_class"]["test"] == arrays["y_test"].sum(axis=0).tolist()
    both = np.add(document["per_class"]["train"], document["per_class"]["validation"])
    np.testing.assert_array_equal(both, arrays["y_train"].sum(axis=0))
    assert any("stratified by the combinations" in note for note in heard.notes)


def test_the_same_arrays_as_single_labels_are_refused_with_what_to_set(tmp_path):
    with pytest.raises(DataError, match="not one-hot") as raised:
        load.load(data(written(tmp_path / "a.npz"), labels="single"))
    assert "data.labels: multi" in raised.value.hint


ONES, WIDE = np.ones((120, 3), int), np.tile([[1, 0, 2]], (120, 1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_train": WIDE}, "value 2 in row 0, column 2 .counted from 0.: expected 0 or 1"),
        ({"y_train": np.full((120, 3), np.nan)}, "value nan in row 0"),
        ({"y_train": np.arange(120) % 2}, r"expected multi-label labels of shape \(n, classes\)"),
        ({"y_train": np.ones((120, 1), int)}, "at least two classes"),
        ({"y_train": np.array([["a", "b", "c"]] * 120)}, "received <U1 of shape"),
        ({"y_test": np.zeros((60, 4), int)}, "expected 3 columns, as in .*y_train; received 4"),
        ({"classes": ["a", "b"]}, "expected 2 columns, one for each name in `classes`; received 3"),
        ({"y_train": ONES * [1, 0, 1]}, "no example has the class: night"),
        ({"y_train": np.arange(120)[:, None] % 2 * [1, 1, 0] + [0, 0, 1]}, "is without the class: people"),
        ({"y_test": np.ones((60, 3), int)}, "all 60 have the same ones"),
    ],
)
def test_other_labels_are_refused_by_name(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        load.load(data(written(tmp_path / "a.npz", **changed)))


def test_a_class_of_one_example_cannot_be_held_out(tmp_path):
    arrays = own_data.tags()
    arrays["y_train"][:, 0] = np.arange(120) == 5
    with pytest.raises(DataError, match="class indoor has 1 example"):
        load.load(data(written(tmp_path / "a.npz", y_train=arrays["y_train"])))


def test_a_class_that_would_be_in_one_part_only_is_named(tmp_path):
    arrays = own_data.tags()
    arrays["y_train"][:, 0] = np.arange(120) < 2
    with pytest.raises(ConfigError, match="leaves validation no example of class indoor"):
        load.load(data(written(tmp_path / "a.npz", y_train=arrays["y_train"]), validation=0.02))


def test_a_held_out_part_has_the_proportions_of_the_combinations():
    labels = np.repeat([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], [40, 30, 20, 10], axis=0).astype(np.int32)
    train, held = stratified(np.arange(100), labels, 0.1, 0)
    assert sorted([*train, *held]) == list(range(100))
    np.testing.assert_array_equal(labels[held].sum(axis=1), [0, 0, 0, 0, 1, 1, 1, 2, 2, 3])


@pytest.mark.parametrize("seed", range(20))
def test_rare_combinations_are_one_stratum(seed):
    """Of twelve classes nearly every row is a combination of its own."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((rng.integers(8, 60), rng.integers(2, 12))) < rng.random()).astype(np.int32)
    rows = rng.permutation(len(labels))
    fraction = float(rng.choice([0.05, 0.1, 0.3, 0.5, 0.9]))
    train, held = stratified(rows, labels, fraction, seed)
    np.testing.assert_array_equal(np.sort([*train, *held]), np.arange(len(labels)))
    of_rows = strata(rows, labels, fraction)
    if of_rows is not None:
        assert np.bincount(of_rows + 1)[np.unique(of_rows + 1)].min() >= 2
