"""The layers that scale raw values: put in front of models from elsewhere, and found in these."""

import keras
import numpy as np
import pytest

from kdistill import models


def test_rescaling_is_of_the_last_axis_and_can_be_copied():
    """The engine works on copies of the teachers that it asks."""
    mlp = keras.Sequential([keras.Input((4, 2)), keras.layers.Flatten(), keras.layers.Dense(3)])
    model = models.with_scaling(mlp, (4, 2), (np.array([2.0, 3.0]), np.array([-1.0, 1.0])))
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    expected = model.layers[-1](values * [2, 3] + [-1, 1])
    np.testing.assert_allclose(model(values), expected, rtol=1e-5, atol=1e-5)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(values), model(values))


@pytest.mark.parametrize(
    ("first", "largest"),
    [
        (keras.layers.Rescaling(1 / 255), 255),
        (keras.layers.Rescaling(1 / 127.5, -1), 255),
        (keras.layers.Rescaling(1.0), 1),
        (keras.layers.Rescaling(1 / 255, 3.0), None),
        (keras.layers.Rescaling([0.1, 0.2, 0.3]), None),
        (keras.layers.Normalization(mean=0.0, variance=1.0), None),
        (keras.layers.Dense(2), None),
    ],
)
def test_the_largest_value_is_told_by_the_rescaling_that_comes_first(first, largest):
    model = keras.Sequential([keras.Input((3,)), first, keras.layers.Dense(2)])
    found = models.largest_input(keras.Sequential([keras.Input((3,)), model]))
    assert found == (largest and pytest.approx(largest))


@pytest.mark.parametrize(
    ("scaled", "expected"),
    [
        (lambda x: keras.applications.resnet50.preprocess_input(x), True),  # Caffe's: means are subtracted, no division
        (lambda x: keras.applications.mobilenet.preprocess_input(x), True),
        (lambda x: x - np.float32([1, 2, 3]), True),
        (lambda x: x + np.ones((8, 8, 3), np.float32), False),  # such as positions
        (lambda x: keras.layers.Add()([x, x]), False),
        (lambda x: x, False),
    ],
)
def test_means_of_channels_that_are_subtracted_are_a_scaling(tmp_path, scaled, expected):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(scaled(inputs)))
    keras.Model(inputs, keras.layers.Dense(2)(outputs)).save(tmp_path / "m.keras")
    loaded, _ = models.load_classifier(tmp_path / "m.keras", (8, 8, 3), 2)
    assert models.scales_inputs(loaded) == expected
