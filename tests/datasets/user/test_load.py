"""Users' own data as a whole: scaling, splits, what they bring and what is held back, identity, the cache."""

import os

import numpy as np
import own_data
import pytest
from heard import Heard

from kdistill import datasets
from kdistill.core import files
from kdistill.core.errors import ConfigError, DataError
from kdistill.core.scaling import Standardization
from kdistill.datasets.user import conversion_cache, npz
from kdistill.datasets.user.load import FORMS


@pytest.fixture
def path(tmp_path):
    return own_data.write_npz(tmp_path / "a.npz", **own_data.arrays(validation=10))


def load(path, dataset="npz", listener=None, **keys):
    return datasets.load(own_data.data(dataset, path, **keys), listener)


def test_a_share_of_train_becomes_validation(path):
    splits = load(path, validation=0.25)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (30, 10, 20)
    assert not set(splits.train.rows) & set(splits.validation.rows)


def test_a_validation_part_is_used_when_asked_for(path):
    splits = load(path, validation="given")
    np.testing.assert_array_equal(splits.validation.images, own_data.arrays(validation=10)["x_val"])
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 10, 20)
    assert splits.warnings == ()
    assert not splits.validation_is_test


@pytest.mark.parametrize(("validation", "shown"), [(0.25, "a share of train (0.25)"), ("test", "the test split")])
def test_one_that_is_not_used_is_warned_of(path, validation, shown):
    (warning,) = load(path, validation=validation).warnings
    assert shown in warning
    assert "`given`" in warning


def test_one_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="has no validation part"):
        load(own_data.write_npz(tmp_path / "a.npz"), validation="given")


def test_a_test_part_is_held_back_by_class(tmp_path):
    path = own_data.write_npz(tmp_path / "a.npz", x_test=None, y_test=None)
    splits, other = load(path, test=0.25, validation=0.2), load(path, test=0.25, validation=0.2, split_seed=1)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (24, 6, 10)
    rows = [*splits.train.rows, *splits.validation.rows, *splits.test.rows]
    assert sorted(rows) == list(range(40))
    assert np.bincount(splits.test.all_labels).tolist() == [5, 5]
    assert not np.array_equal(splits.test.rows, other.test.rows)
    assert splits.fingerprint == other.fingerprint
    with pytest.raises(ConfigError, match=r"data.test: 0.01 of 40 examples leaves 1 for test"):
        load(path, test=0.01)


@pytest.mark.parametrize(
    ("change", "dtype", "shape", "expected"),
    [
        (lambda x: x, np.uint8, (6, 5), 1 / 255),
        (lambda x: x / 255, np.float32, (6, 5, 1), 1.0),
        (lambda x: x > 100, np.int64, (6, 5), 1.0),
        (lambda x: x * 1.0, np.float64, (6, 5), Standardization),
        (lambda x: x / 127.5 - 1, np.float32, (6, 5, 3), Standardization),
        (lambda x: x, np.uint8, (6,), Standardization),
        (lambda x: x / 255, np.float32, (6,), Standardization),
    ],
)
def test_scaling_follows_from_the_values(tmp_path, change, dtype, shape, expected):
    found = {
        name: change(array).astype(dtype) if name.startswith("x_") else array
        for name, array in own_data.arrays(shape=shape).items()
    }
    np.savez(tmp_path / "a.npz", **found)
    notes = Heard()
    scale = load(tmp_path / "a.npz", listener=notes).scale
    if expected is Standardization:
        assert isinstance(scale, Standardization)
    else:
        assert scale == expected
    assert any("standardise them" in note for note in notes.notes) == (expected is Standardization and len(shape) > 1)


def test_standardization_is_fitted_on_the_rows_that_are_trained_on(tmp_path):
    path = own_data.write_npz(tmp_path / "a.npz", **own_data.arrays(shape=(4,), dtype=np.float32))
    splits = load(path, validation=0.5)
    rows = splits.train.images[splits.train.rows].astype(np.float64)
    np.testing.assert_allclose(splits.scale.mean, rows.mean(0))
    np.testing.assert_allclose(splits.scale.variance, rows.var(0))


def test_it_is_converted_once(path, monkeypatch):
    first = load(path)
    monkeypatch.delattr(npz, "_extracted")
    assert load(path, validation=0.3).fingerprint == first.fingerprint


def test_changed_bytes_are_other_data_and_a_moved_file_is_not(path, tmp_path):
    first = load(path).fingerprint
    moved = tmp_path / "elsewhere" / "b.npz"
    moved.parent.mkdir()
    path.rename(moved)
    assert load(moved).fingerprint == first
    found = own_data.arrays(validation=10)
    found["x_train"][0, 0, 0] ^= 1
    own_data.write_npz(moved, **found)
    os.utime(moved, (1, 1))
    assert load(moved).fingerprint != first


