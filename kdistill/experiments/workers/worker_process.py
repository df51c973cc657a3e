"""A worker: a process that imports TensorFlow once and does one task after another.

    python -m kdistill.experiments.workers.worker_process

Tasks come in on standard input and events go out on standard output, a line of JSON each. When the input ends, which
it does too if the process that started it dies, the worker stops at the next safe point, with a checkpoint.
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
from kdistill.experiments.workers.events import Done, Event, Stopped, to_json
from kdistill.experiments.workers.tasks import Failure, Task

PROGRESS_EVERY = 0.5  # seconds between two reports from within an epoch
EVENT_EVERY = 0.2  # seconds between two reports on the epochs of a run, some of which take a few milliseconds


class Reporter(Listener):
    """Sends what it hears to the process that gave the task.

    Args:
        send: takes an event there.
    """

    def __init__(self, send: Callable[[Event], None]) -> None:
        self.send = send
        self._sent = 0.0

    def hear(self, event: Event, name: str = "") -> None:
        """Send an event; progress and epochs only now and then, but always the best epoch."""
        if isinstance(event, EpochProgress | EpochDone):
            every = PROGRESS_EVERY if isinstance(event, EpochProgress) else EVENT_EVERY
            is_best = isinstance(event, EpochDone) and event.record["best"]
            if not is_best and time.monotonic() - self._sent <= every:
                return
            self._sent = time.monotonic()
        self.send(event)


def main() -> None:
    """Do tasks until the input ends."""
    # Whatever prints to standard output must not end up between the events.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(event: Event) -> None:
        # Where nobody listens any more the input has ended too, which stops this process with a checkpoint.
        with contextlib.suppress(BrokenPipeError):
            stream.write(to_json(event) + "\n")
            stream.flush()

    reporter = Reporter(send)
    signals.raise_on_termination()
    tasks: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    try:
        while (line := tasks.get()) is not None:
            with _telling_failures(reporter):
                from kdistill.experiments.workers.perform import perform

                reporter.send(Done(perform(Task.from_json(json.loads(line)), reporter)))
    except (KeyboardInterrupt, BrokenPipeError):
        # Threads of TensorFlow may be at work still: nothing is left that would have to be put in order.
        os._exit(128 + signal.SIGTERM)


def _listen(tasks: "SimpleQueue[str | None]") -> None:
    """Take in tasks; at the end of the input, stop what is being done."""
    for line in sys.stdin:
        tasks.put(line)
    tasks.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _telling_failures(reporter: Reporter) -> Iterator[None]:
    """Send why a task was not done; go on to the next one, unless a signal has stopped it."""
    try:
        yield
    except signals.Stopped as stopped:
        if stopped.failure:
            _send_failure(stopped.failure, reporter)
        elif stopped.where:
            reporter.send(Stopped())
        raise
    except Exception as error:
        _send_failure(error, reporter)


def _send_failure(error: Exception, reporter: Reporter) -> None:
    reporter.send(Failure.of(error, traceback.format_exc()))


if __name__ == "__main__":
    main()
