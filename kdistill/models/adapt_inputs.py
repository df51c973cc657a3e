"""Models from elsewhere, made to take examples as a data set has them: in its shape, with its raw values."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError

Shape = tuple[int | None, ...]
Layer = Callable[[keras.KerasTensor], keras.KerasTensor]


def fitted(model: keras.Model, shape: Sequence[int]) -> tuple[keras.Model, str | None]:
    """Return `model` so that it takes examples of `shape`, and what was put in front of it, if anything.

    Only what there is one way to do is done: a channel axis is added or taken off, one channel becomes three equal
    ones, pixels are laid in a row as `Flatten` does.

    Args:
        model: of any number of inputs.
        shape: of one example.

    Raises:
        ModelError: it has several inputs, or takes something else.
    """
    received = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if len(received) == 1 and _takes(received[0], shape):
        return model, None
    layers, note = _layers(received[0], tuple(shape)) if len(received) == 1 else ([], "")
    if not layers:
        raise ModelError(
            f"expected one input of shape {tuple(shape)}; received {', '.join(map(str, received))}",
            hint=_hint(received, tuple(shape)),
        )
    return in_front(model, shape, layers), note


def in_front(model: keras.Model, shape: Sequence[int], layers: Sequence[Layer]) -> keras.Model:
    """Return a model of the same weights that takes examples of `shape` and passes them through `layers` first."""
    inputs = outputs = keras.Input(tuple(shape), name="kdistill_input")
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, model(outputs), name=f"kdistill_{model.name}")


def rescaling(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> keras.Layer:
    """Return the layer for `value * scale + offset`: one number each, or one for each of the last axis."""
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="kdistill_scaling")


def _takes(received: Shape, shape: Sequence[int]) -> bool:
    """Whether an input of shape `received`, whose None stand for any size, takes examples of `shape`."""
    return len(received) == len(shape) and all(size in (None, here) for size, here in zip(received, shape, strict=True))


def _layers(received: Shape, shape: tuple[int, ...]) -> tuple[list[Layer], str]:
    """Return the layers that turn examples of `shape` into what is taken, and a name for them; none if unclear."""
    if len(shape) == 3 and shape[2] == 1 and _takes(received, shape[:2]):
        return [_reshape(shape[:2])], "the channel axis of the images is taken off for it"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        grey, colour = (*shape[:2], 1), (*shape[:2], 3)
        if _takes(received, grey):
            return [_reshape(grey)], "the images get a channel axis for it"
        if _takes(received, colour):
            return [_reshape(grey), _thrice], "the images' one channel is given to it three times"
    if len(shape) > 1 and received == (math.prod(shape),):
        return [keras.layers.Flatten(name="kdistill_flatten")], "the images' pixels are laid in a row for it"
    return [], ""


def _reshape(shape: Sequence[int]) -> keras.Layer:
    return keras.layers.Reshape(tuple(shape), name="kdistill_reshape")


def _thrice(grey: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Concatenate(name="kdistill_colour")([grey] * 3)


def _hint(received: Sequence[Shape], shape: tuple[int, ...]) -> str | None:
    if len(received) > 1:
        return "Save a model of one input."
    if len(received[0]) == 3 and len(shape) in (2, 3) and None not in received[0][:2]:
        image = shape if len(shape) == 3 else (*shape, 1)
        size = f"{received[0][0]}, {received[0][1]}"
        return (
            "If it is for this data, put a layer in front that fits it, and save that model: "
            f"keras.Sequential([keras.Input({image}), keras.layers.Resizing({size}), model])."
        )
    return None