@pytest.mark.parametrize("name", ["x_test", "y_test", "x_val", "y_val"])
def test_every_part_is_in_the_fingerprint(path, tmp_path, name):
    found = own_data.arrays(validation=10)
    found[name] = found[name][::-1].copy()
    other = own_data.write_npz(tmp_path / "b.npz", **found)
    assert load(other).fingerprint != load(path).fingerprint


def test_a_conversion_takes_the_place_of_the_one_before(path):
    load(path)
    place = conversion_cache.folder_for("npz", path, {})
    before, others = (place / "facts.json").read_text(), set(place.parent.iterdir())
    os.utime(path, (1, 1))
    load(path)
    assert (place / "facts.json").read_text() != before
    assert set(place.parent.iterdir()) == others


@pytest.mark.parametrize("dataset", ["npz", "csv", "image_folder"])
def test_what_is_not_there_is_named(tmp_path, dataset):
    keys = {"label": "x"} if dataset == "csv" else {}
    with pytest.raises(DataError, match=r"none: there is no such file or folder") as raised:
        load(tmp_path / "none", dataset, **keys)
    assert "data.path" in raised.value.hint


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a")
    for dataset, keys in (("npz", {}), ("csv", {"label": "x"})):
        with pytest.raises(DataError, match="expected a regular file"):
            load(tmp_path / "a", dataset, **keys)


def test_a_description_counts_examples_by_class(path):
    found = datasets.describe(own_data.data("npz", path, validation=0.25))
    assert found["examples"] == {"train": 30, "validation": 10, "test": 20}
    assert found["per_class"] == {"train": [15, 15], "validation": [5, 5], "test": [10, 10]}
    assert found["shape"] == [6, 5]
    assert found["classes"] == ["0", "1"]
    assert found["bytes"] == 60 * 30


def test_own_data_is_never_downloaded(path):
    assert not datasets.needs_download(own_data.data("npz", path))
    assert set(FORMS) & set(datasets.names()) == set()


def test_bytes_of_another_scale_are_warned_of(tmp_path):
    """Such as digits of 17 grey levels, which a division by 255 leaves nearly black."""
    dim = {name: values // 16 if name.startswith("x_") else values for name, values in own_data.arrays().items()}
    splits = datasets.load(own_data.data("npz", own_data.write_npz(tmp_path / "dim.npz", **dim)))
    assert any("the largest value of an image is 15" in warning for warning in splits.warnings)
    bright = datasets.load(own_data.data("npz", own_data.write_npz(tmp_path / "bright.npz")))
    assert not bright.warnings


def test_other_content_of_the_same_size_and_time_is_seen(tmp_path):
    """As archives and copies may leave it: the size of an .npz is that of its shapes."""
    path = own_data.write_npz(tmp_path / "a.npz")
    os.utime(path, (1, 1))
    first = load(path).fingerprint
    own_data.write_npz(path, x_train=255 - own_data.arrays()["x_train"])
    os.utime(path, (1, 1))
    assert load(path).fingerprint != first


def test_an_image_that_may_be_read_again_is_no_longer_left_out(tmp_path, monkeypatch):
    folder = own_data.write_images(tmp_path / "images")
    locked = sorted((folder / "train" / "dark").iterdir())[0]
    regular = files.stat_regular

    def refuse(path):
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return regular(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "stat_regular", refuse)
        assert load(folder, "image_folder", on_error="skip").skipped == 1
    locked.chmod(0o640)
    assert load(folder, "image_folder", on_error="skip").skipped == 0


@pytest.mark.parametrize(("part", "validation"), [("test", 0.25), ("val", "given")])
def test_a_class_that_a_part_lacks_is_warned_of(tmp_path, part, validation):
    """It is trained on, and no score of that part says how well."""
    found = own_data.arrays(train=60, test=30, validation=12 if validation == "given" else 0)
    three = {name: np.arange(len(values)) % 3 for name, values in found.items() if name.startswith("y_")}
    whole = load(own_data.write_npz(tmp_path / "whole.npz", **{**found, **three}), validation=validation)
    assert whole.warnings == ()
    kept = three[f"y_{part}"] != 1
    lacking = {**found, **three, f"x_{part}": found[f"x_{part}"][kept], f"y_{part}": three[f"y_{part}"][kept]}
    (warning,) = load(own_data.write_npz(tmp_path / "lacking.npz", **lacking), validation=validation).warnings
    name = {"test": "test", "val": "validation"}[part]
    assert warning.startswith(f"The {name} split has no example of 1 class (1): ")
