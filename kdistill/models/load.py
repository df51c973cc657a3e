"""Classifiers in `.keras` files: saved whole, loaded when they are accepted, known by their weights and layers."""

import hashlib
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kdistill import modelfiles
from kdistill.core import files
from kdistill.core.errors import ModelError
from kdistill.models import adapt_inputs

# How a note about a softmax ends.
SOFTMAX_TAKEN_OFF = "which was taken off: distillation softens logits, and probabilities would be softened twice."
MOST_VALUES = 2**24  # of one layer for one example; 64 MB in float32

SEVERAL_OUTPUTS = "Save a model that has only the classifier's output: keras.Model(model.inputs, model.outputs[0])."

ANY_SIZE_HINT = "`kdistill export` with -c fixes the shape to that of the data of a config."
SIGMOID_HINT = (
    "Save it without the sigmoid, if it was trained for one class of several. A classifier of two classes with one "
    "output z has the logits (0, z): keras.layers.Concatenate()([0 * z, z])."
)

_UNFIT_HINT = "The config and the weights are of different models: save the whole model again with `model.save(...)`."


def parameters(model: keras.Model) -> int:
    """Return the number of weights, trainable or not."""
    return int(model.count_params())


def fingerprint(model: keras.Model) -> str:
    """Return the SHA-256 over the weights: their order, shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(weight.numpy())
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)  # bfloat16 is no type of Python's buffers
    return digest.hexdigest()


def architecture(model: keras.Model) -> str:
    """Return the SHA-256 of the layers and how they are connected, weights left out."""
    return hashlib.sha256(json.dumps(model.get_config(), sort_keys=True, default=str).encode()).hexdigest()


def save(model: keras.Model, path: Path) -> None:
    """Write `model` to `path` (`.keras`), whole or not at all.

    Raises:
        OSError: the disk is full or read-only; what was at `path` is still there.
    """
    with files.replacing(path) as temporary:
        model.save(temporary)


def load_classifier(path: Path, shape: Sequence[int], classes: int) -> tuple[keras.Model, list[str]]:
    """Return a frozen model that maps examples of `shape` to logits, and what was done to it to make it one.

    Its weights are those in the file, in their order.

    Raises:
        ModelError: the file is missing or damaged, or the model does not fit the data.
    """
    model, notes = open_classifier(path, shape, classes)
    model.trainable = False
    return model, notes


def load_any_classifier(path: Path, shape: Sequence[int] | None = None) -> tuple[keras.Model, list[str]]:
    """Return what `load_classifier` does, for a model of any number of classes.

    Args:
        path: of the file.
        shape: of one example; None where the model alone says what it takes.

    Raises:
        ModelError: the file is missing or damaged, or is not one input and one output of logits.
    """
    model = load(path)
    outputs = model.outputs[0].shape
    if shape is None:
        shape = model.inputs[0].shape[1:]
        if len(model.inputs) != 1 or None in shape:
            received = ", ".join(str(tuple(tensor.shape[1:])) for tensor in model.inputs)
            raise ModelError(f"{path}: expected one input of a fixed shape; received {received}", ANY_SIZE_HINT)
    if len(model.outputs) != 1 or len(outputs) != 2 or not outputs[1]:
        received = ", ".join(str(tuple(tensor.shape[1:])) for tensor in model.outputs)
        raise ModelError(f"{path}: expected one output, a logit for each class; received {received}")
    model, notes = _classifier(model, path, shape, outputs[1])
    model.trainable = False
    return model, notes


def open_classifier(path: Path, shape: Sequence[int], classes: int) -> tuple[keras.Model, list[str]]:
    """Return what `load_classifier` does, not frozen: each layer is as trainable as it was saved.

    Raises:
        ModelError: the file is missing or damaged, or the model does not fit the data.
    """
    return _classifier(load(path), path, shape, classes)


def _classifier(model: keras.Model, path: Path, shape: Sequence[int], classes: int) -> tuple[keras.Model, list[str]]:
    notes = []
    try:
        _check_outputs(model, classes)
        model, note = adapt_inputs.fitted(model, shape)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from None
    if note:
        notes.append(f"{path} takes examples of another shape: {note}.")
    model, softmax_removed = _with_logits(model)
    if softmax_removed:
        notes.append(f"{path} ends in a softmax, {SOFTMAX_TAKEN_OFF}")
    elif _ends_in_sigmoid(model):
        raise ModelError(
            f"{path}: expected logits or a softmax; received a model that ends in a sigmoid, a probability for each "
            "class by itself",
            SIGMOID_HINT,
        )
    return model, notes


def load(path: Path) -> keras.Model:
    """Return the model in a local `.keras` file, not compiled. Nothing that is not part of Keras is ever run for it.

    Raises:
        ModelError: there is no such file, it is damaged, something in it is not accepted (see `modelfiles`), its
            weights do not fit its layers, or Keras cannot build it.
    """
    checked = modelfiles.check(path)
    try:
        wanted = _count_weights(checked.config, checked.values)
        if wanted > checked.values:
            raise ModelError(
                f"{path}: the weights do not fit the layers: expected {wanted} values; received {checked.values}",
                _UNFIT_HINT,
            )
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except ModelError as error:
        raise ModelError(
            error.message if str(path) in error.message else f"{path}: {error.message}", error.hint
        ) from None
    except Exception as error:  # Keras raises whatever its layers raise
        raise _loading_error(path, error) from error


def _count_weights(config: dict[str, Any], stored: int) -> int:
    """Return how many values the weights of a config have, without making room for them: there may be billions.

    Raises:
        ModelError: they are not more than are stored, but what a layer puts out would be.
    """

    def count() -> int:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            wanted = sum(math.prod(weight.shape) for weight in model.weights)
            if wanted <= stored:
                for layer in model._flatten_layers(include_self=False):
                    _check_output(layer)
            return wanted

    # Keras lists the weights that it has yet to make, for each thread: this list ends with its thread.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(count).result()


def _check_output(layer: keras.Layer) -> None:
    """Refuse a layer that makes a giant of a small example, such as UpSampling2D(100000)."""
    shapes = [tuple(tensor.shape[1:]) for node in layer._inbound_nodes for tensor in node.output_tensors]
    for shape in shapes:
        if math.prod(size or 1 for size in shape) > MOST_VALUES:
            raise ModelError(
                f"the layer {layer.name} has outputs of shape {shape}: expected at most {MOST_VALUES:,} values"
            )


def _loading_error(path: Path, error: Exception) -> ModelError:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if "objects could not be loaded" in lines[0]:  # then comes the first of the errors, then a list of layers
        return ModelError(f"{path}: the weights do not fit the layers: {' '.join(lines[1:2])[:300]}", _UNFIT_HINT)
    # What went wrong in a layer comes after its whole config.
    reason = str(error).rpartition("Exception encountered: ")[2].strip().split("\n")[0] or lines[0]
    return ModelError(f"{path}: Keras cannot load this model: {reason[:300]}")


def _with_logits(model: keras.Model) -> tuple[keras.Model, bool]:
    """Return `model` ending in logits, and whether a final softmax had to be taken off."""
    history = model.outputs[0]._keras_history
    last = history.operation  # which need not be the layer that was added last
    before = last._inbound_nodes[history.node_index].input_tensors
    softmax = keras.activations.softmax
    # The layer, or what `keras.ops.softmax` leaves in a model, which has no public name.
    is_softmax = type(last).__name__ == "Softmax"
    if is_softmax or (isinstance(last, keras.layers.Activation) and last.activation is softmax):
        return keras.Model(_inputs(model), before[0], name=model.name), True
    if getattr(last, "activation", None) is softmax:
        last.activation = keras.activations.linear
        return model, True
    if isinstance(last, keras.Model) and len(last.outputs) == 1:  # a model within a model
        inner, removed = _with_logits(last)
        taken = before if len(before) > 1 else before[0]
        return (keras.Model(model.inputs[0], inner(taken), name=model.name), True) if removed else (model, False)
    return model, False


def _inputs(model: keras.Model) -> keras.KerasTensor | list[keras.KerasTensor]:
    """Return the input of a model as it is called with; a model within a model may have several."""
    return model.inputs if len(model.inputs) > 1 else model.inputs[0]


def _ends_in_sigmoid(model: keras.Model) -> bool:
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.Model) and len(last.outputs) == 1:
        return _ends_in_sigmoid(last)
    return type(last).__name__ == "Sigmoid" or getattr(last, "activation", None) is keras.activations.sigmoid


def _check_outputs(model: keras.Model, classes: int) -> None:
    """Refuse a model whose outputs do not fit the data."""
    outputs = [tuple(tensor.shape[1:]) for tensor in model.outputs]
    if outputs != [(classes,)]:
        received = ", ".join(map(str, outputs))
        raise ModelError(
            f"expected one output of shape ({classes},), a logit for each class of the data; received {received}",
            hint=SEVERAL_OUTPUTS if len(outputs) > 1 else SIGMOID_HINT if (outputs, classes) == ([(1,)], 2) else None,
        )
