"""The logits of a model on a whole split: every example exactly once, whatever the batch size."""

from collections.abc import Callable, Iterator
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from kdistill.evaluation.metrics import Floats

Predict = Callable[[np.ndarray], tf.Tensor]


class Examples(Protocol):
    """Examples that can be read in chunks, such as a `Split` of a data set."""

    @property
    def images(self) -> np.ndarray:
        """Raw values (rows, *shape)."""

    def chunks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield images and labels in order, `size` at a time."""


BATCH_SIZE = 2048
BATCH_VALUES = 2**22  # input values of a batch at most: a convolution computes tens of values from each


def predictor(model: keras.Model) -> Predict:
    """Return a compiled function from raw values (n, *shape) to logits (n, classes), in inference mode.

    It always uses the model's current weights.
    """
    # AutoGraph rewrites Python code, which Keras's layers do not need, and leaves temporary files behind.
    return tf.function(lambda images: model(images, training=False), reduce_retracing=True, autograph=False)


def logits(predict: Predict, split: Examples, batch_size: int = BATCH_SIZE) -> Floats:
    """Return the float32 logits (n, classes) of every example of `split`, in its order.

    Args:
        batch_size: examples in a batch; fewer if they have more than `BATCH_VALUES` values together.
    """
    batch_size = max(1, min(batch_size, BATCH_VALUES // max(1, split.images[:1].size)))
    # The cast is for models that compute in another precision.
    return np.concatenate([predict(images).numpy().astype(np.float32) for images, _ in split.chunks(batch_size)])
