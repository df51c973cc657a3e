"""How raw values are scaled for a teacher from elsewhere: what `teacher.preprocessing` of a config names."""

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.core.scaling import Standardization
from kdistill.datasets import Splits
from kdistill.datasets.standardize import standardization

NONE = "none"


def scaling(splits: Splits, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return factor and offset, which make of raw values what a teacher from elsewhere takes.

    Args:
        splits: the data.
        name: `unit`, to [0, 1]; `signed`, to [-1, 1]; or `standardize`, to mean 0 and variance 1 over the training
            split, for each channel of images, for each column of features.

    Raises:
        ConfigError: the values have no range that could be brought to [0, 1].
    """
    if name == "standardize":
        found = standardization(splits.train.chunks, splits.shape)
        factor = 1 / np.sqrt(found.variance)
        return factor, -np.array(found.mean) * factor
    if isinstance(splits.scale, Standardization):
        raise ConfigError(
            f"teacher.preprocessing: {name} is for images of values from 0 to 255 or 0 to 1; this data has others",
            hint="Use standardize, or none.",
        )
    signed = name == "signed"
    return np.array((1 + signed) * splits.scale), np.array(-1.0 if signed else 0.0)
