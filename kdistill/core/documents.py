"""JSON documents on disk that a person, a disk or another version may have changed: held against a shape, and a seal.

A shape names the keys that readers use, with their types; keys that it does not name are left alone.
"""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from kdistill.core import files
from kdistill.core.errors import DamagedError, OutputError


class Shape(BaseModel):
    """The keys of a document that readers use. A key of later versions has a default, so that old files fit."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


def misfit(document: object, shape: type[Shape]) -> str | None:
    """Return where and how a document differs from its shape; None if it fits."""
    try:
        shape.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        text = first["msg"].removeprefix("Value error, ")
        return f"{place}: {text[:1].lower()}{text[1:]}" if place else text
    return None


def read(path: Path, shape: type[Shape]) -> dict[str, Any] | None:
    """Return a JSON document of this shape; None if there is no such file. One with a seal is held against it.

    Raises:
        DamagedError: the file cannot be read, is no JSON, has another shape, or was changed; says what is wrong.
    """
    try:
        files.stat_regular(path)
        with files.reading(path):
            content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OutputError as error:
        raise DamagedError(error.message) from None
    except OSError as error:
        raise DamagedError(f"it cannot be read: {error.strerror or error}") from None
    return parse(content, shape)


def parse(content: bytes, shape: type[Shape]) -> dict[str, Any]:
    """Return a JSON document of this shape. Raises DamagedError like `read`."""
    try:
        document = json.loads(content)
    except RecursionError:
        raise DamagedError("expected a JSON object; received too many levels") from None
    except ValueError as error:
        raise DamagedError(f"expected a JSON object: {error}") from None
    if not isinstance(document, dict):
        raise DamagedError("expected a JSON object; received something else")
    seal = document.pop(files.SEAL, None)
    if seal is not None and seal != files.seal(document):
        raise DamagedError("it is not what was written: its SHA-256 differs")
    if problem := misfit(document, shape):
        raise DamagedError(problem)
    return document


def read_sealed(path: Path, shape: type[Shape]) -> dict[str, Any] | None:
    """Return a document of `files.write_sealed` that has this shape; None if it is missing, was changed, or is another.

    Raises:
        OutputError: it exists and cannot be read.
    """
    document = files.read_sealed(path)
    return None if document is None or misfit(document, shape) else document


def sealed_damage(path: Path, shape: type[Shape]) -> str | None:
    """Return that a document which `read_sealed` does not return is damaged; None if it is sound, or there is none.

    Raises:
        OutputError: it exists and cannot be read.
    """
    if os.path.lexists(path) and read_sealed(path, shape) is None:
        return f"{path.name} is not what was written"
    return None
