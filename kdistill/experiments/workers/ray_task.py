"""The functions and the actor that run in the processes of a Ray cluster."""

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
from kdistill.experiments.workers.events import Done, Event, Interrupted
from kdistill.experiments.workers.tasks import Document, Failure, Task
from kdistill.experiments.workers.worker_process import Reporter

READS = 10  # a network file system may take a moment to show a file that was written on another node
READ_EVERY = 0.5  # seconds
DELIVERY = 30.0  # seconds


class Mailbox:
    """An actor that keeps the events of the tasks until the driver takes them."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Event]] = []

    def put(self, name: str, event: Event) -> None:
        """Add an event of the task `name`."""
        self._events.append((name, event))

    def take(self) -> list[tuple[str, Event]]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def flush(self) -> None:
        """Return once all events of the caller have been added."""


def do_task(document: Document, token: str, mailbox: Any) -> Done | Failure:
    """Perform a task, in a process that may have performed others before.

    Args:
        document: of the task.
        token: the path of the file by which a node recognises the shared folder.
        mailbox: handle of a `Mailbox`.

    Returns:
        The result, or the failure: an error of the task that was raised would count as one of Ray's.

    Raises:
        KeyboardInterrupt: the driver has cancelled the task. Ray simulates a SIGINT in the main thread, so that a run
            stops as by Ctrl-C.
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
        if stopped.failure:  # raised, it would count as a lost process, and the task would be repeated
            return Failure.of(stopped.failure, traceback.format_exc())
        if stopped.where:  # with a checkpoint
            reporter.send(Interrupted())
        if stopped.signum == signal.SIGTERM:
            # The node is being removed: Ray counts the process as lost, so that the task is repeated elsewhere.
            _deliver(mailbox)
            os._exit(128 + signal.SIGTERM)
        raise
    finally:
        _deliver(mailbox)


def _deliver(mailbox: Any) -> None:
    """Wait until the driver can take all events, before it gets the result."""
    import ray

    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(mailbox.flush.remote(), timeout=DELIVERY)


def check_shared(token: Path) -> None:
    """Raise OutputError if this node does not see the folder of the experiment."""
    if not _sees(token):
        raise not_shared(token.parent, socket.gethostname())


def not_shared(folder: Path, node: str) -> OutputError:
    """Return the error of a node that does not see the folder of the experiment."""
    return OutputError(
        f"{folder}: node {node} does not see this folder, or sees another one of that name",
        hint="Choose an --output-dir on a file system that all nodes share, by the same path.",
    )


def describe_node(token: str) -> Document:
    """Return whether a node sees the shared folder, and its version of kdistill."""
    return {"sees": _sees(Path(token)), "version": kdistill.__version__}


def _sees(token: Path) -> bool:
    for _ in range(READS):
        with contextlib.suppress(OSError):
            # The content is the name: a file system may show a file before its content.
            return token.read_text(encoding="utf-8") == token.name
        time.sleep(READ_EVERY)
    return False
