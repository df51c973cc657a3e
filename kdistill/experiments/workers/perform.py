"""Does one task, in whatever process it is called."""

import itertools
from pathlib import Path

from kdistill.config import Config
from kdistill.core import backend
from kdistill.core.listener import Listener
from kdistill.experiments.workers.tasks import Outcome, Task
from kdistill.recipes import evaluate, make
from kdistill.recipes.session import Session
from kdistill.recipes.shared_data import SharedData
from kdistill.runs import ARMS, Experiment, Run, judge

FORGET_EVERY = 25  # tasks

# Of this process: what one task has read, the next can use.
_shared = SharedData()
_count = itertools.count(1)


def perform(task: Task, listener: Listener) -> Outcome:
    """Do a task; return the result of the run that was trained, or a seed's test scores by arm.

    Raises:
        KdistillError: whatever `make` and `score` raise.
    """
    if next(_count) % FORGET_EVERY == 0:
        backend.clear_keras_session()
    session = session_for(task, listener)
    if task.trains:
        return make.make(session, task.key.arm, task.key.seed, task.teacher)
    scores = {} if task.teacher else {"teacher": evaluate.score_teachers(session)}
    return scores | {run.arm: evaluate.score(session, run) for run in _to_score(task, session)}


def known(task: Task, listener: Listener) -> Outcome | None:
    """Return what `perform` would, if nothing has to be computed for it; else None.

    Raises:
        OutputError: a run that is there was made from another config, and may not be overwritten.
    """
    session = session_for(task, listener)
    if task.trains:
        return make.finished(session, session.experiment.run(task.key.arm, task.key.seed), task.teacher)
    if not task.teacher:
        return None  # a file from elsewhere has to be opened to know whether it is the same
    finished = _to_score(task, session)
    if not all(judge(run).counts for run in finished):
        return None
    scores = {run.arm: evaluate.known_score(session, run) for run in finished}
    known = {arm: of for arm, of in scores.items() if of}
    return known if len(known) == len(scores) else None


def _to_score(task: Task, session: Session) -> list[Run]:
    """Return the runs of a seed; its teacher may be another seed's, or no run at all."""
    students = [session.experiment.run(arm, task.key.seed) for arm in ARMS if arm != "teacher"]
    return [task.teacher, *students] if task.teacher else students


def session_for(task: Task, listener: Listener) -> Session:
    """Return the session in which a task is done."""
    config = Config.model_validate(task.config)
    experiment = Experiment(Path(task.folder), Path(task.cache))
    return Session(config, experiment, task.options, listener, _shared, name=task.name)
