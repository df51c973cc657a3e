"""The outline of a model, from its config and without TensorFlow: what it takes, and the kinds of its layers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kdistill import modelfiles

RECURRENT = ("LSTM", "GRU", "RNN")


class Outline(NamedTuple):
    """What is known of a model in a file.

    Attributes:
        parameters: the number of its weights.
        shape: shape of one example, None for a size that may be any; empty if it is not known.
        layers: names of the classes of all its layers.
    """

    parameters: int
    shape: tuple[int | None, ...]
    layers: frozenset[str]

    @property
    def has_convolutions(self) -> bool:
        """Whether there are convolutions, in any number of dimensions."""
        return any("Conv" in name for name in self.layers)

    @property
    def is_recurrent(self) -> bool:
        """Whether there are recurrent layers."""
        return any(name.endswith(RECURRENT) for name in self.layers)

    @property
    def takes_tokens(self) -> bool:
        """Whether it embeds what it takes."""
        return "Embedding" in self.layers


def outline(path: Path) -> Outline:
    """Return the outline of the model in a `.keras` file.

    Raises:
        ModelError: the file is missing, damaged or not accepted.
    """
    found = list(_layers(modelfiles.config(path)))
    shapes = [shape for name, own in found if name == "InputLayer" and (shape := _shape(own))]
    return Outline(modelfiles.parameters(path), shapes[0] if shapes else (), frozenset(name for name, _ in found))


def _layers(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the class and the config of each layer in a config, at any depth."""
    if isinstance(value, dict):
        name, own = value.get("class_name"), value.get("config")
        if isinstance(name, str) and isinstance(own, dict):
            yield name, own
        for inner in value.values():
            yield from _layers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _layers(inner)


def _shape(own: dict[str, Any]) -> tuple[int | None, ...]:
    """Return the shape of an example that an input layer takes; empty if its config does not say."""
    shape = own.get("batch_shape") or own.get("batch_input_shape")
    is_known = isinstance(shape, list) and all(size is None or type(size) is int for size in shape)
    return tuple(shape[1:]) if is_known and shape else ()
