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
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from kdistill.core import signals
from kdistill.core.listener import Listener
from kdistill.experiments.workers.tasks import Failure, Task

PROGRESS_EVERY = 0.5  # seconds between two reports from within an epoch
EVENT_EVERY = 0.2  # seconds between two reports on the epochs of a run, some of which take a few milliseconds


class Reporter(Listener):
    """Sends what it hears to the process that gave the task.

    Args:
        deliver: takes an event there: its kind in `event`, and the arguments of the listener's method of that name.
    """

    def __init__(self, deliver: Callable[[dict[str, Any]], None]) -> None:
        self._deliver = deliver
        self._sent = 0.0

    def send(self, **event: Any) -> None:
        """Send one event."""
        self._deliver(event)

    def note(self, text: str) -> None:
        """Send a sentence."""
        self.send(event="note", text=text)

    def warning(self, text: str) -> None:
        """Send a warning."""
        self.send(event="warning", text=text)

    def run_started(
        self,
        arm: str,
        seed: int,
        epochs: int,
        patience: int | None,
        history: Sequence[Mapping[str, Any]] = (),
        examples: int = 0,
    ) -> None:
        """Send that a run begins."""
        about = {"arm": arm, "seed": seed, "epochs": epochs, "patience": patience, "examples": examples}
        self.send(event="run_started", **about, history=[dict(record) for record in history])

    def progress(self, done: float) -> None:
        """Send how much of an epoch is done, now and then."""
        if time.monotonic() - self._sent > PROGRESS_EVERY:
            self._sent = time.monotonic()
            self.send(event="progress", done=done)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Send the record of an epoch, unless one was sent just now; a best one always is."""
        if record["best"] or time.monotonic() - self._sent > EVENT_EVERY:
            self._sent = time.monotonic()
            self.send(event="epoch", record=dict(record))

    def run_finished(self, arm: str, seed: int, result: Mapping[str, Any]) -> None:
        """Send the result of a run."""
        self.send(event="run_finished", arm=arm, seed=seed, result=dict(result))


def pass_on(event: dict[str, Any], name: str, listener: Listener, told: set[str]) -> None:
    """Tell a listener what a `Reporter` sent about a task.

    Args:
        event: as it was sent.
        name: of the task.
        listener: of all tasks.
        told: sentences that need no repeating, since every worker starts TensorFlow, and reads what they all read.
    """
    kind = event["event"]
    arguments = {key: value for key, value in event.items() if key != "event"}
    if kind not in ("note", "warning"):
        getattr(listener.of(name), kind)(**arguments)
    elif event["text"] not in told:
        told.add(event["text"])
        getattr(listener, kind)(**arguments)


def main() -> None:
    """Do tasks until the input ends."""
    # Whatever prints to standard output must not end up between the events.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def deliver(event: dict[str, Any]) -> None:
        # Where nobody listens any more the input has ended too, which stops this process with a checkpoint.
        with contextlib.suppress(BrokenPipeError):
            stream.write(json.dumps(event) + "\n")
            stream.flush()

    reporter = Reporter(deliver)
    signals.raise_on_termination()
    tasks: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    try:
        while (line := tasks.get()) is not None:
            _do(Task.from_json(json.loads(line)), reporter)
    except (KeyboardInterrupt, BrokenPipeError):
        # Threads of TensorFlow may be at work still: nothing is left that would have to be put in order.
        os._exit(128 + signal.SIGTERM)


def _listen(tasks: "SimpleQueue[str | None]") -> None:
    """Take in tasks; at the end of the input, stop what is being done."""
    for line in sys.stdin:
        tasks.put(line)
    tasks.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


def _do(task: Task, reporter: Reporter) -> None:
    from kdistill.experiments.workers.perform import perform

    try:
        reporter.send(event="done", result=perform(task, reporter))
    except signals.Stopped as stopped:
        if stopped.failure:
            _send_failure(stopped.failure, reporter)
        elif stopped.where:
            reporter.send(event="stopped")
        raise
    except Exception as error:
        _send_failure(error, reporter)


def _send_failure(error: Exception, reporter: Reporter) -> None:
    reporter.send(event="failed", failure=vars(Failure.of(error, traceback.format_exc())))


if __name__ == "__main__":
    main()
