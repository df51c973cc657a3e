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
from kdistill.core.listener import Listener
from kdistill.experiments.workers import ray_connection, ray_task, stopping
from kdistill.experiments.workers.ray_connection import Needs
from kdistill.experiments.workers.tasks import LOST, Failure, FollowUp, Outcomes, Task, count_runs
from kdistill.experiments.workers.worker_process import pass_on

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS = 4  # as many as Ray makes of its own accord; here each is told, and counted for whatever reason it ended
PATIENCE = 60.0  # seconds that tasks get to stop with a checkpoint


def run_on_ray(
    tasks: Sequence[Task],
    outcomes: Outcomes,
    workers: int | None,
    address: str | None,
    listener: Listener,
    follow_up: FollowUp = tuple,
) -> int:
    """Do tasks on a Ray cluster; return how many at most were done at the same time. See `workers.run`.

    Args:
        tasks: see `workers.run`.
        outcomes: likewise.
        workers: how many tasks at a time; None for all that there is room for.
        address: of the cluster, `auto` for the one this machine belongs to; None starts Ray on this machine alone.
        listener: hears how it goes.
        follow_up: see `workers.run`.

    Raises:
        ConfigError: Ray is not installed, does not answer, or has no room for one task.
        OutputError: a node does not see the experiment's folder.
        KdistillError: a task failed for a reason that would fail the others too.
        Stopped: a signal asked to stop.
    """
    tasks = [_anywhere(task) for task in tasks]
    with ray_connection.to_ray(tasks[0].threads, tasks[0].device, workers, address, listener) as ray:
        room = min(min(Needs.of(ray, task).room(ray) for task in tasks), workers or len(tasks), len(tasks))
        with signals.held_back() as received, ray_connection.shared_token(tasks) as token:
            ray_connection.check_nodes(ray, token)
            with _driving(ray, outcomes, room, token, listener) as driver:
                for stage in (lambda: tasks, follow_up):
                    driver.add([_anywhere(task) for task in stage()])
                    while driver.busy():
                        driver.submit()
                        driver.listen()
                        if received.signum is not None:
                            raise signals.Stopped(received.signum, driver.stop())
    return room


def _anywhere(task: Task) -> Task:
    """Return a task that means the same in whatever folder and on whatever node it is done.

    It waits for a run that another is at work on: where a node was cut off and its task given to another, it may be.
    """
    teacher_file = os.path.abspath(task.teacher_file) if task.teacher_file else None
    given = tuple(map(os.path.abspath, task.given))
    folder, cache = os.path.abspath(task.folder), os.path.abspath(task.cache)
    return replace(task, folder=folder, cache=cache, teacher_file=teacher_file, given=given, wait=True)


@contextlib.contextmanager
def _driving(ray: Any, *arguments: Any) -> Iterator["_Driver"]:
    """Yield a driver; whatever happens, nothing is left running on the cluster."""
    driver = _Driver(ray, *arguments)
    try:
        yield driver
    finally:
        driver.end()


