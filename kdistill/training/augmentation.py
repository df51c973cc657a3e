"""Augmentation: random shifts, horizontal flips and resized crops of images, and mixup of examples of any shape.

The parameters are drawn on the host, from the seed and the epoch alone: two runs of one seed and a resumed run see the
same images, and a checkpoint needs no state of it. The images are transformed inside the compiled step by two matrix
products, since XLA cannot compile Keras's own layers. Mixed examples are made before it, a segment of batches at once,
so that they are made once for teacher and student.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.training import mixup

STREAM = 1  # augmentation is drawn from [seed, epoch, STREAM], the order of the examples from [seed, epoch]
DRAWS = ("down", "right", "mirrored", "top", "left")  # the columns of `Augmentation.draw`


@dataclass(frozen=True)
class Augmentation:
    """The ranges of the random transformations, which are drawn for each image and epoch.

    Attributes:
        shift: largest shift in pixels, vertically and horizontally; uncovered pixels are 0.
        flip: mirror an image left to right, with probability 1/2.
        crop: pixels by which a randomly placed window is smaller than the image in height and width; the window is
            resized to the image, bilinearly. 0 disables it.
        mixup: a of Beta(a, a), from which the weights of mixed examples are drawn: see `training.mixup`. 0 disables it.
    """

    shift: int = 0
    flip: bool = False
    crop: int = 0
    mixup: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether images are shifted, mirrored or cropped."""
        return bool(self.shift or self.flip or self.crop)

    def to_json(self) -> dict[str, int | bool | float]:
        """Return all attributes; `mixup`, which came later, only if it is on."""
        return {key: value for key, value in asdict(self).items() if key != "mixup" or value}

    def draw(self, seed: int, epoch: int, examples: int) -> NDArray[np.int32]:
        """Return the parameters (examples, 5) of each example in an epoch; for the columns see `DRAWS`."""
        rng = np.random.default_rng([seed, epoch, STREAM])
        shifts = rng.integers(-self.shift, self.shift, (examples, 2), endpoint=True)
        mirrored = rng.integers(0, int(self.flip), (examples, 1), endpoint=True)
        corners = rng.integers(0, self.crop, (examples, 2), endpoint=True)
        return np.concatenate([shifts, mirrored, corners], axis=1).astype(np.int32)

    def apply(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Return the transformed images: cropped and resized, mirrored, then shifted.

        Args:
            images: (batch, height, width) or (batch, height, width, channels), raw values.
            draws: (batch, 5), rows of what `draw` returns.

        Returns:
            float32, in the shape of `images`; without a crop, pixels keep their exact values.
        """
        height, width = images.shape[1:3]
        down, right, mirrored, top, left = tf.unstack(tf.cast(draws, tf.float32)[..., None], axis=1)
        rows = self._weights(height, down, tf.zeros_like(mirrored), top)
        columns = self._weights(width, right, mirrored, left)
        channels = math.prod(images.shape[3:])  # 1 where there is no such axis
        pixels = tf.reshape(tf.cast(images, tf.float32), [-1, height, width, channels])
        moved = tf.einsum("bih,bhwc->biwc", rows, pixels)
        moved = tf.einsum("bjw,biwc->bijc", columns, moved)
        return tf.reshape(moved, tf.shape(images))

    def _weights(self, size: int, shift: tf.Tensor, mirrored: tf.Tensor, corner: tf.Tensor) -> tf.Tensor:
        """Return the weight (batch, new, old) of each old row or column in each new one, like `tf.image.resize`."""
        place = tf.range(size, dtype=tf.float32) - shift
        inside = tf.cast((place >= 0) & (place < size), tf.float32)
        place = mirrored * (size - 1 - place) + (1 - mirrored) * place
        window = size - self.crop
        place = tf.clip_by_value((place + 0.5) * (window / size) - 0.5, 0.0, window - 1.0) + corner
        return inside[..., None] * tf.maximum(0.0, 1.0 - tf.abs(place[..., None] - tf.range(size, dtype=tf.float32)))


@functools.cache
def mixing(augmentation: Augmentation) -> Callable[..., tf.Tensor]:
    """Return a compiled function from examples (n, *shape), and what is drawn of them, to the mixed ones, float32.

    Its arguments are raw values, rows (n, 5) of what `Augmentation.draw` returns, which are ignored if images are not
    moved, the positions (n,) of `mixup.partners` and the weights (n,) of `mixup.draw`. Images are moved before they are
    mixed.
    """

    def mixed(examples: tf.Tensor, draws: tf.Tensor, positions: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        moved = augmentation.apply(examples, draws) if augmentation.moves else examples
        return mixup.mix(moved, positions, weights)

    return tf.function(mixed, jit_compile=True, autograph=False)
