"""Asks a model about a whole split. Every example counts exactly once, whatever the batch size."""

from collections.abc import Callable, Iterator
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from kdistill.evaluation.metrics import Floats

Predict = Callable[[np.ndarray], tf.Tensor]


class Examples(Protocol):
    """What a model can be asked about: a `Split` of a data set is one."""

    @property
    def images(self) -> np.ndarray:
        """Raw values (all rows, *shape)."""

    def chunks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield images and labels in order, `size` at a time."""


BATCH_SIZE = 2048
BATCH_VALUES = 2**22  # at most, where examples are large: a convolution makes tens of values of each


def predictor(model: keras.Model) -> Predict:
    """Return a compiled function from raw values (n, *shape) to logits (n, classes), in inference mode.

    It can be kept for as long as the model lives: it sees the model's current weights.
    """
    # Without AutoGraph, which rewrites Python that Keras's layers do not need, and leaves files of it behind.
    return tf.function(lambda images: model(images, training=False), reduce_retracing=True, autograph=False)


def logits(predict: Predict, split: Examples, batch_size: int = BATCH_SIZE) -> Floats:
    """Return the float32 logits (n, classes) of every example of `split`, in its order.

    Args:
        batch_size: examples at a time, fewer where these are more than `BATCH_VALUES`.
    """
    batch_size = max(1, min(batch_size, BATCH_VALUES // max(1, split.images[:1].size)))
    # A model may compute in another precision.
    return np.concatenate([predict(images).numpy().astype(np.float32) for images, _ in split.chunks(batch_size)])
