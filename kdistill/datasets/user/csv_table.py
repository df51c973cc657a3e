"""The user's own tables: CSV files with a label column; all other columns are features, or the pixels of images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from kdistill.core.errors import DataError
from kdistill.core.formatting import closest, counted, first_few
from kdistill.datasets import csv_file, memory_map
from kdistill.datasets.cells import is_number
from kdistill.datasets.csv_file import DATA_HINT, CsvFile
from kdistill.datasets.table_columns import MISSING_HINT, Column, Encoder
from kdistill.datasets.table_format import UNKNOWN, Format
from kdistill.datasets.user import conversion_cache, labels, table_survey
from kdistill.datasets.user.parts import beside, in_folder, note

ROWS_AT_ONCE = 4096
NAMED_COLUMNS = 10
SUFFIXES = (".csv", ".tsv")
FEATURES_HINT = (
    "All columns but the label are features, in all parts of the same kind as in train: mend this cell, or leave the "
    "column out with data.drop."
)
MOST_OF_A_BYTE = 255
NO_NAMES = ("sep=", "#")  # how a first line begins that is for a spreadsheet, or a comment


@dataclass(frozen=True)
class Reading:
    """What a config says on how a table is read.

    Attributes:
        label: name of the label column.
        format: how the files are written; what is None is told from them.
        drop: names of columns that are no features.
        keep: names of columns that are features though they have no name, or count the rows.
        fills: whether missing values get the mean of train.
        image_size: height and width of the images whose pixels the columns are; None for features.
    """

    label: str
    format: Format = UNKNOWN
    drop: Sequence[str] = ()
    keep: Sequence[str] = ()
    fills: bool = False
    image_size: tuple[int, int] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the arrays depend on; keys of later versions than 0.1.0 only where they are set."""
        later = {
            **{key: value for key, value in vars(self.format).items() if value is not None},
            "drop": sorted(self.drop),
            "keep": sorted(self.keep),
            "missing": "mean" if self.fills else None,
            "image_size": list(self.image_size or ()),
        }
        return {"label": self.label, **{key: value for key, value in later.items() if value or value is False}}


@dataclass
class Table:
    """What is known of the tables while they are converted.

    Attributes:
        columns: the columns that are features, in order.
        others: names of columns of train that are no features.
        format: how train is written.
        place: its name, for messages.
        notes: sentences on what was told from the files, and what was left out.
        warnings: sentences on values that train does not have.
    """

    columns: list[Column]
    others: set[str]
    format: Format
    place: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def files_at(path: Path, with_others: bool = True) -> dict[str, Path]:
    """Return the file of each part; `path` is the file of train, or a folder of several files.

    Args:
        path: the file or the folder.
        with_others: whether the parts that lie beside a file of train belong to it.

    Raises:
        DataError: the folder has no table of train, or a part is there twice.
    """
    if not path.is_dir():
        return (beside(path, SUFFIXES, os.path.isfile) if with_others else {}) or {"train": path}
    found = in_folder(path, SUFFIXES, os.path.exists)
    if "train" not in found:
        raise DataError(
            f"{path}: expected train.csv in this folder, and optionally test.csv and validation.csv",
            hint="Set data.path to the file of train.",
        )
    return found


def convert(places: Mapping[str, Path], reading: Reading, folder: Path) -> conversion_cache.Facts:
    """Write the tables of some parts to the folder of a conversion; return its facts.

    Raises:
        DataError: a table cannot be used; names the file, and the line and the column if possible.
    """
    table = _surveyed(places["train"], reading)
    found = {part: _write(file, part, table, reading, folder) for part, file in places.items()}
    if reading.image_size:
        _as_images(folder, list(places), reading.image_size, table, places["train"])
    names, numbers = labels.encoded(found)
    conversion_cache.write_labels(folder, numbers)
    features = [feature for column in table.columns for feature in column.features]
    inputs = table.format.document()
    if not all(column.is_plain for column in table.columns) or inputs:
        inputs["columns"] = [column.document() for column in table.columns]
    return {
        "classes": names,
        "names": {part: [str(file), str(file)] for part, file in places.items()},
        "features": features,
        "notes": [
            *([note({part: file.name for part, file in places.items()})] if len(places) > 1 else []),
            *table.notes,
        ],
        "warnings": table.warnings,
        **({"inputs": inputs} if inputs else {}),
    }


