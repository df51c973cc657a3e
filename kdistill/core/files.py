"""Atomic writes of files and folders, and JSON documents that are sealed: written with their own SHA-256."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdistill.core.errors import OutputError

SEAL = "sha256"
TEMPORARY = ".new-"  # the prefix of temporary names
STALE = 86_400.0  # seconds after which an unfinished file is considered abandoned
SETTLED = 3.0  # seconds after which another write changes a file's time of modification

_hashes: dict[Path, tuple[object, str]] = {}  # by file: its status and its SHA-256
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than is allowed",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn an OSError while writing to `place` into an OutputError that names the file and the reason."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(
            f"{error.filename or place}: cannot write: {reason}",
            hint="What was finished before is still there; run the same command again to go on.",
        ) from error


@contextlib.contextmanager
def reading(place: Path) -> Iterator[None]:
    """Turn an OSError while reading `place` into an OutputError, unless the file is missing."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise OutputError(
            f"{error.filename or place}: cannot be read: {error.strerror or error}",
            hint="Nothing was changed: try again once it can be read.",
        ) from error


def stat_regular(path: Path) -> os.stat_result:
    """Return the status of a regular file; raise OSError for others, such as a named pipe, on which `open` waits."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "expected a regular file; received a folder, pipe or device", str(path))
    return status


def temporary_for(path: Path, prefix: str = TEMPORARY) -> Path:
    """Return a hidden path in the same folder, unique to this call, with the suffix of `path`."""
    return path.with_name(f"{prefix}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there is synced to disk and renamed to `path`.

    A reader of `path` sees the complete old file or the complete new one, even after a power failure.

    Raises:
        OSError: the disk is full or read-only; the old file is unchanged.
    """
    temporary = temporary_for(path)
    try:
        yield temporary
        put(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some network file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Rename a folder or file, and sync the new name to disk."""
    os.replace(source, target)
    sync(target.parent)


def put(source: Path, target: Path, aside: Path | None = None) -> None:
    """Sync `source` to disk and rename it to `target`; a file replaces a file, and a folder a folder.

    If the process is killed, `target` is the complete old one or the complete new one. A folder is replaced in two
    renames; if the process is killed between them, the new folder is at `source` and the old one at `aside`.

    Args:
        source: a complete file or folder in the parent folder of `target`.
        target: the final path.
        aside: where an old folder is moved between the two renames; by default `<source>-old`.

    Raises:
        OSError: the disk is full or read-only, or another process wrote `target` first; an old folder is restored.
    """
    for path in (*source.rglob("*"), source):
        sync(path)
    if not (source.is_dir() and target.is_dir()):  # a file never replaces a folder: the system refuses that
        move(source, target)
        return
    aside = aside or source.with_name(f"{source.name}-old")
    remove(aside)
    try:
        with contextlib.suppress(FileNotFoundError):  # another process has just moved it
            move(target, aside)
        move(source, target)
    except BaseException:
        with contextlib.suppress(OSError):  # another process has written `target` since
            os.rename(aside, target)
        raise
    finally:
        if os.path.lexists(target):  # never the only copy
            remove(aside)


def remove_stale(folder: Path, prefix: str = TEMPORARY) -> None:
    """Remove from a folder the unfinished files of killed processes: names with `prefix` that are older than a day."""
    for left in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                remove(left)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder; errors are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document that includes the SHA-256 of its content, for `read_sealed`."""
    document = json.loads(json.dumps(document))  # keys become text, which may sort in another order
    write_json(path, {**document, SEAL: seal(document)})


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return a document of `write_sealed`; None if it is missing or was changed. OutputError: it cannot be read."""
    try:
        with reading(path):
            content = path.read_bytes()
        document = json.loads(content)
        written = document.pop(SEAL)
        return document if written == seal(document) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def seal(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a document's content."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content. OutputError: the file exists and cannot be read."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, from a cache of this process while the file's status is unchanged.

    A file that changed in the last seconds is not cached: its time of modification may not show a second change.
    Raises OutputError if the file cannot be read.
    """
    found = os.stat(path)
    state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if _hashes.get(path, (None, ""))[0] != state:
        settled = time.time() - max(found.st_mtime, found.st_ctime) > SETTLED
        _hashes[path] = (state if settled else None, sha256(path))
    return _hashes[path][1]
