"""Guards: what looks like a mistake in the data or its splits, told before it costs training time."""

import hashlib
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from kdistill.core.formatting import first_few
from kdistill.datasets import memory_map

Column = NDArray[np.float64]  # a number for each column

SMALL_VALIDATION = 50  # examples; of so few, one is two points of accuracy
SAMPLED_ROWS, FEWEST_SAMPLED = 1000, 32
SAMPLED_VALUES = 2**22  # of large examples fewer rows are looked at, and of each some of its values
# Values are on another scale if their middle 98 % span so many times more or less, or lie so many spans away.
OTHER_SPAN, OTHER_PLACE = 8, 4
FEWEST_ROWS = 10  # to say anything about a scale
LEAST_SHARED = 0.001  # of a part; fewer examples that are in train too change no score


def small_validation(examples: int) -> list[str]:
    """Return a warning if a validation split has too few examples to choose an epoch or a setting with."""
    if examples >= SMALL_VALIDATION:
        return []
    return [
        f"The validation split has {examples} examples, and each is {100 / examples:.2g} points of accuracy: what is "
        "chosen on it (the epoch, the settings of a sweep) is chosen by chance to a good part. A larger "
        "data.validation, or more data, helps."
    ]


def other_scale(train: NDArray, part: NDArray, name: str, features: Sequence[str] = ()) -> list[str]:
    """Return a warning if the values of a part are on another scale than those of train.

    Args:
        train: values (n, *shape); some of them are looked at.
        part: values (m, *shape), of the part `name`.
        features: names of the columns of a table, each of which has its own scale; empty for other data.
    """
    if min(len(train), len(part)) < FEWEST_ROWS:
        return []
    columns = len(features) or 1
    samples = [_sample(values, columns) for values in (train, part)]
    (low, high), (other_low, other_high) = (_edges(values, [1, 99]) for values in samples)
    # Of a column that is nearly always 0, the middle may differ by chance, and the whole range does not.
    differs = _differ(low, high, other_low, other_high) & _differ(*(e for v in samples for e in _edges(v, [0, 100])))
    found = np.flatnonzero(differs).tolist()
    if not found:
        return []
    first = found[0]
    where = f"columns ({first_few([features[column] for column in found])})" if features else "values"
    of_first = f" of {features[first]}" if features else ""
    return [
        f"The {where} of {name} are on another scale than those of train: most values{of_first} lie from "
        f"{other_low[first]:.4g} to {other_high[first]:.4g}, in train from {low[first]:.4g} to {high[first]:.4g}. Were "
        "they prepared in the same way?"
    ]


def _sample(values: NDArray, columns: int) -> NDArray[np.float64]:
    """Return some of the values (n, *shape) as (rows, columns), few enough for every command to look at."""
    size = prod(values.shape[1:])
    rows = min(SAMPLED_ROWS, max(FEWEST_SAMPLED, SAMPLED_VALUES // size))
    chosen = np.unique(np.linspace(0, len(values) - 1, rows, dtype=np.int64))
    taken = memory_map.gather(values, chosen).reshape(len(chosen), -1)
    if columns == 1 and taken.size > SAMPLED_VALUES // 4:
        places = np.random.default_rng(0).choice(size, SAMPLED_VALUES // 4 // len(chosen), replace=False)
        taken = taken[:, np.sort(places)]
    return taken.reshape(-1, columns).astype(np.float64)


def _edges(values: NDArray[np.float64], percentiles: Sequence[int]) -> NDArray[np.float64]:
    """Return two percentiles (2, columns) of values (n, columns)."""
    return np.percentile(values, percentiles, axis=0)


def _differ(low: Column, high: Column, other_low: Column, other_high: Column) -> NDArray[np.bool_]:
    """Return (columns,) whether two ranges of values are on different scales; a single value has none."""
    span, other = high - low, other_high - other_low
    smaller, larger = np.minimum(span, other), np.maximum(span, other)
    apart = np.abs((low + high) - (other_low + other_high)) / 2
    return (larger > 0) & (((larger > OTHER_SPAN * smaller) & (smaller > 0)) | (apart > OTHER_PLACE * larger))


def row_hashes(values: NDArray) -> NDArray[np.uint64]:
    """Return a hash (n,) of each row of values (n, *shape): equal rows have equal hashes, others almost never."""
    hashes = np.empty(len(values), np.uint64)
    done = 0
    for piece in memory_map.pieces(values):
        for row in np.ascontiguousarray(piece):
            hashes[done] = int.from_bytes(hashlib.blake2b(row.data, digest_size=8).digest(), "little")
            done += 1
    return hashes


def count_shared(train: NDArray[np.uint64], part: NDArray[np.uint64]) -> int:
    """Return how many examples of a part are in train too, by the hashes of both."""
    if not len(train):
        return 0
    known, hashes = np.sort(train), np.sort(part)  # np.isin takes a hundred times as long for millions
    return int((known[np.searchsorted(known, hashes).clip(max=len(known) - 1)] == hashes).sum())


def have_repeats(hashes: NDArray[np.uint64]) -> bool:
    """Whether two examples are the same, by their hashes."""
    known = np.sort(hashes)
    return bool((known[1:] == known[:-1]).any())


def shared_examples(count: int, total: int, name: str) -> list[str]:
    """Return a warning if `count` of the `total` examples of the part `name` are in train too."""
    if count == 0 or count < LEAST_SHARED * total:
        return []
    return [
        f"{count:,} of the {total:,} examples of {name} {'is' if count == 1 else 'are'} identical to examples of "
        f"train: a model has seen them, and its scores on {name} are too good. Unless rows of few values are equal by "
        "chance, remove them from one of the two."
    ]
