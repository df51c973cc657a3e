"""`.keras` files, read as data that nobody vouches for, before Keras sees them.

A `.keras` file is a zip archive of three members: `config.json` names the classes that Keras builds, `model.weights.h5`
holds their weights in HDF5, and `metadata.json` is not read. Keras refuses what it knows to be dangerous; this package
accepts what it knows to be harmless, and there is no switch that turns it off:

- `container`: a regular local file with exactly these members, within limits, whole by their checksums;
- `layers`: a config that names only built-in layers and the like, each in Keras's own module;
- `weights`: plain arrays of finite numbers, each stored whole in the file itself.

No class is looked up here and nothing is built: a refused file has run no code.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kdistill.core.errors import ModelError
from kdistill.modelfiles import container, layers, weights


@dataclass(frozen=True)
class Checked:
    """What Keras may see of a model file."""

    config: dict[str, Any]
    """Of the model, without the compile section: how it was trained is nothing to load."""
    values: int
    """How many numbers the weights file holds."""


def check_exists(path: Path) -> None:
    """Refuse the path of a model file, or of a file of logits, at which there is nothing.

    Raises:
        ModelError: naming the path.
    """
    if "://" not in str(path) and not os.path.exists(path):
        kind, suffix = ("file of logits", ".npz") if path.suffix == ".npz" else ("model file", ".keras")
        raise ModelError(f"{path}: no such {kind}", hint=f"Give the path of a `{suffix}` file.")


def check(path: Path) -> Checked:
    """Return what is in an accepted `.keras` file; Keras has not seen it yet, and may now.

    Raises:
        ModelError: not a regular local `.keras` file, damaged, too large, or something in it is not accepted.
    """
    return _judged(path)[0]


def hashes(path: Path) -> tuple[str, str]:
    """Return the SHA-256 of the layers, as the config lists them, and that of the weights in an accepted file.

    Raises:
        ModelError: as `check`.
    """
    return _known(path)[1:]


def config(path: Path) -> dict[str, Any]:
    """Return the config of the model in an accepted file, to be read only. It is not judged anew each time.

    Raises:
        ModelError: as `check`.
    """
    return _known(path)[0]


def _judged(path: Path) -> tuple[Checked, bytes]:
    """Return what is in an accepted file, and its weights as they are stored."""
    try:
        members = container.read(path)
        stored = members[container.WEIGHTS]
        return Checked(layers.check(members[container.CONFIG]), weights.check(stored)), stored
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from error.__cause__


def _known(path: Path) -> tuple[dict[str, Any], str, str]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        check(path)  # says why
        raise
    return _looked_up(path, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


@lru_cache(maxsize=8)  # what a run is, is asked many times
def _looked_up(path: Path, modified: int, changed: int, size: int) -> tuple[dict[str, Any], str, str]:
    checked, stored = _judged(path)
    text = json.dumps(checked.config, sort_keys=True)
    return checked.config, hashlib.sha256(text.encode()).hexdigest(), hashlib.sha256(stored).hexdigest()
