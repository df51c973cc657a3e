"""Which task is done next, and what follows from what comes of it, wherever the tasks are done."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from kdistill.core import signals
from kdistill.core.listener import Listener, Planned, RunFailed
from kdistill.experiments.workers.events import Done, Event, Lost, Stopped
from kdistill.experiments.workers.tasks import LOST, Failure, FollowUp, Outcomes, Task, TaskKey, count_runs
from kdistill.runs import Experiment


class Place(Protocol):
    """Where tasks are done: this process, a pool of processes, or a Ray cluster.

    Attributes:
        size: how many tasks at most are done at the same time.
        received: the signal that asks to stop, once there is one.
        attempts: how often a task is begun whose process is lost.
    """

    size: int
    received: signals.Received
    attempts: int

    def has_room(self) -> bool:
        """Whether one more task can be begun."""

    def last(self) -> Task | None:
        """Return what was done before where the next task would be done, if that is known."""

    def begin(self, task: Task) -> None:
        """Begin a task."""

    def listen(self) -> Iterable[tuple[Task, Event]]:
        """Yield what the tasks have to say, waiting a moment for it."""

    def stop(self) -> Iterable[tuple[Task, Event]]:
        """Ask all tasks to stop with a checkpoint; yield what they have to say until they have, or time is up."""


class Scheduler:
    """Does tasks in one place, each after those that it needs; one whose process is lost is done again.

    Args:
        place: where they are done.
        outcomes: takes in what comes of them; has what they need that was done before.
        listener: hears how it goes.
    """

    def __init__(self, place: Place, outcomes: Outcomes, listener: Listener) -> None:
        self._place, self._outcomes, self._listener = place, outcomes, listener
        self._waiting: list[Task] = []
        self._running: dict[TaskKey, Task] = {}
        self._total = 0  # runs
        self._attempts: dict[TaskKey, int] = {}
        self._stopped: set[TaskKey] = set()

    def run(self, tasks: Sequence[Task], follow_up: FollowUp, received: signals.Received) -> None:
        """Do tasks, and then those that follow from them.

        Raises:
            KdistillError: a task failed for a reason that would fail the others too; these are stopped.
            Stopped: a signal was received; it says what was stopped.
        """
        try:
            for stage in (lambda: tasks, follow_up):
                self._add(stage())
                while self._is_busy():
                    self._begin()
                    for task, event in self._place.listen():
                        self._take(task, event)
                    if received.signum is not None:
                        raise signals.Stopped(received.signum, self._stop())
        except Exception:
            self._stop()
            raise

    def _add(self, tasks: Sequence[Task]) -> None:
        self._waiting += tasks
        self._total += count_runs(tasks)

    def _is_busy(self) -> bool:
        """Whether anything is left to do or being done; tell how much."""
        self._outcomes.give_up(self._waiting)
        left = count_runs([*self._waiting, *self._running.values()])
        self._listener.hear(Planned(self._total - left, self._total))
        return bool(self._waiting or self._running)

    def _begin(self) -> None:
        """Begin the tasks that are ready, as far as there is room."""
        while self._place.has_room() and (task := self._outcomes.ready(self._waiting, self._place.last())):
            self._waiting.remove(task)
            self._running[task.key] = task
            self._attempts[task.key] = self._attempts.get(task.key, 0) + 1
            self._stopped.discard(task.key)
            self._place.begin(task)

    def _take(self, task: Task, event: Event) -> None:
        if isinstance(event, Done | Failure | Lost):
            del self._running[task.key]
        match event:
            case Done(result):
                self._outcomes.done[task.key] = result
            case Failure():
                self._fail(task, event)
            case Lost(how):
                self._do_again(task, how)
            case Stopped():
                self._stopped.add(task.key)
            case _:
                self._listener.hear(event, task.name)

    def _do_again(self, task: Task, how: str) -> None:
        attempts = self._place.attempts
        if self._attempts[task.key] < attempts:
            self._listener.warning(f"{task.name}: {how}; it is done again")
            self._waiting.insert(0, task)
        else:
            times = "twice" if attempts == 2 else f"{attempts} times"
            self._fail(task, Failure(f"{how}, {times}", exit_code=LOST))

    def _fail(self, task: Task, failure: Failure) -> None:
        self._listener.hear(RunFailed(failure.message), task.name)
        self._outcomes.fail(task, failure)

    def _stop(self) -> str:
        """Let all tasks stop with a checkpoint, and tell of failures on the way.

        Returns:
            Which runs go on from a checkpoint, and which start again, in words that are true of what is on disk; empty
            where none was under way.
        """
        for task, event in self._place.stop():
            if isinstance(event, Failure):
                self._listener.hear(RunFailed(event.message), task.name)
            if isinstance(event, Done | Failure):
                del self._running[task.key]
            elif not isinstance(event, Lost):  # which it was asked to be
                self._take(task, event)
        under_way = [task for task in self._running.values() if task.trains]
        # What ended without a checkpoint may have one from before.
        kept = {key.name for key in self._stopped} | {task.name for task in under_way if _has_checkpoint(task)}
        lost = {task.name for task in under_way} - kept
        parts = {", with a checkpoint each": kept, " before the first checkpoint": lost}
        return "; ".join(f"stopped{how}: {', '.join(sorted(names))}" for how, names in parts.items() if names)


def _has_checkpoint(task: Task) -> bool:
    run = Experiment(Path(task.folder)).run(task.key.arm, task.key.seed)
    return run.checkpoints.exist() or run.next.checkpoints.exist()
