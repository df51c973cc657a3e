"""What runs in the processes of a Ray cluster."""

import contextlib
import os
import signal
import socket
import time
import traceback
from pathlib import Path
from typing import Any

import kdistill
from kdistill.core import signals
from kdistill.core.errors import OutputError
from kdistill.experiments.workers.events import Done, Event, Stopped
from kdistill.experiments.workers.tasks import Document, Failure, Task
from kdistill.experiments.workers.worker_process import Reporter

LOOKS = 10  # a network file system may take a moment to show what was written on another node
LOOK_EVERY = 0.5
DELIVERY = 30.0  # seconds


class Mailbox:
    """An actor: keeps what the tasks have to say until the driver asks for it."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Event]] = []

    def put(self, name: str, event: Event) -> None:
        """Take in an event of the task `name`."""
        self._events.append((name, event))

    def take(self) -> list[tuple[str, Event]]:
        """Return what has come in since the last time."""
        events, self._events = self._events, []
        return events

    def flush(self) -> None:
        """Return once all that the caller has put is in."""


def do_task(document: Document, token: str, mailbox: Any) -> Done | Failure:
    """Do a task, in a process that may have done others before.

    Args:
        document: of the task.
        token: the path of the file that tells a shared folder.
        mailbox: handle of a `Mailbox`.

    Returns:
        What came of it: errors of the task itself come back as values, so that Ray takes none of them for its own.

    Raises:
        KeyboardInterrupt: the driver has cancelled it. Ray simulates a SIGINT in the main thread, so that a run
            stops as it does for Ctrl-C.
    """
    from kdistill.experiments.workers.perform import perform

    task = Task.from_json(document)
    reporter = Reporter(lambda event: mailbox.put.remote(task.name, event))
    try:
        check_shared(Path(token))
        return Done(perform(task, reporter))
    except Exception as error:
        return Failure.of(error, traceback.format_exc())
    except signals.Stopped as stopped:
        if stopped.failure:  # not to be taken for a death, after which it is done again
            return Failure.of(stopped.failure, traceback.format_exc())
        if stopped.where:  # with a checkpoint
            reporter.send(Stopped())
        if stopped.signum == signal.SIGTERM:
            # This node is being taken away. To Ray it is a death like any other, so that the task goes elsewhere.
            _deliver(mailbox)
            os._exit(128 + signal.SIGTERM)
        raise
    finally:
        _deliver(mailbox)


def _deliver(mailbox: Any) -> None:
    """Wait until the driver can have all that was said, before it has the result."""
    import ray

    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(mailbox.flush.remote(), timeout=DELIVERY)


def check_shared(token: Path) -> None:
    """Refuse to work on a node that does not see the folder of the experiment.

    Raises:
        OutputError: naming the node.
    """
    if not _sees(token):
        raise OutputError(
            f"{token.parent}: the node {socket.gethostname()} does not see this folder, or another one of that name",
            hint="Choose an --output-dir on a file system that all nodes share, by the same path.",
        )


def look(token: str) -> Document:
    """Return what a node is: whether it sees the shared folder, its name, and the version of kdistill there."""
    return {"sees": _sees(Path(token)), "host": socket.gethostname(), "version": kdistill.__version__}


def _sees(token: Path) -> bool:
    for _ in range(LOOKS):
        with contextlib.suppress(OSError):
            # Its name is in it too, in case that a file system shows a file before its content.
            return token.read_text(encoding="utf-8") == token.name
        time.sleep(LOOK_EVERY)
    return False
