"""Who does the work: this process, a pool of processes, or a Ray cluster. Whoever it is, the results are the same."""

from collections.abc import Sequence

from kdistill.listener import Listener
from kdistill.workers.perform import known
from kdistill.workers.tasks import WINNER, Failure, FollowUp, Outcomes, Task, TaskKey

__all__ = ["WINNER", "Failure", "FollowUp", "Outcomes", "Task", "TaskKey", "known", "run"]


def run(
    tasks: Sequence[Task],
    outcomes: Outcomes,
    workers: int | None,
    listener: Listener,
    engine: str = "local",
    address: str | None = None,
    follow_up: FollowUp = tuple,
) -> int:
    """Do tasks and add what came of them to `outcomes`; return how many at most were done at the same time.

    Args:
        tasks: each after those of them that it needs.
        outcomes: has what others need that were done before.
        workers: how many; one local worker is this process. None, for `ray` alone: all that the cluster has room for.
        listener: hears how it goes.
        engine: `local` or `ray`.
        address: for `ray`, of the cluster: see `cluster.run_on_ray`.
        follow_up: asked once, when all tasks are done, for more of them, which the same workers do.

    Raises:
        KdistillError: a task failed for a reason that would fail the others too.
        Stopped: a signal asked to stop; what was being done has a checkpoint.
    """
    from kdistill.workers import cluster, local

    if engine == "ray":
        return cluster.run_on_ray(tasks, outcomes, workers, address, listener, follow_up)
    count = min(workers or 1, len(tasks))
    if count == 1:
        local.run_here(tasks, outcomes, listener, follow_up)
    else:
        local.run_in_pool(tasks, outcomes, count, listener, follow_up)
    return count
