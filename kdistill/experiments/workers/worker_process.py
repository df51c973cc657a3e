"""A worker process: it imports TensorFlow once and performs one task after another.

    python -m kdistill.experiments.workers.worker_process

Tasks are read from standard input and events are written to standard output, a line of JSON each. When the input ends,
as it does if the parent process dies, the worker stops at the next safe point, with a checkpoint.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from kdistill.core import signals
from kdistill.core.listener import EpochDone, EpochProgress, Listener
from kdistill.experiments.workers.events import Done, Event, Interrupted, to_json
from kdistill.experiments.workers.tasks import Failure, Task

PROGRESS_EVERY = 0.5  # seconds between two progress events within an epoch
EPOCH_EVERY = 0.2  # seconds between two epoch events: short epochs take a few milliseconds


class Reporter(Listener):
    """Sends events to the process that gave the task, by the function `send`."""

    def __init__(self, send: Callable[[Event], None]) -> None:
        self.send = send
        self._sent = 0.0

    def handle(self, event: Event, name: str = "") -> None:
        """Send an event; of progress and epochs only some, but always the best epoch."""
        if isinstance(event, EpochProgress | EpochDone):
            every = PROGRESS_EVERY if isinstance(event, EpochProgress) else EPOCH_EVERY
            is_best = isinstance(event, EpochDone) and event.record["best"]
            if not is_best and time.monotonic() - self._sent <= every:
                return
            self._sent = time.monotonic()
        self.send(event)


def main() -> None:
    """Perform tasks until the input ends."""
    # Prints of libraries to standard output must not end up between the events.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(event: Event) -> None:
        # Where the parent has died, the input has ended too, which stops this process with a checkpoint.
        with contextlib.suppress(BrokenPipeError):
            stream.write(to_json(event) + "\n")
            stream.flush()

    reporter = Reporter(send)
    signals.raise_on_termination()
    tasks: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    try:
        while (line := tasks.get()) is not None:
            with _sending_failures(reporter):
                from kdistill.experiments.workers.perform import perform

                reporter.send(Done(perform(Task.from_json(json.loads(line)), reporter)))
    except (KeyboardInterrupt, BrokenPipeError):
        # Without cleaning up: threads of TensorFlow may still be running.
        os._exit(128 + signal.SIGTERM)


def _listen(tasks: "SimpleQueue[str | None]") -> None:
    """Read tasks; at the end of the input, stop the one under way."""
    for line in sys.stdin:
        tasks.put(line)
    tasks.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _sending_failures(reporter: Reporter) -> Iterator[None]:
    """Send why a task was not done; raise again if a signal has stopped it."""
    try:
        yield
    except signals.Stopped as stopped:
        if stopped.failure:
            reporter.send(Failure.of(stopped.failure, traceback.format_exc()))
        elif stopped.where:
            reporter.send(Interrupted())
        raise
    except Exception as error:
        reporter.send(Failure.of(error, traceback.format_exc()))


if __name__ == "__main__":
    main()
