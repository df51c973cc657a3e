"""What a signal has stopped, in words that are true of what is on disk."""

from collections.abc import Iterable
from pathlib import Path

from kdistill.runs import Experiment
from kdistill.workers.tasks import Task


def in_words(stopped: Iterable[str], others: Iterable[Task]) -> str:
    """Return which runs go on from a checkpoint, and which start again; empty where none was under way.

    Args:
        stopped: the names of those that have just made a checkpoint.
        others: the tasks that were under way and ended without one: they may have one from before.
    """
    trained = [task for task in others if task.trains]
    kept = {*stopped, *(task.name for task in trained if _has_checkpoint(task))}
    lost = {task.name for task in trained} - kept
    parts = [f"stopped, with a checkpoint each: {', '.join(sorted(kept))}"] if kept else []
    if lost:
        parts.append(f"stopped before the first checkpoint: {', '.join(sorted(lost))}")
    return "; ".join(parts)


def _has_checkpoint(task: Task) -> bool:
    run = Experiment(Path(task.folder)).run(task.key.arm, task.key.seed)
    return run.checkpoints.exist() or run.next.checkpoints.exist()
