"""Signals that stop the program, deferred while a run trains, so that it stops at a checkpoint."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed


class Stopped(KeyboardInterrupt):
    """A signal stops the program; the exception unwinds like Ctrl-C.

    Attributes:
        signum: the number of the signal.
        where: what was stopped and where it resumes; empty if nothing was running.
        failure: an exception between the signal and the stop, such as a checkpoint that cannot be written.
    """

    def __init__(self, signum: int, where: str = "", failure: Exception | None = None) -> None:
        super().__init__(where)
        self.signum = signum
        self.where = where
        self.failure = failure


class Received:
    """The number of the deferred signal; None until one arrives."""

    signum: int | None = None

    def take(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: remember the first one, raise Stopped for the second."""
        if self.signum is not None:
            raise Stopped(signum)
        self.signum = signum


@contextlib.contextmanager
def deferred(title: str = "") -> Iterator[Received]:
    """Defer the first stopping signal, which the code inside checks; a second one raises Stopped at once.

    At the end, a deferred signal that was not checked raises Stopped. If the code inside failed after a signal, Stopped
    carries the failure, so that a caller that continues after failures does not continue after the signal.

    Signals that this process ignores stay ignored, as under nohup. Outside the main thread, where Python handles no
    signals, nothing is deferred.

    Args:
        title: what is running, for the message of Stopped after a failure.
    """
    received = Received()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    kept = {}
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            kept[number] = signal.signal(number, received.take)
    try:
        try:
            yield received
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
    except Exception as error:
        if received.signum is None:
            raise
        raise Stopped(received.signum, f"{title}: stopped" if title else "", failure=error) from error
    if received.signum is not None:
        raise Stopped(received.signum)


def raise_on_termination() -> None:
    """Make SIGTERM and SIGHUP raise Stopped, unless this process ignores them."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
