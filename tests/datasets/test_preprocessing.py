"""How raw values are scaled for teachers from elsewhere."""

import dataclasses

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.errors import ConfigError
from kdistill.core.scaling import Standardization, Tokens
from kdistill.datasets import Split
from kdistill.datasets.preprocessing import scaling
from kdistill.models import adapt_inputs


@pytest.fixture(scope="module")
def splits():
    return datasets.load(configs.load("quickstart").data)


@pytest.mark.parametrize(("name", "lowest", "highest"), [("unit", 0, 1), ("signed", -1, 1)])
def test_images_are_brought_to_a_range(splits, name, lowest, highest):
    factor, offset = scaling(splits, name)
    assert (0 * factor + offset, 16 * factor + offset) == (lowest, highest)
    with pytest.raises(ConfigError, match=f"{name} is for images"):
        scaling(dataclasses.replace(splits, scale=Standardization((0.0,), (1.0,))), name)


def colour_splits(splits, images, scale, kind="image"):
    part = Split(images, np.zeros(len(images), np.int32), np.arange(len(images)))
    return dataclasses.replace(splits, train=part, scale=scale, kind=kind)


@pytest.mark.parametrize(("name", "mode"), [("caffe", "caffe"), ("imagenet", "torch")])
@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_imagenet_is_scaled_as_keras_does_for_its_models(splits, name, mode, scale):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3))
    expected = keras.applications.imagenet_utils.preprocess_input(images.astype(np.float32), mode=mode)
    raw = images.astype(np.uint8) if scale < 1 else (images / 255).astype(np.float32)
    model = keras.Sequential([keras.Input((4, 6, 3)), keras.layers.Identity()])
    scaled = adapt_inputs.rescaling(*scaling(colour_splits(splits, raw, scale), name))
    np.testing.assert_allclose(adapt_inputs.in_front(model, (4, 6, 3), [scaled])(raw), expected, atol=2e-4)


def test_imagenet_is_for_rgb_images(splits):
    grey = np.zeros((5, 4, 6, 1), np.uint8)
    with pytest.raises(ConfigError, match=r"caffe is for RGB images, height x width x 3; .*4 x 6 x 1") as refused:
        scaling(colour_splits(splits, grey, 1 / 255), "caffe")
    assert "data.channels: 3" in refused.value.hint
    with pytest.raises(ConfigError, match="imagenet is for RGB images"):
        scaling(colour_splits(splits, np.zeros((5, 4, 4, 3), np.uint8), 1 / 255, "volume"), "imagenet")
    with pytest.raises(ConfigError, match="this data has others"):
        scaling(colour_splits(splits, grey, Standardization((0.0,), (1.0,))), "imagenet")


@pytest.mark.parametrize("name", ["unit", "standardize", "caffe"])
def test_tokens_are_never_scaled(splits, name):
    with pytest.raises(ConfigError, match=f"{name} is for numbers, and this data has tokens"):
        scaling(dataclasses.replace(splits, scale=Tokens(9), kind="tokens"), name)


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
