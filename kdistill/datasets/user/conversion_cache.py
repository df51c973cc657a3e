"""A cache of the user's own data as arrays: files are converted once, and again only after they have changed.

A conversion is a folder with `<part>-x.npy` and `<part>-y.npy` for each part, a hash of each row in `<part>-h.npy`, by
which equal rows are found, and `facts.json`, written last, which has the SHA-256 of these files. Its name depends on
the data's path and settings, so the conversion of changed files replaces that of the old ones.

Arrays are held against their SHA-256 before they are used, once in a process while they do not change: a file is read
piece by piece, a GiB in 1.1 s where it was measured. A damaged conversion is made again.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.core.errors import DamagedError, DataError, OutputError
from kdistill.datasets import guards, memory_map, search_paths
from kdistill.datasets.split import Split, whole
from kdistill.datasets.splits import fingerprint
from kdistill.datasets.user.parts import PARTS

FACTS = "facts.json"
FORMAT = 3  # to be increased when the same files are converted to other arrays
RACES = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)  # of several processes that replace one folder
TRIES = 5
CACHE_HINT = "Make room, or set KDISTILL_CACHE_DIR to another folder."

Facts = dict[str, Any]
# (an empty folder) -> the facts on the arrays that were written to it, with the keys `classes` and `names` at least.
Convert = Callable[[Path], Facts]


def find(
    folder: Path, signature: str, note: Callable[[str], None] = lambda text: None
) -> tuple[dict[str, Split], Facts] | None:
    """Return the arrays and facts of the conversion of files with this signature, or None if there is none.

    A damaged one counts as absent; `note` receives a sentence that says what is wrong with it.
    """
    facts, found, problem = _facts(folder), None, f"{FACTS} is not what was written"
    if facts is not None:
        if facts.get("signature") != signature:
            return None
        try:
            found = _checked(folder, facts)
        except (DamagedError, OutputError, OSError, ValueError) as error:
            problem = str(error)
    if _facts(folder) != facts or not os.path.lexists(folder):
        return None  # another process is replacing it: what was opened may be of both
    if found is None:
        note(f"{folder}: the cache of converted data is damaged: {problem}; it is made again")
        return None
    return found, facts or {}


def make(folder: Path, signature: Callable[[], str], convert: Convert) -> tuple[dict[str, Split], Facts]:
    """Convert files whose signature `signature` returns, and replace the conversion at `folder`, whole or not at all.

    Raises:
        DataError: `convert` raises one, the files have changed meanwhile, or the cache cannot be written.
    """
    temporary = files.temporary_for(folder)
    try:
        temporary.mkdir(parents=True)
        files.remove_stale(folder.parent)
        before = signature()
        facts = {**convert(temporary), "signature": before}
        _write_hashes(temporary)
        splits = _open(temporary)  # opened before the renaming, after which another process may replace the folder
        facts["files"] = {path.name: files.sha256(path) for path in _files(temporary)}
        facts |= {"fingerprint": fingerprint(list(splits.values()), tuple(facts["classes"])), **_range(splits)}
        facts |= _repeats(splits)
        if signature() != before:
            raise DataError("the files of the data set were changed while they were read", hint="Try again.")
        files.write_sealed(temporary / FACTS, facts)
        _put(temporary, folder, before)
        return splits, facts
    except OSError as error:
        reason = f"the cache cannot be written: {error.strerror or error}"
        raise DataError(f"{error.filename or folder}: {reason}", hint=CACHE_HINT) from error
    except OutputError as error:
        raise DataError(error.message, hint=CACHE_HINT) from error
    finally:
        files.remove(temporary)


def remove_earlier(kind: str, path: Path, settings: dict[str, Any]) -> None:
    """Remove what earlier versions have converted from the same data, read with the same settings."""
    for form in range(1, FORMAT):
        files.remove(folder_for(kind, path, settings, form))


def folder_for(kind: str, path: Path, settings: dict[str, Any], form: int = FORMAT) -> Path:
    """Return the folder in the cache for the data at `path`, read with `settings`; it need not exist."""
    what = json.dumps([form, kind, os.path.realpath(path), settings], sort_keys=True)
    return search_paths.cached("own") / f"{kind}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def signature(found: Sequence[Path], top: Path) -> str:
    """Return a hash of the names of files, relative to `top`, and of their stamps.

    Raises:
        DataError: a file is missing, or is not a regular file.
    """
    digest = hashlib.sha256()
    for path in found:
        try:
            status = files.stat_regular(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        digest.update(f"{os.path.relpath(path, top)}\0{stamp(status)}\n".encode(errors="replace"))
    return digest.hexdigest()


def stamp(status: os.stat_result) -> str:
    """Return a text that changes with the content or the permissions of a file.

    Size and time of modification do not suffice: arrays of one shape have one size, and copying may restore an old
    time. The time of the last change of status (ctime) cannot be set.
    """
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def check_room(folder: Path, size: int, what: Path) -> None:
    """Check that the disk of a folder in the cache has room for `size` bytes, converted from the data at `what`.

    Raises:
        DataError: the disk has less room; names both sizes.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{what}: its arrays take {size / 1e9:.1f} GB in the cache; {folder.parent} has {free / 1e9:.1f} GB left",
            hint=CACHE_HINT,
        )


