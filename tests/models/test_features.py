"""The layers of a model by name, and their outputs."""

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import models
from kdistill.models.features import Feature, WithFeatures, layers_of

IMAGES = np.random.default_rng(0).uniform(0, 16, (3, 8, 8)).astype(np.float32)


def nested():
    """Return two models in one, with layers of one name, one of them called with training=False; and a shared layer."""
    inputs = keras.Input((8, 8))
    first = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, name="conv"),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(6, name="dense"),
        ],
        name="body",
    )
    second = keras.Sequential(
        [keras.Input((6,)), keras.layers.BatchNormalization(name="norm"), keras.layers.Dense(6, name="dense")],
        name="head",
    )
    shared = keras.layers.Dense(6, name="shared")
    outputs = second(first(keras.layers.Reshape((8, 8, 1), name="grey")(inputs)), training=False)
    return keras.Model(inputs, shared(shared(outputs)) * 2.0)


def test_models_from_a_config_have_names_that_stay():
    """Configs name them: `docs/how-to/hints.md` lists them."""
    section = configs.load(
        "quickstart", ["student={conv: [4, 8], batch_norm: true, hidden: [5], dropout: 0.1}"]
    ).student
    found = layers_of(models.build(section, "student", (8, 8), 10, 1 / 16, 0), (8, 8))
    assert [layer.name for layer in found] == [
        "scaling",
        "channel",
        "conv_1",
        "conv_1_norm",
        "conv_1_activation",
        "pool_1",
        "conv_2",
        "conv_2_norm",
        "conv_2_activation",
        "pool_2",
        "flatten",
        "hidden_1",
        "hidden_1_norm",
        "hidden_1_activation",
        "dropout_1",
        "logits",
    ]
    assert [layer.learns for layer in found] == [False, False, *([True] * 14)]
    assert {layer.name: layer.shape for layer in found}["pool_2"] == (2, 2, 8)


def test_layers_within_models_have_their_own_names_or_those_of_the_models_around():
    found = {layer.name: layer for layer in layers_of(nested(), (8, 8))}
    assert {"grey", "conv", "flat", "body/dense", "norm", "head/dense", "shared", "body", "head"} == set(found)
    assert found["shared"].calls == 2
    assert found["conv"].shape == (6, 6, 3)
    assert not found["grey"].learns


@pytest.mark.parametrize("training", [True, False])
def test_features_are_those_of_the_layers_and_the_logits_stay(training):
    model = nested()
    logits, dense, conv = WithFeatures(model, [Feature("body/dense", (6,)), Feature("conv", (3, 6, 3))])(
        IMAGES, training=training
    )
    np.testing.assert_allclose(logits, model(IMAGES, training=training), rtol=1e-5, atol=1e-6)
    body = model.get_layer("body")
    np.testing.assert_allclose(dense, body(IMAGES[..., np.newaxis]), rtol=1e-6)
    maps = np.asarray(body.get_layer("conv")(IMAGES[..., np.newaxis]))
    np.testing.assert_allclose(conv, maps.reshape(3, 3, 2, 6, 3).mean(axis=2), rtol=1e-5, atol=1e-6)
