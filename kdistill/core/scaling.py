"""The scaling of raw values in front of a network: by a factor, or by mean and variance of the training examples."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standardization:
    """Subtracts the mean and divides by the standard deviation.

    Both have one value for each position of the last axis, or a single one for all; variances are above 0.
    """

    mean: tuple[float, ...]
    variance: tuple[float, ...]


# What a model's first layer does to raw values: multiply by a factor, or standardise.
Scale = float | Standardization


def described(scale: Scale) -> str:
    """Return a description of `scale`, such as `multiplied by 0.00392157`."""
    if isinstance(scale, Standardization):
        return "standardised by mean and variance of the training examples"
    return "as they are" if scale == 1 else f"multiplied by {scale:.6g}"
