"""How raw values become what a network likes: by a factor, or by the mean and variance of the training examples."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standardization:
    """Subtracts the mean and divides by the standard deviation.

    Attributes:
        mean: of each value of the last axis, or of all values where it is a single one.
        variance: likewise, none of them 0.
    """

    mean: tuple[float, ...]
    variance: tuple[float, ...]


# A factor, or a standardization: what the first layer of a model does to raw values.
Scale = float | Standardization


def described(scale: Scale) -> str:
    """Return what is done to raw values, in words."""
    if isinstance(scale, Standardization):
        return "standardised by mean and variance of the training examples"
    return "as they are" if scale == 1 else f"multiplied by {scale:.6g}"
