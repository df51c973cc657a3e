"""The architecture of a `.keras` file as a model to train, with fresh weights or with those of the file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from kdistill.core.errors import ModelError
from kdistill.core.scaling import Scale, Tokens
from kdistill.core.task import SINGLE, Task
from kdistill.models import scaling, token_inputs
from kdistill.models.load import load_trainable


def from_file(
    path: Path,
    shape: Sequence[int],
    classes: int,
    scale: Scale,
    seeds: Iterator[int],
    keep_weights: bool,
    note: Callable[[str], None],
    task: Task = SINGLE,
) -> keras.Model:
    """Return a model of the layers in a `.keras` file, from raw values to logits, in float32.

    With fresh weights, all layers are trained, even layers that are frozen in the file; only the mean and variance of
    Normalization layers are kept. With the file's weights, frozen layers stay frozen.

    Args:
        path: the `.keras` file.
        shape: shape of one example.
        classes: number of logits.
        scale: factor or standardization of raw values, put in front of a model that does not scale its inputs; or the
            vocabulary of tokens.
        seeds: seeds of the initial weights and of layers that draw at random, one for each.
        keep_weights: whether to start with the file's weights.
        note: receives a sentence on each change to the model.
        task: of the labels.

    Raises:
        ModelError: the file is missing or not accepted, or the model does not fit the data or has nothing to train.
    """
    source = with_scaling(path, shape, classes, scale, note, task)
    model = keras.models.clone_model(source, clone_function=lambda layer: _copy(layer, seeds), recursive=True)
    if keep_weights:
        for before, after in zip(learnt(source), learnt(model), strict=True):
            after.assign(before)
    else:
        for layer in model._flatten_layers():  # set on the model, it would not reach nested layers
            layer.trainable = True
    if not model.trainable_variables:
        raise ModelError(f"{path}: expected a model with layers to train; all are frozen or have no weights")
    return model


def with_scaling(
    path: Path, shape: Sequence[int], classes: int, scale: Scale, note: Callable[[str], None], task: Task
) -> keras.Model:
    """Return the model in a file, with a layer for `scale` in front of it if it does not scale raw values itself.

    Raises ModelError if the file is missing or not accepted, does not fit the data, or cannot be trained.
    """
    source, notes = load_trainable(path, shape, classes, scale.vocabulary if isinstance(scale, Tokens) else None, task)
    _check_plain(path, source)
    if size := source.inputs[0].shape[0]:
        raise ModelError(
            f"{path}: expected a model for batches of any size; received one for batches of {size}",
            hint="Build it with keras.Input(shape) instead of a batch shape, and save it again.",
        )
    if not isinstance(scale, Tokens) and not scaling.scales_inputs(source):
        if token_inputs.embeddings(source):
            raise ModelError(
                f"{path}: its input goes to an Embedding, which takes tokens; the values of this data are scaled",
                hint="If the data are tokens, set data.kind: tokens.",
            )
        inputs = keras.Input(tuple(shape), name="input")
        source = keras.Model(inputs, source(scaling.layer(scale)(inputs)), name=source.name)
        notes.append(f"{path} does not scale its inputs: the scaling of the data set is put in front of it.")
    for text in notes:
        note(text)
    return source


def _check_plain(path: Path, model: keras.Model) -> None:
    """Refuse a quantized model, which cannot be trained."""
    for layer in model._flatten_layers(include_self=False):
        if getattr(layer, "quantization_mode", None):
            received = f"received one that is quantized ({layer.quantization_mode})"
            raise ModelError(f"{path}: expected a model to train; {received}", "Save it before it is quantized.")


def _copy(layer: keras.Layer, seeds: Iterator[int]) -> keras.Layer:
    """Return a layer of the same config with other seeds, in float32 and without weights."""
    config = _reseeded(layer.get_config(), seeds)
    if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
        # Passed as lists: as weights they would be lost.
        config |= {"mean": layer.adapt_mean.numpy().tolist(), "variance": layer.adapt_variance.numpy().tolist()}
    if "dtype" in config and layer.dtype_policy.name != "float32":
        config["dtype"] = "float32"
    return type(layer).from_config(config)


def _reseeded(config: Any, seeds: Iterator[int]) -> Any:
    """Return a config in which each initializer and each layer that draws at random has its own seed."""
    if isinstance(config, dict):
        return {key: next(seeds) if key == "seed" else _reseeded(value, seeds) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_reseeded(value, seeds) for value in config)
    return config


def learnt(model: keras.Model) -> list[keras.Variable]:
    """Return all weights but the means and variances of Normalization layers, in the order of the layers."""
    layers = model._flatten_layers(include_self=False)
    known = {
        id(weight) for layer in layers if isinstance(layer, keras.layers.Normalization) for weight in layer.weights
    }
    return [weight for weight in model.weights if id(weight) not in known]
