"""The examples of an epoch as the compiled loop takes them: a segment of batches at a time, with teacher logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.core import backend
from kdistill.datasets import Split
from kdistill.evaluation.predict import BATCH_SIZE, Predict
from kdistill.training.augmentation import Augmentation

SEGMENT_BATCHES = 100
SEGMENT_BYTES = 64 * 2**20
SEGMENT_FLOPS = 1e11  # some seconds of one core, which is how long Ctrl-C waits


@dataclass(frozen=True)
class Data:
    """What a run trains on and what it is watched on.

    Attributes:
        train: the training split, n examples.
        validation: the validation split, m examples.
        teacher_train: the teacher's logits (n, classes), or those of several (n, teachers, classes), in the order of
            `train`; None where no teacher is used, or where it is asked while training.
        teacher_validation: likewise, in the order of `validation`; None where no teacher is used.
        teachers: functions from raw values to logits, asked about every image as it is augmented.
        augmentation: of the training images, if any.
    """

    train: Split
    validation: Split
    teacher_train: NDArray[np.float32] | None = None
    teacher_validation: NDArray[np.float32] | None = None
    teachers: Sequence[Predict] = ()
    augmentation: Augmentation | None = None


@dataclass(frozen=True)
class Segment:
    """What the engine trains on in one call.

    Attributes:
        examples: how many there are.
        batches: how many batches they are in.
        block: images, labels and teacher logits, as (batches, batch size, ...), padded to the engine's shape.
        draws: what the augmentation does to them, as (batches, batch size, 5); nothing without one.
    """

    examples: int
    batches: int
    block: tuple[np.ndarray, NDArray[np.int32], NDArray[np.float32]]
    draws: tuple[NDArray[np.int32], ...]


class Segments:
    """Cuts the order of an epoch into segments.

    Args:
        data: what is trained on.
        batch_size: examples in a batch.
        length: batches in a segment; the last of an epoch has fewer.
    """

    def __init__(self, data: Data, batch_size: int, length: int) -> None:
        self._data, self._batch_size, self._length = data, batch_size, length
        self._draws = np.empty((0, 0), np.int32)
        self._targets = data.teacher_train

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Draw the order of the examples in an epoch, and how each is augmented."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self._data.train))
        if self._data.augmentation:
            self._draws = self._data.augmentation.draw(seed, epoch, len(order))
        return order

    def next(self, order: NDArray[np.int64]) -> Segment:
        """Return the first segment of `order`: its examples, and what the engine takes to train on them."""
        batches = min(len(order) // self._batch_size, self._length)
        taken = batches * self._batch_size or len(order)
        if self._data.teachers:
            self._ask(order[:taken])
        # The compiled loop has one shape: pad the block, and tell how much of it to use. What is left of an epoch may
        # be less than a batch, but is trained on too.
        size = self._length if batches else 1
        padded = np.resize(order[:taken], size * self._batch_size) if batches else order
        used = max(1, batches)
        return Segment(taken, used, self._block(padded, size), self._block_of_draws(padded, size))

    def _block(
        self, positions: NDArray[np.int64], batches: int
    ) -> tuple[np.ndarray, NDArray[np.int32], NDArray[np.float32]]:
        """Return images, labels and teacher logits at `positions`, as (batches, batch size, ...)."""
        images, labels = self._data.train.take(positions)
        teacher_logits = np.empty((len(positions), 0), np.float32)
        if self._targets is not None:
            teacher_logits = self._targets[positions]
        size = (batches, len(positions) // batches)
        return (
            images.reshape(*size, *images.shape[1:]),
            labels.reshape(size),
            teacher_logits.reshape(*size, *teacher_logits.shape[1:]),
        )

    def _ask(self, positions: NDArray[np.int64]) -> None:
        """Let the teachers say what they make of the images at `positions` as they are augmented in this epoch.

        This is done for a segment at once, in large batches and outside of the loop that XLA compiles, which on a CPU
        took 1.7 times as long for a small CNN, and does not compile every layer.
        """
        for start in range(0, len(positions), BATCH_SIZE):
            chosen = positions[start : start + BATCH_SIZE]
            images, _ = self._data.train.take(chosen)
            if self._data.augmentation:
                images = self._data.augmentation.apply(tf.constant(images), self._draws[chosen])
            answers = [ask(images).numpy().astype(np.float32) for ask in self._data.teachers]
            logits = answers[0] if len(answers) == 1 else np.stack(answers, axis=1)
            if self._targets is None:
                self._targets = np.empty((len(self._data.train), *logits.shape[1:]), np.float32)
            self._targets[chosen] = logits

    def _block_of_draws(self, positions: NDArray[np.int64], batches: int) -> tuple[NDArray[np.int32], ...]:
        """Return what the augmentation does at `positions`, as (batches, batch size, 5); nothing without one."""
        if not self._data.augmentation:
            return ()
        return (self._draws[positions].reshape(batches, len(positions) // batches, -1),)


def batches_in_segment(train: Split, batch_size: int, multiplications: int) -> int:
    """Return how many batches a segment has: about a hundred, fewer where that is too much data or work at once."""
    whole = max(1, len(train) // batch_size)
    example_bytes = train.images[:1].nbytes
    by_work = int(SEGMENT_FLOPS / backend.step_flops(max(1, multiplications), batch_size))
    return max(1, min(SEGMENT_BATCHES, whole, SEGMENT_BYTES // (batch_size * example_bytes), by_work))