def write_labels(folder: Path, labels: Mapping[str, NDArray[np.int32]]) -> None:
    """Write the labels (n,) or (n, classes) of each part to the folder of a conversion."""
    for part, of_part in labels.items():
        np.save(labels_file(folder, part), of_part)


def examples_file(folder: Path, part: str) -> Path:
    """Return the file of a part's examples (n, *shape) in the folder of a conversion."""
    return folder / f"{part}-x.npy"


def labels_file(folder: Path, part: str) -> Path:
    """Return the file of a part's labels (n,) in the folder of a conversion."""
    return folder / f"{part}-y.npy"


def hashes_file(folder: Path, part: str) -> Path:
    """Return the file of the hashes (n,) of a part's examples in the folder of a conversion."""
    return folder / f"{part}-h.npy"


def _put(temporary: Path, folder: Path, signature: str) -> None:
    """Give a conversion its name, unless others take the same one at the same time; OSError: it cannot be had."""
    aside = files.temporary_for(folder)
    for _ in range(TRIES):
        try:
            files.put(temporary, folder, aside)  # processes that have mapped the old arrays keep them
            return
        except OSError as error:
            if (_facts(folder) or {}).get("signature") == signature:
                return  # another process has just made it
            if error.errno not in RACES:
                raise
        finally:
            files.remove(aside)
    # Ours is used all the same, since it is open, and one of theirs is kept.


def _facts(folder: Path) -> Facts | None:
    """Return the facts of the conversion in a folder; None where they are missing or damaged, or cannot be read."""
    with contextlib.suppress(OSError, OutputError):
        files.stat_regular(folder / FACTS)
        return files.read_sealed(folder / FACTS)
    return None


def _parts(folder: Path) -> list[str]:
    return [part for part in PARTS if examples_file(folder, part).exists()]


def _files(folder: Path) -> list[Path]:
    kinds = (examples_file, labels_file, hashes_file)
    return [file_of(folder, part) for part in _parts(folder) for file_of in kinds]


def _write_hashes(folder: Path) -> None:
    for part in _parts(folder):
        np.save(hashes_file(folder, part), guards.row_hashes(memory_map.open_array(examples_file(folder, part))))


def _checked(folder: Path, facts: Facts) -> dict[str, Split]:
    """Return the parts of a conversion whose files are those that were written.

    Raises:
        DamagedError: a file is missing or has changed.
        OSError, OutputError: a file cannot be read.
    """
    written = facts["files"]
    for name, sha256 in written.items():
        try:
            files.stat_regular(folder / name)
            found = files.cached_sha256(folder / name)
        except FileNotFoundError:
            raise DamagedError(f"{name} is missing") from None
        if found != sha256:
            raise DamagedError(f"{name} is not the file that was written: its SHA-256 differs")
    if {path.name for path in _files(folder)} != set(written):
        raise DamagedError("it has a file that was not written")
    return _open(folder)


def _open(folder: Path) -> dict[str, Split]:
    splits = {}
    for part in _parts(folder):
        images, labels = memory_map.open_array(examples_file(folder, part)), np.load(labels_file(folder, part))
        splits[part] = replace(whole(images, labels), hashes=np.load(hashes_file(folder, part)))
    return splits


def _range(splits: dict[str, Split]) -> dict[str, float]:
    """Return the lowest and the highest value of train."""
    extremes = [(piece.min(), piece.max()) for piece in memory_map.pieces(splits["train"].images)]
    return {"lowest": float(min(low for low, _ in extremes)), "highest": float(max(high for _, high in extremes))}


def _repeats(splits: dict[str, Split]) -> Facts:
    """Return how many examples of each other part are in train too, and whether two of train are the same."""
    hashes = {part: split.hashes for part, split in splits.items() if split.hashes is not None}
    train = hashes.pop("train")
    shared = {part: guards.count_shared(train, of_part) for part, of_part in hashes.items()}
    return {"shared": shared, "repeats": guards.have_repeats(train)}
