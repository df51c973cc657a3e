"""`.keras` files, untrusted, checked before Keras opens them.

A `.keras` file is a zip archive: `config.json` names the classes that Keras builds, `model.weights.h5` holds their
weights in HDF5, and `metadata.json` the version of Keras, which is only told when a file is refused. Keras rejects what
it knows to be dangerous; this package accepts only what is known to be harmless, and cannot be turned off:

- `container`: a regular local file with exactly these members, within limits, with correct checksums;
- `layers`: a config that names only built-in classes, each in its own Keras module;
- `weights`: plain arrays of finite numbers, each stored in the file itself.

`accepted` lists the classes, `older` reads configs of earlier versions of Keras 3, and `versions` names files of other
versions and formats.

No class is looked up and nothing is built: a rejected file has run no code.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from kdistill.core.errors import ModelError
from kdistill.modelfiles import container, layers, versions, weights


@dataclass(frozen=True)
class Checked:
    """The content of an accepted model file."""

    config: dict[str, Any]  # of the model, without the compile section, which Keras need not load
    values: int  # how many the weights file has
    metadata: bytes  # as stored, not checked


def check_exists(path: Path) -> None:
    """Raise ModelError if a model file, or a file of logits, is missing."""
    if "://" not in str(path) and not os.path.exists(path):
        kind, suffix = ("file of logits", ".npz") if path.suffix == ".npz" else ("model file", ".keras")
        raise ModelError(f"{path}: no such {kind}", hint=f"Give the path of a `{suffix}` file.")


def check(path: Path) -> Checked:
    """Return the content of an accepted `.keras` file, which Keras may open now.

    Raises:
        ModelError: not a regular local `.keras` file, damaged, too large, or its content is not accepted.
    """
    return _read(path)[0]


def hashes(path: Path) -> tuple[str, str]:
    """Return the SHA-256 of the config and of the weights in an accepted file. Raises ModelError like `check`."""
    known = _cached(path)
    return known.layers_sha256, known.weights_sha256


def config(path: Path) -> dict[str, Any]:
    """Return the model's config in an accepted file, which must not be changed. Raises ModelError like `check`."""
    return _cached(path).config


def parameters(path: Path) -> int:
    """Return the number of weights in an accepted file, without the optimizer's state. Raises ModelError like `check`.

    The state of random layers, some numbers each, is counted too.
    """
    return _cached(path).parameters


def _read(path: Path) -> tuple[Checked, bytes]:
    """Return the content of an accepted file, and its weights as they are stored."""
    try:
        members = container.read(path)
        stored = members[container.WEIGHTS]
        try:
            return Checked(
                layers.check(members[container.CONFIG]), weights.check(stored), members[container.METADATA]
            ), stored
        except ModelError as error:
            raise versions.explained(error, members[container.METADATA]) from error.__cause__
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from error.__cause__


class _Known(NamedTuple):
    """What is kept of an accepted file."""

    config: dict[str, Any]
    layers_sha256: str
    weights_sha256: str
    parameters: int


def _cached(path: Path) -> _Known:
    try:
        found = path.stat()
    except (OSError, ValueError):
        check(path)  # raises a ModelError with the reason
        raise
    return _cached_by_status(path, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


@lru_cache(maxsize=8)
def _cached_by_status(path: Path, modified: int, changed: int, size: int) -> _Known:
    checked, stored = _read(path)
    text = json.dumps(checked.config, sort_keys=True)
    layers_sha256, weights_sha256 = (hashlib.sha256(content).hexdigest() for content in (text.encode(), stored))
    return _Known(checked.config, layers_sha256, weights_sha256, weights.parameters(stored))
