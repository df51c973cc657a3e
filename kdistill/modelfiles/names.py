"""The names of a model's classes and features, and how its inputs are made of files: JSON in its folder.

classes.json    a list, in the order of the outputs; of a multi-label model {"labels": "multi", "classes": [...]}, which
                programs that take all outputs for one softmax cannot read by mistake
features.json   a list, in the order of the inputs; only of models for tables
inputs.json     what else `predict` has to know, if anything: of a table its columns with their categories and means
                (`columns`), and how it was written (`separator`, `decimal`, `encoding`, `header`); of images of 16 bits
                `bits`

An export brings them along into its folder: another `.keras` file in that folder does not obey them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdistill.core import files
from kdistill.core.errors import ModelError, OutputError
from kdistill.core.task import MULTI, SINGLE, Task

CLASSES = "classes.json"
FEATURES = "features.json"
INPUTS = "inputs.json"
FILES = (CLASSES, FEATURES, INPUTS)


def class_names(model: Path) -> list[str] | None:
    """Return the names of a model's classes; None if there is no such file.

    Raises ModelError if the file has another content, and OutputError if it cannot be read.
    """
    names, _ = _classes(model)
    return names


def task_of(model: Path) -> Task:
    """Return the task of a model: `SINGLE` if there is no file of its classes. Raises like `class_names`."""
    _, task = _classes(model)
    return task


def feature_names(model: Path) -> list[str] | None:
    """Return the names of a model's features; None if there is no such file. Raises like `class_names`."""
    return None if are_of_export(model) else _names(model.parent / FEATURES, "features")


def inputs(model: Path) -> dict[str, Any] | None:
    """Return how a model's inputs are made of files; None if there is no such file.

    Raises ModelError if the file has another content, and OutputError if it cannot be read.
    """
    if are_of_export(model):
        return None
    path = model.parent / INPUTS
    found = _content(path, "a JSON object on the inputs of the model")
    if found is not None and not isinstance(found, dict):
        raise ModelError(f"{path}: expected a JSON object on the inputs of the model; received something else")
    return found


def write(
    folder: Path,
    classes: Sequence[str],
    features: Sequence[str],
    inputs: Mapping[str, Any] | None = None,
    task: Task = SINGLE,
) -> None:
    """Write the names of classes, those of features and how inputs are made, if any, into the folder of a model."""
    names = list(classes)
    files.write_json(folder / CLASSES, names if task is SINGLE else {"labels": task.name, "classes": names})
    if features:
        files.write_json(folder / FEATURES, list(features))
    if inputs:
        files.write_json(folder / INPUTS, dict(inputs))


def are_of_export(model: Path) -> bool:
    """Whether the names in a `.keras` file's folder are those of exports of other models, which brought them along."""
    if model.suffix != ".keras" or (model.parent / "manifest.json").exists():  # of a run: the names are its own
        return False
    sources = [source for record in model.parent.glob("*.json") if (source := _source_of_export(record)) is not None]
    return bool(sources) and all(source.resolve() != model.resolve() for source in sources)


def _source_of_export(record: Path) -> Path | None:
    """Return the model whose export a file is the record of; None if it is no such record."""
    if record.name in FILES:
        return None
    try:
        found = _content(record, "a record")
    except (ModelError, OutputError):
        return None
    is_record = isinstance(found, dict) and "sha256_of_export" in found and isinstance(found.get("model"), str)
    return record.parent / found["model"] if is_record else None


def _content(path: Path, what: str) -> Any:
    """Return the content of a JSON file; None if there is none."""
    try:
        with files.reading(path):
            return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: expected {what}: {error}") from None


def _classes(model: Path) -> tuple[list[str] | None, Task]:
    """Return the names of a model's classes, and its task."""
    if are_of_export(model):
        return None, SINGLE
    path = model.parent / CLASSES
    found = _content(path, "a JSON list of the names of the classes")
    if isinstance(found, dict) and set(found) == {"labels", "classes"} and found["labels"] == MULTI.name:
        return _checked(found["classes"], path, "classes"), MULTI
    return _checked(found, path, "classes"), SINGLE


def _names(path: Path, what: str) -> list[str] | None:
    return _checked(_content(path, f"a JSON list of the names of the {what}"), path, what)


def _checked(names: Any, path: Path, what: str) -> list[str] | None:
    """Return a list of names, or None for None; raise ModelError for anything else."""
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{path}: expected a JSON list of the names of the {what}; received something else")
    return names
