"""Convolution blocks and batch normalisation from a config section, against NumPy and by their layers."""

import hashlib

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import models
from kdistill.core.errors import ConfigError

RAW = np.random.default_rng(0).integers(0, 17, (5, 6, 7), dtype=np.uint8)


def build(text, role="student", shape=(6, 7), seed=0):
    return models.build(configs.load("quickstart", [f"student={text}"]).student, role, shape, 3, 1 / 16, seed)


def same_convolution(images, kernel):
    """Convolve (n, height, width, channels) with (3, 3, channels, filters), zeros around the images."""
    around = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = images.shape[1:3]
    shifted = [around[:, y : y + height, x : x + width] @ kernel[y, x] for y in range(3) for x in range(3)]
    return sum(shifted)


def pooled(images):
    n, height, width, channels = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def relu(values):
    return np.maximum(values, 0)


def test_blocks_compute_what_they_say():
    model = build("{conv: [4, 5], hidden: [6]}")
    kernel_1, bias_1, kernel_2, bias_2, hidden, hidden_bias, last, last_bias = model.get_weights()
    images = RAW[..., None].astype(float) / 16
    block = pooled(relu(same_convolution(images, kernel_1) + bias_1))
    block = pooled(relu(same_convolution(block, kernel_2) + bias_2))
    values = relu(block.reshape(5, -1) @ hidden + hidden_bias)
    np.testing.assert_allclose(model(RAW), values @ last + last_bias, rtol=1e-4, atol=1e-5)


def test_separable_blocks_and_global_pooling_compute_what_they_say():
    model = build("{conv: [4, 5], separable: true, pool: 1, global_pool: true}")
    kernel, bias, depthwise, pointwise, bias_2, last, last_bias = model.get_weights()
    block = relu(same_convolution(RAW[..., None] / 16.0, kernel) + bias)
    each = np.zeros((3, 3, 4, 4))
    each[:, :, range(4), range(4)] = depthwise[..., 0]
    block = relu(same_convolution(block, each) @ pointwise[0, 0] + bias_2)
    np.testing.assert_allclose(model(RAW), block.mean(axis=(1, 2)) @ last + last_bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", ["{conv: [4], hidden: [5], batch_norm: true}", "{hidden: [5], batch_norm: true}"])
def test_batch_norm_stands_before_the_activation_and_for_the_bias(text):
    model = build(text)
    names = [layer.name for layer in model.layers]
    for layer in [name for name in names if name in ("conv_1", "hidden_1")]:
        place = names.index(layer)
        assert names[place : place + 3] == [layer, f"{layer}_norm", f"{layer}_activation"]
        assert not model.get_layer(layer).use_bias
        assert model.get_layer(layer).activation is keras.activations.linear
        assert isinstance(model.get_layer(f"{layer}_norm"), keras.layers.BatchNormalization)
    assert model.get_layer("logits").use_bias


def test_regularisation_reaches_every_kernel():
    model = build("{conv: [4, 5], separable: true, hidden: [6], l2: 0.01, max_norm: 0.5}")
    first, second, hidden = (model.get_layer(name) for name in ("conv_1", "conv_2", "hidden_1"))
    regularised = (first.kernel_regularizer, second.depthwise_regularizer, second.pointwise_regularizer)
    assert [float(found.l2) for found in (*regularised, hidden.kernel_regularizer)] == pytest.approx([0.01] * 4)
    bounds = [
        (first.kernel_constraint, first.kernel, (0, 1, 2)),
        (second.depthwise_constraint, second.depthwise_kernel, (0, 1)),
        (second.pointwise_constraint, second.pointwise_kernel, (0, 1, 2)),
        (hidden.kernel_constraint, hidden.kernel, (0,)),
    ]
    for bound, kernel, incoming in bounds:
        limited = np.asarray(bound(kernel * 100))
        np.testing.assert_allclose(np.sqrt((limited**2).sum(axis=incoming)), 0.5, rtol=1e-3)


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("{conv: [4], hidden: [5, 5], dropout: 0.4}", ["dropout_1", "dropout_2"]),
        ("{conv: [4], dropout: 0.4}", ["dropout"]),
        ("{hidden: [5], dropout: 0.4}", ["dropout_1"]),
    ],
)
def test_dropout_comes_after_hidden_layers_or_after_the_last_block(text, dropped):
    layers = build(text).layers
    assert [layer.name for layer in layers if isinstance(layer, keras.layers.Dropout)] == dropped


def test_images_keep_the_channels_that_they_have():
    assert build("{conv: [4]}", shape=(6, 7, 3)).get_layer("conv_1").kernel.shape == (3, 3, 3, 4)
    assert build("{conv: [4]}").input_shape == (None, 6, 7)


@pytest.mark.parametrize("text", ["{conv: [4, 4], hidden: [4]}", "{conv: [4, 4], separable: true, batch_norm: true}"])
def test_initial_weights_depend_on_seed_and_role_alone(text):
    keras.utils.set_random_seed(1)
    first = build(text, seed=3)
    keras.utils.set_random_seed(2)
    assert models.fingerprint(build(text, seed=3)) == models.fingerprint(first)
    kernels = [weight for weight in first.get_weights() if weight.ndim > 1]
    for other in (build(text, seed=4), build(text, seed=3, role="teacher")):
        for one, another in zip(kernels, [w for w in other.get_weights() if w.ndim > 1], strict=True):
            assert not np.array_equal(one, another)
    assert len({kernel.ravel()[0] for kernel in kernels}) == len(kernels)


def test_the_initial_weights_of_an_mlp_are_those_of_the_first_version():
    """Results made with it stay comparable: these are the numbers that it drew."""
    model = models.build(configs.load("article").student, "student", (28, 28), 10, 1 / 255, 0)
    assert models.fingerprint(model) == "09c29f17e5ebd9d217d8be056f29c4e1b1848ee55e455b87f408072dd79cb89d"
    dropped = models.build(configs.load("fashion-mnist").teacher, "teacher", (28, 28), 10, 1 / 255, 7)
    assert models.fingerprint(dropped) == "51cae2fca917bec05675f6bb01fb7ebed25b1e4b1abd02335f3488675295f60b"
    seeds = [layer.seed for layer in dropped.layers if isinstance(layer, keras.layers.Dropout)]
    assert hashlib.sha256(str(seeds).encode()).hexdigest()[:16] == "a44a53592f9768b5"


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("{conv: [4]}", (30,), "student.conv: expected images"),
        ("{conv: [4, 4, 4]}", (6, 7), "nothing is left after block 3"),
    ],
)
def test_what_cannot_be_built_is_a_config_error(text, shape, message):
    with pytest.raises(ConfigError, match=message):
        build(text, shape=shape)
