"""Multiply-adds of a model's forward pass for one example, computed from its config without TensorFlow.

A weight of a dense layer takes part in one, a weight of a convolution in one for each position of its output, a weight
of a recurrent layer in one for each step. Other layers, attention among them, count as none.
"""

from math import prod
from typing import Any

GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}  # by recurrent layer: how many products of inputs and state a step has


def of_config(config: Any) -> int:
    """Return the multiply-adds of the dense, convolutional and recurrent layers in a Keras model's config."""
    if isinstance(config, list | tuple):
        return sum(map(of_config, config))
    if not isinstance(config, dict):
        return 0
    if "layers" in config or not isinstance(config.get("config"), dict):
        return sum(of_config(value) for value in config.values())
    uses = max(1, len(config.get("inbound_nodes") or []))
    own = of_config(config["config"]) if "layers" in config["config"] else _of_layer(config)
    return uses * own


def _of_layer(layer: dict[str, Any]) -> int:
    name, own = str(layer.get("class_name")), layer["config"]
    inner = own.get("layer")
    shape = (layer.get("build_config") or {}).get("input_shape") or []
    if not shape or not all(isinstance(size, int | None) for size in shape):
        return of_config(inner)
    if isinstance(inner, dict):  # a wrapper: around each step of a sequence, in both directions, or once
        times = {"TimeDistributed": shape[1] or 1, "Bidirectional": 2}.get(name, 1)
        return times * of_config({"build_config": {"input_shape": _inner_shape(name, shape)}, **inner})
    if name == "Dense":
        return prod(size or 1 for size in shape[1:]) * int(own["units"])
    if name in GATES:
        return (shape[1] or 1) * GATES[name] * own["units"] * ((shape[-1] or 1) + own["units"])
    return _of_convolution(name, own, shape) if "Conv" in name else 0


def _inner_shape(name: str, shape: list[int | None]) -> list[int | None]:
    return [shape[0], *shape[2:]] if name == "TimeDistributed" else shape


def _of_convolution(name: str, own: dict[str, Any], shape: list[int | None]) -> int:
    steps = 1
    if "ConvLSTM" in name:
        steps, shape = shape[1] or 1, [shape[0], *shape[2:]]
    first = own.get("data_format") == "channels_first"
    channels, sizes = (shape[1], shape[2:]) if first else (shape[-1], shape[1:-1])
    window, depth, filters = own["kernel_size"], channels or 1, own.get("filters") or 0
    if "Transpose" in name:  # each input is spread over the window
        return prod(size or 1 for size in sizes) * prod(window) * depth * filters
    cut = [0 if own["padding"] in ("same", "causal") else size - 1 for size in window]
    positions = prod(
        max(1, -(-((size or 1) - less) // step)) for size, less, step in zip(sizes, cut, own["strides"], strict=True)
    )
    if "ConvLSTM" in name:
        return steps * GATES["LSTM"] * positions * prod(window) * filters * (depth + filters)
    if name.startswith("Conv"):
        return positions * prod(window) * depth // own.get("groups", 1) * filters
    multiplier = own.get("depth_multiplier") or 1
    return positions * (prod(window) * depth * multiplier + depth * multiplier * filters)
