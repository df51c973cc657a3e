"""Examples without labels (`data.unlabelled`): images in a folder, an array `x`, or a table without the label column.

They are converted as the user's own data are, and mapped if they are large. They have to be like train: of its shape,
type and scale, with the columns of its table.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core import backend
from kdistill.core.errors import DataError
from kdistill.core.formatting import dimensions, first_few
from kdistill.core.listener import Listener
from kdistill.core.task import NO_LABEL
from kdistill.datasets import csv_file, guards, memory_map, npy
from kdistill.datasets.label_noise import with_noise
from kdistill.datasets.labelling import labelled_as
from kdistill.datasets.split import Split
from kdistill.datasets.splits import Splits
from kdistill.datasets.table_columns import Column, Encoder
from kdistill.datasets.table_format import Format
from kdistill.datasets.user import conversion_cache, csv_table, parts
from kdistill.datasets.user.npz import Layout, write_examples

if TYPE_CHECKING:
    from kdistill.config import Data
    from kdistill.datasets.user.image_decoding import Header

KEY = "data.unlabelled"
ARRAY = "x"
ROWS_AT_ONCE = 4096
PART = "train"  # of a conversion, which has no other
SET_ASIDE = "To set the labels of a part of train aside, use data.labelled."
MISSING_HINT = "Fill these cells, leave the rows out, or set data.missing: mean."


@dataclass(frozen=True)
class _Wanted:
    """What unlabelled examples have to be like.

    Attributes:
        data: the section `data` of the config.
        splits: the labelled data.
        path: where the unlabelled examples are.
    """

    data: Data
    splits: Splits
    path: Path

    @property
    def settings(self) -> dict[str, Any]:
        """What the converted arrays depend on besides the files."""
        keys = {key: getattr(self.data, key) for key in ("kind", "channel_axis", "label", "drop", "image_size")}
        form = {"shape": self.splits.shape, "type": str(self.splits.train.images.dtype), "dataset": self.data.dataset}
        return {**form, **keys, "columns": self.splits.features, "inputs": self.splits.inputs}

    def check(self, shape: tuple[int, ...], dtype: np.dtype, what: str) -> None:
        """Raise DataError for examples of another shape, or of a type that has another scale."""
        if shape != self.splits.shape:
            wanted = f"expected examples of shape {dimensions(self.splits.shape)}, as train has"
            raise DataError(f"{KEY}: {what}: {wanted}; received {dimensions(shape)}")
        if dtype != (wanted_type := self.splits.train.images.dtype):
            raise DataError(
                f"{KEY}: {what}: expected values of the type {wanted_type}, as train has; received {dtype}, whose "
                "scale would be another"
            )


def with_unlabelled(splits: Splits, data: Data, listener: Listener | None = None, notes: bool = True) -> Splits:
    """Return splits with labels set aside or made wrong, and with further examples, as far as a config says so.

    Args:
        splits: the data, with all labels.
        data: section `data` of a config.
        listener: notified of a conversion, and of what was read.
        notes: whether the listener is told how many labels are left.

    Raises:
        ConfigError: see `labelling.labelled_as`.
        DataError: the unlabelled examples cannot be read, have labels, or are not like those of train.
    """
    splits = with_noise(labelled_as(splits, data, listener if notes else None), data)
    if data.unlabelled is None:
        return splits
    wanted = _Wanted(data, splits, Path(data.unlabelled))
    rows, facts = _converted(wanted, listener or Listener())
    labels = np.broadcast_to(np.int32(NO_LABEL), (len(rows), *splits.train.labels.shape[1:]))
    added = replace(rows, labels=labels)
    _check_scale(added, wanted)
    for note in (*facts.get("notes", ()), f"{wanted.path}: {len(rows):,} unlabelled examples") if notes else ():
        (listener or Listener()).note(note)
    warnings = (*splits.warnings, *facts.get("warnings", ()), *_seen(splits, added))
    return replace(splits, added=added, added_fingerprint=facts["fingerprint"], warnings=warnings)


def _converted(wanted: _Wanted, listener: Listener) -> tuple[Split, conversion_cache.Facts]:
    """Return the examples and the facts of their conversion, which is made unless the cache has it."""
    path = wanted.path
    if not os.path.exists(path):
        raise DataError(f"{path}: there is no such file or folder", hint=f"Set {KEY} to the path of the examples.")
    signature, convert = _form(wanted)
    folder = conversion_cache.folder_for("unlabelled", path, wanted.settings)
    found = conversion_cache.find(folder, signature(), listener.note)
    if found is None:
        listener.note(f"Reading {path} into the cache")
        found = conversion_cache.make(folder, signature, convert)
    return found[0][PART], found[1]


def _form(wanted: _Wanted) -> tuple[Callable[[], str], conversion_cache.Convert]:
    """Return the functions that give the signature of the files, and convert them."""
    path, suffix = wanted.path, wanted.path.suffix.lower()
    signature = partial(conversion_cache.signature, [path], path.parent)
    if path.is_dir():
        # Imported here because it loads Pillow.
        from kdistill.datasets.user import image_decoding

        listed = image_decoding.images_in
        return lambda: conversion_cache.signature(listed(path), path), partial(_write_images, wanted)
    if suffix == ".npz":
        return signature, partial(_write_array, wanted)
    if suffix in csv_table.SUFFIXES and wanted.data.dataset == "csv":
        return signature, partial(_write_table, wanted)
    table = "a table for dataset csv, " if suffix in csv_table.SUFFIXES else ""
    raise DataError(
        f"{KEY}: expected a folder of images, an .npz file or, for dataset csv, a .csv file; received {path.name}"
        + (f", {table}and dataset is {wanted.data.dataset}" if table else "")
    )


def _facts(folder: Path, count: int, path: Path, **more: Any) -> conversion_cache.Facts:
    """Write what stands for labels in a conversion, and return its facts."""
    conversion_cache.write_labels(folder, {PART: np.full(count, NO_LABEL, np.int32)})
    return {"classes": [], "names": {PART: [str(path), str(path)]}, **more}


def _write_images(wanted: _Wanted, folder: Path) -> conversion_cache.Facts:
    """Write the images in a folder to that of a conversion, and return its facts."""
    from kdistill.datasets.user import image_decoding, image_folder

    shape, paths = wanted.splits.shape, image_decoding.images_in(wanted.path)
    _check_no_classes(wanted, paths)
    if wanted.splits.kind != "image" or (len(shape) == 3 and shape[2] != 3):
        what = f"{wanted.splits.kind}s" if wanted.splits.kind != "image" else "images of other channels"
        raise DataError(
            f"{KEY}: {wanted.path} is a folder of images, and train has {what} of shape {dimensions(shape)}",
            hint=f"Give the unlabelled examples as the array `{ARRAY}` of an .npz file.",
        )
    skipped: dict[Path, str] = {}
    with image_decoding.bombs_refused(), ThreadPoolExecutor(backend.cores()) as pool:
        seen = dict(image_folder.read(pool, image_decoding.inspect, paths, skipped))
        dtype = _checked_images(wanted, seen)
        conversion_cache.check_room(folder, len(seen) * prod(shape) * dtype.itemsize, wanted.path)
        decode = partial(image_decoding.decode, size=(shape[0], shape[1]), channels=1 if len(shape) == 2 else 3)
        count = 0
        with memory_map.RowWriter(conversion_cache.examples_file(folder, PART), shape, dtype) as rows:
            for _, pixels in image_folder.read(pool, decode, paths, skipped):
                rows.append(pixels.reshape(1, *shape))
                count += 1
    if skipped and (wanted.data.on_error != "skip" or not count):
        raise image_folder.refused(sorted(skipped.items()), all_of=len(paths))
    left_out = [f"{image_folder.unreadable(sorted(skipped.items()))}; left out"] if skipped else []
    return _facts(folder, count, wanted.path, warnings=left_out)


def _check_no_classes(wanted: _Wanted, paths: list[Path]) -> None:
    """Raise DataError where the images are in folders that are named as the classes are."""
    inside = {path.relative_to(wanted.path).parts[0] for path in paths if path.parent != wanted.path}
    if len(inside) > 1 and inside <= set(wanted.splits.classes):
        raise DataError(
            f"{KEY}: {wanted.path} has a folder for each class ({first_few(sorted(inside))}): expected images without "
            "labels",
            hint=f"Put the images into one folder. {SET_ASIDE}",
        )


def _checked_images(wanted: _Wanted, seen: dict[Path, Header]) -> np.dtype:
    """Return the type of the decoded images; refuse those of other size, colours or depth than train has."""
    shape = wanted.splits.shape
    deep = sum(header.is_deep for header in seen.values())
    if 0 < deep < len(seen):
        raise DataError(f"{KEY}: {wanted.path}: expected images of one depth; {deep:,} of {len(seen):,} have 16 bits")
    for path, header in seen.items():
        if wanted.data.dataset == "image_folder":  # whose images are resized, and converted to its channels
            break
        is_grey = len(shape) == 2 and header.is_grey  # a grey image is one in colour, too
        wanted.check(header.size if is_grey else (*header.size, 3), wanted.splits.train.images.dtype, str(path))
    dtype = np.dtype(np.float32 if deep else np.uint8)
    wanted.check(shape, dtype, str(wanted.path))
    return dtype


def _write_array(wanted: _Wanted, folder: Path) -> conversion_cache.Facts:
    """Write the array `x` of an archive to the folder of a conversion, and return its facts."""
    path, data = wanted.path, wanted.data
    own_layout = Layout(data.kind, None if data.channel_axis == -1 else data.channel_axis)
    layout = own_layout if data.dataset == "npz" else Layout()
    with npy.opened(path) as archive:
        names = sorted(npy.names(archive))
        if labels := [name for name in names if parts.has_labels(name)]:
            raise DataError(
                f"{KEY}: {path} has labels ({first_few(labels)}): expected `{ARRAY}`, examples without labels",
                hint=f"Save it without them. {SET_ASIDE}",
            )
        if ARRAY not in names:
            raise DataError(f"{KEY}: {path}: expected an array `{ARRAY}`; it holds {first_few(names) or 'no array'}")
        header = npy.header_in(archive, ARRAY)
        if len(header.shape) < 2 or not header.shape[0]:
            raise DataError(f"{KEY}: {path}: {ARRAY}: expected examples; received an array of shape {header.shape}")
        layout.checked(header.shape, f"{path}: {ARRAY}")
        axis = -1 if layout.channel_axis is None else layout.channel_axis
        dtype = np.dtype(np.int32) if layout.kind == "tokens" else npy.stored_type(header.dtype)
        wanted.check(_moved(header, axis), dtype, f"{path}: {ARRAY}")
        conversion_cache.check_room(folder, 2 * prod(header.shape) * dtype.itemsize, path)
        target = conversion_cache.examples_file(folder, PART)
        write_examples(archive, ARRAY, target, path, layout)
    _check_tokens(wanted, memory_map.open_array(target))
    return _facts(folder, header.shape[0], path)


def _moved(header: npy.Header, axis: int) -> tuple[int, ...]:
    """Return the shape of an example once this axis of the array is the last."""
    sizes = list(header.shape)
    sizes.append(sizes.pop(axis))
    return tuple(sizes[1:])


def _check_tokens(wanted: _Wanted, tokens: NDArray) -> None:
    vocabulary = wanted.splits.vocabulary
    largest = max(int(piece.max()) for piece in memory_map.pieces(tokens)) if vocabulary else 0
    if vocabulary and largest >= vocabulary:
        raise DataError(
            f"{KEY}: {wanted.path}: expected tokens from 0 to {vocabulary - 1}, as train has; received {largest}",
            hint=f"If these are tokens of the same vocabulary, give its size: data.vocabulary: {largest + 1}, or more.",
        )


def _write_table(wanted: _Wanted, folder: Path) -> conversion_cache.Facts:
    """Write the rows of a table to the folder of a conversion, encoded as those of train, and return its facts."""
    data, inputs, path = wanted.data, wanted.splits.inputs or {}, wanted.path
    columns = [Column.of(column) for column in inputs.get("columns", ())]
    columns = columns or [Column(name) for name in wanted.splits.features]
    given = Format(data.separator, data.decimal, data.encoding, data.header, data.thousands)
    shape, dtype = wanted.splits.shape, wanted.splits.train.images.dtype
    with csv_file.opened(path, given, Format.of(inputs)) as table:
        cells, ignored = _cells(wanted, table, [column.name for column in columns])
        encoder = Encoder(table, columns, cells, None)
        with memory_map.RowWriter(conversion_cache.examples_file(folder, PART), shape, dtype) as rows:
            for block in table.row_blocks(ROWS_AT_ONCE):
                rows.append(_as_train(wanted, encoder.encode(block).reshape(-1, *shape)))
    encoder.check_missing(MISSING_HINT)
    if not encoder.rows:
        raise DataError(f"{table.place}: expected rows below the names of the columns; there are none")
    notes = [
        *table.notes,
        *([f"{path}: columns that train has not are ignored: {first_few(ignored)}"] if ignored else []),
    ]
    return _facts(folder, encoder.rows, path, notes=notes, warnings=encoder.warnings())


def _cells(wanted: _Wanted, table: csv_file.CsvFile, names: list[str]) -> tuple[list[int], list[str]]:
    """Return the positions of the columns of train in a table, and the names of others that are ignored."""
    label, place = wanted.data.label or "", table.place
    has_header = table.format.header is not False
    has_label = label in table.columns if has_header else len(table.columns) == len(names) + 1
    if has_label:
        raise DataError(
            f"{KEY}: {place} has the label column {label!r}: expected a table without it",
            hint=f"Remove the column. {SET_ASIDE}",
        )
    if not has_header and len(table.columns) == len(names):
        return list(range(len(names))), []
    if missing := [name for name in names if name not in table.columns]:
        raise DataError(
            f"{KEY}: {place}: expected the columns of train: {first_few(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing"
        )
    ignored = [name for name in table.columns if name not in names and name not in (wanted.data.drop or ())]
    return [table.columns.index(name) for name in names], ignored


def _as_train(wanted: _Wanted, values: NDArray[np.float32]) -> NDArray:
    """Return rows of a table in the type of train: bytes, where its columns are the pixels of images."""
    if wanted.splits.train.images.dtype != np.uint8:
        return values
    as_bytes = values.astype(np.uint8)
    if not (as_bytes == values).all():
        raise DataError(f"{KEY}: {wanted.path}: expected whole numbers from 0 to 255, as train has, in all columns")
    return as_bytes


def _check_scale(added: Split, wanted: _Wanted) -> None:
    """Raise DataError where the values of unlabelled examples are on another scale than those of train."""
    splits = wanted.splits
    if splits.kind == "tokens":
        return
    features = splits.features if splits.kind == "table" else ()
    train = splits.train.images
    if other := guards.other_scale(train, added.images, KEY, features):
        raise DataError(other[0], hint="Bring them to the scale of train, or leave them out.")


def _seen(splits: Splits, added: Split) -> list[str]:
    """Return a warning for each part held out whose examples are among the unlabelled ones."""
    found = []
    for name in ("validation", "test"):
        part: Split = getattr(splits, name)
        hashes = part.hashes[part.rows] if part.hashes is not None else _hashes(part)
        if added.hashes is not None and (count := guards.count_shared(added.hashes, hashes)):
            are, them = ("is", "it") if count == 1 else ("are", "them")
            found.append(
                f"{count:,} of the {len(part):,} examples of {name} {are} among the unlabelled ones: the student is "
                f"trained on {them}, without labels, and its scores on {name} may be too good."
            )
    return found


def _hashes(part: Split) -> NDArray[np.uint64]:
    """Return the hashes (n,) of the examples of a part."""
    return np.concatenate([guards.row_hashes(images) for images, _ in part.chunks(ROWS_AT_ONCE)])
