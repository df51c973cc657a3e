"""The names of a model's classes and features, in JSON lists in its folder.

classes.json    in the order of the outputs
features.json   in the order of the inputs; only of models for tables
"""

import json
from collections.abc import Sequence
from pathlib import Path

from kdistill.core import files
from kdistill.core.errors import ModelError

CLASSES = "classes.json"
FEATURES = "features.json"


def class_names(model: Path) -> list[str] | None:
    """Return the names of a model's classes; None if there is no such file.

    Raises ModelError if the file has another content, and OutputError if it cannot be read.
    """
    return _names(model.parent / CLASSES, "classes")


def feature_names(model: Path) -> list[str] | None:
    """Return the names of a model's features; None if there is no such file. Raises like `class_names`."""
    return _names(model.parent / FEATURES, "features")


def write(folder: Path, classes: Sequence[str], features: Sequence[str]) -> None:
    """Write the names of classes, and of features if there are any, into the folder of a model."""
    files.write_json(folder / CLASSES, list(classes))
    if features:
        files.write_json(folder / FEATURES, list(features))


def _names(path: Path, what: str) -> list[str] | None:
    try:
        with files.reading(path):
            names = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: expected a JSON list of the names of the {what}: {error}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{path}: expected a JSON list of the names of the {what}; received something else")
    return names
