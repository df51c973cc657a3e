"""The kind of the user's examples, declared by `data.kind` or told from the shape, and the vocabulary of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdistill.core import kinds
from kdistill.core.errors import ConfigError, DataError
from kdistill.core.formatting import dimensions
from kdistill.core.kinds import Kind
from kdistill.datasets import memory_map

if TYPE_CHECKING:
    from kdistill.config import Data

# Told from the shape, arrays (steps, features) that are not bytes are sequences from this ratio on: images are seldom
# twice as high as wide.
STEPS_PER_FEATURE = 2
MOST_CHANNELS = 4  # of images that are surely no volumes
LEAST_COLUMNS, LEAST_VALUE = 8, 10  # of a table that looks like tokens


class Told(NamedTuple):
    """The kind of the examples, and a sentence on each thing that was assumed."""

    kind: Kind
    notes: list[str]


def tell(data: Data, images: NDArray, facts: dict[str, Any]) -> Told:
    """Return the kind of the examples (n, *shape) of the user's data.

    Raises:
        ConfigError: `data.kind` or `data.channel_axis` does not fit the shape.
    """
    shape = images.shape[1:]
    if data.dataset != "npz":  # a table with `data.image_size` has images
        return Told("table" if len(shape) == 1 else "image", [])
    if data.kind or data.channel_axis is not None:
        return Told(_declared(data, images.shape), [])
    if len(shape) == 1:
        return Told("table", [_MAYBE_TOKENS] if facts.get("looks_like_tokens") else [])
    if len(shape) == 2:
        return _of_two_axes(shape, images.dtype == np.uint8, facts)
    if len(shape) == 3 and shape[2] > MOST_CHANNELS:
        note = f"{_taken(shape)} images of {dimensions(shape[:2])} pixels with {shape[2]} channels; for volumes, set "
        return Told("image", [f"{note}data.kind: volume"])
    return Told(kinds.plain(shape), [])


def _declared(data: Data, shape: tuple[int, ...]) -> Kind:
    """Return the kind that is declared, by itself or by an axis of channels, after a check of the shape."""
    with_channels: dict[int, Kind] = {3: "sequence", 4: "image", 5: "volume"}
    kind = data.kind or with_channels.get(len(shape))
    if data.kind and not kinds.fits(data.kind, shape[1:]):
        raise ConfigError(
            f"data.kind: expected {kinds.SHAPES[data.kind]} for kind {data.kind}; x_train has the shape {shape}"
        )
    if kind is None or (data.channel_axis is not None and not kinds.has_channels(kind, shape[1:])):
        raise ConfigError(
            f"data.channel_axis: expected an array with an axis of channels besides "
            f"{'those of a ' + data.kind if data.kind else 'examples and features'}; x_train has the shape {shape}",
            hint="Leave data.channel_axis out.",
        )
    return kind


_MAYBE_TOKENS = (
    "The features are taken for numbers, and standardised. They are whole numbers with the same range in every "
    "column: if they stand for words or other tokens, set data.kind: tokens"
)


def _taken(shape: tuple[int, ...]) -> str:
    return f"Examples of shape {dimensions(shape)} are taken for"


def _of_two_axes(shape: tuple[int, ...], are_bytes: bool, facts: dict[str, Any]) -> Told:
    rows, columns = shape
    if are_bytes:
        return Told("image", [])
    sequences = f"sequences of {rows} steps with {columns} features, each standardised by its own mean and variance"
    if rows >= STEPS_PER_FEATURE * columns:
        return Told("sequence", [f"{_taken(shape)} {sequences}; for images, set data.kind: image"])
    is_usual = rows == columns and facts["lowest"] >= 0 and facts["highest"] <= 1
    note = f"{_taken(shape)} images of {rows} x {columns} pixels; for {sequences}, set data.kind: sequence"
    return Told("image", [] if is_usual else [note])


def token_facts(parts: dict[str, NDArray], kind: Kind | None, dtype: np.dtype) -> dict[str, Any]:
    """Return the facts of a conversion that concern tokens.

    Args:
        parts: the converted examples (n, *shape) of each part.
        kind: the declared kind.
        dtype: the type of x_train in the user's file.
    """
    if kind == "tokens":
        return {"largest": {part: int(_extremes(array)[1].max()) for part, array in parts.items()}}
    train = parts["train"]
    if train.ndim != 2 or train.shape[1] < LEAST_COLUMNS or dtype.kind not in "iu" or dtype.itemsize == 1:
        return {}
    lowest, highest = _extremes(train)
    alike = highest.max() >= LEAST_VALUE and lowest.min() >= 0 and bool((2 * highest >= highest.max()).all())
    return {"looks_like_tokens": True} if alike else {}


def _extremes(array: NDArray) -> tuple[NDArray, NDArray]:
    """Return the lowest and the highest value of each column of a table (n, columns)."""
    each = [(piece.min(axis=0), piece.max(axis=0)) for piece in memory_map.pieces(array)]
    return np.min([low for low, _ in each], axis=0), np.max([high for _, high in each], axis=0)


def vocabulary(data: Data, facts: dict[str, Any]) -> int:
    """Return the number of tokens: `data.vocabulary`, or else what x_train needs.

    Raises:
        ConfigError: `data.vocabulary` is too small for a part of the data.
        DataError: another part has larger tokens than x_train.
    """
    known = data.vocabulary or facts["largest"]["train"] + 1
    for part, largest in facts["largest"].items():
        if largest < known:
            continue
        name, needed = facts["names"][part][0], max(facts["largest"].values()) + 1
        if data.vocabulary:
            raise ConfigError(f"data.vocabulary: expected at least {needed}: {name} has {largest}; received {known}")
        raise DataError(
            f"{name}: expected tokens from 0 to {known - 1}, those of x_train; received {largest}",
            hint=f"If these are tokens of the same vocabulary, give its size: data.vocabulary: {needed}, or more.",
        )
    return known
