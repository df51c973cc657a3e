"""One writer to a run: a lock that the operating system lets go of when its holder ends, however it ends."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kdistill.core import files
from kdistill.core.errors import OutputError

LOOK_EVERY = 0.2  # seconds between two looks at a lock that another holds
GLANCE = 0.05  # seconds after which a refused lock is tried once more: `holder` has it for a moment


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock file at `path`, which is made if need be and stays.

    Args:
        path: of the lock file.
        wait: until whoever holds it lets go, rather than refuse.

    A process that has died holds nothing, so that nothing has to be cleared away by hand.

    Raises:
        OutputError: another process holds it, which is named; or locks do not work there.
        OutputError: the file cannot be made.
    """
    with contextlib.ExitStack() as held:
        with files.writing(path):
            descriptor = held.enter_context(_open(path))
            _acquire(descriptor, path, wait)
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield


def check_free(path: Path) -> None:
    """Refuse a lock that another process holds.

    Raises:
        OutputError: naming that process.
    """
    if path.exists():
        with contextlib.suppress(PermissionError), _open(path) as descriptor:
            _acquire(descriptor, path, wait=False)


def holder(path: Path) -> str | None:
    """Return which process holds a lock, in words, or None. Writes nothing and waits for nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # there is none, or it is not for us to look at
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    except OSError:  # a file system without locks, on which nothing is made
        return None
    finally:
        os.close(descriptor)
    return None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which lets go of the lock


def _acquire(descriptor: int, path: Path, wait: bool) -> None:
    try:
        # A call that waits would not return for a signal that Ray simulates, nor on every network for a real one.
        if not _is_ours(descriptor, wait=True):
            time.sleep(GLANCE)
        while not _is_ours(descriptor, wait):
            time.sleep(LOOK_EVERY)
    except BlockingIOError:
        raise OutputError(
            f"{path.parent / path.stem.removeprefix('.')}: another process is at work on this run: "
            f"{_holder(descriptor)}",
            hint="Wait until it has finished, or choose another --output-dir.",
        ) from None
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:
            raise
        raise OutputError(
            f"{path}: this file system has no locks, which keep two processes from writing one run",
            hint="Choose another --output-dir.",
        ) from None


def _is_ours(descriptor: int, wait: bool) -> bool:
    """Take a lock if it is free; where it is not, say so if there is time to wait, and raise BlockingIOError if not."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        return False
    return True


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # it has the lock, but has not written its name yet
        return "its number is not known yet"


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
