"""The architecture of a `.keras` file, to be trained here: with fresh weights, or going on from its own."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kdistill.core.errors import ModelError
from kdistill.models.load import open_classifier

# Layers that settle how large the values are that come after them, and what `x / 255` leaves in a model.
SCALING_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.BatchNormalization)
SCALING_OPERATIONS = ("Divide", "TrueDivide", "Multiply")


def from_file(
    path: Path,
    shape: Sequence[int],
    classes: int,
    scaling: keras.Layer,
    seeds: Iterator[int],
    keep_weights: bool,
    note: Callable[[str], None],
) -> keras.Model:
    """Return a model of the layers in a `.keras` file, from raw values to logits.

    With fresh weights all layers are trained, those too that were frozen in the file; the mean and variance of a
    Normalization layer, which are of the data and not learnt, stay. With its own weights, what was frozen stays so.
    It computes in float32, as all models here, whatever the file's did.

    Args:
        path: of the file.
        shape: of one example.
        classes: number of logits.
        scaling: put in front of a model that does not begin by scaling its inputs itself.
        seeds: for the initial weights and for what layers draw at random, an own one for each.
        keep_weights: start from the weights in the file.
        note: told what is done to the model to make it fit.

    Raises:
        ModelError: the file is missing or not accepted, or the model does not fit the data or cannot be trained.
    """
    source = _with_scaling(path, shape, classes, scaling, note)
    model = keras.models.clone_model(source, clone_function=lambda layer: _copy(layer, seeds), recursive=True)
    if keep_weights:
        for before, after in zip(_learnt(source), _learnt(model), strict=True):
            after.assign(before)
    else:
        for layer in model._flatten_layers():  # set on the model alone, it does not reach the layers
            layer.trainable = True
    if not model.trainable_variables:
        raise ModelError(f"{path}: expected a model with layers to train; all are frozen or have no weights")
    return model


def _with_scaling(
    path: Path, shape: Sequence[int], classes: int, scaling: keras.Layer, note: Callable[[str], None]
) -> keras.Model:
    """Return the model in a file, which scales raw values itself, or else gets `scaling` in front of it."""
    source, notes = open_classifier(path, shape, classes)
    if size := source.inputs[0].shape[0]:
        raise ModelError(
            f"{path}: expected a model for batches of any size; received one for batches of {size}",
            hint="Build it with keras.Input(shape) rather than with a batch shape, and save it again.",
        )
    if not scales_inputs(source):
        inputs = keras.Input(tuple(shape), name="input")
        source = keras.Model(inputs, source(scaling(inputs)), name=source.name)
        notes.append(f"{path} does not scale its inputs: the scaling of the data set is put in front of it.")
    for text in notes:
        note(text)
    return source


def scales_inputs(model: keras.Model) -> bool:
    """Whether a model begins by scaling its inputs, before any layer with weights."""
    return _scaling(model) is not None


def largest_input(model: keras.Model) -> float | None:
    """Return the largest raw value that a model is made for, 255 for one; None where its beginning does not tell.

    What tells is a rescaling of all values alike, to [0, 1] or [-1, 1].
    """
    first = _scaling(model)
    if not isinstance(first, keras.layers.Rescaling) or np.size(first.scale) > 1 or np.size(first.offset) > 1:
        return None
    scale, offset = float(np.squeeze(first.scale)), float(np.squeeze(first.offset))
    return (1 - offset) / scale if 0 < scale <= 1 and offset in (0, -1) else None


def _scaling(model: keras.Model) -> Any:
    """Return the layer or operation by which a model scales its inputs, before any layer with weights; or None."""
    for operation in getattr(model, "operations", model.layers):  # a Sequential has layers only
        if isinstance(operation, SCALING_LAYERS) or type(operation).__name__ in SCALING_OPERATIONS:
            return operation
        if isinstance(operation, keras.Model):
            return _scaling(operation)
        if getattr(operation, "weights", None):
            return None
    return None


def _copy(layer: keras.Layer, seeds: Iterator[int]) -> keras.Layer:
    """Return a layer of the same config, with other seeds and no weights."""
    config = _reseeded(layer.get_config(), seeds)
    if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
        # As weights they would be lost, and as tensors Keras computes with them.
        config |= {"mean": layer.adapt_mean.numpy().tolist(), "variance": layer.adapt_variance.numpy().tolist()}
    if "dtype" in config and layer.dtype_policy.name != "float32":
        config["dtype"] = "float32"
    return type(layer).from_config(config)


def _reseeded(config: Any, seeds: Iterator[int]) -> Any:
    """Return a config in which each initializer, and each layer that draws at random, has a seed of its own."""
    if isinstance(config, dict):
        return {key: next(seeds) if key == "seed" else _reseeded(value, seeds) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_reseeded(value, seeds) for value in config)
    return config


def _learnt(model: keras.Model) -> list[keras.Variable]:
    layers = model._flatten_layers(include_self=False)
    known = {
        id(weight) for layer in layers if isinstance(layer, keras.layers.Normalization) for weight in layer.weights
    }
    return [weight for weight in model.weights if id(weight) not in known]
