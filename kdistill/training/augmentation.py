"""Images moved at random while training: shifted, mirrored, cropped and enlarged again.

What happens to an image is drawn on the host, from the seed and the epoch alone. So two runs of one seed see the same
images, a run that is resumed goes on with those that it would have seen, and nothing has to be kept for it. The images
are moved inside the compiled step, by two matrix products, which XLA compiles where it cannot Keras's own layers.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Draws of a stream of their own: the order of the examples in an epoch is drawn from [seed, epoch].
STREAM = 1

# What is drawn for an image, in this order.
DRAWS = ("down", "right", "mirrored", "top", "left")


@dataclass(frozen=True)
class Augmentation:
    """How images are changed, a new draw for each image and epoch.

    Attributes:
        shift: most pixels that an image is moved by, up or down and left or right; what it leaves is 0.
        flip: mirror an image, left to right, in half of all draws.
        crop: pixels by which a window, anywhere in the image, is smaller than it in height and width; it is enlarged
            again to the size of the image, bilinearly. 0 for none.
    """

    shift: int = 0
    flip: bool = False
    crop: int = 0

    def draw(self, seed: int, epoch: int, examples: int) -> NDArray[np.int32]:
        """Return what happens to each example in an epoch, (examples, 5): see `DRAWS`."""
        rng = np.random.default_rng([seed, epoch, STREAM])
        shifts = rng.integers(-self.shift, self.shift, (examples, 2), endpoint=True)
        mirrored = rng.integers(0, int(self.flip), (examples, 1), endpoint=True)
        corners = rng.integers(0, self.crop, (examples, 2), endpoint=True)
        return np.concatenate([shifts, mirrored, corners], axis=1).astype(np.int32)

    def apply(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Return the images as drawn: a window is enlarged, mirrored, then shifted.

        Args:
            images: (batch, height, width) or (batch, height, width, channels), raw values.
            draws: (batch, 5), see `DRAWS`.

        Returns:
            float32, in the shape of `images`. Where only whole pixels are moved the values are exactly the raw ones.
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
        """Return how much of each old row (or column) is in each new one: (batch, new, old).

        The coordinates are those of `tf.image.resize`: pixels are squares, and their centres are interpolated.
        """
        place = tf.range(size, dtype=tf.float32) - shift
        inside = tf.cast((place >= 0) & (place < size), tf.float32)
        place = mirrored * (size - 1 - place) + (1 - mirrored) * place
        window = size - self.crop
        place = tf.clip_by_value((place + 0.5) * (window / size) - 0.5, 0.0, window - 1.0) + corner
        return inside[..., None] * tf.maximum(0.0, 1.0 - tf.abs(place[..., None] - tf.range(size, dtype=tf.float32)))
