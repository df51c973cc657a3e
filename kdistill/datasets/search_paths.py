"""The folders that are searched for data sets: `data.dir`, KDISTILL_DATA_DIR and the caches."""

import os
from dataclasses import dataclass
from pathlib import Path

CONFIGURED = "data.dir"
OWN_CACHE = "cache"


@dataclass(frozen=True)
class Place:
    """A folder to search, and the setting that names it (`origin`, for messages)."""

    origin: str
    folder: Path


def cache_dir() -> Path:
    """Return the project's cache folder, which need not exist.

    KDISTILL_CACHE_DIR, else `kdistill` in XDG_CACHE_HOME, else `~/.cache/kdistill`.
    """
    if own := _from_environment("KDISTILL_CACHE_DIR"):
        return own
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    return _expand(shared if os.path.isabs(os.path.expanduser(shared)) else "~/.cache") / "kdistill"


def cached(subfolder: str) -> Path:
    """Return the folder of a data set in the project's cache, which need not exist."""
    return cache_dir() / "datasets" / subfolder


def search(directory: str | None, subfolder: str) -> list[Place]:
    """Return the folders that may have a data set, in the order in which they are searched.

    A subfolder comes before its folder: the data sets have files of the same names, so files in the folder itself may
    be another data set's.

    Args:
        directory: `data.dir`, if set.
        subfolder: name of the data set's subfolder, such as `fashion-mnist`.
    """

    def both(origin: str, folder: Path | None) -> list[Place]:
        return [Place(origin, folder / subfolder), Place(origin, folder)] if folder else []

    places = both(CONFIGURED, _expand(directory) if directory else None)
    places += both("KDISTILL_DATA_DIR", _from_environment("KDISTILL_DATA_DIR"))
    places.append(Place(OWN_CACHE, cached(subfolder)))
    # Keras keeps Fashion-MNIST in a subfolder, and MNIST as `mnist.npz` in the folder itself.
    places += both("Keras cache", (_from_environment("KERAS_HOME") or _expand("~/.keras")) / "datasets")
    unique: dict[Path, Place] = {}
    for place in places:
        unique.setdefault(place.folder, place)
    return list(unique.values())


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return _expand(value) if value else None


def _expand(path: str) -> Path:
    # Absolute, since messages name it. Unlike Path.expanduser, this does not raise without a home folder.
    return Path(os.path.expanduser(path)).absolute()
