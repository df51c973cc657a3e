"""Models that take examples in another shape: fitted where there is one way, refused with what to do where not."""

import keras
import numpy as np
import pytest

from kdistill.core.errors import ModelError
from kdistill.models import adapt_inputs


def cnn(*shape):
    layers = [keras.layers.Conv2D(2, 2), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input(shape), *layers])


def mlp(*shape):
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(3)])


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6)).astype(np.uint8)


@pytest.mark.parametrize(
    ("model", "data", "as_taken", "note"),
    [
        (cnn(4, 6, 1), IMAGES, IMAGES[..., None], "channel axis"),
        (cnn(None, None, 1), IMAGES, IMAGES[..., None], "channel axis"),
        (cnn(4, 6, 3), IMAGES, np.stack([IMAGES] * 3, axis=-1), "three times"),
        (cnn(4, 6, 3), IMAGES[..., None], np.stack([IMAGES] * 3, axis=-1), "three times"),
        (mlp(4, 6), IMAGES[..., None], IMAGES, "is removed"),
        (mlp(24), IMAGES, IMAGES.reshape(5, 24), "flattened"),
        (mlp(4, 6), IMAGES, IMAGES, None),
        (cnn(None, None, 3), np.stack([IMAGES] * 3, axis=-1), np.stack([IMAGES] * 3, axis=-1), None),
    ],
)
def test_what_there_is_one_way_to_fit_is_fitted(model, data, as_taken, note):
    fitted, said = adapt_inputs.fitted(model, data.shape[1:])
    assert said is note is None or note in said
    np.testing.assert_allclose(fitted(data), model(as_taken), rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(fitted.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    ("model", "shape", "hint"),
    [
        (cnn(8, 8, 1), (4, 6), "Resizing(8, 8)"),
        (cnn(8, 8, 3), (4, 6, 3), "keras.Input((4, 6, 3))"),
        (cnn(4, 6, 1), (4, 6, 3), "Resizing(4, 6)"),
        (mlp(23), (4, 6), None),
        (mlp(4, 6), (24,), None),
    ],
)
def test_anything_else_is_refused_with_what_to_do(model, shape, hint):
    with pytest.raises(ModelError, match="expected one input of shape") as refused:
        adapt_inputs.fitted(model, shape)
    assert refused.value.hint is hint is None or hint in refused.value.hint


def test_several_inputs_are_refused():
    first, second = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([first, second], keras.layers.Add()([first, second]))
    with pytest.raises(ModelError, match=r"one input of shape \(3,\); received \(3,\), \(3,\)") as refused:
        adapt_inputs.fitted(model, (3,))
    assert "one input" in refused.value.hint
