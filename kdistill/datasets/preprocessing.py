"""The scaling of raw values for a teacher file from elsewhere: `teacher.preprocessing` of a config."""

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.core.formatting import dimensions
from kdistill.core.scaling import Standardization, Tokens
from kdistill.datasets import Splits
from kdistill.datasets.standardize import standardization

NONE = "none"
# Of ImageNet's RGB channels: means of values from 0 to 255, as Caffe's models subtract them; means and standard
# deviations of values from 0 to 1, as torchvision's models use them. See keras.applications.imagenet_utils.
CAFFE_MEAN = (123.68, 116.779, 103.939)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Factor and offset of raw values, each a number or one for each position of the last axis; a third array, if it is
# there and true, says that the order of the channels is reversed first.
Affine = tuple[NDArray, ...]


def scaling(splits: Splits, name: str) -> Affine:
    """Return the factor and the offset that scale raw values, and whether the channels are reversed before.

    Args:
        splits: the data set.
        name: `unit`, to [0, 1]; `signed`, to [-1, 1]; `standardize`, to mean 0 and variance 1 over the training
            split, for each channel of images or column of a table; `caffe`, BGR minus the means of ImageNet; or
            `imagenet`, to [0, 1], minus the means of ImageNet, divided by its standard deviations.

    Raises:
        ConfigError: the values have no known range, or are not those of RGB images where these are needed.
    """
    if isinstance(splits.scale, Tokens):
        raise ConfigError(f"teacher.preprocessing: {name} is for numbers, and this data has tokens", hint="Use none.")
    if name == "standardize":
        found = standardization(splits.train.chunks, splits.shape, splits.kind)
        factor = 1 / np.sqrt(found.variance)
        return factor, -np.array(found.mean) * factor
    if isinstance(splits.scale, Standardization):
        raise ConfigError(
            f"teacher.preprocessing: {name} is for images with values from 0 to 255 or 0 to 1; this data has others",
            hint="Use standardize, or none.",
        )
    if name in ("caffe", "imagenet"):
        return _of_imagenet(splits, name, splits.scale)
    signed = name == "signed"
    return np.array((1 + signed) * splits.scale), np.array(-1.0 if signed else 0.0)


def _of_imagenet(splits: Splits, name: str, scale: float) -> Affine:
    if splits.kind != "image" or splits.shape[2:] != (3,):
        raise ConfigError(
            f"teacher.preprocessing: {name} is for RGB images, height x width x 3; "
            f"received examples of shape {dimensions(splits.shape)}",
            hint="Folders of images become RGB with data.channels: 3.",
        )
    if name == "caffe":
        return np.full(3, 255 * scale), -np.array(CAFFE_MEAN[::-1]), np.array(True)
    deviation = np.array(IMAGENET_STD)
    return scale / deviation, -np.array(IMAGENET_MEAN) / deviation