class _Driver:
    def __init__(self, ray: Any, outcomes: Outcomes, room: int, token: "Path", listener: Listener) -> None:
        self._ray, self._outcomes, self._room, self._token, self._listener = ray, outcomes, room, str(token), listener
        self._waiting: list[Task] = []
        self._total = 0
        self._running: dict[Any, Task] = {}
        self._attempts: dict[str, int] = {}
        self._begun: set[str] = set()
        self._stopped: set[str] = set()
        self._told: set[str] = set()
        self._mailbox = ray_connection.mailbox(ray)
        # A process that has had a GPU keeps it: it cannot do a second task, which Ray may give another one.
        self._do = {
            gpu: ray.remote(max_retries=0, max_calls=1 if gpu else 0)(ray_task.do_task) for gpu in (False, True)
        }

    def add(self, tasks: Sequence[Task]) -> None:
        """Take on further tasks."""
        self._waiting += tasks
        self._total += count_runs(tasks)
        self._tell_how_many()

    def busy(self) -> bool:
        """Whether anything is left to do or being done."""
        self._outcomes.give_up(self._waiting)
        return bool(self._waiting or self._running)

    def submit(self) -> None:
        """Submit the tasks that are ready, as far as there is room."""
        while len(self._running) < self._room and (task := self._outcomes.ready(self._waiting)):
            need = Needs.of(self._ray, task)
            self._waiting.remove(task)
            self._attempts[task.name] = self._attempts.get(task.name, 0) + 1
            submitted = self._do[need.gpus > 0].options(**need.options(task.name))
            self._running[submitted.remote(task.to_json(), self._token, self._mailbox)] = task

    def listen(self, seconds: float = 0.5) -> None:
        """Take in what the tasks have to say and what came of them, waiting for it up to `seconds`."""
        finished, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        self._hear()
        for reference in finished:
            self._take(reference, self._running.pop(reference))

    def stop(self) -> str:
        """Let all tasks stop with a checkpoint; return in words what was stopped."""
        for reference in self._running:
            self._ray.cancel(reference, force=False, recursive=False)
        deadline = time.monotonic() + PATIENCE
        left = list(self._running)
        while left and time.monotonic() < deadline:
            _, left = self._ray.wait(left, num_returns=len(left), timeout=0.5)
            self._hear()
        # Those that did not stop in time, or had not begun to train, end with the connection.
        ended = [ref for ref, task in self._running.items() if ref not in left and self._has_ended(ref, task)]
        under_way = [task for reference, task in self._running.items() if reference not in ended]
        return stopping.in_words(self._stopped, under_way)

    def _has_ended(self, reference: Any, task: Task) -> bool:
        """Whether a task that is over came to its end, rather than being stopped; if it failed, that is told."""
        try:
            document = self._ray.get(reference)
        except self._ray.exceptions.RayError:
            return False
        if "failure" in document:
            self._listener.run_failed(task.name, Failure(**document["failure"]).message)
        return True

    def end(self) -> None:
        """Let nothing go on that is still running."""
        for reference in self._running:
            self._ray.cancel(reference, force=True, recursive=False)

    def _hear(self) -> None:
        try:
            events = self._ray.get(self._mailbox.take.remote(), timeout=10)
        except self._ray.exceptions.RayError:
            return  # only what is shown on the way comes through it
        running = {task.name for task in self._running.values()}
        for name, event in events:
            kind = event["event"]
            if kind == "stopped":
                self._stopped.add(name)
            elif kind == "run_started":
                self._begun.add(name)
            # What a dead worker said may come late, when nothing more of it is expected.
            if kind in ("note", "warning") or (kind != "stopped" and name in running & self._begun):
                pass_on(event, name, self._listener, self._told)

    def _take(self, reference: Any, task: Task) -> None:
        errors = self._ray.exceptions
        deaths = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.TaskCancelledError)
        try:
            answer = self._ray.get(reference)
        except deaths as error:
            self._do_again(task, _how(error))
        except errors.RayError as error:
            self._fail(task, Failure(f"Ray cannot do it: {ray_connection.first_line(error)}"))
        else:
            if "failure" in answer:
                self._fail(task, Failure(**answer["failure"]))
                return
            self._outcomes.done[task.name] = answer["result"]
            self._tell_how_many()

    def _tell_how_many(self) -> None:
        self._listener.planned(self._total - count_runs([*self._waiting, *self._running.values()]), self._total)

    def _do_again(self, task: Task, how: str) -> None:
        if self._attempts[task.name] < ATTEMPTS:
            self._listener.warning(f"{task.name}: {how}; it is done again")
            self._waiting.insert(0, task)
        else:
            self._fail(task, Failure(f"{how}, {ATTEMPTS} times", exit_code=LOST))

    def _fail(self, task: Task, failure: Failure) -> None:
        self._listener.run_failed(task.name, failure.message)
        self._outcomes.fail(task, failure)


def _how(error: Exception) -> str:
    """Return in words how a task was lost."""
    return {
        "NodeDiedError": "its node died",
        "OutOfMemoryError": "Ray ended its process, since the memory of its node ran out",
        "WorkerCrashedError": "its process died: often because memory ran out",
    }.get(type(error).__name__, "it was cancelled from elsewhere")
