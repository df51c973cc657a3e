"""Builds a classifier from a config section, layer by layer up to the logits, or from the layers of a file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kdistill.config.architecture import check_layers
from kdistill.core import kinds
from kdistill.core.kinds import Kind
from kdistill.core.scaling import Scale, Tokens
from kdistill.core.task import SINGLE, Task
from kdistill.models import from_file, scaling, warm_start

if TYPE_CHECKING:
    from kdistill.config import Model

# Teacher and student draw from different streams: a student of the teacher's architecture starts with other weights.
_STREAM = {"teacher": 0, "student": 1}

Seeds = Iterator[int]


def build(
    section: "Model",
    role: str,
    shape: Sequence[int],
    classes: int,
    scale: Scale,
    seed: int,
    note: Callable[[str], None] = lambda text: None,
    kind: Kind | None = None,
    task: Task = SINGLE,
) -> keras.Model:
    """Return a model before its training: scaling or embedding, blocks, recurrent and hidden layers, logits.

    Initial weights and dropout masks depend only on role, seed and layer: students of one seed start with equal ones.

    Args:
        section: section `teacher` or `student` of a config; if it names a model file, the layers are those of the file.
        role: `teacher` or `student`.
        shape: shape of one example, such as (28, 28).
        classes: number of logits.
        scale: factor or standardization of raw values, or the vocabulary of tokens.
        seed: seed of the run.
        note: receives a sentence on each change to a model from a file.
        kind: kind of the examples; None for that of their shape.
        task: of the labels.

    Raises:
        ConfigError: the layers are not for examples of this kind, or the examples are too small.
        ModelError: the model file is missing or not accepted, or does not fit the data.
    """
    model = _with_first_weights(section, role, shape, classes, scale, _layer_seeds(role, seed), note, kind, task)
    if section.weights_file:
        warm_start.take_weights(model, Path(section.weights_file), shape, classes, scale, note, task)
    return model


def _with_first_weights(
    section: "Model",
    role: str,
    shape: Sequence[int],
    classes: int,
    scale: Scale,
    seeds: Seeds,
    note: Callable[[str], None],
    kind: Kind | None,
    task: Task,
) -> keras.Model:
    """Return a model with fresh weights, or as `model` and `initial_weights: file` say; see `build`."""
    if section.model:
        return from_file.from_file(Path(section.model), shape, classes, scale, seeds, section.keeps_weights, note, task)
    kind = kind or kinds.plain(shape)
    check_layers(section, role, shape, kind)
    inputs = keras.Input(tuple(shape), name="input", dtype="int32" if kind == "tokens" else None)
    first = _embedding(section, scale, seeds) if isinstance(scale, Tokens) else scaling.layer(scale)
    outputs = _hidden(_features(first(inputs), section, kind, seeds), section, seeds)
    outputs = keras.layers.Dense(classes, kernel_initializer=_glorot(seeds), name="logits")(outputs)
    return keras.Model(inputs, outputs, name=role)


def _embedding(section: "Model", tokens: Tokens, seeds: Seeds) -> keras.Layer:
    uniform = keras.initializers.RandomUniform(seed=next(seeds))  # Keras's default
    return keras.layers.Embedding(
        tokens.vocabulary, section.embedding, embeddings_initializer=uniform, name="embedding"
    )


def _features(outputs: keras.KerasTensor, section: "Model", kind: Kind, seeds: Seeds) -> keras.KerasTensor:
    """Return the features (batch, features) that hidden layers take: of blocks, recurrent layers, or all values."""
    dimensions = kinds.PLACES[kind]
    if (section.conv or section.recurrent) and len(outputs.shape) == dimensions + 1:
        outputs = keras.layers.Reshape((*outputs.shape[1:], 1), name="channel")(outputs)
    if section.conv:
        outputs = _convolutions(outputs, section, dimensions, seeds)
    if section.recurrent:
        return _recurrent(outputs, section, seeds)
    if section.global_pool or (section.embedding and not section.conv):
        return _layer("GlobalAveragePooling", dimensions)(name="global_pool")(outputs)
    return keras.layers.Flatten(name="flatten")(outputs)


def _layer(name: str, dimensions: int) -> Any:
    """Return Keras's layer of this name for examples with a number of dimensions, such as Conv2D."""
    return getattr(keras.layers, f"{name}{dimensions}D")


