"""Does one task, in whatever process it is called."""

import itertools
from pathlib import Path

from kdistill import backend
from kdistill.config import Config
from kdistill.listener import Listener
from kdistill.runs import ARMS, Experiment, Run
from kdistill.sessions import Options, Session, Shelf
from kdistill.workers.tasks import Document, Task

FORGET_EVERY = 25  # tasks

# Of this process: what one task has read, the next can use.
_shelf = Shelf()
_count = itertools.count(1)


def perform(task: Task, listener: Listener) -> Document:
    """Do a task; return the result of the run that was trained, or a seed's test scores by arm.

    Raises:
        KdistillError: whatever its session raises.
    """
    if next(_count) % FORGET_EVERY == 0:
        backend.forget_models()
    session = session_for(task, listener)
    if task.trains:
        return session.train(task.key.arm, task.key.seed, *_teachers(task))
    scores = {"teacher": session.evaluate_teachers(_teachers(task))} if task.given else {}
    return scores | {run.arm: session.evaluate(run) for run in _to_score(task, session)}


def known(task: Task, listener: Listener) -> Document | None:
    """Return what `perform` would, if nothing has to be computed for it; else None.

    Raises:
        OutputError: a run that is there was made from another config, and may not be overwritten.
    """
    session = session_for(task, listener)
    if task.trains:
        return session.finished(task.key.arm, task.key.seed, _teachers(task))
    if task.given:
        return None  # a file from elsewhere has to be opened to know whether it is the same
    finished = _to_score(task, session)
    if not all(run.is_complete() for run in finished):
        return None
    scores = {run.arm: session.scores(run) for run in finished}
    return scores if all(scores.values()) else None


def _teachers(task: Task) -> list[Path]:
    return [Path(path) for path in task.given or filter(None, [task.teacher_file])]


def _to_score(task: Task, session: Session) -> list[Run]:
    """Return the runs of a seed; its teacher may be another seed's, or no run at all."""
    teacher = Path(task.teacher_file or "").parent
    return [
        Run(teacher, arm, task.key.seed) if arm == "teacher" else session.experiment.run(arm, task.key.seed)
        for arm in ARMS
        if arm != "teacher" or not task.given
    ]


def session_for(task: Task, listener: Listener) -> Session:
    """Return the session in which a task is done."""
    config = Config.model_validate(task.config)
    options = Options(task.threads, task.device, task.overwrite, listener, task.wait, track=task.track, name=task.name)
    return Session(config, Experiment(Path(task.folder), Path(task.cache)), options, _shelf)
