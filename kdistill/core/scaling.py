"""The scaling of raw values in front of a network: by a factor, by mean and variance of train, or none for tokens."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standardization:
    """Subtracts the mean and divides by the standard deviation.

    Both have one value for each position of the last axis, or a single one for all; variances are above 0.
    """

    mean: tuple[float, ...]
    variance: tuple[float, ...]


@dataclass(frozen=True)
class Tokens:
    """Leaves values as they are: whole numbers from 0 to `vocabulary` - 1 that stand for tokens."""

    vocabulary: int


# What a model's first layer does to raw values: multiply by a factor, standardise, or look tokens up.
Scale = float | Standardization | Tokens


def described(scale: Scale) -> str:
    """Return a description of `scale`, such as `multiplied by 0.00392157`."""
    if isinstance(scale, Standardization):
        return "standardised by mean and variance of the training examples"
    if isinstance(scale, Tokens):
        return f"tokens from 0 to {scale.vocabulary - 1}, which are never scaled"
    return "as they are" if scale == 1 else f"multiplied by {scale:.6g}"
