"""Builds a classifier from a config section: convolution blocks, hidden layers, logits, or a file's architecture."""

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

# Teacher and student draw from different streams, so that a student of the teacher's own shape does not start as it.
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

    The initial weights and the dropout masks depend on `role`, `seed` and the layer alone: two students of one
    seed start equal, whatever was built before.

    Args:
        section: `teacher` or `student` of a config; if it names a model file, the architecture is the file's.
        role: `teacher` or `student`.
        shape: of one example, such as (28, 28).
        classes: number of logits.
        scale: raw values are multiplied by it, or standardised as it says.
        seed: of the run.
        note: told what is done to a model from a file to make it fit.

    Raises:
        ConfigError: convolution blocks on examples that are no images, or on images too small for so many.
        ModelError: the model file is missing, not accepted, or does not fit the data.
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
    """Return the layer that takes raw values."""
    if not isinstance(scale, Standardization):
        return keras.layers.Rescaling(scale, name="scaling")
    if len(scale.mean) == 1:  # of all values, whatever the shape
        return keras.layers.Normalization(axis=None, mean=scale.mean[0], variance=scale.variance[0], name="scaling")
    return keras.layers.Normalization(axis=-1, mean=list(scale.mean), variance=list(scale.variance), name="scaling")


def _convolutions(
    outputs: keras.KerasTensor, section: "Model", role: str, shape: Sequence[int], seeds: Seeds
) -> keras.KerasTensor:
    """Return what the convolution blocks make of images, as one row of values for each example."""
    check_images(section, role, shape)
    if len(shape) == 2:
        outputs = keras.layers.Reshape((*shape, 1), name="channel")(outputs)
    for number, filters in enumerate(section.conv, start=1):
        convolution = _separable if section.separable and number > 1 else _convolution
        outputs = convolution(section, filters, number, seeds)(outputs)
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
    return keras.layers.Conv2D(
        kernel_initializer=_glorot(seeds),
        kernel_regularizer=_penalty(section),
        kernel_constraint=_bound(section, [0, 1, 2]),
        **_of_block(section, filters, number),
    )


def _separable(section: "Model", filters: int, number: int, seeds: Seeds) -> keras.Layer:
    """Return a convolution of each channel by itself, followed by one of single pixels across the channels."""
    return keras.layers.SeparableConv2D(
        depthwise_initializer=_glorot(seeds),
        pointwise_initializer=_glorot(seeds),
        depthwise_regularizer=_penalty(section),
        pointwise_regularizer=_penalty(section),
        depthwise_constraint=_bound(section, [0, 1]),
        pointwise_constraint=_bound(section, [0, 1, 2]),
        **_of_block(section, filters, number),
    )


def _of_block(section: "Model", filters: int, number: int) -> dict[str, Any]:
    """Return what a convolution of either kind takes."""
    size = {"filters": filters, "kernel_size": section.kernel, "padding": "same"}
    return {**size, "name": f"conv_{number}", **_before_norm(section)}


def _hidden(outputs: keras.KerasTensor, section: "Model", units: int, number: int, seeds: Seeds) -> keras.KerasTensor:
    dense = keras.layers.Dense(
        units,
        kernel_initializer=_glorot(seeds),
        kernel_regularizer=_penalty(section),
        kernel_constraint=_bound(section, 0),
        name=f"hidden_{number}",
        **_before_norm(section),
    )
    outputs = _normalised(dense(outputs), section, f"hidden_{number}")
    if section.dropout:
        outputs = keras.layers.Dropout(section.dropout, seed=next(seeds), name=f"dropout_{number}")(outputs)
    return outputs


def _before_norm(section: "Model") -> dict[str, Any]:
    """Return what else a layer takes: before a normalisation, which has an offset and comes first, neither of these."""
    return {"use_bias": False} if section.batch_norm else {"activation": section.activation}


def _normalised(outputs: keras.KerasTensor, section: "Model", layer: str) -> keras.KerasTensor:
    """Return the outputs of `layer` with normalisation and activation, where it has no activation of its own."""
    if not section.batch_norm:
        return outputs
    outputs = keras.layers.BatchNormalization(name=f"{layer}_norm")(outputs)
    return keras.layers.Activation(section.activation, name=f"{layer}_activation")(outputs)


def _glorot(seeds: Seeds) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _penalty(section: "Model") -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(section.l2) if section.l2 else None


def _bound(section: "Model", axis: int | list[int]) -> keras.constraints.Constraint | None:
    """Return the limit on a unit's incoming weights, which lie along `axis`."""
    return keras.constraints.MaxNorm(section.max_norm, axis=axis) if section.max_norm else None


def _layer_seeds(role: str, seed: int) -> Seeds:
    sequence = np.random.SeedSequence([_STREAM[role], seed])
    while True:
        yield int(sequence.spawn(1)[0].generate_state(1)[0]) & 0x7FFFFFFF
