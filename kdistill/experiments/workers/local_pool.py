"""Workers on this machine: this process, or a pool of processes."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import kdistill
from kdistill.core import signals
from kdistill.core.listener import Listener
from kdistill.experiments.workers.events import Done, Event, Lost, from_json
from kdistill.experiments.workers.tasks import Failure, Task

STOP_TIMEOUT = 60.0  # seconds for all workers to stop with a checkpoint


class _InProcess:
    """The executor that performs one task after another in this process."""

    max_attempts = size = 1

    def __init__(self, listener: Listener) -> None:
        self.received = signals.Received()
        self._listener = listener
        self._events: list[tuple[Task, Event]] = []

    def has_room(self) -> bool:
        return not self._events

    def last_task(self) -> None:
        return None  # tasks are performed in the order given

    def submit(self, task: Task) -> None:
        from kdistill.experiments.workers.perform import perform

        try:
            self._events.append((task, Done(perform(task, self._listener.of(task.name)))))
        except Exception as error:
            self._events.append((task, Failure.of(error, traceback.format_exc())))

    def events(self) -> list[tuple[Task, Event]]:
        events, self._events = self._events, []
        return events

    def stop(self) -> list[tuple[Task, Event]]:
        return []


def in_process(listener: Listener) -> contextlib.AbstractContextManager[_InProcess]:
    """Return this process as the executor. A signal stops the task under way."""
    return contextlib.nullcontext(_InProcess(listener))


@contextlib.contextmanager
def pool(size: int) -> Iterator["_Pool"]:
    """Yield an executor of `size` processes; one that dies is replaced. Signals are held back, to stop all of them."""
    with contextlib.closing(_Pool(size)) as workers, signals.deferred() as workers.received:
        yield workers


class _Worker:
    """A worker process and its task."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.last_task: Task | None = None
        self._rest = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        # The package may be on the path of this process only.
        path = os.pathsep.join([str(Path(kdistill.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kdistill.experiments.workers.worker_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops its workers
        )

    def events(self) -> list[Event] | None:
        """Return its new events; None if it has ended."""
        chunk = os.read(self.process.stdout.fileno(), 1 << 16) if self.process.stdout else b""
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [from_json(line) for line in lines]

    def exit_reason(self) -> str:
        """Return how it ended, in words."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed (SIGKILL): often because memory ran out"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"its process ended {how}{': ' if last else ''}{''.join(last)}"

    def end(self) -> None:
        """Kill it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class _Pool:
    """The executor of several processes, each started once there is a task for it."""

    max_attempts = 2  # a process may die once by chance

    def __init__(self, size: int) -> None:
        self.size = size
        self.received = signals.Received()
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._selector.close()

    def has_room(self) -> bool:
        return self._idle() is not None or len(self._workers) < self.size

    def last_task(self) -> Task | None:
        idle = self._idle()
        return idle.last_task if idle else None

    def _idle(self) -> _Worker | None:
        return next((worker for worker in self._workers if worker.task is None), None)

    def submit(self, task: Task) -> None:
        worker = self._idle() or self._start_worker()
        worker.task = worker.last_task = task
        with contextlib.suppress(BrokenPipeError):  # it has died: `events` finds out
            worker.process.stdin.write(json.dumps(task.to_json()).encode() + b"\n")  # type: ignore[union-attr]
            worker.process.stdin.flush()  # type: ignore[union-attr]

    def _start_worker(self) -> _Worker:
        worker = _Worker()
        self._workers.append(worker)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        return worker

    def events(self) -> Iterator[tuple[Task, Event]]:
        for _, task, event in self._poll(0.5):
            yield task, event

    def _poll(self, seconds: float) -> Iterator[tuple[_Worker, Task, Event]]:
        """Yield new events of the workers, waiting up to `seconds` for the first."""
        for key, _ in self._selector.select(seconds):
            worker: _Worker = key.data
            events = worker.events()
            for event in self._remove(worker) if events is None else events:
                if task := worker.task:
                    if isinstance(event, Done | Failure | Lost):
                        worker.task = None
                    yield worker, task, event

    def _remove(self, worker: _Worker) -> list[Event]:
        """Remove a worker that has ended."""
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        self._workers.remove(worker)
        how = worker.exit_reason()
        worker.end()
        return [Lost(how)]

    def stop(self) -> Iterator[tuple[Task, Event]]:
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        # All events are read: a worker whose pipe is full would never end.
        while self._workers and time.monotonic() < deadline:
            for worker, task, event in self._poll(0.1):
                yield task, event
                if worker.task is None:  # if a library swallowed the first signal, it waits for a task now
                    worker.process.terminate()
