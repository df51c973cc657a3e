"""Workers on this machine: one in this process, or a pool of processes."""

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

PATIENCE = 60.0  # seconds that workers get to stop with a checkpoint


class _Here:
    """This process, which does one task after another."""

    attempts = size = 1

    def __init__(self, listener: Listener) -> None:
        self.received = signals.Received()
        self._listener = listener
        self._said: list[tuple[Task, Event]] = []

    def has_room(self) -> bool:
        return not self._said

    def last(self) -> None:
        return None  # tasks are done in the order in which they are given

    def begin(self, task: Task) -> None:
        from kdistill.experiments.workers.perform import perform

        try:
            self._said.append((task, Done(perform(task, self._listener.of(task.name)))))
        except Exception as error:
            self._said.append((task, Failure.of(error, traceback.format_exc())))

    def listen(self) -> list[tuple[Task, Event]]:
        said, self._said = self._said, []
        return said

    def stop(self) -> list[tuple[Task, Event]]:
        return []


@contextlib.contextmanager
def here(listener: Listener) -> Iterator[_Here]:
    """Yield this process as the place of tasks. A signal stops the one that is being done."""
    yield _Here(listener)


@contextlib.contextmanager
def pool(size: int) -> Iterator["_Pool"]:
    """Yield `size` processes, each of which is replaced if it dies. A signal is held back until they can be stopped."""
    with _Pool(size) as workers, signals.held_back() as workers.received:
        yield workers


class _Worker:
    """A worker process and what it is doing."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.last: Task | None = None
        self._rest = b""
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        # The package may be on the path of this process only.
        path = os.pathsep.join([str(Path(kdistill.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kdistill.experiments.workers.worker_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
            start_new_session=True,  # Ctrl-C is for the process that started it, which tells it to stop
        )

    def events(self) -> list[Event] | None:
        """Return what it has to say; None if it has ended."""
        chunk = os.read(self.process.stdout.fileno(), 1 << 16) if self.process.stdout else b""
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [from_json(line) for line in lines]

    def obituary(self) -> str:
        """Return how it ended, in words."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed (SIGKILL): often because memory ran out"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self._noise.seek(0)
        last = self._noise.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"its process ended {how}{': ' if last else ''}{''.join(last)}"

    def end(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._noise):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class _Pool:
    """Processes on this machine, hired one by one as there is something to do for them."""

    attempts = 2  # a worker that dies may have been unlucky once

    def __init__(self, size: int) -> None:
        self.size = size
        self.received = signals.Received()
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.end()
        self._selector.close()

    def has_room(self) -> bool:
        return self._idle() is not None or len(self._workers) < self.size

    def last(self) -> Task | None:
        idle = self._idle()
        return idle.last if idle else None

    def _idle(self) -> _Worker | None:
        return next((worker for worker in self._workers if worker.task is None), None)

    def begin(self, task: Task) -> None:
        worker = self._idle() or self._hire()
        worker.task = worker.last = task
        with contextlib.suppress(BrokenPipeError):  # it died in its sleep: noticed when it is listened to
            worker.process.stdin.write(json.dumps(task.to_json()).encode() + b"\n")  # type: ignore[union-attr]
            worker.process.stdin.flush()  # type: ignore[union-attr]

    def _hire(self) -> _Worker:
        worker = _Worker()
        self._workers.append(worker)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        return worker

    def listen(self) -> Iterator[tuple[Task, Event]]:
        for _, task, event in self._hear(0.5):
            yield task, event

    def _hear(self, seconds: float) -> Iterator[tuple[_Worker, Task, Event]]:
        """Yield what workers say of their tasks, waiting up to `seconds` for it."""
        for key, _ in self._selector.select(seconds):
            worker: _Worker = key.data
            events = worker.events()
            for event in self._bury(worker) if events is None else events:
                if task := worker.task:
                    if isinstance(event, Done | Failure | Lost):
                        worker.task = None
                    yield worker, task, event

    def _bury(self, worker: _Worker) -> list[Event]:
        """Take a dead worker out; return how it ended."""
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        self._workers.remove(worker)
        how = worker.obituary()
        worker.end()
        return [Lost(how)]

    def stop(self) -> Iterator[tuple[Task, Event]]:
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + PATIENCE
        # To the end of what they have to say, which would fill the pipes, and they would wait for ever.
        while self._workers and time.monotonic() < deadline:
            for worker, task, event in self._hear(0.1):
                yield task, event
                if worker.task is None:  # if something swallowed the first, it waits for a task
                    worker.process.terminate()
