"""Exports on disk: what they are called, and the record beside each that says what it was made from.

model-int8.tflite           the export
model-int8.tflite.json      its record: format, quantization, the model it came from, how well they agree
classes.json                the names of the classes; features.json those of the columns of a table
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from kdistill.core import files
from kdistill.core.errors import ModelError, OutputError
from kdistill.modelfiles import names as beside

SAVED_MODEL = "saved_model.pb"  # what every folder of a SavedModel has
TEMPORARY = ".export-"  # not `files.TEMPORARY`: those in a run's folder are swept by whoever looks at the run

KINDS = {".keras": "keras", ".tflite": "litert", ".onnx": "onnx"}
ENDINGS = {"litert": ".tflite", "onnx": ".onnx", "saved-model": ""}
QUANTIZATIONS = {
    "litert": ("none", "dynamic", "int8", "float16"),
    "onnx": ("none", "dynamic", "int8", "float16"),
    "saved-model": ("none",),
}
NAMES = {"keras": "Keras", "litert": "LiteRT", "onnx": "ONNX", "saved-model": "SavedModel"}


@dataclass(frozen=True)
class Form:
    """What a model is exported as.

    Attributes:
        format: `litert`, `onnx` or `saved-model`.
        quantize: `none`, `dynamic`, `int8` or `float16`.
        with_softmax: probabilities come out, rather than logits.
    """

    format: str
    quantize: str = "none"
    with_softmax: bool = False

    @property
    def outputs(self) -> str:
        """What comes out: `logits` or `probabilities`."""
        return "probabilities" if self.with_softmax else "logits"

    @property
    def title(self) -> str:
        """What it is called in messages, such as `LiteRT int8`."""
        words = [NAMES[self.format], *([] if self.quantize == "none" else [self.quantize])]
        return " ".join([*words, *(["with softmax"] if self.with_softmax else [])])

    def default_name(self, model_file: Path) -> str:
        """Return the name of an export beside its model: `model-int8.tflite`, `saved-model`."""
        parts = [model_file.stem, *([] if self.quantize == "none" else [self.quantize])]
        parts += ["softmax"] if self.with_softmax else []
        if self.format == "saved-model":
            parts = [*(part for part in parts if part != "model"), "saved-model"]
        return "-".join(parts) + ENDINGS[self.format]


class Identity(TypedDict):
    """What an export is made from: two of the same identity do the same, if not always byte by byte."""

    format: str
    quantize: str
    outputs: str  # `logits` or `probabilities`
    model_sha256: str
    data: dict[str, str]  # the fingerprints of the data and of their division
    preprocessing: NotRequired[str]  # where the export scales raw values


class Parity(TypedDict):
    """How far an export's outputs on the test split are from its model's."""

    examples: int
    largest_difference: float | None  # None where an output is not finite
    largest_share: float | None  # the same, of the size of the example's outputs
    largest_output: float  # of the model
    agreement: float  # the share of equal labels
    accuracy: float
    model_accuracy: float
    tolerance: NotRequired[dict[str, float]]  # a `parity.Tolerance`


class Record(Identity):
    """The record beside an export."""

    model: str  # the path of the model, seen from there
    parameters: int
    shape: list[int]  # of an example
    largest_input: float | None
    classes: list[str]
    parity: Parity
    calibration_rows: int | None
    versions: dict[str, str]
    sha256_of_export: str
    file_bytes: int


def kind_of(path: Path) -> str:
    """Return whose file it is: `keras`, `litert`, `onnx` or `saved-model`.

    Raises:
        ModelError: nothing is there, or it is none of these.
    """
    if not os.path.exists(path):
        raise ModelError(f"{path}: no such model", hint="Give the folder of a run, or the path of a model file.")
    if os.path.isdir(path):
        if (path / SAVED_MODEL).is_file():
            return "saved-model"
        raise ModelError(
            f"{path}: expected the folder of a run or of a SavedModel; received another folder",
            hint="The folder of a run is such as runs/quickstart/seed-0/distilled.",
        )
    if path.suffix not in KINDS:
        known = ", ".join(KINDS)
        raise ModelError(f"{path}: expected a model file that ends in one of {known}; received {path.name!r}")
    return KINDS[path.suffix]


def record_file(export: Path) -> Path:
    """Return where the record of an export is."""
    return export.with_name(f"{export.name}.json")


def write(export: Path, record: dict[str, Any]) -> None:
    """Write the record of an export that is in its place, its size and hash with it."""
    about = {"sha256_of_export": content_sha256(export), "file_bytes": size(export)}
    files.write_sealed(record_file(export), {**record, **about})


def read(export: Path) -> Record | None:
    """Return the record of an export, or None where there is none, or it is not what was written."""
    return cast("Record | None", files.read_sealed(record_file(export)))


def damage(export: Path, record: Record) -> str | None:
    """Return what is wrong with an export that has a record, or None if it is what was written."""
    if content_sha256(export) != record["sha256_of_export"]:
        return "it is not the file that was written: its SHA-256 differs"
    return None


def checked(export: Path) -> Record | None:
    """Return the record of an export, None where there is none, once the export is found to be what was written.

    Raises:
        ModelError: it is damaged, or it is a SavedModel that is not known: its graph may read and write files.
    """
    record = read(export)
    if record and (wrong := damage(export, record)):
        raise ModelError(f"{export}: {wrong}", hint="Make it again with `kdistill export ... --overwrite`.")
    if not record and os.path.isdir(export):
        raise ModelError(
            f"{export}: a SavedModel is a program, and is opened only if `kdistill export` has made it: "
            f"{record_file(export).name} is missing or is not what was written",
            hint="Export the model again, or give its `.keras` file.",
        )
    return record


def origin(export: Path, record: Record) -> Path | None:
    """Return the model file that an export came from, or None if that is gone or is another one now."""
    path = export.parent / record["model"]
    same = os.path.isfile(path) and files.sha256(path) == record["model_sha256"]
    return path if same else None


def of_model(model_file: Path) -> list[Path]:
    """Return the exports in the folder of a model that have a record and came from it, by format."""
    found = []
    for path in sorted(model_file.parent.glob("*.json")):
        export = path.with_name(path.name.removesuffix(".json"))
        record = read(export) if export.exists() else None
        source = origin(export, record) if record and "sha256_of_export" in record else None
        if record and source and source.resolve() == model_file.resolve():
            found.append((*_order(record), export))
    return [export for *_, export in sorted(found)]


def _order(record: Record) -> tuple[int, int, str]:
    formats, quantizations = list(QUANTIZATIONS), QUANTIZATIONS["litert"]
    return formats.index(record["format"]), quantizations.index(record["quantize"]), record["outputs"]


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files in a folder with their names."""
    if not path.is_dir():
        return files.sha256(path)
    digest = hashlib.sha256()
    for inner in sorted(path.rglob("*")):
        if inner.is_file():
            digest.update(f"{inner.relative_to(path).as_posix()}\n{files.sha256(inner)}\n".encode())
    return digest.hexdigest()


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def write_names(export: Path, classes: Sequence[str], features: Sequence[str]) -> None:
    """Write the names of the classes, and those of features where there are any, beside an export.

    Raises:
        OutputError: the folder has those of another model.
    """
    check_names(export, classes, features)
    beside.write(export.parent, classes, features)


