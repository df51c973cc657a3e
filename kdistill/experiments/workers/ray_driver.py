"""The executor of a Ray cluster, on many machines or on this one: a Ray core task for each run.

Ray places the tasks and reports workers and nodes that die. The state of a run is in its folder alone, which all nodes
share, so that a task can be repeated on any node and is resumed from the last checkpoint.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdistill.core import signals
from kdistill.core.listener import Caution, Listener, Note, RunStarted
from kdistill.experiments.workers import ray_connection, ray_task
from kdistill.experiments.workers.events import Done, Event, Interrupted, Lost
from kdistill.experiments.workers.ray_connection import Needs
from kdistill.experiments.workers.tasks import Failure, Task

STOP_TIMEOUT = 60.0  # seconds for all tasks to stop with a checkpoint
LOST = {
    "NodeDiedError": "its node died",
    "OutOfMemoryError": "Ray ended its process, since the memory of its node ran out",
    "WorkerCrashedError": "its process died: often because memory ran out",
    "TaskCancelledError": "it was cancelled from elsewhere",
}


@contextlib.contextmanager
def on_ray(tasks: Sequence[Task], workers: int | None, address: str | None, listener: Listener) -> Iterator["_Cluster"]:
    """Yield a Ray cluster as the executor.

    Args:
        tasks: the tasks that it needs room for; later ones are of the same kind.
        workers: how many tasks at a time; None for all that there is room for.
        address: of the cluster, `auto` for the one this machine belongs to; None starts Ray on this machine alone.
        listener: receives a note that Ray is started.

    Raises:
        ConfigError: Ray is not installed, does not answer, or has no room for one task.
        OutputError: a node does not see the experiment's folder.
    """
    tasks = list(map(_anywhere, tasks))
    options = tasks[0].options
    with ray_connection.connect(options.threads or 1, options.device, workers, address, listener) as ray:
        room = min(min(Needs.of(ray, task).room(ray) for task in tasks), workers or len(tasks), len(tasks))
        with signals.deferred() as received, ray_connection.shared_token(tasks) as token:
            ray_connection.check_nodes(ray, token)
            with contextlib.closing(_Cluster(ray, room, token, received)) as cluster:
                yield cluster


def _anywhere(task: Task) -> Task:
    """Return a task with absolute paths, for any folder and node.

    It waits for another process that holds the lock of its run: a node that was cut off may still be training it.
    """
    teacher = os.path.abspath(task.teacher_folder) if task.teacher_folder else None
    folder, cache = os.path.abspath(task.folder), os.path.abspath(task.cache)
    options = replace(task.options, wait=True)
    return replace(task, folder=folder, cache=cache, teacher_folder=teacher, options=options)


class _Cluster:
    """The executor: Ray chooses a node with room for each task."""

    max_attempts = 4  # as by Ray's own default; Ray's retries are off, so that each is reported

    def __init__(self, ray: Any, room: int, token: Path, received: signals.Received) -> None:
        self._ray, self.size, self._token, self.received = ray, room, str(token), received
        self._running: dict[Any, Task] = {}
        self._known: dict[str, Task] = {}
        self._begun: set[str] = set()
        self._mailbox = ray_connection.mailbox(ray)
        # A process that has used a GPU keeps its memory, so it performs no second task: Ray may give that another GPU.
        self._do = {
            gpu: ray.remote(max_retries=0, max_calls=1 if gpu else 0)(ray_task.do_task) for gpu in (False, True)
        }

    def has_room(self) -> bool:
        return len(self._running) < self.size

    def last_task(self) -> None:
        return None  # Ray chooses the process

    def submit(self, task: Task) -> None:
        need = Needs.of(self._ray, task)
        self._known[task.name] = task
        submitted = self._do[need.gpus > 0].options(**need.options(task.name))
        self._running[submitted.remote(_anywhere(task).to_json(), self._token, self._mailbox)] = task

    def events(self) -> Iterator[tuple[Task, Event]]:
        finished, _ = self._ray.wait(list(self._running), num_returns=1, timeout=0.5)
        yield from self._take_mail()
        for reference in finished:
            yield self._running.pop(reference), self._end_of(reference)

    def stop(self) -> Iterator[tuple[Task, Event]]:
        for reference in self._running:
            self._ray.cancel(reference, force=False, recursive=False)
        deadline = time.monotonic() + STOP_TIMEOUT
        left = list(self._running)
        while left and time.monotonic() < deadline:
            _, left = self._ray.wait(left, num_returns=len(left), timeout=0.5)
            yield from self._take_mail()
        # Tasks that did not stop in time, or had not begun to train, end with the connection.
        for reference, task in self._running.items():
            if reference not in left:
                with contextlib.suppress(self._ray.exceptions.RayError):  # it was stopped before its end
                    yield task, self._ray.get(reference)

    def close(self) -> None:
        """Kill all tasks that are still running."""
        for reference in self._running:
            self._ray.cancel(reference, force=True, recursive=False)

    def _take_mail(self) -> Iterator[tuple[Task, Event]]:
        try:
            events = self._ray.get(self._mailbox.take.remote(), timeout=10)
        except self._ray.exceptions.RayError:
            return  # the mailbox has progress only, no results
        running = {task.name for task in self._running.values()}
        for name, event in events:
            if isinstance(event, RunStarted):
                self._begun.add(name)
            # Events of a lost process may come after its end.
            if isinstance(event, Note | Caution | Interrupted) or name in running & self._begun:
                yield self._known[name], event

    def _end_of(self, reference: Any) -> Event:
        """Return the last event of a task that has ended."""
        errors = self._ray.exceptions
        try:
            answer: Done | Failure = self._ray.get(reference)
        except tuple(getattr(errors, name) for name in LOST) as error:
            return Lost(LOST.get(type(error).__name__, LOST["TaskCancelledError"]))
        except errors.RayError as error:
            return Failure(f"Ray cannot do it: {ray_connection.first_line(error)}")
        return answer
