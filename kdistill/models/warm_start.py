"""A warm start: training begins with the weights in a `.keras` file of the same architecture."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

import keras

from kdistill.core.errors import ModelError
from kdistill.core.scaling import Scale
from kdistill.core.task import Task
from kdistill.models import from_file

# Layers without weights or any part in what is computed from them: scaling is that of the data, dropout of training.
ASIDE = (
    keras.Model,
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Reshape,
)
# What decides what a layer computes, besides the shapes of its weights.
KEYS = ("units", "filters", "kernel_size", "strides", "padding", "pool_size", "return_sequences", "activation")
HINT = (
    "Give a file of the student's own layers; or take the layers of the file too: student.model: FILE, with "
    "initial_weights: file."
)


def take_weights(
    model: keras.Model,
    path: Path,
    shape: Sequence[int],
    classes: int,
    scale: Scale,
    note: Callable[[str], None],
    task: Task,
) -> None:
    """Give a model the weights in a file, which has the same layers apart from scaling and dropout.

    Args:
        model: receives the weights.
        path: the `.keras` file.
        shape: shape of one example.
        classes: number of logits.
        scale: of raw values: see `from_file`.
        note: receives a sentence on what is done.
        task: of the labels.

    Raises:
        ModelError: the file is missing or not accepted, does not fit the data, or has another architecture; says in
            which layer.
    """
    source = from_file.with_scaling(path, shape, classes, scale, note, task)
    if problem := _difference(layers_of(source), layers_of(model)):
        raise ModelError(f"{path}: expected the architecture of the student (student.initial_weights); {problem}", HINT)
    for before, after in zip(from_file.learnt(source), from_file.learnt(model), strict=True):
        after.assign(before)
    note(f"Every student starts from the weights in {path} (student.initial_weights), the baseline too.")


def layers_of(model: keras.Model) -> list[str]:
    """Return each layer of a model in words, apart from scaling and dropout, such as `Dense(64 x 16, 16; units 16)`."""
    layers = [layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, ASIDE)]
    return [_in_words(layer) for layer in layers]


def _in_words(layer: keras.Layer) -> str:
    config = layer.get_config()
    keys = [f"{key} {_value(config[key])}" for key in KEYS if config.get(key) is not None]
    shapes = [" x ".join(map(str, weight.shape)) for weight in layer.weights if weight.shape]
    described = "; ".join(filter(None, [", ".join(keys), f"weights {', '.join(shapes)}" if shapes else ""]))
    return f"{type(layer).__name__}({described})"


def _value(value: object) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _difference(received: Sequence[str], expected: Sequence[str]) -> str | None:
    """Return in words the first difference between the layers of a file and those of the student; None without any."""
    for number, (of_file, own) in enumerate(zip_longest(received, expected, fillvalue="missing"), start=1):
        if of_file != own:
            return f"layer {number} is {of_file} in the file, and {own} in the student"
    return None
