"""Model files that would take all memory or hours for one example are refused, with the layer and the limit."""

import command_line
import keras
import keras_files as files
import numpy as np
import pytest

from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.models import limits

layers = keras.layers


def changed(path, model, **changes):
    """Save a model, with other values in the config of its second layer."""
    files.save(model, path)
    return files.with_config(path, path, lambda config: config["config"]["layers"][1]["config"].update(changes))


def classifier(layer, shape):
    """Return a model whose last layers take any number of outputs of `layer`, a layer or an operation."""
    inputs = keras.Input(shape)
    outputs = layers.Reshape((-1, 1))(layers.Flatten()(layer(inputs)))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling1D()(outputs)))


def blur(images):
    return keras.ops.image.gaussian_blur(images, (3, 3))


def fitted(images):
    return keras.ops.image.resize(images, (2, 2), pad_to_aspect_ratio=True)


HOSTILE = {
    "UpSampling": (classifier(layers.UpSampling2D(), (4, 4, 1)), {"size": [10**5, 10**5]}, "has outputs of shape"),
    "ZeroPadding": (classifier(layers.ZeroPadding2D(), (4, 4, 1)), {"padding": [[10**5] * 2] * 2}, "has outputs of"),
    "Resizing": (classifier(layers.Resizing(2, 2), (4, 4, 1)), {"height": 10**5, "width": 10**5}, "has outputs of"),
    "RepeatVector": (classifier(layers.RepeatVector(2), (4,)), {"n": 10**9}, "has outputs of shape"),
    "Dense": (classifier(layers.Dense(4), (4,)), {"units": 10**9}, "the weights do not fit the layers"),
    "Embedding": (classifier(layers.Embedding(4, 2), (4,)), {"input_dim": 10**9}, "the weights do not fit the layers"),
    "LSTM": (classifier(layers.LSTM(4), (4, 2)), {"units": 10**9}, "the weights do not fit the layers"),
    "padded to a ratio": (
        classifier(layers.Resizing(2, 2, pad_to_aspect_ratio=True), (4096, 4096, 1)),
        {"height": 1, "width": 10**5},
        "has padded inputs of shape",
    ),
    "the operation, padded": (classifier(fitted, (4096, 4096, 1)), {"size": [1, 10**5]}, "has padded inputs of shape"),
    "channels": (
        classifier(layers.SeparableConv2D(1, 1, depth_multiplier=1000), (1024, 1024, 1)),
        {},
        "has channels of shape",
    ),
    "dilation": (
        classifier(layers.Conv3D(1, 2, padding="same"), (4, 4, 4, 1)),
        {"dilation_rate": [10**5] * 3},
        "has padded inputs of shape",
    ),
    "a blur": (classifier(blur, (4, 4, 3)), {"kernel_size": [10**5, 10**5]}, "at most 1000 as kernel_size of"),
    "a blur of channels": (classifier(blur, (2, 2, 4096)), {"kernel_size": [999, 999]}, "has a kernel of shape"),
    "steps": (classifier(layers.GRU(1), (10**5 + 1, 1)), {}, "has 100,001 steps: expected at most 100,000"),
    "unrolled": (
        classifier(layers.Bidirectional(layers.LSTM(1, unroll=True)), (1001, 1)),
        {},
        "has 1,001 unrolled steps: expected at most 1,000",
    ),
    "calls": (
        classifier(layers.TimeDistributed(layers.TimeDistributed(layers.Dense(1))), (101, 100, 1)),
        {},
        "has 10,100 calls of the layer in it: expected at most 10,000",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_from_the_command_line(tmp_path, name):
    model, changes, problem = HOSTILE[name]
    path = changed(tmp_path / "m.keras", model, **changes)
    np.savez(tmp_path / "x.npz", x=np.zeros((1, *model.input_shape[1:]), np.float32))
    result = command_line.run("predict", path, tmp_path / "x.npz", code=4, env={"COLUMNS": "400"})
    told = " ".join(result.stderr.split())
    assert told.startswith(f"Error: {path}: ")
    assert problem in told


def test_all_outputs_together_are_limited(tmp_path, monkeypatch):
    model = classifier(layers.Dense(4), (4,))
    files.save(model, tmp_path / "m.keras")
    monkeypatch.setattr(limits, "MOST_TOGETHER", 4 + 4 + 4 + 4 + 1 + 3)
    models.load(tmp_path / "m.keras")
    monkeypatch.setattr(limits, "MOST_TOGETHER", 19)
    with pytest.raises(ModelError, match="its layers have 20 outputs for one example: expected at most 19"):
        models.load(tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.LSTM(2, unroll=True), (20, 2)),
        (layers.Bidirectional(layers.GRU(2)), (20, 2)),
        (layers.TimeDistributed(layers.Dense(2)), (20, 2)),
        (layers.Conv2D(2, 3, padding="same", dilation_rate=4), (64, 64, 1)),
        (layers.Conv1D(2, 3, padding="causal", dilation_rate=64), (2000, 1)),
        (layers.SeparableConv2D(4, 3, depth_multiplier=2), (64, 64, 3)),
        (layers.Resizing(16, 32, pad_to_aspect_ratio=True), (64, 64, 3)),
        (layers.ConvLSTM2D(2, 3, padding="same", dilation_rate=2), (4, 8, 8, 1)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_usual_sizes_are_taken(tmp_path, layer, shape):
    model = classifier(layer, shape)
    files.save(model, tmp_path / "m.keras")
    examples = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    loaded, _ = models.load_classifier(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(examples), model(examples))
