"""Facts about the model of a config section, without TensorFlow: do the images fit, how many multiplications."""

from collections.abc import Sequence
from math import prod

from kdistill.config.schema import Model
from kdistill.core.errors import ConfigError


def check_images(section: Model, role: str, shape: Sequence[int]) -> None:
    """Check that convolution blocks get images, and that pooling leaves at least one pixel of them.

    Raises:
        ConfigError: the examples are not images, or too small; names the key.
    """
    if not section.conv:
        return
    if len(shape) not in (2, 3):
        raise ConfigError(
            f"{role}.conv: expected images, height x width or height x width x channels; "
            f"received examples of shape {tuple(shape)}",
            hint=f"Leave {role}.conv out: hidden layers take examples of any shape.",
        )
    for number, size in enumerate(_sizes(section, shape), start=1):
        if min(size) < 1:
            raise ConfigError(
                f"{role}.conv: the images are too small for {len(section.conv)} blocks: of {shape[0]} x {shape[1]} "
                f"pixels nothing is left after block {number}, since each block pools by {section.pool}",
                hint=f"Take fewer blocks, or a smaller {role}.pool (1: no pooling).",
            )


def multiplications(section: Model, shape: Sequence[int], classes: int) -> int:
    """Return the multiplications of a section's model for one example; the section names no model file."""
    total, features = 0, prod(shape)
    if section.conv:
        before, channels = tuple(shape[:2]), shape[2] if len(shape) == 3 else 1
        for number, (filters, after) in enumerate(zip(section.conv, _sizes(section, shape), strict=True)):
            kernel = channels * section.kernel**2
            weights = kernel + channels * filters if section.separable and number else kernel * filters
            total += weights * prod(before)
            before, channels = after, filters
        features = channels if section.global_pool else channels * prod(before)
    for units in (*section.hidden, classes):
        total += features * units
        features = units
    return total


def _sizes(section: Model, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return height and width after each convolution block."""
    factors = [section.pool**number for number in range(1, len(section.conv) + 1)]
    return [(shape[0] // factor, shape[1] // factor) for factor in factors]
