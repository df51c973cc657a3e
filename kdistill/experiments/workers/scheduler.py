"""Decides which task is performed next, and what follows from its outcome, with any executor."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from kdistill.core import signals
from kdistill.core.listener import Listener, Planned, RunFailed
from kdistill.experiments.workers.events import Done, Event, Interrupted, Lost
from kdistill.experiments.workers.tasks import LOST, Failure, FollowUp, Outcomes, Task, TaskKey, count_runs
from kdistill.runs import Experiment


class Executor(Protocol):
    """Performs tasks: this process, a pool of processes, or a Ray cluster.

    Attributes:
        size: how many tasks are performed at the same time, at most.
        received: the signal that asks to stop, once there is one.
        max_attempts: how many times a task is started, at most, if its process is lost.
    """

    size: int
    received: signals.Received
    max_attempts: int

    def has_room(self) -> bool:
        """Whether one more task can be started."""

    def last_task(self) -> Task | None:
        """Return the last task of the worker that gets the next one, if that is known."""

    def submit(self, task: Task) -> None:
        """Start a task."""

    def events(self) -> Iterable[tuple[Task, Event]]:
        """Yield new events of the tasks, waiting a moment for the first."""

    def stop(self) -> Iterable[tuple[Task, Event]]:
        """Ask all tasks to stop with a checkpoint; yield their events until they have, or time is up."""


class Scheduler:
    """Performs tasks with one executor, each after those that it needs; a task whose process is lost is repeated.

    `outcomes` has the results of earlier tasks, and receives those of these; `listener` receives the runs' events.
    """

    def __init__(self, executor: Executor, outcomes: Outcomes, listener: Listener) -> None:
        self._executor, self._outcomes, self._listener = executor, outcomes, listener
        self._waiting: list[Task] = []
        self._running: dict[TaskKey, Task] = {}
        self._total = 0  # runs
        self._attempts: dict[TaskKey, int] = {}
        self._stopped: set[TaskKey] = set()

    def run(self, tasks: Sequence[Task], follow_up: FollowUp, received: signals.Received) -> None:
        """Perform tasks, and then those of `follow_up`.

        Raises:
            KdistillError: a task failed for a reason that would fail the others too; these are stopped.
            Stopped: a signal was received; it says what was stopped.
        """
        try:
            for stage in (lambda: tasks, follow_up):
                added = stage()
                self._waiting += added
                self._total += count_runs(added)
                while self._update_plan():
                    self._submit()
                    for task, event in self._executor.events():
                        self._handle(task, event)
                    if received.signum is not None:
                        raise signals.Stopped(received.signum, self._stop())
        except Exception:
            self._stop()
            raise

    def _update_plan(self) -> bool:
        """Drop tasks that need a failed one, report how many runs are done, and return whether any task is left."""
        self._outcomes.drop_blocked(self._waiting)
        left = count_runs([*self._waiting, *self._running.values()])
        self._listener.handle(Planned(self._total - left, self._total))
        return bool(self._waiting or self._running)

    def _submit(self) -> None:
        """Start the tasks whose needs are done, as far as there is room."""
        executor = self._executor
        while executor.has_room() and (task := self._outcomes.ready(self._waiting, executor.last_task())):
            self._waiting.remove(task)
            self._running[task.key] = task
            self._attempts[task.key] = self._attempts.get(task.key, 0) + 1
            self._stopped.discard(task.key)
            executor.submit(task)

    def _handle(self, task: Task, event: Event) -> None:
        if isinstance(event, Done | Failure | Lost):
            del self._running[task.key]
        match event:
            case Done(result):
                self._outcomes.done[task.key] = result
            case Failure():
                self._fail(task, event)
            case Lost(how):
                self._repeat(task, how)
            case Interrupted():
                self._stopped.add(task.key)
            case _:
                self._listener.handle(event, task.name)

    def _repeat(self, task: Task, how: str) -> None:
        attempts = self._executor.max_attempts
        if self._attempts[task.key] < attempts:
            self._listener.warning(f"{task.name}: {how}; the task is repeated")
            self._waiting.insert(0, task)
        else:
            times = "twice" if attempts == 2 else f"{attempts} times"
            self._fail(task, Failure(f"{how}, {times}", exit_code=LOST))

    def _fail(self, task: Task, failure: Failure) -> None:
        self._listener.handle(RunFailed(failure.message), task.name)
        self._outcomes.fail(task, failure)

    def _stop(self) -> str:
        """Stop all tasks with a checkpoint, and report failures meanwhile.

        Returns:
            A sentence on which runs can resume from a checkpoint on disk, and which start again; empty without runs.
        """
        for task, event in self._executor.stop():
            if isinstance(event, Failure):
                self._listener.handle(RunFailed(event.message), task.name)
            if isinstance(event, Done | Failure):
                del self._running[task.key]
            elif not isinstance(event, Lost):  # a lost process is no failure here: it was asked to end
                self._handle(task, event)
        under_way = [task for task in self._running.values() if task.trains]
        # A run that was stopped without a checkpoint may have an earlier one.
        kept = {key.name for key in self._stopped} | {task.name for task in under_way if _has_checkpoint(task)}
        lost = {task.name for task in under_way} - kept
        parts = {", with a checkpoint each": kept, " before the first checkpoint": lost}
        return "; ".join(f"stopped{how}: {', '.join(sorted(names))}" for how, names in parts.items() if names)


def _has_checkpoint(task: Task) -> bool:
    run = Experiment(Path(task.folder)).run(task.key.arm, task.key.seed)
    return run.checkpoints.exist() or run.next.checkpoints.exist()
