"""The examples of an epoch, cut into segments of batches for the compiled loop, with what the teacher says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.core import backend
from kdistill.core.task import are_labelled
from kdistill.datasets.split import AnySplit, Split
from kdistill.evaluation.predict import BATCH_SIZE, BATCH_VALUES, Predict
from kdistill.training import mixup
from kdistill.training.augmentation import Augmentation, mixing
from kdistill.training.mixup import MixedLabels

Guide = Callable[[np.ndarray], Sequence[tf.Tensor]]

SEGMENT_BATCHES = 100
SEGMENT_BYTES = 64 * 2**20
SEGMENT_FLOPS = 1e11  # some seconds on one core: Ctrl-C waits for the end of a segment


@dataclass(frozen=True)
class Data:
    """The data of a run.

    Attributes:
        train: the training examples, n; some may have no label (`task.NO_LABEL`).
        validation: the validation split, m examples.
        teacher_train: teacher logits (n, classes) or (n, teachers, classes) of `train`; None without a teacher, or if
            they are computed while training, by `teachers`. With a `guide`, its logits are used.
        teacher_validation: teacher logits (m, classes) or (m, teachers, classes) of `validation`; None without a
            teacher.
        teachers: functions from raw values to logits, called on every augmented image.
        augmentation: of the training examples, if any.
        per_epoch: examples in an epoch, in passes over `train` of which the last may be incomplete; None for n. So
            arms with fewer examples have as many updates, between two validations too.
        features_train: the teacher's features (n, *target.shape) of `train` for each hint; empty without hints, or if
            they are computed while training, by `guide`.
        guide: a function from raw values to a teacher's logits and its features for each hint, called on every image.
        guided_by: (n,), the example of which `guide` computes for each example; None: the example itself, as
            it has to be if examples are mixed.
        prior: (classes,), to which the mean class probabilities on `validation` are brought, by the biases, before an
            epoch is scored: see `evaluation.prior`; None: the biases stay.
    """

    train: AnySplit
    validation: Split
    teacher_train: NDArray[np.float32] | None = None
    teacher_validation: NDArray[np.float32] | None = None
    teachers: Sequence[Predict] = ()
    augmentation: Augmentation | None = None
    per_epoch: int | None = None
    features_train: Sequence[NDArray[np.float32]] = ()
    guide: Guide | None = None
    guided_by: NDArray[np.int64] | None = None
    prior: NDArray[np.float64] | None = None

    @property
    def in_step(self) -> Augmentation | None:
        """The augmentation within a step. Mixed examples are made before it: runs that differ in mixup share a step."""
        return None if self.augmentation and self.augmentation.mixup else self.augmentation

    @property
    def epoch_examples(self) -> int:
        """The number of examples in an epoch."""
        return self.per_epoch or len(self.train)

    @property
    def seen(self) -> int:
        """The number of examples in an epoch, and in what is left of its last pass."""
        return -(-self.epoch_examples // len(self.train)) * len(self.train)


@dataclass(frozen=True)
class Segment:
    """The arguments of one call of the engine."""

    examples: int  # without the padding
    batches: int  # without the padding
    # Images, labels, and the teacher's logits and features, each (segment, batch, ...), padded to the engine's shape.
    block: tuple[np.ndarray | tf.Tensor, NDArray[np.int32], list[NDArray[np.float32]]]
    draws: NDArray[np.int32] | None  # (segment, batch, 5) of an augmentation in the step, which none is with mixup
    mixed: MixedLabels | None  # (segment, batch, ...), if the examples of the block are mixed


class Segments:
    """Cuts the order of an epoch into segments.

    Args:
        data: the data of the run.
        batch_size: examples in a batch.
        length: batches in a segment; the last segment of an epoch has fewer.
    """

    def __init__(self, data: Data, batch_size: int, length: int) -> None:
        self._data, self._batch_size, self._length = data, batch_size, length
        self._draws, self._weights = np.empty((0, 0), np.int32), np.empty(0, np.float32)

    def order(self, seed: int, epoch: int, batches: int | None = None) -> NDArray[np.int64]:
        """Return the order of the examples in an epoch, or in its first batches, and draw their augmentation.

        The example at position i is i in the first pass over the n of them, n + i in the second, and so on.
        """
        count, length = len(self._data.train), self._data.epoch_examples
        rng = np.random.default_rng([seed, epoch])
        order = np.concatenate([start + rng.permutation(count) for start in range(0, length, count)])[:length]
        if augmentation := self._data.augmentation:
            self._draws = augmentation.draw(seed, epoch, self._data.seen)
            if augmentation.mixup:
                self._weights = mixup.draw(augmentation.mixup, seed, epoch, self._data.seen)
        return order if batches is None else order[: batches * self._batch_size]

    def next(self, order: NDArray[np.int64]) -> Segment:
        """Return the first segment of `order`, which is what is left of an epoch's order."""
        batches = min(len(order) // self._batch_size, self._length)
        taken = batches * self._batch_size or len(order)  # the last examples of an epoch may be fewer than a batch
        # All segments have one shape, for which the loop is compiled: the block is padded.
        size = self._length if batches else 1
        padding = np.resize(np.arange(taken), size * self._batch_size) if batches else np.arange(taken)
        padded = order[padding]
        images, labels = self._data.train.take(padded % len(self._data.train))
        augmentation, mixed = self._data.augmentation, None
        draws = self._draws[padded] if augmentation else None
        if augmentation and augmentation.mixup:
            images, mixed = self._mixed(mixing(augmentation), images, labels, padded)
            draws = None
        targets = self._targets(order[:taken], padding, images if mixed else None)

        def cut(values: Any) -> Any:
            reshape = tf.reshape if tf.is_tensor(values) else np.reshape
            return reshape(values, (size, len(padded) // size, *values.shape[1:]))

        block = cut(images), cut(labels), [cut(each) for each in targets]
        others = None if mixed is None else MixedLabels(*map(cut, mixed))
        return Segment(taken, max(1, batches), block, None if draws is None else cut(draws), others)

    def _mixed(
        self, mix: Callable[..., tf.Tensor], images: np.ndarray, labels: NDArray[np.int32], positions: NDArray[np.int64]
    ) -> tuple[tf.Tensor, MixedLabels]:
        """Return the examples at `positions`, batches one after another, mixed within each, and their other labels."""
        partners, weights = mixup.partners(are_labelled(labels), self._batch_size), self._weights[positions]
        return mix(images, self._draws[positions], partners, weights), MixedLabels(labels[partners], weights)

    def _targets(
        self, positions: NDArray[np.int64], padding: NDArray[np.int64], mixed: tf.Tensor | None
    ) -> list[NDArray[np.float32]]:
        """Return the teacher's logits of the examples at `positions`, and its features, in the order of `padding`.

        `mixed` are the mixed examples in that order, if they are mixed.
        """
        data = self._data
        if data.teachers or data.guide:
            return [each[padding] for each in self._computed(positions, mixed)]
        padded = positions[padding] % len(data.train)
        logits = np.empty((len(padded), 0), np.float32) if data.teacher_train is None else data.teacher_train[padded]
        return [logits, *(features[padded] for features in data.features_train)]

    def _computed(self, positions: NDArray[np.int64], mixed: tf.Tensor | None) -> list[NDArray[np.float32]]:
        """Compute the targets of the images at `positions`, as they are augmented in this epoch, or have been mixed.

        All images of a segment are computed at once, outside of the compiled loop, in which a small CNN took 1.7 times
        as long on a CPU, and in which XLA cannot compile every layer.
        """
        data, parts = self._data, []
        seen_by = self._guided_by(positions)
        size = min(BATCH_SIZE, max(1, BATCH_VALUES // data.train.images[:1].size)) if data.guide else BATCH_SIZE
        for start in range(0, len(positions), size):
            end = min(start + size, len(positions))  # mixed examples have the padding after them
            images = self._images(seen_by[start:end]) if mixed is None else mixed[start:end]
            if data.guide:
                parts.append([each.numpy().astype(np.float32) for each in data.guide(images)])
                continue
            each = [predict(images).numpy().astype(np.float32) for predict in data.teachers]
            parts.append([each[0] if len(each) == 1 else np.stack(each, axis=1)])
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _images(self, positions: NDArray[np.int64]) -> np.ndarray | tf.Tensor:
        """Return the images at `positions`, as they are augmented in this epoch without mixup."""
        images, _ = self._data.train.take(positions % len(self._data.train))
        if self._data.augmentation is None:
            return images
        return self._data.augmentation.apply(tf.constant(images), self._draws[positions])

    def _guided_by(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position, in the same pass, of the example that the teacher sees for each of `positions`."""
        if self._data.guided_by is None:
            return positions
        examples = positions % len(self._data.train)
        return positions - examples + self._data.guided_by[examples]


def batches_in_segment(data: Data, batch_size: int, multiplications: int, features: int = 0) -> int:
    """Return the number of batches in a segment: `SEGMENT_BATCHES`, or fewer by `SEGMENT_BYTES` or `SEGMENT_FLOPS`.

    `multiplications` are those of the forward pass for one example (see `modelfiles.flops`), `features` the number of a
    teacher's values for hints.
    """
    whole = max(1, data.epoch_examples // batch_size)
    example, single = data.train.images[:1], np.dtype(np.float32).itemsize
    mixed = data.augmentation is not None and data.augmentation.mixup > 0
    example_bytes = (example.size * single if mixed else example.nbytes) + features * single
    by_work = int(SEGMENT_FLOPS / backend.step_flops(max(1, multiplications), batch_size))
    return max(1, min(SEGMENT_BATCHES, whole, SEGMENT_BYTES // (batch_size * example_bytes), by_work))
