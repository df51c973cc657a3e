"""What the competitors on Keras share: the two nets, and epochs on command inside one long `fit`."""

import time

import keras
import numpy as np

from benchmarks import workload
from benchmarks.protocol import Session

FOR_EVER = 1_000_000


def student(net: str = "mlp") -> keras.Model:
    """Return the student, one of `workload.NETS`, from pixels in [0, 1] to logits."""
    return _mlp(workload.STUDENT, seed=1) if net == "mlp" else _cnn(**workload.NETS[net])


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


def _cnn(
    conv: tuple[int, ...],
    hidden: tuple[int, ...] = (),
    separable: bool = False,
    batch_norm: bool = False,
    global_pool: bool = False,
) -> keras.Model:
    """Return what `kdistill.models` builds of these keys, less the scaling, in the words of Keras."""
    layers = keras.layers
    first = {"use_bias": False} if batch_norm else {"activation": "relu"}
    inputs = keras.Input((28, 28))
    outputs = layers.Reshape((28, 28, 1))(inputs)
    for number, filters in enumerate(conv):
        kind = layers.SeparableConv2D if separable and number else layers.Conv2D
        outputs = kind(filters, 3, padding="same", **first)(outputs)
        if batch_norm:
            outputs = layers.ReLU()(layers.BatchNormalization()(outputs))
        outputs = layers.MaxPooling2D(2)(outputs)
    outputs = (layers.GlobalAveragePooling2D() if global_pool else layers.Flatten())(outputs)
    for units in hidden:
        outputs = layers.Dense(units, activation="relu")(outputs)
    return keras.Model(inputs, layers.Dense(10)(outputs))


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


def fit(
    model: keras.Model, images: np.ndarray, targets: np.ndarray, on_command: OnCommand, batch: int = workload.BATCH
) -> None:
    """Call `fit` as users do, except for its progress bar, which is left out in favour of a line for each epoch."""
    model.fit(
        images,
        targets,
        batch_size=batch,
        epochs=FOR_EVER,
        verbose=2,
        callbacks=[on_command],
    )
