"""Builds a classifier from a config section: convolution blocks, hidden layers and logits, or a file's layers."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kdistill.config.architecture import check_images
from kdistill.core.scaling import Scale, Standardization
from kdistill.models import from_file

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
) -> keras.Model:
    """Return a model with fresh weights: scaling, convolution blocks, hidden layers, one logit for each class.

    Initial weights and dropout masks depend only on `role`, `seed` and the layer: two students of one seed start with
    equal weights.

    Args:
        section: section `teacher` or `student` of a config; if it names a model file, the layers are those of the file.
        role: `teacher` or `student`.
        shape: shape of one example, such as (28, 28).
        classes: number of logits.
        scale: factor or standardization of raw values.
        seed: seed of the run.
        note: receives a sentence on each change to a model from a file.

    Raises:
        ConfigError: convolution blocks get examples that are not images, or images that are too small.
        ModelError: the model file is missing or not accepted, or does not fit the data.
    """
    seeds = _layer_seeds(role, seed)
    if section.model:
        keep = section.initial_weights == "file"
        return from_file.from_file(Path(section.model), shape, classes, _scaling(scale), seeds, keep, note)
    inputs = keras.Input(tuple(shape), name="input")
    outputs = _scaling(scale)(inputs)
    flat = keras.layers.Flatten(name="flatten")
    outputs = _convolutions(outputs, section, role, shape, seeds) if section.conv else flat(outputs)
    for number, units in enumerate(section.hidden, start=1):
        outputs = _hidden(outputs, section, units, number, seeds)
    outputs = keras.layers.Dense(classes, kernel_initializer=_glorot(seeds), name="logits")(outputs)
    return keras.Model(inputs, outputs, name=role)


def _scaling(scale: Scale) -> keras.Layer:
    """Return the layer that scales raw values."""
    if not isinstance(scale, Standardization):
        return keras.layers.Rescaling(scale, name="scaling")
    if len(scale.mean) == 1:  # of all values together
        return keras.layers.Normalization(axis=None, mean=scale.mean[0], variance=scale.variance[0], name="scaling")
    return keras.layers.Normalization(axis=-1, mean=list(scale.mean), variance=list(scale.variance), name="scaling")


def _convolutions(
    outputs: keras.KerasTensor, section: "Model", role: str, shape: Sequence[int], seeds: Seeds
) -> keras.KerasTensor:
    """Return the outputs of the convolution blocks, one row of values (batch, features) for each image."""
    check_images(section, role, shape)
    if len(shape) == 2:
        outputs = keras.layers.Reshape((*shape, 1), name="channel")(outputs)
    for number, filters in enumerate(section.conv, start=1):
        outputs = _convolution(section, filters, number, seeds)(outputs)
        outputs = _normalised(outputs, section, f"conv_{number}")
        if section.pool > 1:
            outputs = keras.layers.MaxPooling2D(section.pool, name=f"pool_{number}")(outputs)
    if section.global_pool:
        outputs = keras.layers.GlobalAveragePooling2D(name="global_pool")(outputs)
    else:
        outputs = keras.layers.Flatten(name="flatten")(outputs)
    if section.dropout and not section.hidden:
        outputs = keras.layers.Dropout(section.dropout, seed=next(seeds), name="dropout")(outputs)
    return outputs


def _convolution(section: "Model", filters: int, number: int, seeds: Seeds) -> keras.Layer:
    common = {"padding": "same", "name": f"conv_{number}", **_before_norm(section)}
    if section.separable and number > 1:
        kernels = _kernel(section, seeds, "depthwise", [0, 1]) | _kernel(section, seeds, "pointwise", [0, 1, 2])
        return keras.layers.SeparableConv2D(filters, section.kernel, **common, **kernels)
    return keras.layers.Conv2D(filters, section.kernel, **common, **_kernel(section, seeds, "kernel", [0, 1, 2]))


def _hidden(outputs: keras.KerasTensor, section: "Model", units: int, number: int, seeds: Seeds) -> keras.KerasTensor:
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
