"""Saves classifiers as `.keras` files, and loads those that are accepted, as models that return logits."""

import hashlib
import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.activations import ALL_OBJECTS_DICT
from keras.src.saving.serialization_lib import ObjectSharingScope

from kdistill import modelfiles
from kdistill.core import files
from kdistill.core.errors import ModelError
from kdistill.core.task import SINGLE, Task
from kdistill.modelfiles import older, versions
from kdistill.models import adapt_inputs, limits, token_inputs

# The end of the note on a removed softmax.
SOFTMAX_TAKEN_OFF = "which was taken off: distillation softens logits, and probabilities would be softened twice."
SEVERAL_OUTPUTS = "Save a model with only the classifier's output: keras.Model(model.inputs, model.outputs[0])."
ANY_SIZE_HINT = "`kdistill export` with -c fixes the shape to that of a config's data."
SIGMOID_HINT = (
    "If it was trained for one class of several, save it without the sigmoid. If an example may have several classes, "
    "the data are multi-label: set data.labels: multi."
)
SIGMOIDS_TAKEN_OFF = "which were taken off: distillation softens logits."
ONE_OUTPUT = "one output z, taken for the logits (0, z) of two classes: a positive z means the second class."
UNBUILT_HINT = (
    "Give the model its input shape, train it, and save it again: keras.Input(shape) as its first layer, or "
    "`model.build((None, *shape))`, then `model.save('name.keras')`."
)
_UNFIT_HINT = "The config and the weights are of different models: save the whole model again with `model.save(...)`."


class OtherClassesError(ModelError):
    """A model has outputs for another number of classes than the data have."""


class SigmoidsError(ModelError):
    """A model has a sigmoid for each of several classes, and its data have one class an example."""


