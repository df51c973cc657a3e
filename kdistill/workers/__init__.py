"""Who does the work: this process, or a pool of processes. Whoever it is, the results are the same."""

from collections.abc import Sequence

from kdistill.listener import Listener
from kdistill.workers.perform import known
from kdistill.workers.tasks import Failure, Outcomes, Task

__all__ = ["Failure", "Outcomes", "Task", "known", "run"]


def run(tasks: Sequence[Task], outcomes: Outcomes, workers: int, listener: Listener) -> None:
    """Do tasks and add what came of them to `outcomes`.

    Args:
        tasks: each after those of them that it needs.
        outcomes: has what others need that were done before.
        workers: how many; one local worker is this process.
        listener: hears how it goes.

    Raises:
        KdistillError: a task failed for a reason that would fail the others too.
        Stopped: a signal asked to stop; what was being done has a checkpoint.
    """
    from kdistill.workers import local

    if workers == 1 or len(tasks) == 1:
        local.run_here(tasks, outcomes, listener)
    else:
        local.run_in_pool(tasks, outcomes, workers, listener)
