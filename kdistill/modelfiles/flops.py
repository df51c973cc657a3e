"""Multiply-adds of a model's forward pass for one example, computed from its config without TensorFlow.

A weight of a dense layer takes part in one, a weight of a convolution in one for each position of its output, and a
weight of a recurrent layer in one for each step. An embedding is looked up, without multiplications.
"""

from math import prod
from typing import Any

GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


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
    shape = (layer.get("build_config") or {}).get("input_shape") or []
    if not shape or not all(isinstance(size, int | None) for size in shape):
        return 0
    if name == "Dense":
        return prod(size or 1 for size in shape[1:]) * int(own["units"])
    if name in GATES:
        steps, features = shape[-2] or 1, shape[-1] or 1
        return steps * GATES[name] * own["units"] * (features + own["units"])
    if "Conv" not in name:
        return 0
    first = own.get("data_format") == "channels_first"
    channels, sizes = (shape[1], shape[2:]) if first else (shape[-1], shape[1:-1])
    window, strides = own["kernel_size"], own["strides"]
    cut = [0 if own["padding"] in ("same", "causal") else size - 1 for size in window]
    positions = prod(
        max(1, -(-((size or 1) - less) // step)) for size, less, step in zip(sizes, cut, strides, strict=True)
    )
    depth, filters = channels or 1, own.get("filters") or 0
    if name.startswith("Conv"):
        return positions * prod(window) * depth // own.get("groups", 1) * filters
    multiplier = own.get("depth_multiplier") or 1
    return positions * (prod(window) * depth * multiplier + depth * multiplier * filters)
