"""The lock of a run, which lets one process write: the operating system releases it when that process ends."""

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

RETRY_EVERY = 0.2  # seconds
FIRST_RETRY = 0.05  # seconds: `holder` takes the lock for a moment, which must not look like a run


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the file at `path`, which is created if it is missing, and stays.

    If another process holds the lock, `wait` until it is released, or else refuse.

    Raises:
        OutputError: another process, which is named, holds the lock; the file cannot be written; or its file system has
            no locks.
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
    """Raise OutputError, naming the process, if another process holds the lock of the file at `path`."""
    if path.exists():
        with contextlib.suppress(PermissionError), _open(path) as descriptor:
            _acquire(descriptor, path, wait=False)


def holder(path: Path) -> str | None:
    """Return the process that holds a lock, in words, or None. It neither writes nor waits."""
    # An OSError: the file is missing or not readable for this user, or its file system has no locks.
    with contextlib.suppress(OSError), _open(path, os.O_RDONLY) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(descriptor)
    return None


@contextlib.contextmanager
def _open(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which releases the lock


def _acquire(descriptor: int, path: Path, wait: bool) -> None:
    # flock itself does not wait: it would ignore a signal that Ray simulates, and on some networks a real one.
    pause = FIRST_RETRY
    try:
        while not _try(descriptor):
            if pause == RETRY_EVERY and not wait:
                raise OutputError(
                    f"{path.parent / path.stem.removeprefix('.')}: another process is at work on this run: "
                    f"{_holder(descriptor)}",
                    hint="Wait until it has finished, or choose another --output-dir.",
                )
            time.sleep(pause)
            pause = RETRY_EVERY
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:
            raise
        raise OutputError(
            f"{path}: this file system has no locks, without which two processes could write one run",
            hint="Choose another --output-dir.",
        ) from None


def _try(descriptor: int) -> bool:
    """Take a lock if it is free; return whether it was."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # it has taken the lock, and not written its name yet
        return "its process id is not known yet"


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