def _convolutions(outputs: keras.KerasTensor, section: "Model", dimensions: int, seeds: Seeds) -> keras.KerasTensor:
    """Return the outputs of the convolution blocks, which keep the places and have channels."""
    for number, filters in enumerate(section.conv, start=1):
        outputs = _convolution(section, filters, number, dimensions, seeds)(outputs)
        outputs = _normalised(outputs, section, f"conv_{number}")
        if section.pool > 1:
            outputs = _layer("MaxPooling", dimensions)(section.pool, name=f"pool_{number}")(outputs)
    return outputs


def _convolution(section: "Model", filters: int, number: int, dimensions: int, seeds: Seeds) -> keras.Layer:
    common = {"padding": "same", "name": f"conv_{number}", **_before_norm(section)}
    incoming = list(range(dimensions + 1))  # the axes of the places, and that of the channels
    if section.separable and number > 1:
        depthwise = _kernel(section, seeds, "depthwise", incoming[:-1])
        kernels = depthwise | _kernel(section, seeds, "pointwise", incoming)
        return _layer("SeparableConv", dimensions)(filters, section.kernel, **common, **kernels)
    return _layer("Conv", dimensions)(filters, section.kernel, **common, **_kernel(section, seeds, "kernel", incoming))


def _recurrent(outputs: keras.KerasTensor, section: "Model", seeds: Seeds) -> keras.KerasTensor:
    """Return the last state (batch, units) of the last recurrent layer."""
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[section.cell]
    for number, units in enumerate(section.recurrent, start=1):
        kernels = _kernel(section, seeds, "kernel", 0) | _kernel(section, seeds, "recurrent", 0)
        kernels["recurrent_initializer"] = keras.initializers.Orthogonal(seed=next(seeds))  # Keras's default
        returns_all = number < len(section.recurrent)
        outputs = layer(units, return_sequences=returns_all, name=f"recurrent_{number}", **kernels)(outputs)
    return outputs


def _hidden(outputs: keras.KerasTensor, section: "Model", seeds: Seeds) -> keras.KerasTensor:
    """Return the outputs of the hidden layers, each with its dropout; without any, the features after dropout."""
    if section.dropout and not section.hidden:
        return keras.layers.Dropout(section.dropout, seed=next(seeds), name="dropout")(outputs)
    for number, units in enumerate(section.hidden, start=1):
        common = {"name": f"hidden_{number}", **_before_norm(section)}
        dense = keras.layers.Dense(units, **common, **_kernel(section, seeds, "kernel", 0))
        outputs = _normalised(dense(outputs), section, f"hidden_{number}")
        if section.dropout:
            outputs = keras.layers.Dropout(section.dropout, seed=next(seeds), name=f"dropout_{number}")(outputs)
    return outputs


def _before_norm(section: "Model") -> dict[str, Any]:
    """Return the activation of a layer; a normalisation after it replaces its bias, and precedes the activation."""
    return {"use_bias": False} if section.batch_norm else {"activation": section.activation}


def _normalised(outputs: keras.KerasTensor, section: "Model", layer: str) -> keras.KerasTensor:
    """Return the outputs of `layer` after normalisation and activation, if the section has normalisation."""
    if not section.batch_norm:
        return outputs
    outputs = keras.layers.BatchNormalization(name=f"{layer}_norm")(outputs)
    return keras.layers.Activation(section.activation, name=f"{layer}_activation")(outputs)


def _glorot(seeds: Seeds) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _kernel(section: "Model", seeds: Seeds, kernel: str, axis: int | list[int]) -> dict[str, Any]:
    """Return the arguments of a layer for one of its kernels; the incoming weights of a unit lie along `axis`."""
    return {
        f"{kernel}_initializer": _glorot(seeds),
        f"{kernel}_regularizer": keras.regularizers.L2(section.l2) if section.l2 else None,
        f"{kernel}_constraint": keras.constraints.MaxNorm(section.max_norm, axis) if section.max_norm else None,
    }


def _layer_seeds(role: str, seed: int) -> Seeds:
    sequence = np.random.SeedSequence([_STREAM[role], seed])
    while True:
        yield int(sequence.spawn(1)[0].generate_state(1)[0]) & 0x7FFFFFFF
