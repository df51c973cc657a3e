"""Performs one task, in the process that calls it."""

import itertools
from pathlib import Path

from kdistill.config import Config
from kdistill.core import backend
from kdistill.core.controls import CONTROLS
from kdistill.core.listener import Listener
from kdistill.experiments.workers.tasks import Outcome, Task
from kdistill.recipes import evaluate, make
from kdistill.recipes.session import Session
from kdistill.recipes.shared_data import SharedData
from kdistill.runs import Experiment, Run, ScoresOnTest, judge

FORGET_EVERY = 25  # tasks

# Of this process: data that one task has read is used by the next.
_shared = SharedData()
_count = itertools.count(1)


def perform(task: Task, listener: Listener) -> Outcome:
    """Perform a task; return the result of the run that was trained, or the test scores of a seed by arm.

    Raises:
        KdistillError: see `make.make` and `evaluate.score`.
    """
    if next(_count) % FORGET_EVERY == 0:
        backend.clear_keras_session()
    session = session_for(task, listener)
    if task.trains:
        return make.make(session, task.key.arm, task.key.seed, task.teacher)
    return _teacher(task, session) | {run.arm: evaluate.score(session, run) for run in _students(task, session)}


def _teacher(task: Task, session: Session) -> dict[str, ScoresOnTest]:
    """Return the scores of the teacher of a seed: of files, of a run, or of several together."""
    if not task.teacher:
        return {"teacher": evaluate.score_teachers(session)}
    first, *others = session.members(task.teacher)
    scores = evaluate.score_members(session, [first, *others]) if others else evaluate.score(session, first)
    return {"teacher": scores}


def known(task: Task, listener: Listener) -> Outcome | None:
    """Return the result of `perform` if it can be read from the run folders; else None.

    Raises:
        OutputError: a run was made from another config, and may not be overwritten.
    """
    session = session_for(task, listener)
    if task.trains:
        return make.finished(session, session.experiment.run(task.key.arm, task.key.seed), task.teacher)
    if not task.teacher:
        return None  # the weights of a teacher from a file are known once it is opened
    (first, *others), students = session.members(task.teacher), _students(task, session)
    if not all(judge(run).counts for run in (first, *others, *students)):
        return None
    of_teacher = evaluate.known_members(session, [first, *others]) if others else evaluate.known_score(session, first)
    scores = {"teacher": of_teacher, **{run.arm: evaluate.known_score(session, run) for run in students}}
    known = {arm: of for arm, of in scores.items() if of}
    return known if len(known) == len(scores) else None


def _students(task: Task, session: Session) -> list[Run]:
    """Return the runs of a seed's students; controls as there are."""
    runs = [session.experiment.run(arm, task.key.seed) for arm in session.config.students]
    return [run for run in runs if run.arm not in CONTROLS or judge(run).counts]


def session_for(task: Task, listener: Listener) -> Session:
    """Return the session of a task."""
    config = Config.model_validate(task.config)
    experiment = Experiment(Path(task.folder), Path(task.cache))
    session = Session(config, experiment, task.options, listener, _shared, name=task.name)
    if task.baselines:
        session.baselines = Experiment(Path(task.baselines))
    return session
