"""Workers of Ray, on many machines or on this one: Ray core tasks, one for each run.

Ray places the tasks and tells of workers and nodes that die. What a run has come to is in its folder alone, which all
nodes share, so that a task can be done again anywhere and goes on from the last checkpoint.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdistill.core import signals
from kdistill.core.listener import Caution, Listener, Note, RunStarted
from kdistill.experiments.workers import ray_connection, ray_task
from kdistill.experiments.workers.events import Done, Event, Lost, Stopped
from kdistill.experiments.workers.ray_connection import Needs
from kdistill.experiments.workers.tasks import Failure, Task

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0  # seconds that tasks get to stop with a checkpoint


@contextlib.contextmanager
def on_ray(tasks: Sequence[Task], workers: int | None, address: str | None, listener: Listener) -> Iterator["_Cluster"]:
    """Yield a Ray cluster as the place of tasks.

    Args:
        tasks: what it needs room for: what is done later is of the same kind.
        workers: how many tasks at a time; None for all that there is room for.
        address: of the cluster, `auto` for the one this machine belongs to; None starts Ray on this machine alone.
        listener: hears how it goes.

    Raises:
        ConfigError: Ray is not installed, does not answer, or has no room for one task.
        OutputError: a node does not see the experiment's folder.
    """
    tasks = list(map(_anywhere, tasks))
    options = tasks[0].options
    with ray_connection.to_ray(options.threads or 1, options.device, workers, address, listener) as ray:
        room = min(min(Needs.of(ray, task).room(ray) for task in tasks), workers or len(tasks), len(tasks))
        with signals.held_back() as received, ray_connection.shared_token(tasks) as token:
            ray_connection.check_nodes(ray, token)
            with contextlib.closing(_Cluster(ray, room, token, received)) as cluster:
                yield cluster


def _anywhere(task: Task) -> Task:
    """Return a task that means the same in whatever folder and on whatever node it is done.

    It waits for a run that another is at work on: where a node was cut off and its task given to another, it may be.
    """
    teacher = os.path.abspath(task.teacher_folder) if task.teacher_folder else None
    folder, cache = os.path.abspath(task.folder), os.path.abspath(task.cache)
    options = replace(task.options, wait=True)
    return replace(task, folder=folder, cache=cache, teacher_folder=teacher, options=options)


class _Cluster:
    """The processes of a Ray cluster: each task is done where Ray finds room for it."""

    attempts = 4  # as many as Ray makes of its own accord; here each is told, and counted for whatever reason it ended

    def __init__(self, ray: Any, room: int, token: "Path", received: signals.Received) -> None:
        self._ray, self.size, self._token, self.received = ray, room, str(token), received
        self._running: dict[Any, Task] = {}
        self._known: dict[str, Task] = {}
        self._begun: set[str] = set()
        self._mailbox = ray_connection.mailbox(ray)
        # A process that has had a GPU keeps it: it cannot do a second task, which Ray may give another one.
        self._do = {
            gpu: ray.remote(max_retries=0, max_calls=1 if gpu else 0)(ray_task.do_task) for gpu in (False, True)
        }

    def has_room(self) -> bool:
        return len(self._running) < self.size

    def last(self) -> None:
        return None  # Ray says where a task is done when it has begun

    def begin(self, task: Task) -> None:
        need = Needs.of(self._ray, task)
        self._known[task.name] = task
        submitted = self._do[need.gpus > 0].options(**need.options(task.name))
        self._running[submitted.remote(_anywhere(task).to_json(), self._token, self._mailbox)] = task

    def listen(self) -> Iterator[tuple[Task, Event]]:
        finished, _ = self._ray.wait(list(self._running), num_returns=1, timeout=0.5)
        yield from self._hear()
        for reference in finished:
            yield self._running.pop(reference), self._end_of(reference)

    def stop(self) -> Iterator[tuple[Task, Event]]:
        for reference in self._running:
            self._ray.cancel(reference, force=False, recursive=False)
        deadline = time.monotonic() + PATIENCE
        left = list(self._running)
        while left and time.monotonic() < deadline:
            _, left = self._ray.wait(left, num_returns=len(left), timeout=0.5)
            yield from self._hear()
        # Those that did not stop in time, or had not begun to train, end with the connection.
        for reference, task in self._running.items():
            if reference not in left:
                with contextlib.suppress(
                    self._ray.exceptions.RayError
                ):  # it was stopped, rather than coming to its end
                    yield task, self._ray.get(reference)

    def close(self) -> None:
        """Let nothing go on that is still running."""
        for reference in self._running:
            self._ray.cancel(reference, force=True, recursive=False)

    def _hear(self) -> Iterator[tuple[Task, Event]]:
        try:
            events = self._ray.get(self._mailbox.take.remote(), timeout=10)
        except self._ray.exceptions.RayError:
            return  # only what is shown on the way comes through it
        running = {task.name for task in self._running.values()}
        for name, event in events:
            if isinstance(event, RunStarted):
                self._begun.add(name)
            # What a dead worker said may come late, when nothing more of it is expected.
            if isinstance(event, Note | Caution | Stopped) or name in running & self._begun:
                yield self._known[name], event

    def _end_of(self, reference: Any) -> Event:
        """Return how a task that is over has ended."""
        errors = self._ray.exceptions
        deaths = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.TaskCancelledError)
        try:
            answer: Done | Failure = self._ray.get(reference)
        except deaths as error:
            return Lost(_how(error))
        except errors.RayError as error:
            return Failure(f"Ray cannot do it: {ray_connection.first_line(error)}")
        return answer


def _how(error: Exception) -> str:
    """Return in words how a task was lost."""
    return {
        "NodeDiedError": "its node died",
        "OutOfMemoryError": "Ray ended its process, since the memory of its node ran out",
        "WorkerCrashedError": "its process died: often because memory ran out",
    }.get(type(error).__name__, "it was cancelled from elsewhere")
