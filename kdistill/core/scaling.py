"""How raw values are scaled in front of a network, in numbers; the layers that do it are in `models.scaling`.

A model of kdistill begins with the scaling of its data (`Scale`): a factor, mean and variance of train, or none for
tokens. A teacher from elsewhere gets the values that `teacher.preprocessing` says (`affine`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.core.formatting import dimensions
from kdistill.core.kinds import Kind, has_channels

CHUNK_VALUES = 2**22  # 32 MB in float64
NONE = "none"  # of `teacher.preprocessing`
# Of ImageNet's RGB channels: means of values from 0 to 255, as Caffe's models subtract them; means and standard
# deviations of values from 0 to 1, as torchvision's models use them. See keras.applications.imagenet_utils.
CAFFE_MEAN = (123.68, 116.779, 103.939)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Chunks = Callable[[int], Iterator[tuple[NDArray, NDArray]]]  # examples at a time -> all of them, with labels

# Factor and offset of raw values, each a number or one for each position of the last axis; a third array, if it is
# there and true, says that the order of the channels is reversed first.
Affine = tuple[NDArray, ...]


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


def standardization(chunks: Chunks, shape: tuple[int, ...], kind: Kind) -> Standardization:
    """Return mean and variance of each channel, of a table of each column; without channels, those of all values.

    Constant values get the variance 1, so that they become 0 without a division by 0. The examples are read once.

    Args:
        chunks: of the examples.
        shape: of one example.
        kind: of the examples, which says whether the last axis has channels.
    """
    # Imported here because the import takes half a second.
    from sklearn.preprocessing import StandardScaler

    columns = shape[-1] if has_channels(kind, shape) else 1
    scaler = StandardScaler()
    for examples, _ in chunks(max(1, CHUNK_VALUES // prod(shape))):
        scaler.partial_fit(examples.astype(np.float64).reshape(-1, columns))
    return Standardization(tuple(scaler.mean_.tolist()), tuple((scaler.scale_**2).tolist()))


def affine(name: str, scale: Scale, shape: tuple[int, ...], kind: Kind, chunks: Chunks) -> Affine | None:
    """Return factor and offset of raw values for a `teacher.preprocessing`, and whether channels are reversed before.

    Args:
        name: `none`, for which the result is None; `unit`, to [0, 1]; `signed`, to [-1, 1]; `standardize`, to mean 0
            and variance 1 over the training split, for each channel of images or column of a table; `caffe`, BGR minus
            the means of ImageNet; or `imagenet`, to [0, 1], minus the means of ImageNet, divided by its standard
            deviations.
        scale: of the data.
        shape: of one example.
        kind: of the examples.
        chunks: of the training split.

    Raises:
        ConfigError: the values have no known range, or are not those of RGB images where these are needed.
    """
    if name == NONE:
        return None
    if isinstance(scale, Tokens):
        raise ConfigError(f"teacher.preprocessing: {name} is for numbers, and this data has tokens", hint="Use none.")
    if name == "standardize":
        found = standardization(chunks, shape, kind)
        factor = 1 / np.sqrt(found.variance)
        return factor, -np.array(found.mean) * factor
    if isinstance(scale, Standardization):
        raise ConfigError(
            f"teacher.preprocessing: {name} is for images with values from 0 to 255 or 0 to 1; this data has others",
            hint="Use standardize, or none.",
        )
    if name in ("caffe", "imagenet"):
        return _of_imagenet(name, scale, shape, kind)
    signed = name == "signed"
    return np.array((1 + signed) * scale), np.array(-1.0 if signed else 0.0)


def _of_imagenet(name: str, scale: float, shape: tuple[int, ...], kind: Kind) -> Affine:
    if kind != "image" or shape[2:] != (3,):
        raise ConfigError(
            f"teacher.preprocessing: {name} is for RGB images, height x width x 3; "
            f"received examples of shape {dimensions(shape)}",
            hint="Folders of images become RGB with data.channels: 3.",
        )
    if name == "caffe":
        return np.full(3, 255 * scale), -np.array(CAFFE_MEAN[::-1]), np.array(True)
    deviation = np.array(IMAGENET_STD)
    return scale / deviation, -np.array(IMAGENET_MEAN) / deviation
