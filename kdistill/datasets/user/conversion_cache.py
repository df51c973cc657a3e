"""The user's own data as arrays in the cache: decoded once, found again as long as its files are the same.

A conversion is a folder: `<part>-x.npy` and `<part>-y.npy` of each part, and `facts.json`, written last. It belongs to
a path and to how it is read, so that a data set that changes takes the place of what it was.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.core.errors import DataError, OutputError
from kdistill.datasets import memory_map, search_paths
from kdistill.datasets.splits import Split, fingerprint, whole

FACTS = "facts.json"
FORMAT = 1  # counted up when the same files are converted to other arrays
NAMES = {"train": ("train",), "test": ("test",), "validation": ("validation", "val")}  # of files and folders, by part
CACHE_HINT = "Make room, or set KDISTILL_CACHE_DIR to another folder."

Facts = dict[str, Any]
# (an empty folder) -> what there is to know besides the arrays that were written to it; `classes` is a key of it.
Convert = Callable[[Path], Facts]


def find(folder: Path, signature: str) -> tuple[dict[str, Split], Facts] | None:
    """Return a conversion of files with this signature, or None."""
    facts = files.read_sealed(folder / FACTS)
    if facts is None or facts.get("signature") != signature:
        return None
    try:
        splits = _open(folder)
    except (OSError, ValueError):
        return None  # damaged, or just taken away by a process that replaces it: it is made again
    if set(splits) != set(facts["parts"]) or files.read_sealed(folder / FACTS) != facts:
        return None
    return splits, facts


def make(folder: Path, signature: Callable[[], str], convert: Convert) -> tuple[dict[str, Split], Facts]:
    """Convert, and put the conversion in the place of what is at `folder`, whole or not at all.

    Args:
        folder: see `place`.
        signature: returns that of the files as they are.
        convert: writes the arrays.

    Raises:
        DataError: what `convert` raises; the files changed meanwhile; the cache cannot be written.
    """
    temporary = files.temporary_for(folder)
    try:
        temporary.mkdir(parents=True)
        files.remove_stale(folder.parent)
        before = signature()
        facts = {**convert(temporary), "signature": before}
        splits = _open(temporary)  # to be kept: by the time it has its name, another process may have replaced it
        facts["parts"] = list(splits)
        facts |= {"fingerprint": fingerprint(list(splits.values()), tuple(facts["classes"])), **_range(splits)}
        if signature() != before:
            raise DataError("the files of the data set were changed while they were read", hint="Try again.")
        files.write_sealed(temporary / FACTS, facts)
        try:
            files.put(temporary, folder)  # whoever has mapped the old one keeps it until he is done
        except OSError:
            if not (folder / FACTS).exists():  # else another process has just made it
                raise
        return splits, facts
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"{error.filename or folder}: the cache cannot be written: {reason}", hint=CACHE_HINT
        ) from error
    except OutputError as error:
        raise DataError(error.message, hint=CACHE_HINT) from error
    finally:
        files.remove(temporary)


def place(kind: str, path: Path, settings: dict[str, Any]) -> Path:
    """Return the folder in the cache for the data at `path`, read as `settings` say; it need not exist."""
    what = json.dumps([FORMAT, kind, os.path.realpath(path), settings], sort_keys=True)
    return search_paths.cached("own") / f"{kind}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def signature(found: Sequence[Path], top: Path) -> str:
    """Return a hash of the names of files and of what `stamp` says of each.

    Raises:
        DataError: one is not there, or is not a regular file.
    """
    digest = hashlib.sha256()
    for path in found:
        digest.update(f"{path.relative_to(top)}\0{stamp(regular_file(path))}\n".encode(errors="replace"))
    return digest.hexdigest()


def stamp(status: os.stat_result) -> str:
    """Return what changes with the content of a file, or with who may read it.

    Unpacking and copying may give another content the same time of modification, and arrays of one shape have one size.
    Nobody can set the time at which the system last changed a file.
    """
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def regular_file(path: Path) -> os.stat_result:
    """Return the status of a regular file.

    Raises:
        DataError: there is none.
    """
    try:
        return files.stat_regular(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def check_room(folder: Path, size: int, what: Path) -> None:
    """Refuse to convert what the disk of the cache has no room for.

    Args:
        size: bytes of the arrays.

    Raises:
        DataError: naming both sizes.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{what}: its arrays take {size / 1e9:.1f} GB in the cache; {folder.parent} has {free / 1e9:.1f} GB left",
            hint=CACHE_HINT,
        )


def parts_in(folder: Path, suffix: str, is_there: Callable[[Path], bool]) -> dict[str, Path]:
    """Return the files or folders in a folder that are called after parts of a data set.

    Args:
        suffix: what their names end in.
        is_there: whether a path is such a file or folder.

    Raises:
        DataError: a part is there under both of its names.
    """
    found: dict[str, Path] = {}
    for part, names in NAMES.items():
        there = [folder / f"{name}{suffix}" for name in names if is_there(folder / f"{name}{suffix}")]
        if len(there) > 1:
            both = " and ".join(path.name for path in there)
            raise DataError(f"{folder}: expected one of {both}; received both")
        if there:
            found[part] = there[0]
    return found


def write_labels(folder: Path, part: str, labels: NDArray[np.int32]) -> None:
    """Write the labels (n,) of a part of a conversion."""
    np.save(folder / f"{part}-y.npy", labels)


def examples_file(folder: Path, part: str) -> Path:
    """Return the file for the examples (n, *shape) of a part of a conversion."""
    return folder / f"{part}-x.npy"


def _open(folder: Path) -> dict[str, Split]:
    return {
        part: whole(memory_map.open_array(examples_file(folder, part)), np.load(folder / f"{part}-y.npy"))
        for part in NAMES
        if examples_file(folder, part).exists()
    }


def _range(splits: dict[str, Split]) -> dict[str, float]:
    """Return the smallest and the largest value of train."""
    extremes = [(piece.min(), piece.max()) for piece in memory_map.pieces(splits["train"].images)]
    return {"lowest": float(min(low for low, _ in extremes)), "highest": float(max(high for _, high in extremes))}
