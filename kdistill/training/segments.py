"""The examples of an epoch as the compiled loop takes them: a segment of batches at a time, with teacher logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Segment(NamedTuple):
    """Some batches, ready for the compiled loop.

    Attributes:
        examples: how many examples are trained on.
        batches: how many batches of the arrays are trained on; the rest is padding, since the loop has one shape.
        batch_size: examples in each batch.
        arrays: images, labels and teacher logits, each (batches with padding, batch size, ...).
        draws: what the augmentation does to each image, (batches with padding, batch size, 5); empty without one.
    """

    examples: int
    batches: int
    batch_size: int
    arrays: tuple[np.ndarray, NDArray[np.int32], NDArray[np.float32]]
    draws: tuple[NDArray[np.int32], ...]


class Segments:
    """Cuts the order of an epoch into segments.

    Args:
        data: the splits and, where the objective uses a teacher, its logits.
        batch_size: examples in a step, at most the examples in the training split.
        seed: the order of the examples in epoch e is drawn from [seed, e], as is their augmentation.
        multiplications: of the model for one example, which bound the work of a segment.
    """

    def __init__(self, data: Data, batch_size: int, seed: int, multiplications: int) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.most_batches = batches_in_segment(data.train, batch_size, multiplications)
        self._draws = np.empty((0, 0), np.int32)
        self._targets = data.teacher_train

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Begin an epoch; return the order of its examples (n,)."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data.train))
        if self.data.augmentation:
            self._draws = self.data.augmentation.draw(self.seed, epoch, len(order))
        return order

    def first_of(self, order: NDArray[np.int64]) -> Segment:
        """Return the first segment of what is left of an epoch's order."""
        batches = min(len(order) // self.batch_size, self.most_batches)
        taken = order[: batches * self.batch_size or len(order)]
        if self.data.teachers:
            self._ask(taken)
        if batches == 0:  # what is left is less than a batch, but is trained on too
            return Segment(len(taken), 1, len(taken), self.block(taken, 1), self._block_of_draws(taken, 1))
        # The compiled loop has one shape: pad the block, and tell how much of it to use.
        padded = np.resize(taken, self.most_batches * self.batch_size)
        block = self.block(padded, self.most_batches)
        draws = self._block_of_draws(padded, self.most_batches)
        return Segment(len(taken), batches, self.batch_size, block, draws)

    def block(
        self, positions: NDArray[np.int64], batches: int
    ) -> tuple[np.ndarray, NDArray[np.int32], NDArray[np.float32]]:
        """Return images, labels and teacher logits at `positions`, as (batches, batch size, ...)."""
        images, labels = self.data.train.take(positions)
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
        """Ask the teachers about the images at `positions` as they are augmented in this epoch.

        This is done for a segment at once, in large batches and outside of the loop that XLA compiles, which on a CPU
        took 1.7 times as long for a small CNN, and does not compile every layer.
        """
        for start in range(0, len(positions), BATCH_SIZE):
            chosen = positions[start : start + BATCH_SIZE]
            images, _ = self.data.train.take(chosen)
            if self.data.augmentation:
                images = self.data.augmentation.apply(tf.constant(images), self._draws[chosen])
            answers = [ask(images).numpy().astype(np.float32) for ask in self.data.teachers]
            logits = answers[0] if len(answers) == 1 else np.stack(answers, axis=1)
            if self._targets is None:
                self._targets = np.empty((len(self.data.train), *logits.shape[1:]), np.float32)
            self._targets[chosen] = logits

    def _block_of_draws(self, positions: NDArray[np.int64], batches: int) -> tuple[NDArray[np.int32], ...]:
        """Return what the augmentation does at `positions`, as (batches, batch size, 5); nothing without one."""
        if not self.data.augmentation:
            return ()
        return (self._draws[positions].reshape(batches, len(positions) // batches, -1),)


def batches_in_segment(train: Split, batch_size: int, multiplications: int) -> int:
    """Return how many batches a segment has: about a hundred, fewer where that is too much data or work at once."""
    whole = max(1, len(train) // batch_size)
    example_bytes = train.images[:1].nbytes
    by_work = int(SEGMENT_FLOPS / backend.step_flops(max(1, multiplications), batch_size))
    return max(1, min(SEGMENT_BATCHES, whole, SEGMENT_BYTES // (batch_size * example_bytes), by_work))
