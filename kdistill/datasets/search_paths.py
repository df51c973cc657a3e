"""Where data sets are looked for and kept: `data.dir`, KDISTILL_DATA_DIR and the caches."""

import os
from dataclasses import dataclass
from pathlib import Path

CONFIGURED = "data.dir"
OWN_CACHE = "cache"


@dataclass(frozen=True)
class Place:
    """A folder to look in, and who says so."""

    origin: str
    folder: Path


def cache_dir() -> Path:
    """Return the project's cache folder, which need not exist.

    KDISTILL_CACHE_DIR, else `kdistill` in XDG_CACHE_HOME, else `~/.cache/kdistill`.
    """
    own = _from_environment("KDISTILL_CACHE_DIR")
    if own is not None:
        return own
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return _expand(shared if os.path.isabs(os.path.expanduser(shared)) else "~/.cache") / "kdistill"


def cached(subfolder: str) -> Path:
    """Return the folder of a data set in the project's cache, which need not exist."""
    return cache_dir() / "datasets" / subfolder


def search(directory: str | None, subfolder: str) -> list[Place]:
    """Return the folders that may hold a data set, in the order in which they are searched.

    A subfolder comes before the folder it is in: the data sets have the same file names, so that what lies in the
    folder itself may be another one.

    Args:
        directory: `data.dir`, if given.
        subfolder: the data set's own, such as `fashion-mnist`.
    """
    named = [
        (CONFIGURED, _expand(directory) if directory else None),
        ("KDISTILL_DATA_DIR", _from_environment("KDISTILL_DATA_DIR")),
    ]
    places = []
    for origin, folder in named:
        if folder is not None:
            places += [Place(origin, folder / subfolder), Place(origin, folder)]
    places.append(Place(OWN_CACHE, cached(subfolder)))
    keras = (_from_environment("KERAS_HOME") or _expand("~/.keras")) / "datasets"
    # Keras keeps Fashion-MNIST in a subfolder and MNIST, as `mnist.npz`, beside it.
    places += [Place("Keras cache", keras / subfolder), Place("Keras cache", keras)]
    unique: dict[Path, Place] = {}
    for place in places:
        unique.setdefault(place.folder, place)
    return list(unique.values())


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return _expand(value) if value else None


def _expand(path: str) -> Path:
    # Absolute, since messages name it. Unlike Path.expanduser, this does not raise where there is no home folder.
    return Path(os.path.expanduser(path)).absolute()
