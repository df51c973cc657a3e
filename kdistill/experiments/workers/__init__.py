"""Workers: this process, a pool of processes, or a Ray cluster. The results are the same with any of them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from kdistill.core import backend, members
from kdistill.core.listener import Listener
from kdistill.experiments.workers.perform import known
from kdistill.experiments.workers.scheduler import Executor, Scheduler
from kdistill.experiments.workers.tasks import WINNER, Failure, FollowUp, Outcomes, Task, TaskKey
from kdistill.recipes import checks
from kdistill.recipes.session import Session

__all__ = ["WINNER", "Failure", "Outcomes", "Scale", "Task", "TaskKey", "run"]


@dataclass(frozen=True)
class Scale:
    """How many workers make the runs, and where.

    Attributes:
        workers: how many processes; None for as many as the cores allow, at most one a seed and one a further member
            of its teacher; with `ray` for as many as the cluster has room for.
        engine: `local` or `ray`.
        address: of a Ray cluster; None starts Ray on this machine.
    """

    workers: int | None = None
    engine: str = "local"
    address: str | None = None


def run(
    session: Session,
    tasks: Sequence[Task],
    scale: Scale,
    follow_up: Callable[[Outcomes], Sequence[Task]] = lambda outcomes: (),
) -> tuple[Outcomes, int]:
    """Perform the tasks that are not done yet; return the outcomes of all tasks, and the number of workers used.

    `tasks` has each task after those that it needs. `follow_up` returns, from the outcomes of all of these, the tasks
    that the same workers perform next.

    Raises:
        KdistillError: a task failed for a reason that would fail the others too, such as missing data.
        Stopped: a signal asked to stop; the runs under way have a checkpoint.
    """
    outcomes, listener = Outcomes(), session.listener
    missing = _missing(tasks, outcomes, listener)

    def next_missing() -> Sequence[Task]:
        return _missing(follow_up(outcomes), outcomes, listener)

    if reused := sum(task.trains and task.key in outcomes.done for task in tasks):
        listener.note(f"{reused} of {sum(task.trains for task in tasks)} runs are complete: reused")
    then: FollowUp = next_missing
    if not missing:
        missing, then = list(next_missing()), tuple
    if not missing:
        return outcomes, 0
    checks.writable(session.experiment.folder)
    with _executor(session, missing, scale) as executor:
        Scheduler(executor, outcomes, listener).run(missing, then, executor.received)
    return outcomes, executor.size


def _missing(tasks: Sequence[Task], outcomes: Outcomes, listener: Listener) -> list[Task]:
    """Return the tasks that are not done yet; add the results of the others to `outcomes`.

    A task that comes after a missing one is missing too: what it was computed from may come out different.
    """
    missing = list[Task]()
    for task in tasks:
        document = known(task, listener)
        if document is None or not outcomes.done.keys() >= {*task.needs, *task.after}:
            missing.append(task)
        else:
            outcomes.done[task.key] = document
    return missing


def _executor(session: Session, tasks: Sequence[Task], scale: Scale) -> AbstractContextManager[Executor]:
    """Return the executor of tasks; one local worker is this process."""
    from kdistill.experiments.workers import local_pool, ray_driver

    if scale.engine == "ray":
        return ray_driver.on_ray(tasks, scale.workers, scale.address, session.listener)
    # The runs of a seed follow each other, but for the further members of its teacher.
    apart = {(task.folder, task.key.seed, members.number(task.key.arm)) for task in tasks}
    count = scale.workers or max(1, min(backend.cores() // session.threads, len(apart)))
    count = min(count, len(tasks))
    return local_pool.in_process(session.listener) if count == 1 else local_pool.pool(count)
