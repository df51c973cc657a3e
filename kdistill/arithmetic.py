"""How much a model computes, and whether images are large enough for it: known before TensorFlow is started.

Counted are multiplications, each with its addition, for one example going forward: a weight of a dense layer takes part
in one, a weight of a convolution in one for each position of its output.
"""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from kdistill.errors import ConfigError

if TYPE_CHECKING:
    from kdistill.config import Model


def check_images(section: "Model", role: str, shape: Sequence[int]) -> None:
    """Refuse convolution blocks on what is no image, and more pooling than the images bear.

    Args:
        section: a section of a config.
        role: its name.
        shape: of one example.

    Raises:
        ConfigError: naming the key.
    """
    if not section.conv:
        return
    if len(shape) not in (2, 3):
        raise ConfigError(
            f"{role}.conv: expected images, height x width or height x width x channels; "
            f"received examples of shape {tuple(shape)}",
            hint=f"Leave {role}.conv out: hidden layers take any examples.",
        )
    for number, size in enumerate(_sizes(section, shape), start=1):
        if min(size) < 1:
            raise ConfigError(
                f"{role}.conv: the images are too small for {len(section.conv)} blocks: of {shape[0]} x {shape[1]} "
                f"pixels nothing is left after block {number}, each pooling by {section.pool}",
                hint=f"Take fewer blocks, or a smaller {role}.pool (1 pools nothing).",
            )


def of_section(section: "Model", shape: Sequence[int], classes: int) -> int:
    """Return the multiplications of the model that `models.build` makes of a section that names no file."""
    total, features = 0, prod(shape)
    if section.conv:
        before, channels = tuple(shape[:2]), shape[2] if len(shape) == 3 else 1
        for number, (filters, after) in enumerate(zip(section.conv, _sizes(section, shape), strict=True)):
            window = section.kernel**2
            weights = (
                window * channels + channels * filters if section.separable and number else window * channels * filters
            )
            total += weights * prod(before)
            before, channels = after, filters
        features = channels if section.global_pool else channels * prod(before)
    for units in (*section.hidden, classes):
        total += features * units
        features = units
    return total


def of_config(config: Any) -> int:
    """Return the multiplications of a Keras model, from its config (`get_config()`, or that in a `.keras` file).

    Dense layers and convolutions are counted; what others do is small beside it.
    """
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


def _sizes(section: "Model", shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return height and width after each convolution block."""
    sizes, height, width = [], shape[0], shape[1]
    for _ in section.conv:
        height, width = height // section.pool, width // section.pool
        sizes.append((height, width))
    return sizes
