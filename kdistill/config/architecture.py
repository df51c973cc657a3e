"""What follows from the layers of a config section before TensorFlow is started: fit of the images, multiplications."""

from collections.abc import Sequence
from math import prod

from kdistill.config.schema import Model
from kdistill.core.errors import ConfigError


def check_images(section: Model, role: str, shape: Sequence[int]) -> None:
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


def of_section(section: Model, shape: Sequence[int], classes: int) -> int:
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


def _sizes(section: Model, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return height and width after each convolution block."""
    sizes, height, width = [], shape[0], shape[1]
    for _ in section.conv:
        height, width = height // section.pool, width // section.pool
        sizes.append((height, width))
    return sizes
