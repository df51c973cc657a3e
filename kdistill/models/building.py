"""Builds a classifier from a config section: convolution blocks, hidden layers, logits, or a file's architecture."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kdistill import arithmetic
from kdistill.models import copying
from kdistill.scaling import Scale, Standardization

if TYPE_CHECKING:
    from kdistill.config import Arm

# Teacher and student draw from different streams, so that a student of the teacher's own shape does not start as it.
_STREAM = {"teacher": 0, "student": 1}

Seeds = Iterator[int]


def build(
    arm: "Arm",
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
        arm: the `teacher` or `student` section of a config; if it names a model file, the architecture is the file's.
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
    if arm.model:
        keep = arm.initial_weights == "file"
        return copying.from_file(Path(arm.model), shape, classes, _scaling(scale), seeds, keep, note)
    outputs = inputs = keras.Input(tuple(shape), name="input")
    outputs = _scaling(scale)(outputs)
    if arm.conv:
        outputs = _convolutions(outputs, arm, role, shape, seeds)
    else:
        outputs = keras.layers.Flatten(name="flatten")(outputs)
    for number, units in enumerate(arm.hidden, start=1):
        outputs = _hidden(outputs, arm, units, number, seeds)
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
    outputs: keras.KerasTensor, arm: "Arm", role: str, shape: Sequence[int], seeds: Seeds
) -> keras.KerasTensor:
    """Return what the convolution blocks make of images, as one row of values for each example."""
    arithmetic.check_images(arm, role, shape)
    if len(shape) == 2:
        outputs = keras.layers.Reshape((*shape, 1), name="channel")(outputs)
    for number, filters in enumerate(arm.conv, start=1):
        convolution = _separable if arm.separable and number > 1 else _convolution
        outputs = convolution(arm, filters, number, seeds)(outputs)
        outputs = _normalised(outputs, arm, f"conv_{number}")
        if arm.pool > 1:
            outputs = keras.layers.MaxPooling2D(arm.pool, name=f"pool_{number}")(outputs)
    if arm.global_pool:
        outputs = keras.layers.GlobalAveragePooling2D(name="global_pool")(outputs)
    else:
        outputs = keras.layers.Flatten(name="flatten")(outputs)
    if arm.dropout and not arm.hidden:
        outputs = keras.layers.Dropout(arm.dropout, seed=next(seeds), name="dropout")(outputs)
    return outputs


def _convolution(arm: "Arm", filters: int, number: int, seeds: Seeds) -> keras.Layer:
    return keras.layers.Conv2D(
        kernel_initializer=_glorot(seeds),
        kernel_regularizer=_penalty(arm),
        kernel_constraint=_bound(arm, [0, 1, 2]),
        **_of_block(arm, filters, number),
    )


def _separable(arm: "Arm", filters: int, number: int, seeds: Seeds) -> keras.Layer:
    """Return a convolution of each channel by itself, followed by one of single pixels across the channels."""
    return keras.layers.SeparableConv2D(
        depthwise_initializer=_glorot(seeds),
        pointwise_initializer=_glorot(seeds),
        depthwise_regularizer=_penalty(arm),
        pointwise_regularizer=_penalty(arm),
        depthwise_constraint=_bound(arm, [0, 1]),
        pointwise_constraint=_bound(arm, [0, 1, 2]),
        **_of_block(arm, filters, number),
    )


def _of_block(arm: "Arm", filters: int, number: int) -> dict[str, Any]:
    """Return what a convolution of either kind takes."""
    size = {"filters": filters, "kernel_size": arm.kernel, "padding": "same"}
    return {**size, "name": f"conv_{number}", **_before_norm(arm)}


def _hidden(outputs: keras.KerasTensor, arm: "Arm", units: int, number: int, seeds: Seeds) -> keras.KerasTensor:
    dense = keras.layers.Dense(
        units,
        kernel_initializer=_glorot(seeds),
        kernel_regularizer=_penalty(arm),
        kernel_constraint=_bound(arm, 0),
        name=f"hidden_{number}",
        **_before_norm(arm),
    )
    outputs = _normalised(dense(outputs), arm, f"hidden_{number}")
    if arm.dropout:
        outputs = keras.layers.Dropout(arm.dropout, seed=next(seeds), name=f"dropout_{number}")(outputs)
    return outputs


def _before_norm(arm: "Arm") -> dict[str, Any]:
    """Return what else a layer takes: before a normalisation, which has an offset and comes first, neither of these."""
    return {"use_bias": False} if arm.batch_norm else {"activation": arm.activation}


def _normalised(outputs: keras.KerasTensor, arm: "Arm", layer: str) -> keras.KerasTensor:
    """Return the outputs of `layer` with normalisation and activation, where it has no activation of its own."""
    if not arm.batch_norm:
        return outputs
    outputs = keras.layers.BatchNormalization(name=f"{layer}_norm")(outputs)
    return keras.layers.Activation(arm.activation, name=f"{layer}_activation")(outputs)


def _glorot(seeds: Seeds) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _penalty(arm: "Arm") -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(arm.l2) if arm.l2 else None


def _bound(arm: "Arm", axis: int | list[int]) -> keras.constraints.Constraint | None:
    """Return the limit on a unit's incoming weights, which lie along `axis`."""
    return keras.constraints.MaxNorm(arm.max_norm, axis=axis) if arm.max_norm else None


def _layer_seeds(role: str, seed: int) -> Seeds:
    sequence = np.random.SeedSequence([_STREAM[role], seed])
    while True:
        yield int(sequence.spawn(1)[0].generate_state(1)[0]) & 0x7FFFFFFF
