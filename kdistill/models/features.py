"""The layers of a model by name, with their outputs for hints: which there are, and a layer that returns them.

A model from elsewhere may be within another one, such as the model that scales its inputs. Its layers have the names
that they have in it; a name that several layers have is written with those of the models around: `block/conv`.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.models.adapt_inputs import functional

APART = "/"  # between the names of a model and of a layer in it


@dataclass(frozen=True)
class Layer:
    """A layer of a model.

    Attributes:
        name: by which it is chosen.
        kind: the name of its class.
        shape: of its output for one example; None if it has several outputs, or one of any size.
        calls: how often it is called for an example; more than once if it is shared.
        learns: whether its output depends on weights that are trained.
        channels_last: whether the last axis of a map is that of the channels.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    calls: int = 1
    learns: bool = True
    channels_last: bool = True


@dataclass(frozen=True)
class Feature:
    """The outputs of a layer as they are compared.

    Attributes:
        layer: its name.
        shape: for one example, (values,), or of a map (*places, channels): it is averaged to these places.
    """

    layer: str
    shape: tuple[int, ...]


def layers_of(model: keras.Model, shape: Sequence[int]) -> list[Layer]:
    """Return the layers of a model for examples of `shape`, in the order in which they are computed."""
    traced = _Trace()
    traced.through(functional(model), keras.Input(tuple(shape), dtype=model.inputs[0].dtype))
    layers = {name: traced.calls[path] for name, path in traced.paths().items()}
    is_last = all(getattr(layer, "data_format", None) != "channels_first" for layer, _ in layers.values())
    return [
        Layer(name, type(layer).__name__, _shape(calls), len(calls), traced.learns(calls), is_last)
        for name, (layer, calls) in layers.items()
    ]


def _shape(calls: Sequence[Any]) -> tuple[int, ...] | None:
    outputs = keras.tree.flatten(calls[0])
    shape = tuple(outputs[0].shape[1:]) if len(outputs) == 1 else ()
    return shape if shape and None not in shape else None


class WithFeatures(keras.Layer):
    """A classifier that also returns features, which are outputs of some of its layers; it has the same weights.

    Args:
        model: a classifier with one input.
        features: of layers that are called once and have one output: see `layers_of`.
    """

    def __init__(self, model: keras.Model, features: Sequence[Feature]) -> None:
        super().__init__()
        self.model = model
        self._features = tuple(features)

    def call(self, inputs: Any, training: bool = False) -> list[Any]:
        """Return the logits, and each feature (batch, *shape)."""
        traced = _Trace()
        outputs = traced.through(functional(self.model), inputs, (), training)
        paths = traced.paths()
        features = [
            pooled(keras.tree.flatten(traced.calls[paths[each.layer]][1])[0], each.shape[:-1])
            for each in self._features
        ]
        return [*keras.tree.flatten(outputs), *features]


def pooled(features: tf.Tensor, places: Sequence[int]) -> tf.Tensor:
    """Return a map (batch, *sizes, channels) averaged to `places`, each at most as large.

    Place p of m is the mean of those from floor(p * n / m) to ceil((p + 1) * n / m) of n: PyTorch's adaptive pooling.
    """
    for axis, (size, fewer) in enumerate(zip(features.shape[1:-1], places, strict=True), start=1):
        if size != fewer:
            windows = tf.constant(_windows(size, fewer), features.dtype)
            features = tf.experimental.numpy.moveaxis(tf.tensordot(features, windows, [[axis], [1]]), -1, axis)
    return features


def _windows(size: int, fewer: int) -> NDArray[np.float64]:
    """Return the weights (fewer, size) of an average of `size` places to `fewer`."""
    windows = np.zeros((fewer, size))
    for place in range(fewer):
        first, end = place * size // fewer, -(-(place + 1) * size // fewer)
        windows[place, first:end] = 1 / (end - first)
    return windows


class _Trace:
    """The outputs of the layers of a model in a call, the models in it layer by layer.

    Attributes:
        calls: by the path of a layer, its own name last: the layer, and what each of its calls returned.
    """

    def __init__(self) -> None:
        self.calls: dict[tuple[str, ...], tuple[keras.Layer, list[Any]]] = {}
        self._learnt: dict[int, Any] = {}  # outputs that depend on trained weights; kept, so that their ids stay theirs

    def learns(self, values: Any) -> bool:
        return any(id(value) in self._learnt for value in keras.tree.flatten(values))

    def paths(self) -> dict[str, tuple[str, ...]]:
        """Return the path of each layer by its name, which is its own if no other layer has the same."""
        own = [path[-1] for path in self.calls]
        return {path[-1] if own.count(path[-1]) == 1 else APART.join(path): path for path in self.calls}

    def through(self, graph: Any, inputs: Any, above: tuple[str, ...] = (), training: bool | None = None) -> Any:
        """Return the outputs of a functional model within the models `above`; None leaves `training` to its layers."""
        inputs = graph._standardize_inputs(inputs)
        return graph._run_through_graph(inputs, operation_fn=lambda each: self._watched(each, above, training))

    def _watched(self, operation: Any, above: tuple[str, ...], training: bool | None) -> Any:
        path = (*above, operation.name)
        inner = functional(operation) if isinstance(operation, keras.Model) else None

        def call(*args: Any, **kwargs: Any) -> Any:
            # As in Keras, how the whole model is called wins over how a model in it was called when it was built.
            mode = kwargs.get("training") if training is None else training
            if hasattr(inner, "_run_through_graph"):
                outputs = self.through(inner, args[0], path, mode)
            else:
                if mode is not None and "training" in inspect.signature(operation.call).parameters:
                    kwargs["training"] = mode
                outputs = operation(*args, **kwargs)
                if getattr(operation, "trainable_weights", ()) or self.learns((args, kwargs)):
                    self._learnt |= {id(output): output for output in keras.tree.flatten(outputs)}
            if isinstance(operation, keras.Layer):
                self.calls.setdefault(path, (operation, []))[1].append(outputs)
            return outputs

        return call