def check_names(export: Path, classes: Sequence[str], features: Sequence[str]) -> None:
    """Refuse a folder that has the names of another model's classes or features.

    Raises:
        OutputError: naming the file.
    """
    known = [(beside.CLASSES, beside.class_names, classes), (beside.FEATURES, beside.feature_names, features)]
    for file, read_names, names in known:
        try:
            same = read_names(export) in (None, list(names))
        except ModelError:
            same = False
        if not same:
            what = file.removesuffix(".json")
            has = f"which are {', '.join(names[:20])}" if names else "which has none"
            raise OutputError(
                f"{export.parent / file}: names other {what} than those of the model, {has}",
                hint=f"Give --output in another folder: the names of the {what} stand beside an export.",
            )


@contextlib.contextmanager
def making(export: Path) -> Iterator[Path]:
    """Yield a temporary path beside `export` that ends as it does; whatever is left there afterwards is removed."""
    files.remove_stale(export.parent, TEMPORARY)
    temporary = files.temporary_for(export, TEMPORARY)
    try:
        yield temporary
    finally:
        files.remove(temporary)


def put(temporary: Path, export: Path) -> None:
    """Bring a finished export to disk and into its place, in which there may be an older one.

    A process that is killed in between leaves the old one, the new one, or (a folder between two renames) none.
    """
    if os.path.lexists(record_file(export)):
        record_file(export).unlink()  # an export without a record is one that nobody vouches for
    files.put(temporary, export)
