"""Augmentation of images: random shifts, horizontal flips and resized crops.

The parameters are drawn on the host, from the seed and the epoch alone: two runs of one seed and a resumed run see the
same images, and a checkpoint needs no state of it. The images are transformed inside the compiled step by two matrix
products, since XLA cannot compile Keras's own layers.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

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
    """

    shift: int = 0
    flip: bool = False
    crop: int = 0

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
