"""The features of a teacher for hints: outputs of its layers, computed once and cached, or by a function."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from kdistill.core.errors import ModelError, OutputError
from kdistill.datasets.split import Split
from kdistill.datasets.transfer_set import Which
from kdistill.evaluation.metrics import Floats
from kdistill.evaluation.predict import BATCH_SIZE, BATCH_VALUES
from kdistill.models.features import Feature, WithFeatures
from kdistill.runs.logits_cache import ADDED
from kdistill.teachers.teacher import ModelTeacher

MOST_CACHED = 256 * 2**20  # bytes of all features of the training examples: they are kept in memory


def size_of(features: Sequence[Feature], examples: int) -> int:
    """Return the bytes of the features of a number of examples."""
    return examples * sum(math.prod(feature.shape) for feature in features) * np.dtype(np.float32).itemsize


def guide(teacher: ModelTeacher, features: Sequence[Feature]) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Return a compiled function from raw values to a teacher's logits and its features, in one pass."""
    model = WithFeatures(teacher.model, features)
    return tf.function(lambda images: model(images, training=False), reduce_retracing=True, autograph=False)


def on(teacher: ModelTeacher, features: Sequence[Feature], which: Which) -> list[Floats]:
    """Return each of a teacher's features (n, *shape) on the training examples that `Splits.examples` returns.

    Raises:
        ModelError: they are not finite.
    """
    splits = teacher.splits
    own, added = _cached(teacher, features, "train", splits.train), splits.added_to(which)
    more = [None] * len(own) if added is None else _cached(teacher, features, ADDED, added)
    return [splits.of_examples(which, *both) for both in zip(own, more, strict=True)]


def _cached(teacher: ModelTeacher, features: Sequence[Feature], split: str, rows: Split) -> list[Floats]:
    """Return each of a teacher's features (n, *shape) on a split, from the cache or computed and cached.

    A cache that cannot be written is none.
    """
    caches = [
        dataclasses.replace(teacher.cache, run=None, layer=f"{feature.layer} {feature.shape}") for feature in features
    ]
    shapes = [(len(rows), *feature.shape) for feature in features]
    found = [cache.load(split, shape) for cache, shape in zip(caches, shapes, strict=True)]
    if all(kept is not None for kept in found):
        return [np.asarray(kept) for kept in found]
    compute, parts = guide(teacher, features), []
    for images, _ in rows.chunks(min(BATCH_SIZE, max(1, BATCH_VALUES // rows.images[:1].size))):
        parts.append([each.numpy().astype(np.float32) for each in compute(images)[1:]])
    computed = [np.concatenate(each) for each in zip(*parts, strict=True)]
    for feature, values, cache in zip(features, computed, caches, strict=True):
        if not np.isfinite(values).all():
            raise ModelError(f"{teacher.paths[0]}: outputs of the layer {feature.layer} are not finite numbers")
        with contextlib.suppress(OutputError):  # as for logits: see `ModelTeacher.logits`
            cache.store(split, values)
    return computed
