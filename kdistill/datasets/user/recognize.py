"""What a path holds, so that data need no config: their format, parts, label column and image size."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdistill.config.data_schema import TAB
from kdistill.core.errors import DataError
from kdistill.core.formatting import dimensions, first_few
from kdistill.datasets import csv_file, npy
from kdistill.datasets.csv_file import CsvFile
from kdistill.datasets.table_columns import is_missing
from kdistill.datasets.table_format import Format
from kdistill.datasets.user import csv_table, parts

LABELS = ("label", "labels", "class", "target", "y")  # usual names of a label column
SAMPLE = 1000  # rows from which is told which columns have text
LARGEST_IMAGE = 64  # pixels: without a teacher that takes larger ones, images are resized to at most this
FEW = 2000  # examples: of fewer, a tenth is too little to choose an epoch on
NAMED_COLUMNS = 20
TRIED = 20  # images, until one can be read
CHUNK = 2**20  # bytes
WANTED = "an .npz file, a .csv or .tsv file, a folder of images in folders of classes, or one with train.csv"

Size = tuple[int | None, ...]


@dataclass
class Recognized:
    """The section `data` of a config that fits a path.

    Attributes:
        section: its keys.
        examples: of train; of a table, estimated.
        reasons: a sentence on each thing that was assumed.
    """

    section: dict[str, Any]
    examples: int = 0
    reasons: list[str] = field(default_factory=list)


def recognize(path: Path, given: Mapping[str, Any] | None = None, taken: Size = ()) -> Recognized:
    """Return the section `data` for a path.

    Args:
        path: a file or folder.
        given: keys of the section that are set, which are left out: they win over what is told from the path.
        taken: the shape of an example that a teacher takes, None for a size that may be any; empty without one.

    Raises:
        DataError: the path holds no data, or it cannot be told which column has the labels.
    """
    given = given or {}
    form = given.get("dataset") or _format(path)
    found = Recognized({"dataset": form, "path": os.path.abspath(path)})
    readers = {"npz": _npz, "csv": _csv, "image_folder": _image_folder}
    if form in readers:  # another one, which is given, is refused as by every config
        readers[form](path, found, given, taken)
    found.section = {key: value for key, value in found.section.items() if key not in given}
    return found


def _format(path: Path) -> str:
    """Return the format of the data at a path."""
    if path.is_dir():
        return _format_of_folder(path)
    suffix = path.suffix.lower()
    if suffix in csv_table.SUFFIXES:
        return "csv"
    if suffix != ".npz":
        raise DataError(f"{path}: expected {WANTED}; received a file that ends in {suffix or 'nothing'}", _hint(suffix))
    return "npz"


def _hint(suffix: str) -> str | None:
    if suffix in (".keras", ".h5", ".pt", ".pth", ".onnx"):
        return "A teacher is given with --teacher FILE, behind the data."
    if suffix in (".zip", ".gz", ".tar", ".tgz"):
        return "Unpack the archive, and give the folder."
    if suffix in (".npy", ".pkl", ".mat", ".parquet", ".h5", ".hdf5", ".json", ".xlsx"):
        return "Write arrays x_train, y_train, x_test and y_test with numpy.savez, or a table as CSV."
    return None


def _format_of_folder(path: Path) -> str:
    # Imported here because it loads Pillow.
    from kdistill.datasets.user.image_decoding import SUFFIXES

    for _, below, names in os.walk(path):
        below[:] = [name for name in below if name[0] != "."]
        if any(name[0] != "." and name.lower().endswith(SUFFIXES) for name in names):
            return "image_folder"
    tables = [name for name in os.listdir(path) if name.lower().endswith(csv_table.SUFFIXES)]
    if tables:
        return "csv"
    inside = [name for name in sorted(os.listdir(path)) if name.endswith(".npz")]
    hint = f"Give the path of a file in it, such as {path / inside[0]}." if inside else None
    raise DataError(f"{path}: expected {WANTED}; received a folder without images and tables", hint)


def _add_shares(found: Recognized, given: Mapping[str, Any], has_test: bool, has_validation: bool) -> None:
    """Add how test and validation are held out from train, where the data do not have them."""
    section = found.section
    if not has_test:
        section["test"] = 0.2
        if "test" not in given:
            found.reasons.append("no test part: 20 % of train is held out as one (data.test)")
    if has_validation:
        section["validation"] = "given"
    else:
        section["validation"] = 0.2 if found.examples < FEW else 0.1
        if "validation" not in given:
            share = f"{100 * section['validation']:.0f} %"
            found.reasons.append(f"no validation part: {share} of train is held out as one (data.validation)")


def _npz(path: Path, found: Recognized, given: Mapping[str, Any], taken: Size) -> None:
    with npy.opened(path) as archive:
        names = npy.names(archive)
        pairs = parts.arrays(names, str(path))
        x, _ = pairs["train"]
        found.examples = next(iter(npy.header_in(archive, x).shape), 0) if x in names else 0
    _add_shares(found, given, pairs["test"][0] in names, pairs["validation"][0] in names)


def _csv(path: Path, found: Recognized, given: Mapping[str, Any], taken: Size) -> None:
    files = csv_table.files_at(path)
    if "label" not in given:
        with csv_file.opened(files["train"], _written(given)) as table:
            rows = [row for _, row in next(table.row_blocks(SAMPLE), [])]
            label, why = _label(table, rows, given.get("drop") or ())
        found.section["label"] = label
        found.reasons.append(f"the label is the column {label!r}, {why} (data.label)")
    found.examples = _count_lines(files["train"])
    _add_shares(found, given, "test" in files, "validation" in files)


def _written(given: Mapping[str, Any]) -> Format:
    """Return how a table is written, as far as keys of the section say."""
    separator = "\t" if given.get("separator") == TAB else given.get("separator")
    return Format(separator, given.get("decimal"), given.get("encoding"), given.get("header"))


def _label(table: CsvFile, rows: Sequence[Sequence[str]], drop: Sequence[str]) -> tuple[str, str]:
    """Return the label column, and why it is that; DataError if another could be meant."""
    columns = [name for name in table.columns if name not in (*drop, *table.nameless)]
    usual = [name for name in columns if name.lower() in LABELS]
    if len(usual) == 1:
        return usual[0], "by its name"
    text = [name for cell, name in enumerate(table.columns) if name in columns and _is_text(table, rows, cell)]
    if not usual and text and text == columns[-1:]:
        return text[0], "the last one and the only one of text"
    shown = first_few(columns, NAMED_COLUMNS) + (f"; the last is {columns[-1]}" if len(columns) > NAMED_COLUMNS else "")
    raise DataError(
        f"{table.place}: expected to be told which column has the labels; the columns are {shown}",
        hint="Name it: --set data.label=COLUMN.",
    )


def _is_text(table: CsvFile, rows: Sequence[Sequence[str]], cell: int) -> bool:
    """Whether a column has a cell that is neither a number nor missing."""
    return any(not is_missing(row[cell]) and not table.is_number(row[cell]) for row in rows)


def _count_lines(file: Path) -> int:
    """Return the number of lines of a file below the first one."""
    with open(file, "rb") as stream:
        return max(0, sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(CHUNK), b"")) - 1)


def _image_folder(path: Path, found: Recognized, given: Mapping[str, Any], taken: Size) -> None:
    # Imported here because it loads Pillow.
    from kdistill.datasets.user import image_folder

    there = image_folder.parts_at(path)
    images = list(there["train"].class_of)
    found.examples = len(images)
    if "image_size" not in given and images:
        _add_size(_size_of(images), found, taken)
    if len(taken) == 3 and taken[2] == 1:
        found.section["channels"] = 1
        if "channels" not in given:
            found.reasons.append("images are read in grey, as the teacher takes them (data.channels)")
    _add_shares(found, given, "test" in there, "validation" in there)


def _size_of(images: Sequence[Path]) -> tuple[int, int] | None:
    """Return height and width of the first image that can be read; None where the first few cannot."""
    from kdistill.datasets.user import image_decoding

    for image in images[:TRIED]:
        with contextlib.suppress(image_decoding.UnreadableError):
            return image_decoding.inspect(image).size
    return None


def _add_size(size: tuple[int, int] | None, found: Recognized, taken: Size) -> None:
    """Add the size of the images: that which the teacher takes, or else the first image's, if it is not too large."""
    height, width = taken[:2] if len(taken) in (2, 3) else (None, None)
    if height and width:
        if size != (height, width):
            found.section["image_size"] = [height, width]
            found.reasons.append(
                f"images are resized to {height} x {width}, as the teacher takes them (data.image_size)"
            )
    elif size and not taken and max(size) > LARGEST_IMAGE:
        smaller = [max(1, round(side * LARGEST_IMAGE / max(size))) for side in size]
        found.section["image_size"] = smaller
        found.reasons.append(
            f"images of {dimensions(size)} pixels are resized to {dimensions(smaller)} (data.image_size)"
        )
