"""Limits of what a model takes for one example: a small file may ask for any memory and time.

They are checked on the shapes of a model that is built without weights, before anything is computed. Numbers of a
config that no shape shows, such as how often an operation is repeated, are limited in `modelfiles.layers`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from kdistill.core.errors import ModelError

MOST_VALUES = 2**25  # of one layer's output for one example; 128 MiB in float32. EfficientNetB7 has 1.7 * 10^7
MOST_WITHIN = 2**28  # of what a layer makes on the way to its output: 1 GiB
MOST_TOGETHER = 2**31  # of all outputs: 8 GiB. EfficientNetB7 has 1.05 * 10^9
MOST_STEPS = 100_000  # of a recurrent layer, one after the other
MOST_UNROLLED = 1_000  # of a recurrent layer that is unrolled: each step is operations of its own
MOST_CALLS = 10_000  # of the layer in TimeDistributed
ATTENTION = (
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)
Shape = tuple[int | None, ...]


def check(model: keras.Model) -> None:
    """Raise ModelError, with the name of the layer, if one example takes too much memory or too many steps."""
    together = 0
    for operation in _operations(model):
        for node in operation._inbound_nodes:
            inputs = [tuple(tensor.shape[1:]) for tensor in node.input_tensors]
            for tensor in node.output_tensors:
                together += _checked_size(operation.name, tuple(tensor.shape[1:]), "outputs")
            if inputs:
                _check_attention(operation, inputs)
                _check_within(operation, inputs[0])
                _check_steps(operation, operation.name, inputs[0])
    if together > MOST_TOGETHER:
        raise ModelError(f"its layers have {together:,} outputs for one example: expected at most {MOST_TOGETHER:,}")


def _operations(model: keras.Model) -> Iterator[keras.Operation]:
    """Yield the layers of a model and of the models in it, and the operations between them."""
    for layer in model._flatten_layers():
        yield layer
        yield from (found for found in getattr(layer, "operations", ()) if not isinstance(found, keras.Layer))


def _checked_size(name: str, shape: Shape, what: str, most: int = MOST_VALUES) -> int:
    """Return how many values a shape has; an axis of any size counts as one."""
    values = math.prod(size or 1 for size in shape)
    if values > most:
        raise ModelError(f"the layer {name} has {what} of shape {shape}: expected at most {most:,} values")
    return values


def _check_attention(operation: keras.Operation, inputs: Sequence[Shape]) -> None:
    """Refuse attention over too many positions: each of one sequence is scored with each of another."""
    lengths = [shape[0] or 1 for shape in inputs[:2] if len(shape) > 1]
    is_operation = type(operation).__name__ == "DotProductAttention"  # not public
    if (isinstance(operation, ATTENTION) or is_operation) and lengths:
        heads = getattr(operation, "num_heads", None) or getattr(operation, "num_query_heads", 1)
        heads = inputs[0][1] if is_operation else heads
        _checked_size(operation.name, (heads, lengths[0], lengths[-1]), "scores")


def _check_within(operation: Any, shape: Shape) -> None:
    """Refuse a layer whose output may be small, and what it makes on the way is large."""
    name, places = operation.name, shape[:-1]
    if isinstance(operation, keras.layers.SeparableConv1D | keras.layers.SeparableConv2D):
        _checked_size(name, (*places, (shape[-1] or 1) * operation.depth_multiplier), "channels", MOST_WITHIN)
    if (dilation := getattr(operation, "dilation_rate", None)) and hasattr(operation, "kernel_size"):
        _checked_size(name, _padded(shape, operation.kernel_size, dilation), "padded inputs", MOST_WITHIN)
    if getattr(operation, "pad_to_aspect_ratio", False) and len(shape) == 3:
        _checked_size(name, _of_ratio(operation, shape), "padded inputs", MOST_WITHIN)
    if type(operation).__name__ == "GaussianBlur":  # not public
        _checked_size(name, (*operation.kernel_size, max(shape[0] or 1, shape[-1] or 1)), "a kernel")


def _padded(shape: Shape, kernel: Any, dilation: Any) -> Shape:
    """Return the shape of inputs (places, channels) after the padding of a dilated convolution."""
    kernels = [kernel] * len(shape) if isinstance(kernel, int) else list(kernel)
    dilations = [dilation] * len(shape) if isinstance(dilation, int) else list(dilation)
    places = [
        (size or 1) + step * width if step > 1 else size
        for size, width, step in zip(shape[-1 - len(kernels) : -1], kernels, dilations, strict=False)
    ]
    return (*places, shape[-1])


def _of_ratio(operation: Any, shape: Shape) -> Shape:
    """Return the shape of an image (height, width, channels) that is padded to the ratio of another size."""
    size = getattr(operation, "size", None) or (operation.height, operation.width)
    is_first = operation.data_format == "channels_first"
    height, width = ((shape[1:] if is_first else shape[:2])[axis] or 1 for axis in (0, 1))
    channels = shape[0] if is_first else shape[-1]
    return (
        max(height, math.ceil(width * size[0] / size[1])),
        max(width, math.ceil(height * size[1] / size[0])),
        channels,
    )


def _check_steps(layer: Any, name: str, shape: Shape, calls: int = 1) -> None:
    """Refuse a layer with too many steps; each call of a layer in TimeDistributed is one of its own."""
    steps = shape[0] or 1 if shape else 1
    if isinstance(layer, keras.layers.TimeDistributed):
        _check_number(name, steps * calls, "calls of the layer in it", MOST_CALLS)
        _check_steps(layer.layer, name, shape[1:], steps * calls)
    elif isinstance(layer, keras.layers.Bidirectional):
        _check_steps(layer.forward_layer, name, shape, calls)
    elif isinstance(layer, keras.layers.RNN):
        if layer.unroll:
            _check_number(name, steps * calls, "unrolled steps", MOST_UNROLLED)
        _check_number(name, steps * calls, "steps", MOST_STEPS)


def _check_number(name: str, number: int, what: str, most: int) -> None:
    if number > most:
        raise ModelError(f"the layer {name} has {number:,} {what}: expected at most {most:,}")
