"""The multiplications of a model, known without building it, against those of the built one."""

import json

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import models
from kdistill.config import architecture
from kdistill.modelfiles import flops


def section(text):
    return configs.load("quickstart", [f"student={text}"]).student


def counted(model):
    """Count by what was built: each weight of a kernel once for each position of its layer's output."""
    total = 0
    for layer in model._flatten_layers(include_self=False):
        kernels = [weight for weight in layer._trainable_variables if len(weight.shape) > 1]
        for node in layer._inbound_nodes:
            total += sum(np.prod(kernel.shape) for kernel in kernels) * np.prod(node.output_tensors[0].shape[1:-1])
    return total


SECTIONS = [
    "{hidden: [7, 3]}",
    "{conv: [4, 6], hidden: [5]}",
    "{conv: [4], kernel: 5, pool: null}",
    "{conv: [4, 6, 3], separable: true, batch_norm: true, global_pool: true}",
    "{conv: [2, 3], pool: 3, hidden: [4, 4], dropout: 0.1}",
]


@pytest.mark.parametrize("shape", [(28, 28), (17, 11, 3)], ids=str)
@pytest.mark.parametrize("text", SECTIONS)
def test_a_section_counts_as_the_model_that_it_describes(text, shape):
    model = models.build(section(text), "student", shape, 10, 1.0, 0)
    assert architecture.multiplications(section(text), shape, 10) == counted(model)
    assert flops.of_config(model.get_config()) == counted(model)


def residual():
    """Strides, no padding, a nested model, and a layer that is used twice."""
    layers = keras.layers
    inputs = keras.Input((12, 12, 4))
    block = keras.Sequential([keras.Input((12, 12, 4)), layers.DepthwiseConv2D(3, depth_multiplier=2), layers.ReLU()])
    outputs = layers.Conv2D(8, 3, strides=2)(block(inputs))
    outputs = layers.Conv2D(8, 2, padding="same", strides=3, groups=2)(outputs)
    shared = layers.Dense(8)
    outputs = layers.Flatten()(layers.Add()([shared(outputs), shared(shared(outputs))]))
    return keras.Model(inputs, layers.Dense(3)(outputs))


def test_models_from_elsewhere_are_counted_too():
    layers = keras.layers
    # Depthwise 10 x 10 x 9 x 8; 4 x 4 x 9 x 8 x 8; 2 x 2 x 4 x 8 x 8 / 2; three times 2 x 2 x 8 x 8; 32 x 3.
    assert flops.of_config(residual().get_config()) == 7200 + 9216 + 512 + 768 + 96
    rows = keras.Sequential([keras.Input((9, 2)), layers.Conv1D(4, 3, padding="causal"), layers.Flatten()])
    assert flops.of_config(rows.get_config()) == 9 * 3 * 2 * 4
    first = keras.Sequential([keras.Input((2, 6, 5)), layers.Conv2D(4, 3, data_format="channels_first")])
    assert flops.of_config(first.get_config()) == 4 * 3 * 9 * 2 * 4


def recurrent():
    layers, sequence = keras.layers, (5, 4)
    frames = keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(2, 3)])
    yield sequence, layers.LSTM(3), 5 * 4 * 3 * (4 + 3)
    yield sequence, layers.SimpleRNN(3), 5 * 3 * (4 + 3)
    yield sequence, layers.Bidirectional(layers.GRU(3)), 2 * 5 * 3 * 3 * (4 + 3)
    yield sequence, layers.TimeDistributed(layers.Dense(3)), 5 * 4 * 3
    yield (3, 8, 8, 2), layers.TimeDistributed(frames), 3 * 36 * 9 * 2 * 2
    yield (3, 8, 8, 1), layers.ConvLSTM2D(2, 3), 3 * 36 * 9 * 4 * 2 * (1 + 2)
    yield (8, 8, 2), layers.Conv2DTranspose(4, 3), 64 * 9 * 2 * 4
    yield (8, 8, 8, 2), layers.Conv3D(4, 3), 216 * 27 * 2 * 4
    yield (8, 8, 2), layers.SpectralNormalization(layers.Conv2D(4, 3)), 36 * 9 * 2 * 4
    yield sequence, layers.RNN([layers.LSTMCell(3)]), 0


@pytest.mark.parametrize(
    ("shape", "layer", "expected"), list(recurrent()), ids=lambda value: getattr(value, "name", None)
)
def test_recurrent_layers_and_wrappers_are_counted(shape, layer, expected):
    model = keras.Sequential([keras.Input(shape), layer])
    assert flops.of_config(model.get_config()) == flops.of_config(json.loads(model.to_json())) == expected
