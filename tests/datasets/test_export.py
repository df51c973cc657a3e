"""A data set as NumPy arrays: all examples, in the order of the data."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.errors import OutputError
from kdistill.datasets.named import digits


@pytest.mark.parametrize("overrides", [[], ["data.validation=test"], ["data.validation=0.4", "data.split_seed=3"]])
def test_arrays_are_the_data_however_it_is_divided(overrides, tmp_path):
    splits = datasets.load(configs.load("quickstart", overrides).data)
    document = datasets.export(splits, tmp_path / "digits.npz")
    assert document["examples"] == {"train": 1257, "test": 540}
    source, bunch = digits.read(), load_digits()
    with np.load(tmp_path / "digits.npz", allow_pickle=False) as arrays:
        for part in ("train", "test"):
            rows = getattr(source, part).rows
            np.testing.assert_array_equal(arrays[f"x_{part}"], bunch.images[rows])
            np.testing.assert_array_equal(arrays[f"y_{part}"], bunch.target[rows])
        assert arrays["x_train"].dtype == np.uint8
        assert arrays["classes"].tolist() == list("0123456789")
        assert str(arrays["fingerprint"]) == document["fingerprint"] == splits.fingerprint


def test_a_validation_part_of_its_own_is_written_too(tmp_path):
    splits = datasets.load(configs.load("quickstart").data)
    images = splits.validation.images.copy()
    splits = dataclasses.replace(splits, validation=dataclasses.replace(splits.validation, images=images))
    assert splits.has_own_validation
    document = datasets.export(splits, tmp_path / "d.npz")
    assert document["examples"] == {"train": len(splits.train), "test": 540, "val": len(splits.validation)}
    with np.load(tmp_path / "d.npz") as arrays:
        np.testing.assert_array_equal(arrays["y_val"], splits.validation.all_labels)


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path):
    splits = datasets.load(configs.load("quickstart").data)
    with pytest.raises(OutputError, match="nowhere"):
        datasets.export(splits, tmp_path / "nowhere" / "d.npz")
    assert list(tmp_path.iterdir()) == []
