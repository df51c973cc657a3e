"""How raw values are scaled for teachers from elsewhere."""

import dataclasses

import numpy as np
import pytest

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.errors import ConfigError
from kdistill.core.scaling import Standardization
from kdistill.datasets import Split
from kdistill.datasets.preprocessing import scaling


@pytest.fixture(scope="module")
def splits():
    return datasets.load(configs.load("quickstart").data)


@pytest.mark.parametrize(("name", "lowest", "highest"), [("unit", 0, 1), ("signed", -1, 1)])
def test_images_are_brought_to_a_range(splits, name, lowest, highest):
    factor, offset = scaling(splits, name)
    assert (0 * factor + offset, 16 * factor + offset) == (lowest, highest)
    with pytest.raises(ConfigError, match=f"{name} is for images"):
        scaling(dataclasses.replace(splits, scale=Standardization((0.0,), (1.0,))), name)


def test_standardize_is_per_channel_of_images_and_per_column_of_features(splits):
    rng = np.random.default_rng(0)
    for kind, shape in (("image", (4, 4, 3)), ("table", (3,)), ("sequence", (9, 3)), ("volume", (2, 2, 2, 3))):
        values = rng.normal([0, 100, -5], [1, 20, 1e-3], (50, *shape)).astype(np.float32)
        values[..., 0] = 7  # it never changes
        part = Split(values, np.zeros(50, np.int32), np.arange(50))
        scale, offset = scaling(dataclasses.replace(splits, train=part, kind=kind), "standardize")
        scaled = (values * scale + offset).reshape(-1, 3)
        np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-2)
        np.testing.assert_allclose(scaled.std(0), [0, 1, 1], rtol=1e-3)
