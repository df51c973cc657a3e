"""What the competitors on Keras share: the two nets, and epochs on command inside one long `fit`."""

import time

import keras
import numpy as np

from benchmarks import workload
from benchmarks.protocol import Session

FOR_EVER = 1_000_000


def student() -> keras.Model:
    """Return the student, from pixels in [0, 1] to logits."""
    return _mlp(workload.STUDENT, seed=1)


def teacher() -> keras.Model:
    """Return the teacher, from pixels in [0, 1] to logits."""
    return _mlp(workload.TEACHER, seed=2)


def adam() -> keras.optimizers.Optimizer:
    """Return the optimizer of every competitor on Keras."""
    return keras.optimizers.Adam(workload.LEARNING_RATE)


def scaled(data: workload.Data) -> np.ndarray:
    """Return the images as tutorials prepare them: float32 in [0, 1], all in memory, before the first epoch."""
    return data.images.astype("float32") / 255.0


def _mlp(sizes: tuple[int, ...], seed: int) -> keras.Model:
    inputs = keras.Input((28, 28))
    hidden = keras.layers.Flatten()(inputs)
    for size in sizes[1:-1]:
        hidden = keras.layers.Dense(size, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(sizes[-1])(hidden))
    model.set_weights(workload.weights(sizes, seed))
    return model


class OnCommand(keras.callbacks.Callback):
    """Start each epoch of a `fit` when the runner asks for it, and report its seconds.

    One `fit` runs all the epochs, as a user's does, so that none is charged for copying the data into TensorFlow. The
    first epoch, with the tracing and compiling, is the warm-up.
    """

    def __init__(self, session: Session, **facts: object) -> None:
        super().__init__()
        self._session = session
        self._facts = facts
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Wait for a command, except in the warm-up."""
        if epoch > 0:
            self._session.wait()
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Report what the epoch took; after the warm-up, that the worker is ready."""
        seconds = time.perf_counter() - self._started
        if epoch > 0:
            self._session.report(seconds)
        else:
            self._session.ready(**self._facts)


def fit(model: keras.Model, images: np.ndarray, targets: np.ndarray, on_command: OnCommand) -> None:
    """Call `fit` as users do, except for its progress bar, which is left out in favour of a line for each epoch."""
    model.fit(
        images,
        targets,
        batch_size=workload.BATCH,
        epochs=FOR_EVER,
        verbose=2,
        callbacks=[on_command],
    )