def fingerprint(model: keras.Model) -> str:
    """Return the SHA-256 of the weights: their order, shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(weight.numpy())
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)  # Python's buffers have no bfloat16
    return digest.hexdigest()


def save(model: keras.Model, path: Path) -> None:
    """Write `model` to `path` (`.keras`), whole or not at all.

    Raises:
        OSError: the disk is full or read-only; a file that was at `path` is still there.
    """
    with files.replacing(path) as temporary:
        model.save(temporary)


def load_classifier(
    path: Path,
    shape: Sequence[int] | None = None,
    classes: int | None = None,
    vocabulary: int | None = None,
    task: Task = SINGLE,
) -> tuple[keras.Model, list[str]]:
    """Return a frozen model that maps examples to logits, and a note on each change that was made to it.

    The weights are those in the file, in the same order.

    Args:
        path: a `.keras` file.
        shape: shape of one example; None for the model's own input shape.
        classes: number of classes; None for any.
        vocabulary: number of tokens; None for other data, or any number.
        task: of the labels: what the outputs are to be.

    Raises:
        ModelError: the file is missing or damaged, or the model does not fit the data.
    """
    model, notes = load_trainable(path, shape, classes, vocabulary, task)
    model.trainable = False
    return model, notes


def load_trainable(
    path: Path, shape: Sequence[int] | None, classes: int | None, vocabulary: int | None = None, task: Task = SINGLE
) -> tuple[keras.Model, list[str]]:
    """Return what `load_classifier` does, but with each layer as trainable as it was saved.

    Raises:
        ModelError: the file is missing or damaged, or the model does not fit the data.
    """
    model, notes = load(path), []
    try:
        _check_outputs(model, classes)
        if vocabulary is not None:
            token_inputs.check(model, vocabulary)
        model = _with_tensors(model)
        shape = _fixed_shape(model) if shape is None else shape
        model, note = adapt_inputs.fitted(model, shape)
    except ModelError as error:
        raise type(error)(f"{path}: {error.message}", error.hint) from None
    if note:
        notes.append(f"{path} takes examples of another shape: {note}.")
    model, note = _with_logits(model, path) if task is SINGLE else _with_own_logits(model, path)
    if note:
        notes.append(f"{path} {note}")
    _check_call(path, model, shape)
    return model, notes


def load(path: Path) -> keras.Model:
    """Return the model in a `.keras` file, not compiled. No code but that of Keras is run for it.

    Raises:
        ModelError: the file is missing or damaged, has contents that are not accepted (see `modelfiles`) or weights
            that do not fit its layers, or Keras cannot build the model.
    """
    checked = modelfiles.check(path)
    try:
        wanted = _count_weights(checked.config, checked.values)
        if wanted > checked.values:
            raise ModelError(
                f"the weights do not fit the layers: expected {wanted} values; received {checked.values}",
                _UNFIT_HINT,
            )
        return _loaded(path, checked.config)
    except ModelError as error:
        raise _named(path, versions.explained(error, checked.metadata)) from None
    except Exception as error:  # Keras passes on all exceptions of its layers
        raise _named(path, versions.explained(_loading_error(error), checked.metadata)) from error


def _named(path: Path, error: ModelError) -> ModelError:
    return ModelError(f"{path}: {error.message}", error.hint)


def _loaded(path: Path, config: dict[str, Any]) -> keras.Model:
    """Return the model of an accepted config with the weights in the file.

    Like `keras.saving.load_model`, but Keras reads no config from the file.
    """
    model = _built(config)
    model.load_weights(path)
    return model


def _built(config: dict[str, Any]) -> keras.Model:
    with ObjectSharingScope():
        return keras.saving.deserialize_keras_object(older.current(config), safe_mode=True)


def _count_weights(config: dict[str, Any], stored: int) -> int:
    """Return the number of values in the weights of a config, without allocating them: there may be billions.

    Raises:
        ModelError: that is at most `stored`, but a layer would take too much memory or time.
    """

    def count() -> int:
        with keras.StatelessScope(initialize_variables=False):
            model = _built(config)
            _check_built(model)
            wanted = sum(math.prod(weight.shape) for weight in model.weights)
            if wanted <= stored:
                limits.check(model)
            return wanted

    # Keras keeps a list of weights to initialize for each thread; this list ends with its thread.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(count).result()


def _check_built(model: keras.Model) -> None:
    """Refuse a Sequential model without input shape, which has neither inputs nor weights."""
    if isinstance(model, keras.Sequential) and model._functional is None:
        raise ModelError("it has no input shape, and so no weights: it was saved before it was built", UNBUILT_HINT)


def _check_call(path: Path, model: keras.Model, shape: Sequence[int]) -> None:
    """Raise ModelError unless the model can be computed for an example: many layers are built without being called."""
    try:
        model(np.zeros((1, *shape), model.inputs[0].dtype), training=False)
    except Exception as error:  # Keras passes on all exceptions of its layers
        # Keras names the layer in the first paragraph; the exception's own text is the second, in bold.
        reason = " ".join(re.sub(r"\x1b\[\d+m", "", str(error)).split("\n\n")[:2]) or type(error).__name__
        raise ModelError(f"{path}: Keras cannot compute this model: {reason[:300]}") from error


def _loading_error(error: Exception) -> ModelError:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if "objects could not be loaded" in lines[0]:  # the next line has the first error
        return ModelError(f"the weights do not fit the layers: {' '.join(lines[1:2])[:300]}", _UNFIT_HINT)
    # A layer's own error comes after its whole config.
    reason = str(error).rpartition("Exception encountered: ")[2].strip().split("\n")[0] or lines[0]
    return ModelError(f"Keras cannot load this model: {reason[:300]}")


def _with_logits(model: keras.Model, path: Path) -> tuple[keras.Model, str]:
    """Return `model` with a logit for each class, and what was changed for it; raise ModelError if it has no logits."""
    if tuple(model.outputs[0].shape[1:]) == (1,):
        return _with_two_logits(model, path), f"has {ONE_OUTPUT}"
    model, softmax_removed = _without_final(model, keras.activations.softmax)
    if softmax_removed:
        return model, f"ends in a softmax, {SOFTMAX_TAKEN_OFF}"
    if _final_activation(model) is keras.activations.sigmoid:
        received = "received a model that ends in a sigmoid, an independent probability for each class"
        raise SigmoidsError(f"{path}: expected logits or a softmax; {received}", SIGMOID_HINT)
    return model, ""


def _with_own_logits(model: keras.Model, path: Path) -> tuple[keras.Model, str]:
    """Return `model` with the logit of each class's own probability, and what was changed; raises as `_with_logits`."""
    model, sigmoids_removed = _without_final(model, keras.activations.sigmoid)
    if sigmoids_removed:
        return model, f"ends in sigmoids, {SIGMOIDS_TAKEN_OFF}"
    is_softmax = _final_activation(model) is keras.activations.softmax
    if is_softmax or model.outputs[0].shape[-1] == 1:
        raise ModelError(
            f"{path}: expected a logit or a sigmoid for each class, since the data are multi-label (data.labels: "
            f"multi); received {'a softmax' if is_softmax else 'one output'}",
            hint="The probabilities of a softmax sum to 1: it is for examples of one class each.",
        )
    return model, ""


