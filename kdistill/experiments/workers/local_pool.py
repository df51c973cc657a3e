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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kdistill
from kdistill.core import signals
from kdistill.core.listener import Listener
from kdistill.experiments.workers import stopping
from kdistill.experiments.workers.tasks import LOST, Failure, FollowUp, Outcomes, Task, count_runs
from kdistill.experiments.workers.worker_process import pass_on

ATTEMPTS = 2  # a worker that dies may have been unlucky once
PATIENCE = 60.0  # seconds that workers get to stop with a checkpoint


def run_here(tasks: Sequence[Task], outcomes: Outcomes, listener: Listener, follow_up: FollowUp = tuple) -> None:
    """Do tasks in this process, one after another; see `workers.run`."""
    total = 0
    for stage in (lambda: tasks, follow_up):
        waiting = list(stage())
        total += count_runs(waiting)
        while waiting:
            outcomes.give_up(waiting)
            if waiting:
                listener.planned(total - count_runs(waiting), total)
                _do_here(waiting.pop(0), outcomes, listener)


def _do_here(task: Task, outcomes: Outcomes, listener: Listener) -> None:
    from kdistill.experiments.workers.perform import perform

    try:
        outcomes.done[task.name] = perform(task, listener.of(task.name))
    except Exception as error:
        failure = Failure.of(error, traceback.format_exc())
        listener.run_failed(task.name, failure.message)
        outcomes.fail(task, failure)


def run_in_pool(
    tasks: Sequence[Task], outcomes: Outcomes, workers: int, listener: Listener, follow_up: FollowUp = tuple
) -> None:
    """Do tasks in `workers` processes; a process that dies is replaced, and its task done again once.

    See `workers.run`.
    """
    with _Pool(outcomes, workers, listener) as pool, signals.held_back() as received:
        for stage in (lambda: tasks, follow_up):
            pool.add(stage())
            while pool.busy():
                pool.assign()
                pool.listen()
                if received.signum is not None:
                    raise signals.Stopped(received.signum, pool.stop())


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

    def give(self, task: Task) -> None:
        """Let it do a task."""
        self.task = self.last = task
        if self.process.stdin:
            self.process.stdin.write(json.dumps(task.to_json()).encode() + b"\n")
            self.process.stdin.flush()

    def events(self) -> list[dict[str, Any]] | None:
        """Return what it has to say; None if it has ended."""
        chunk = os.read(self.process.stdout.fileno(), 1 << 16) if self.process.stdout else b""
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

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
    def __init__(self, outcomes: Outcomes, size: int, listener: Listener) -> None:
        self.outcomes = outcomes
        self._waiting: list[Task] = []
        self._total = 0
        self._attempts: dict[str, int] = {}
        self._listener = listener
        self._told: set[str] = set()
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._size = size

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(error[1], signals.Stopped) and not error[1].failure:  # a second signal: nobody waits
            for worker in self._workers:
                worker.process.kill()
        self.stop()
        self._selector.close()

    def add(self, tasks: Sequence[Task]) -> None:
        """Take on further tasks."""
        self._waiting += tasks
        self._total += count_runs(tasks)
        self._tell_how_many()

    def busy(self) -> bool:
        """Whether anything is left to do or being done."""
        self.outcomes.give_up(self._waiting)
        return bool(self._waiting) or self._busy_workers() > 0

    def _busy_workers(self) -> int:
        return sum(worker.task is not None for worker in self._workers)

    def assign(self) -> None:
        """Give every worker that has nothing to do a task that is ready, with a new worker if there is room."""
        while (worker := self._idle()) and (task := self.outcomes.ready(self._waiting, worker.last)):
            self._waiting.remove(task)
            self._attempts[task.name] = self._attempts.get(task.name, 0) + 1
            with contextlib.suppress(BrokenPipeError):  # it died in its sleep: noticed when it is listened to
                worker.give(task)

    def listen(self, seconds: float = 0.5) -> None:
        """Take in what the workers have to say, waiting for it up to `seconds`."""
        for key, _ in self._selector.select(seconds):
            worker: _Worker = key.data
            events = worker.events()
            if events is None:
                self._bury(worker)
            for event in events or []:
                self._take(worker, event)

    def stop(self) -> str:
        """Let all workers stop with a checkpoint; return in words what was stopped."""
        stopped, ended = set[str](), set[str]()
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + PATIENCE
        # To the end of what they have to say, which would fill the pipes, and they would wait for ever.
        while self._selector.get_map() and time.monotonic() < deadline:
            for key, _ in self._selector.select(0.1):
                events = key.data.events()
                if events is None:
                    self._selector.unregister(key.fileobj)
                elif key.data.task:
                    kinds = {event["event"] for event in events}
                    stopped |= {key.data.task.name} if "stopped" in kinds else set()
                    if kinds & {"done", "failed"}:
                        ended.add(key.data.task.name)
                        self._told_at_the_end(key.data.task, events)
                        key.data.process.terminate()  # if something swallowed the first, it waits for a task
        for worker in self._workers:
            worker.end()
        under_way = [worker.task for worker in self._workers if worker.task and worker.task.name not in ended]
        self._workers = []
        return stopping.in_words(stopped, under_way)

    def _told_at_the_end(self, task: Task, events: Sequence[dict[str, Any]]) -> None:
        for event in events:
            if event["event"] == "failed":
                self._listener.run_failed(task.name, Failure(**event["failure"]).message)

    def _idle(self) -> _Worker | None:
        """Return a worker that has nothing to do, a new one if there is room and something to do for it."""
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None and len(self._workers) < self._size and self.outcomes.ready(self._waiting):
            worker = self._hire()
        return worker

    def _hire(self) -> _Worker:
        worker = _Worker()
        self._workers.append(worker)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        return worker

    def _bury(self, worker: _Worker) -> None:
        """Take a dead worker out; do its task again, unless it has died of it before."""
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        self._workers.remove(worker)
        how, task = worker.obituary(), worker.task
        worker.end()
        if task is None:
            return
        if self._attempts[task.name] < ATTEMPTS:
            self._listener.warning(f"{task.name}: {how}; it is done again")
            self._waiting.insert(0, task)
        else:
            self._fail(task, Failure(f"{how}, twice", exit_code=LOST))

    def _take(self, worker: _Worker, event: dict[str, Any]) -> None:
        kind, task = event["event"], worker.task
        if task is None:
            return
        if kind == "done":
            self.outcomes.done[task.name] = event["result"]
            worker.task = None
            self._tell_how_many()
        elif kind == "failed":
            worker.task = None
            self._fail(task, Failure(**event["failure"]))
        else:
            pass_on(event, task.name, self._listener, self._told)

    def _tell_how_many(self) -> None:
        left = [*self._waiting, *(worker.task for worker in self._workers if worker.task)]
        self._listener.planned(self._total - count_runs(left), self._total)

    def _fail(self, task: Task, failure: Failure) -> None:
        self._listener.run_failed(task.name, failure.message)
        self.outcomes.fail(task, failure)
