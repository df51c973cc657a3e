"""Computes mean and variance of the training examples in one pass over them."""

from collections.abc import Callable, Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from kdistill.core.kinds import Kind, has_channels
from kdistill.core.scaling import Standardization

CHUNK_VALUES = 2**22  # 32 MB in float64


def standardization(
    chunks: Callable[[int], Iterator[tuple[NDArray, NDArray]]], shape: tuple[int, ...], kind: Kind
) -> Standardization:
    """Return mean and variance of each channel, of a table of each column; without channels, those of all values.

    Constant values get the variance 1, so that they become 0 without a division by 0.

    Args:
        chunks: (examples at a time) -> chunks of all examples, with their labels.
        shape: shape of one example.
        kind: kind of the examples, which says whether the last axis has channels.
    """
    # Imported here because the import takes half a second.
    from sklearn.preprocessing import StandardScaler

    columns = shape[-1] if has_channels(kind, shape) else 1
    scaler = StandardScaler()
    for examples, _ in chunks(max(1, CHUNK_VALUES // prod(shape))):
        scaler.partial_fit(examples.astype(np.float64).reshape(-1, columns))
    return Standardization(tuple(scaler.mean_.tolist()), tuple((scaler.scale_**2).tolist()))
