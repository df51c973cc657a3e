"""The scaling of raw values for a teacher file from elsewhere: `teacher.preprocessing` of a config."""

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.core.scaling import Standardization
from kdistill.datasets import Splits
from kdistill.datasets.standardize import standardization

NONE = "none"


def scaling(splits: Splits, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the factor and the offset that scale raw values.

    Args:
        splits: the data set.
        name: `unit`, to [0, 1]; `signed`, to [-1, 1]; or `standardize`, to mean 0 and variance 1 over the training
            split, for each channel of images or column of a table.

    Raises:
        ConfigError: the values have no known range.
    """
    if name == "standardize":
        found = standardization(splits.train.chunks, splits.shape)
        factor = 1 / np.sqrt(found.variance)
        return factor, -np.array(found.mean) * factor
    if isinstance(splits.scale, Standardization):
        raise ConfigError(
            f"teacher.preprocessing: {name} is for images with values from 0 to 255 or 0 to 1; this data has others",
            hint="Use standardize, or none.",
        )
    signed = name == "signed"
    return np.array((1 + signed) * splits.scale), np.array(-1.0 if signed else 0.0)
