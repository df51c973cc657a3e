"""Who does the work: this process, a pool of processes, or a Ray cluster. Whoever it is, the results are the same."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from kdistill.core import backend
from kdistill.core.listener import Listener
from kdistill.experiments.workers.perform import known
from kdistill.experiments.workers.scheduler import Place, Scheduler
from kdistill.experiments.workers.tasks import WINNER, Failure, FollowUp, Outcomes, Task, TaskKey
from kdistill.recipes import checks
from kdistill.recipes.session import Session

__all__ = ["WINNER", "Failure", "Outcomes", "Scale", "Task", "TaskKey", "run"]


@dataclass(frozen=True)
class Scale:
    """Who makes the runs.

    Attributes:
        workers: how many processes; None for as many as there are cores, and no more than there are seeds, or with
            `ray` for all that the cluster has room for.
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
    """Do those tasks that are not done yet; return what came of all of them, and how many at most were done at a time.

    Args:
        session: tells of the listener and the threads.
        tasks: each after those that it needs.
        scale: who does them.
        follow_up: from what came of the tasks, those that the same workers do next.

    Raises:
        KdistillError: one failed for a reason that would fail the others too, such as data that are not there.
        Stopped: a signal asked to stop; what was being done has a checkpoint.
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
    with _place(session, missing, scale) as place:
        Scheduler(place, outcomes, listener).run(missing, then, place.received)
    return outcomes, place.size


def _missing(tasks: Sequence[Task], outcomes: Outcomes, listener: Listener) -> list[Task]:
    """Return those tasks that are not done yet; add what came of the others to `outcomes`.

    What needs a task that is missing is missing too: it was made from, or computed on, what may turn out another run.
    """
    missing = list[Task]()
    for task in tasks:
        document = known(task, listener)
        if document is None or not all(need in outcomes.done for need in task.needs):
            missing.append(task)
        else:
            outcomes.done[task.key] = document
    return missing


def _place(session: Session, tasks: Sequence[Task], scale: Scale) -> AbstractContextManager[Place]:
    """Return where tasks are done; one local worker is this process."""
    from kdistill.experiments.workers import local_pool, ray_driver

    if scale.engine == "ray":
        return ray_driver.on_ray(tasks, scale.workers, scale.address, session.listener)
    seeds = len({(task.folder, task.key.seed) for task in tasks})
    count = scale.workers or max(1, min(backend.cores() // session.threads, seeds))
    count = min(count, len(tasks))
    return local_pool.here(session.listener) if count == 1 else local_pool.pool(count)
