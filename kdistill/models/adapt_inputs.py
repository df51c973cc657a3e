"""Adapts the inputs of models from elsewhere to the shape of a data set's examples."""

import math
from collections.abc import Callable, Sequence

import keras

from kdistill.core.errors import ModelError

Shape = tuple[int | None, ...]
Layer = Callable[[keras.KerasTensor], keras.KerasTensor]


def functional(model: keras.Model) -> keras.Model:
    """Return the Functional inside a Sequential that is built; other models unchanged."""
    return getattr(model, "_functional", None) or model


def fitted(model: keras.Model, shape: Sequence[int]) -> tuple[keras.Model, str | None]:
    """Return `model` so that it takes examples of `shape`, and a note on the layer put in front of it, if any.

    Only unambiguous changes are made: a channel axis is added or removed, one channel is repeated three times, pixels
    are flattened as by `Flatten`.

    Raises:
        ModelError: the model has several inputs, or takes examples that `shape` cannot be changed to.
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


def in_front(
    model: keras.Model, shape: Sequence[int], layers: Sequence[Layer], dtype: str | None = None
) -> keras.Model:
    """Return a model of the same weights that takes examples of `shape` and passes them through `layers` first.

    `dtype` is the type of the examples; None for Keras's default, float32.
    """
    inputs = outputs = keras.Input(tuple(shape), name="kdistill_input", dtype=dtype)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, model(outputs), name=f"kdistill_{model.name}")


def _takes(received: Shape, shape: Sequence[int]) -> bool:
    """Whether an input of shape `received`, whose None stand for any size, takes examples of `shape`."""
    return len(received) == len(shape) and all(size in (None, here) for size, here in zip(received, shape, strict=True))


def _layers(received: Shape, shape: tuple[int, ...]) -> tuple[list[Layer], str]:
    """Return the layers that change examples of `shape` to `received`, and a note on them; none if ambiguous."""
    if len(shape) == 3 and shape[2] == 1 and _takes(received, shape[:2]):
        return [_reshape(shape[:2])], "the channel axis of the images is removed for it"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        grey, colour = (*shape[:2], 1), (*shape[:2], 3)
        if _takes(received, grey):
            return [_reshape(grey)], "the images get a channel axis for it"
        if _takes(received, colour):
            return [_reshape(grey), _repeated], "the images' one channel is repeated three times for it"
    if len(shape) > 1 and received == (math.prod(shape),):
        return [keras.layers.Flatten(name="kdistill_flatten")], "the images' pixels are flattened for it"
    return [], ""


def _reshape(shape: Sequence[int]) -> keras.Layer:
    return keras.layers.Reshape(tuple(shape), name="kdistill_reshape")


def _repeated(grey: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Concatenate(name="kdistill_colour")([grey] * 3)


def _hint(received: Sequence[Shape], shape: tuple[int, ...]) -> str | None:
    if len(received) > 1:
        return "Save a model with one input."
    if len(received[0]) == 3 and len(shape) in (2, 3) and None not in received[0][:2]:
        image = shape if len(shape) == 3 else (*shape, 1)
        size = f"{received[0][0]}, {received[0][1]}"
        return (
            "If the model is for this data, put a layer in front that resizes the images, and save that model: "
            f"keras.Sequential([keras.Input({image}), keras.layers.Resizing({size}), model])."
        )
    return None
