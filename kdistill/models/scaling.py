"""How raw values are scaled in front of a network, as layers: of models of kdistill, and of those from elsewhere.

`core.scaling` has the numbers. Whether a model scales its inputs itself is told from its first layers.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kdistill.core.scaling import Affine, Standardization
from kdistill.models import adapt_inputs

# Layers whose outputs have a known scale, and the operations that expressions such as `x / 255` leave in a model.
SCALING_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.BatchNormalization)
SCALING_OPERATIONS = ("Divide", "TrueDivide", "Multiply")


def layer(scale: float | Standardization) -> keras.Layer:
    """Return the first layer of a model of kdistill, which scales raw values."""
    if not isinstance(scale, Standardization):
        return keras.layers.Rescaling(scale, name="scaling")
    if len(scale.mean) == 1:  # of all values together
        return keras.layers.Normalization(axis=None, mean=scale.mean[0], variance=scale.variance[0], name="scaling")
    return keras.layers.Normalization(axis=-1, mean=list(scale.mean), variance=list(scale.variance), name="scaling")


def with_scaling(model: keras.Model, shape: Sequence[int], scaled: Affine | None) -> keras.Model:
    """Return a frozen model that takes raw values of `shape`, and scales them first; the model itself for None."""
    if scaled is None:
        return model
    model = adapt_inputs.in_front(model, shape, [rescaling(*scaled)])
    model.trainable = False
    return model


def rescaling(scale: NDArray, offset: NDArray, reverse: NDArray | None = None) -> adapt_inputs.Layer:
    """Return the layer for `value * scale + offset`, of one number each, or one for each value of the last axis.

    If `reverse` is true, the order of the last axis is reversed before: RGB becomes BGR.
    """
    scaled = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="kdistill_scaling")
    if reverse is None or not reverse:
        return scaled
    return lambda values: scaled(keras.ops.flip(values, axis=-1))


def scales_inputs(model: keras.Model) -> bool:
    """Whether a model scales its inputs before any layer with weights."""
    return _scaling(model) is not None


def largest_input(model: keras.Model) -> float | None:
    """Return the largest raw value that a model expects, such as 255; None if it is unknown.

    It is known if the model begins with a Rescaling of all values, to [0, 1] or [-1, 1].
    """
    first = _scaling(model)
    if not isinstance(first, keras.layers.Rescaling) or np.size(first.scale) > 1 or np.size(first.offset) > 1:
        return None
    scale, offset = float(np.squeeze(first.scale)), float(np.squeeze(first.offset))
    return (1 - offset) / scale if 0 < scale <= 1 and offset in (0, -1) else None


def _scaling(model: keras.Model) -> Any:
    """Return the layer or operation that scales a model's inputs before any layer with weights, or None."""
    for operation in getattr(model, "operations", model.layers):  # a Sequential has layers only
        is_scaling = isinstance(operation, SCALING_LAYERS) or type(operation).__name__ in SCALING_OPERATIONS
        if is_scaling or _shifts_channels(operation):
            return operation
        if isinstance(operation, keras.Model):
            return _scaling(operation)
        if getattr(operation, "weights", None):
            return None
    return None


def _shifts_channels(operation: keras.Operation) -> bool:
    """Whether an operation adds or subtracts a constant for each channel, as Caffe's models subtract their means."""
    if type(operation).__name__ not in ("Add", "Subtract"):
        return False
    for node in operation._inbound_nodes:
        constants = [value for value in node.arguments.args if not isinstance(value, keras.KerasTensor | list)]
        if any(np.size(value) == node.input_tensors[0].shape[-1] > 1 for value in constants):
            return True
    return False