def _surveyed(file: Path, reading: Reading) -> Table:
    """Read train once, and return which of its columns are features, and how each becomes some."""
    with csv_file.opened(file, reading.format) as table:
        label = _label_in(table, reading, is_train=True)
        _check_named(table, reading)
        cells = [
            cell
            for cell, name in enumerate(table.columns)
            if cell != label and name not in reading.drop and (name not in table.nameless or name in reading.keep)
        ]
        found, rows = table_survey.survey(table, cells)
        if not rows:
            raise DataError(f"{table.place}: expected rows below the names of the columns; received none")
        counting = [one.name for one in found if one.counts_rows and one.name not in reading.keep]
        used = [one for one in found if one.name not in counting]
        if not used:
            left = [name for name in table.columns if name != reading.label]
            others = f"columns that are left out: {first_few(left)}" if left else "none"
            raise DataError(f"{table.place}: expected columns besides the label {reading.label!r}; received {others}")
        columns = table_survey.columns_of(used, rows, table, reading.fills)
        unused = set(table.columns) - {column.name for column in columns}
        made = Table(columns, unused, table.format, table.place, list(table.notes))
        made.warnings += table_survey.warnings(used, reading.keep, table.place)
    nameless = [name for name in table.nameless if name not in (*reading.keep, *reading.drop, reading.label)]
    made.notes += _left_out(nameless, "have no name", file) + _left_out(counting, "count the rows", file)
    made.notes += _converted(used, columns, file)
    return made


def _left_out(names: list[str], why: str, file: Path) -> list[str]:
    if not names:
        return []
    verb = {"have no name": "has no name", "count the rows": "counts the rows"}[why] if len(names) == 1 else why
    keep = ", ".join(names[:3])
    return [f"{file}: left out, since {'it' if len(names) == 1 else 'they'} {verb}: {first_few(names)} "
            f"(data.keep: [{keep}] reads {'it' if len(names) == 1 else 'them'})"]  # fmt: skip


def _converted(found: Sequence[table_survey.Found], columns: Sequence[Column], file: Path) -> list[str]:
    """Return sentences on the columns that are categories, and on missing values that got a mean."""
    notes = []
    if text := [f"{one.name} ({len(one.categories)})" for one in columns if one.categories is not None]:
        notes.append(f"{file}: categories, each a feature of 0 or 1: {first_few(text, NAMED_COLUMNS)}")
    if filled := [f"{one.name} ({one.missing:,})" for one in found if one.missing]:
        notes.append(f"{file}: missing values, which get the mean of train: {first_few(filled, NAMED_COLUMNS)}")
    return notes


def _label_in(table: CsvFile, reading: Reading, is_train: bool) -> int:
    """Return the position of the label column."""
    header, label = table.columns, reading.label
    if label in header:
        return header.index(label)
    if header[0].startswith(NO_NAMES):
        raise DataError(
            f"{table.place}: expected a first line with the names of the columns; received {header[0]!r}",
            hint="Remove this line.",
        )
    if not is_train:
        raise DataError(
            f"{table.place}: this part has no labels: expected a column {label!r}, which data.label names",
            hint="Rows without labels are for `kdistill predict`. To use train alone, set data.path to its file, and "
            "data.test to the share of it that is held out, such as 0.2.",
        )
    raise DataError(
        f"{table.place}: expected a column {label!r}, which data.label names; received "
        f"{first_few([repr(name) for name in header], NAMED_COLUMNS)}"
        + (f"; the last is {header[-1]!r}" if len(header) > NAMED_COLUMNS else ""),
        hint=_hint(table, label),
    )


def _hint(table: CsvFile, label: str) -> str | None:
    header = table.columns
    if len(header) == 1 and (separator := next((mark for mark in ";\t|" if mark in header[0]), None)):
        return f"The columns seem to be separated by {separator!r}: set data.separator."
    if table.format.header is False:
        return f"Columns without names are named by their numbers: set data.label to one from 1 to {len(header)}."
    if all(map(is_number, header)):
        return f"The first line has only numbers. {DATA_HINT}"
    meant = closest(label, header)
    return (
        f"Did you mean {meant!r}?"
        if meant
        else "Set data.label to the label column. If the first line is data, set data.header: false."
    )


