"""How raw values are scaled: mean and variance, the scalings of teachers from elsewhere, and what is said of them."""

import dataclasses

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import datasets, models
from kdistill.config import Model
from kdistill.core import kinds, scaling
from kdistill.core.errors import ConfigError
from kdistill.core.scaling import Standardization, Tokens, described
from kdistill.datasets import Split
from kdistill.datasets.split import whole


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (1.0, "as they are"),
        (1 / 255, "multiplied by 0.00392157"),
        (Standardization((0.0,), (1.0,)), "standardised by mean and variance of the training examples"),
    ],
)
def test_it_is_said_what_is_done(scale, words):
    assert described(scale) == words


def standardized(examples):
    split = whole(examples, np.arange(len(examples)) % 2)
    return scaling.standardization(split.chunks, examples.shape[1:], kinds.plain(examples.shape[1:]))


@pytest.mark.parametrize(
    ("shape", "axes"), [((7,), (0,)), ((4, 5), (0, 1, 2)), ((4, 5, 3), (0, 1, 2)), ((4, 5, 1), (0, 1, 2))]
)
def test_mean_and_variance_are_those_of_numpy(shape, axes, monkeypatch):
    monkeypatch.setattr(scaling, "CHUNK_VALUES", 40)  # several chunks
    examples = np.random.default_rng(0).normal(1000, 3, (101, *shape)).astype(np.float32)
    found = standardized(examples)
    reference = examples.astype(np.float64)
    np.testing.assert_allclose(found.mean, np.atleast_1d(reference.mean(axis=axes)), rtol=1e-12)
    np.testing.assert_allclose(found.variance, np.atleast_1d(reference.var(axis=axes)), rtol=1e-9)


def test_a_constant_column_becomes_zero():
    examples = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    examples[:, 1] = 0.1
    found = standardized(examples)
    assert found.variance[1] == 1


@pytest.mark.parametrize("shape", [(5,), (4, 3), (4, 3, 2)])
def test_the_first_layer_of_a_model_standardises(shape):
    examples = np.random.default_rng(0).normal(7, 3, (200, *shape)).astype(np.float32)
    if len(shape) == 1:
        examples[:, 0] = -3.0
    model = models.build(Model(hidden=(4,)), "student", shape, 2, standardized(examples), 0)
    scaled = np.asarray(model.get_layer("scaling")(examples))
    axes = (0,) if len(shape) == 1 else tuple(range(3))
    reference = examples.astype(np.float64)
    if len(shape) == 3:
        expected = (reference - reference.mean(axes)) / reference.std(axes)
    elif len(shape) == 2:
        expected = (reference - reference.mean()) / reference.std()
    else:
        expected = np.concatenate(
            [np.zeros((200, 1)), (reference[:, 1:] - reference[:, 1:].mean(0)) / reference[:, 1:].std(0)], axis=1
        )
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_a_model_that_standardises_is_saved_and_accepted(tmp_path):
    examples = np.random.default_rng(0).normal(7, 3, (20, 5)).astype(np.float32)
    model = models.build(Model(hidden=(4,)), "student", (5,), 2, standardized(examples), 0)
    models.save(model, tmp_path / "model.keras")
    loaded, _ = models.load_classifier(tmp_path / "model.keras", (5,), 2)
    np.testing.assert_array_equal(model(examples), loaded(examples))
    assert loaded.count_params() == 5 * 4 + 4 + 4 * 2 + 2


@pytest.fixture(scope="module")
def splits():
    return datasets.load(configs.load("quickstart").data)


@pytest.mark.parametrize(("name", "lowest", "highest"), [("unit", 0, 1), ("signed", -1, 1)])
def test_images_are_brought_to_a_range(splits, name, lowest, highest):
    factor, offset = splits.preprocessing(name)
    assert (0 * factor + offset, 16 * factor + offset) == (lowest, highest)
    with pytest.raises(ConfigError, match=f"{name} is for images"):
        dataclasses.replace(splits, scale=Standardization((0.0,), (1.0,))).preprocessing(name)


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
    scaled = models.with_scaling(model, (4, 6, 3), colour_splits(splits, raw, scale).preprocessing(name))
    np.testing.assert_allclose(scaled(raw), expected, atol=2e-4)


def test_imagenet_is_for_rgb_images(splits):
    grey = np.zeros((5, 4, 6, 1), np.uint8)
    with pytest.raises(ConfigError, match=r"caffe is for RGB images, height x width x 3; .*4 x 6 x 1") as refused:
        colour_splits(splits, grey, 1 / 255).preprocessing("caffe")
    assert "data.channels: 3" in refused.value.hint
    with pytest.raises(ConfigError, match="imagenet is for RGB images"):
        colour_splits(splits, np.zeros((5, 4, 4, 3), np.uint8), 1 / 255, "volume").preprocessing("imagenet")
    with pytest.raises(ConfigError, match="this data has others"):
        colour_splits(splits, grey, Standardization((0.0,), (1.0,))).preprocessing("imagenet")


@pytest.mark.parametrize("name", ["unit", "standardize", "caffe"])
def test_tokens_are_never_scaled(splits, name):
    with pytest.raises(ConfigError, match=f"{name} is for numbers, and this data has tokens"):
        dataclasses.replace(splits, scale=Tokens(9), kind="tokens").preprocessing(name)


def test_standardize_is_per_channel_of_images_and_per_column_of_features(splits):
    rng = np.random.default_rng(0)
    for kind, shape in (("image", (4, 4, 3)), ("table", (3,)), ("sequence", (9, 3)), ("volume", (2, 2, 2, 3))):
        values = rng.normal([0, 100, -5], [1, 20, 1e-3], (50, *shape)).astype(np.float32)
        values[..., 0] = 7  # it never changes
        part = Split(values, np.zeros(50, np.int32), np.arange(50))
        scale, offset = dataclasses.replace(splits, train=part, kind=kind).preprocessing("standardize")
        scaled = (values * scale + offset).reshape(-1, 3)
        np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-2)
        np.testing.assert_allclose(scaled.std(0), [0, 1, 1], rtol=1e-3)
