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
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kdistill.errors import ModelError
from kdistill.modelfiles import container, layers, weights


@dataclass(frozen=True)
class Checked:
    """What Keras may see of a model file."""

    config: dict[str, Any]
    """Of the model, without the compile section: how it was trained is nothing to load."""
    values: int
    """How many numbers the weights file holds."""


def check(path: Path) -> Checked:
    """Return what is in an accepted `.keras` file; Keras has not seen it yet, and may now.

    Raises:
        ModelError: not a regular local `.keras` file, damaged, too large, or something in it is not accepted.
    """
    try:
        members = container.read(path)
        config = layers.check(members[container.CONFIG])
        return Checked(config, weights.check(members[container.WEIGHTS]))
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from error.__cause__


def hashes(path: Path) -> tuple[str, str]:
    """Return the SHA-256 of the layers, as the config lists them, and that of the weights in an accepted file.

    Raises:
        ModelError: as `check`.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        check(path)  # says why
        raise
    return _hashes(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)  # what a run is, is asked many times
def _hashes(path: Path, changed: int, size: int) -> tuple[str, str]:
    config = check(path).config
    weights = container.read(path)[container.WEIGHTS]
    text = json.dumps(config, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), hashlib.sha256(weights).hexdigest()