def _check_named(table: CsvFile, reading: Reading) -> None:
    """Raise DataError if data.drop or data.keep names a column that is not there, or the label."""
    for key, names in (("drop", reading.drop), ("keep", reading.keep)):
        for name in names:
            if name == reading.label:
                raise DataError(f"{table.place}: data.{key} names the label column {name!r}")
            if name not in table.columns:
                meant = closest(name, table.columns)
                hint = f"Did you mean {meant!r}?" if meant else None
                raise DataError(
                    f"{table.place}: data.{key}: there is no column {name!r}; the columns are "
                    f"{first_few(table.columns, NAMED_COLUMNS)}",
                    hint=hint,
                )


def _write(file: Path, part: str, known: Table, reading: Reading, folder: Path) -> labels.Labels:
    """Write the features of all rows of a part, and return their labels."""
    numbers: list[np.ndarray] = []
    classes: dict[str, int] = {}
    places: dict[str, str] = {}
    with csv_file.opened(file, reading.format, known.format) as table:
        label = _label_in(table, reading, part == "train")
        cells = _matched(table, known, reading.label)
        encoder = Encoder(table, known.columns, cells, FEATURES_HINT)
        target = conversion_cache.examples_file(folder, part)
        with memory_map.RowWriter(target, (encoder.width,), np.float32) as writer:
            for rows in table.row_blocks(ROWS_AT_ONCE):
                writer.append(encoder.encode(rows))
                names = [row[label].strip() for _, row in rows]
                for (line, _), name in zip(rows, names, strict=True):
                    if name not in classes:
                        classes[name], places[name] = len(classes), f"in line {line}"
                numbers.append(np.array([classes[name] for name in names]))
    encoder.check_missing(MISSING_HINT)
    if not numbers:
        raise DataError(f"{table.place}: expected rows below the names of the columns; received none")
    counts = np.bincount(np.concatenate(numbers)).tolist()
    found = dict(zip(classes, counts, strict=True))
    known.warnings += labels.check_missing(found, places, table.place)
    if part == "train":
        labels.check_are_classes(found, f"{table.place}, column {reading.label!r}")
    known.warnings += encoder.warnings()
    known.notes += [note for note in table.notes if note not in known.notes]
    return labels.Labels(np.array(list(classes))[np.concatenate(numbers)], table.place)


def _matched(table: CsvFile, known: Table, label: str) -> list[int]:
    """Return the cells of the columns of train in another part, in their order in train."""
    cell_of = {name: cell for cell, name in enumerate(table.columns)}
    names = [column.name for column in known.columns]
    if missing := [name for name in names if name not in cell_of]:
        raise DataError(f"{table.place}: expected the columns of {known.place}: {_are(missing)} missing")
    usual = {*names, *known.others, *table.nameless, label}
    if strange := [name for name in table.columns if name not in usual]:
        raise DataError(f"{table.place}: expected the columns of {known.place}: {_are(strange)} not in it")
    return [cell_of[name] for name in names]


def _are(names: list[str]) -> str:
    return f"{first_few(names)} {'is' if len(names) == 1 else 'are'}"


def _as_images(folder: Path, parts: list[str], size: tuple[int, int], table: Table, file: Path) -> None:
    """Make images (n, height, width), or with 3 channels, of features (n, features): bytes if all are 0 to 255."""
    if text := [column.name for column in table.columns if column.categories is not None]:
        raise DataError(f"{file}: data.image_size: expected numbers in all columns; {first_few(text)} has text")
    count, pixels = len(table.columns), prod(size)
    if count not in (pixels, 3 * pixels):
        height, width = size
        raise DataError(
            f"{file}: data.image_size: expected {pixels:,} columns for images of {height} x {width}, or {3 * pixels:,} "
            f"with 3 colours; received {counted(count, 'column')} besides the label: "
            f"{first_few([column.name for column in table.columns])}",
            hint="Set data.image_size to the size of the images, or leave columns out with data.drop.",
        )
    paths = [conversion_cache.examples_file(folder, part) for part in parts]
    are_bytes = all(_are_bytes(piece) for path in paths for piece in memory_map.pieces(memory_map.open_array(path)))
    shape = size if count == pixels else (*size, 3)
    for path in paths:
        flat = path.with_suffix(".flat")
        path.rename(flat)
        with memory_map.RowWriter(path, shape, np.uint8 if are_bytes else np.float32) as rows:
            for piece in memory_map.pieces(memory_map.open_array(flat)):
                rows.append(piece.reshape(-1, *shape))
        flat.unlink()
    table.notes.append(f"{file}: {count:,} columns are images of {' x '.join(map(str, shape))}")


def _are_bytes(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= MOST_OF_A_BYTE) & (values == np.floor(values))).all())
