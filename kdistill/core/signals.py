"""Signals that ask to stop: held back while a run trains, so that it can stop where it can go on from."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# SIGHUP: the terminal has gone.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked to stop. It unwinds like Ctrl-C.

    Attributes:
        signum: which signal.
        where: what was stopped, and where it goes on; empty where nothing was under way.
        failure: what failed between the signal and the stop: a checkpoint that cannot be written, for one.
    """

    def __init__(self, signum: int, where: str = "", failure: Exception | None = None) -> None:
        super().__init__(where)
        self.signum = signum
        self.where = where
        self.failure = failure


class Received:
    """The signal that has arrived, if one has."""

    signum: int | None = None

    def take(self, signum: int, frame: FrameType | None) -> None:
        """Remember the first signal; the second does not wait."""
        if self.signum is not None:
            raise Stopped(signum)
        self.signum = signum


@contextlib.contextmanager
def held_back(title: str = "") -> Iterator[Received]:
    """Hold the first signal back, for the loop inside to look at; a second one raises Stopped at once.

    One that the loop did not come to look at is raised at the end; so is one after which the loop failed, with the
    failure, or else whoever goes on after failures would go on after the signal. `title` names what is at work, for
    that case.

    Signals that this process ignores stay ignored, as under nohup. Outside the main thread, where Python handles no
    signals, nothing is held back.
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
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, unless they are ignored."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
