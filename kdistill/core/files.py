"""Files that are written whole or not at all, and JSON documents that tell when they were changed."""

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
TEMPORARY = ".new-"  # what every temporary name begins with; whatever still has one was never finished
STALE = 86_400.0  # seconds after which something unfinished is nobody's any more
SETTLED = 3.0  # seconds after which a file that is written again has another time of its last change

_remembered: dict[Path, tuple[object, str]] = {}  # the state of each file, and the SHA-256 that it had then
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
    """Turn a failure of the file system while writing to `place` into a message.

    Raises:
        OutputError: in place of any OSError.
    """
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
    """Turn a failure of the file system while reading `place` into a message: it is no proof of damage.

    Raises:
        OutputError: in place of any OSError but that the file is not there.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise OutputError(
            f"{error.filename or place}: cannot be read: {error.strerror or error}",
            hint="Nothing was changed: try again once it can be read.",
        ) from error


def regular(path: Path) -> os.stat_result:
    """Return the status of a regular file. To open a named pipe would be to wait for ever.

    Raises:
        OSError: there is none, or it is something else.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "expected a regular file; received a folder, pipe or device", str(path))
    return status


def temporary_for(path: Path, prefix: str = TEMPORARY) -> Path:
    """Return a hidden name beside `path` that no other process uses. It ends as `path` does."""
    return path.with_name(f"{prefix}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there is brought to disk and renamed to `path`.

    Whoever reads `path` sees the old file or the new one, whole, even after a power cut.

    Raises:
        OSError: the disk is full or read-only; what was at `path` is still there.
    """
    temporary = temporary_for(path)
    try:
        yield temporary
        put(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some network file systems cannot do it for folders
            raise
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Rename a folder or file, and bring the new name to disk."""
    os.replace(source, target)
    to_disk(target.parent)


def put(source: Path, target: Path, aside: Path | None = None) -> None:
    """Bring what is finished at `source` to disk and give it its name, in the place of a file or folder there.

    A process that is killed on the way leaves the old one or the new one there, whole; of folders, between two renames,
    neither: then the new one is whole at `source`, and the old one at `aside`.

    Args:
        source: a file or folder beside `target`.
        target: its name.
        aside: where an old folder is for the moment between two renames; by default `source` with `-old`.

    Raises:
        OSError: the disk is full or read-only, or another process was quicker; an old folder is there again.
    """
    for path in (*source.rglob("*"), source):
        to_disk(path)
    if not target.is_dir():
        move(source, target)
        return
    aside = aside or source.with_name(f"{source.name}-old")
    remove(aside)
    with contextlib.suppress(FileNotFoundError):  # another process has just taken it away
        move(target, aside)
    try:
        move(source, target)
    except BaseException:
        with contextlib.suppress(OSError):  # what another process has put there stays
            os.rename(aside, target)
        raise
    finally:
        remove(aside)


def sweep(folder: Path, prefix: str = TEMPORARY) -> None:
    """Remove from a folder what processes that were killed had not finished to write, if it is older than a day.

    What is younger may be another process's that is still at it.

    Args:
        folder: in which it was to be written.
        prefix: what the names of such files and folders begin with.
    """
    for left in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                remove(left)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, as far as that can be done, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document with the SHA-256 of its content in it: what `read_sealed` reads."""
    write_json(path, {**document, SEAL: _seal(document)})


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return a document written by `write_sealed`, or None if it is missing or is not what was written.

    Raises:
        OutputError: it is there and cannot be read.
    """
    try:
        with reading(path):
            content = path.read_bytes()
        document = json.loads(content)
        seal = document.pop(SEAL)
        return document if seal == _seal(document) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _seal(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        OutputError: it is there and cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, which is read once in a process for as long as the file stays as it is.

    A file that was changed in the last seconds is read each time: a file system's clock may not tell two changes apart.

    Raises:
        OutputError: it is there and cannot be read.
    """
    found = os.stat(path)
    state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if _remembered.get(path, (None, ""))[0] != state:
        settled = time.time() - max(found.st_mtime, found.st_ctime) > SETTLED
        _remembered[path] = (state if settled else None, sha256(path))
    return _remembered[path][1]