def _without_final(model: keras.Model, activation: Any) -> tuple[keras.Model, bool]:
    """Return `model` without a final softmax or sigmoid, and whether there was one."""
    history = model.outputs[0]._keras_history
    last = history.operation  # not necessarily the layer that was added last
    before = last._inbound_nodes[history.node_index].input_tensors
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    if isinstance(last, keras.Model) and len(last.outputs) == 1:  # a model within a model
        inner, removed = _without_final(last, activation)
        taken = before if len(before) > 1 else before[0]
        return (keras.Model(inputs, inner(taken), name=model.name) if removed else model), removed
    if _final_activation(model) is not activation:
        return model, False
    if isinstance(last, keras.layers.Activation) or not hasattr(last, "activation"):
        return keras.Model(inputs, before[0], name=model.name), True
    last.activation = keras.activations.linear
    return model, True


def _final_activation(model: keras.Model) -> Any:
    """Return the function that makes the output of a model; `linear` for any but an activation."""
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.Model) and len(last.outputs) == 1:
        return _final_activation(last)
    # Layers such as Softmax and LeakyReLU, and the operations (not public) of `keras.ops.sigmoid` and the like.
    named = {name.replace("_", ""): function for name, function in ALL_OBJECTS_DICT.items()}
    return named.get(type(last).__name__.lower()) or getattr(last, "activation", keras.activations.linear)


def _with_two_logits(model: keras.Model, path: Path) -> keras.Model:
    """Return a model of one output z, or its sigmoid, with the logits (0, z): softmax of (0, z) is 1 - p, p."""
    model, _ = _without_final(model, keras.activations.sigmoid)
    last = _final_activation(model)
    if last is not keras.activations.linear:
        name = getattr(last, "__name__", type(last).__name__)
        raise ModelError(f"{path}: expected one output that is linear or ends in a sigmoid; received one of {name}")
    z = model.outputs[0]
    logits = keras.layers.Concatenate(name="kdistill_two_logits")([0 * z, z])
    return keras.Model(model.inputs[0], logits, name=model.name)


def _with_tensors(model: keras.Model) -> keras.Model:
    """Return a model whose one input and one output are tensors, instead of lists or dicts with one."""
    graph = adapt_inputs.functional(model)
    plain = [isinstance(tensors, keras.KerasTensor) for tensors in (graph._inputs_struct, graph._outputs_struct)]
    if all(plain) or len(model.inputs) > 1:
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _check_outputs(model: keras.Model, classes: int | None) -> None:
    """Check that a model has one output, a logit for each class or one for two; the number is any if None."""
    outputs = [tuple(tensor.shape[1:]) for tensor in model.outputs]
    if len(outputs) == len(outputs[0]) == 1 and outputs[0][0] and classes in (None, max(outputs[0][0], 2)):
        return
    wanted = "one output, a logit for each class"
    if classes is not None:
        wanted = f"one output of shape ({classes},), a logit for each class of the data"
    received = ", ".join(map(str, outputs))
    if len(outputs) > 1:
        structure = adapt_inputs.functional(model)._outputs_struct
        # Keras flattens a dict in the order of its keys.
        names = sorted(structure) if isinstance(structure, dict) else [tensor.name for tensor in model.outputs]
        received = ", ".join(f"{name} {shape}" for name, shape in zip(names, outputs, strict=False))
        raise ModelError(f"expected {wanted}; received {received}", hint=SEVERAL_OUTPUTS)
    raise OtherClassesError(f"expected {wanted}; received {received}")


def _fixed_shape(model: keras.Model) -> tuple[int, ...]:
    """Return the shape of an example of a model with one input of a fixed shape."""
    received = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if len(received) != 1 or None in received[0]:
        shapes = ", ".join(map(str, received))
        raise ModelError(f"expected one input of a fixed shape; received {shapes}", ANY_SIZE_HINT)
    return received[0]
