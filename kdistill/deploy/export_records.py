"""Exports on disk, each with a record beside it.

model-int8.tflite           the export
model-int8.tflite.json      its record: format, quantization, source model, parity with it
classes.json                the names of the classes; features.json those of the columns of a table;
                            inputs.json how inputs are made of files
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, Self, TypedDict, cast

from pydantic import model_validator

from kdistill.core import documents, files
from kdistill.core.errors import ModelError, OutputError
from kdistill.core.task import SINGLE, Task
from kdistill.deploy.formats import FORMATS
from kdistill.modelfiles import names

Inputs = dict[str, Any] | None  # as `names.inputs` returns it
TEMPORARY = ".export-"  # unlike `files.TEMPORARY`, which readers of a run's folder remove when it is stale


class Identity(TypedDict):
    """What an export is made from: two exports of the same identity are interchangeable."""

    format: str
    quantize: str
    outputs: str  # `logits` or `probabilities`
    model_sha256: str
    data: dict[str, str]  # the fingerprints of the data and of their split
    preprocessing: NotRequired[str]  # if the export scales raw values


class Parity(TypedDict):
    """The difference between an export's outputs on the test split and its model's."""

    examples: int
    largest_difference: float | None  # of one output; None if an output is not finite
    largest_share: float | None  # the largest difference relative to the size of the example's outputs
    largest_output: float  # of the model, in absolute value
    agreement: float  # the share of examples with the same predicted class
    agreement_but_for_near_ties: NotRequired[float]  # the same, or one that the model hardly tells apart; since 0.2.0
    accuracy: float  # of the export
    model_accuracy: float
    tolerance: NotRequired[dict[str, float]]  # a `Tolerance`


class Record(Identity):
    """The record beside an export."""

    model: str  # the path of the model, relative to the export's folder
    parameters: int
    shape: list[int]  # of an example
    largest_input: float | None
    vocabulary: NotRequired[int]  # the number of tokens that the model knows
    classes: list[str]
    parity: Parity
    calibration_rows: int | None
    versions: dict[str, str]
    sha256_of_export: str
    file_bytes: int


class _Shape(documents.Shape):
    """The keys of a record that are read."""

    format: str
    quantize: str
    outputs: Literal["logits", "probabilities"]
    model_sha256: str
    data: dict[str, str] | None = None
    preprocessing: str | None = None
    model: str
    parameters: int | None = None
    largest_input: float | None = None
    sha256_of_export: str

    @model_validator(mode="after")
    def _known_format(self) -> Self:
        if self.format not in FORMATS or self.quantize not in FORMATS[self.format].quantizations:
            raise ValueError(f"expected a known format and quantization; received {self.format}, {self.quantize}")
        return self


def record_file(export: Path) -> Path:
    """Return the path of an export's record."""
    return export.with_name(f"{export.name}.json")


def write(export: Path, record: dict[str, Any]) -> None:
    """Write the record of an export, with the export's size and hash."""
    about = {"sha256_of_export": content_sha256(export), "file_bytes": size(export)}
    files.write_sealed(record_file(export), {**record, **about})


def read(export: Path) -> Record | None:
    """Return the record of an export; None if it is missing or was changed."""
    return cast("Record | None", documents.read_sealed(record_file(export), _Shape))


def damage(export: Path, record: Record) -> str | None:
    """Return what is wrong with an export; None if it is unchanged since its record was written."""
    same = content_sha256(export) == record["sha256_of_export"]
    return None if same else "it is not the file that was written: its SHA-256 differs"


def checked(export: Path) -> Record | None:
    """Return the record of an export after a check of its hash; None if it has no record.

    Raises:
        ModelError: the export is damaged, or is a SavedModel without a record: its graph may read and write files.
    """
    record = read(export)
    if record and (wrong := damage(export, record)):
        raise ModelError(f"{export}: {wrong}", hint="Make it again with `kdistill export ... --overwrite`.")
    if not record and os.path.isdir(export):
        raise ModelError(
            f"{export}: a SavedModel is a program, and is opened only if `kdistill export` has made it: "
            f"{record_file(export).name} is missing or was changed",
            hint="Export the model again, or give its `.keras` file.",
        )
    return record


def origin(export: Path, record: Record) -> Path | None:
    """Return the model file of an export; None if it is missing or was changed."""
    path = export.parent / record["model"]
    same = os.path.isfile(path) and files.sha256(path) == record["model_sha256"]
    return path if same else None


def of_model(model_file: Path) -> list[Path]:
    """Return the exports of a model that have a record and lie in its folder, sorted by format and quantization."""
    found = []
    for path in sorted(model_file.parent.glob("*.json")):
        export = path.with_name(path.name.removesuffix(".json"))
        record = read(export) if export.exists() else None
        source = origin(export, record) if record else None
        if record and source and source.resolve() == model_file.resolve():
            order = FORMATS[record["format"]].quantizations.index(record["quantize"])
            found.append((list(FORMATS).index(record["format"]), order, record["outputs"], export))
    return [export for *_, export in sorted(found)]


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder."""
    if not path.is_dir():
        return files.sha256(path)
    digest = hashlib.sha256()
    for inner in sorted(path.rglob("*")):
        if inner.is_file():
            digest.update(f"{inner.relative_to(path).as_posix()}\n{files.sha256(inner)}\n".encode())
    return digest.hexdigest()


def size(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def write_names(
    export: Path, classes: Sequence[str], features: Sequence[str], inputs: Inputs = None, task: Task = SINGLE
) -> None:
    """Write names and how inputs are made into the folder of an export; OutputError if it has others."""
    check_names(export, classes, features, inputs, task)
    names.write(export.parent, classes, features, inputs, task)


def check_names(
    export: Path, classes: Sequence[str], features: Sequence[str], inputs: Inputs = None, task: Task = SINGLE
) -> None:
    """Raise OutputError if the folder of an export has other names of classes or features, or other inputs."""
    try:
        same = names.inputs(export) in (None, inputs)
    except ModelError:
        same = False
    if not same:
        raise OutputError(
            f"{export.parent / names.INPUTS}: says how the inputs of another model are made",
            hint="Give --output in another folder: an export has this file of its model in its folder.",
        )
    known = [(names.CLASSES, names.class_names, classes), (names.FEATURES, names.feature_names, features)]
    for file, read_names, expected in known:
        try:
            found = read_names(export)
            same = found is None or (found == list(expected) and names.task_of(export) is task)
        except ModelError:
            same = False
        if not same:
            what = file.removesuffix(".json")
            has = f"which are {', '.join(expected[:20])}" if expected else "which has none"
            raise OutputError(
                f"{export.parent / file}: names other {what} than those of the model, {has}",
                hint=f"Give --output in another folder: an export has the names of its {what} in its folder.",
            )


@contextlib.contextmanager
def making(export: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `export`, with its suffix; what remains there is removed."""
    files.remove_stale(export.parent, TEMPORARY)
    temporary = files.temporary_for(export, TEMPORARY)
    try:
        yield temporary
    finally:
        files.remove(temporary)


def put(temporary: Path, export: Path) -> None:
    """Sync a finished export to disk and move it to its final path, replacing an older one.

    If the process is killed, the old export, the new one, or (a folder, between two renames) none is there.
    """
    record_file(export).unlink(missing_ok=True)  # without a record an export is not trusted
    files.put(temporary, export)
