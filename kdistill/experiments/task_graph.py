"""The tasks of `reproduce`: the runs of each seed, and what each task needs first."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kdistill.config import resolved
from kdistill.core import members
from kdistill.core.controls import needed_by
from kdistill.core.errors import ConfigError
from kdistill.experiments.workers import Task, TaskKey
from kdistill.recipes.session import Session
from kdistill.runs import Run


def task(session: Session, key: TaskKey, *needs: TaskKey, teacher: Run | None = None) -> Task:
    """Return a task in a session's experiment, which needs some others first."""
    return Task(
        key=key,
        config=resolved(session.config),
        folder=str(session.experiment.folder),
        cache=str(session.experiment.cache),
        teacher_folder=str(teacher.folder) if teacher else None,
        teacher_seed=teacher.seed if teacher else 0,
        needs=needs,
        baselines=str(session.baselines.folder),
        options=replace(session.options, threads=session.threads),
    )


def teachers_of(
    session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int] | None = None
) -> dict[int, int | None]:
    """Return the seed of the teacher of each seed; None where the config names teacher files.

    `teacher_seeds` are taken in turn; by default each seed has its own teacher.

    Raises:
        ConfigError: there are both teacher files and seeds of teachers.
    """
    if not session.teacher_files:
        return dict(zip(seeds, itertools.cycle(seeds if teacher_seeds is None else teacher_seeds), strict=False))
    if teacher_seeds is not None:
        raise ConfigError(
            "--teacher-seeds: no teacher is trained here, since distill.teachers names files",
            hint="Leave out the one or the other.",
        )
    return dict.fromkeys(seeds)


def own_seeds(teachers: Mapping[int, int | None]) -> list[int]:
    """Return the seeds of the teachers that are trained, each once."""
    return sorted({teacher for teacher in teachers.values() if teacher is not None})


def tasks_of(session: Session, teachers: Mapping[int, int | None], cell: str = "") -> list[Task]:
    """Return the tasks of `reproduce`, each after those it needs; `teachers` by `teachers_of`, `cell` of a sweep.

    A seed whose control failed is scored all the same: the verdict on distillation depends on no control.
    """
    tasks = dict[TaskKey, Task]()
    for seed, teacher_seed in teachers.items():
        scores, baseline, *taught = (TaskKey(arm, seed, cell) for arm in ("", *session.config.students))
        needed, taught_by = list[TaskKey](), None
        if teacher_seed is not None:
            needed = [TaskKey(name, teacher_seed, cell) for name in members.names(session.config.teacher.members)]
            taught_by = session.experiment.run("teacher", teacher_seed)
            for key in needed:
                tasks.setdefault(key, task(session, key))
        tasks[baseline] = task(session, baseline)
        for key in taught:
            first = {"teacher": needed, "baseline": [baseline], None: []}[needed_by(key.arm)]
            # The distilled student waits for what it is compared with: if that fails, it is trained in vain.
            waits = key.arm == "distilled" or session.config.starts_from_baseline(key.arm)
            first = list(dict.fromkeys([*first, *([baseline] if waits else [])]))
            tasks[key] = task(session, key, *first, teacher=taught_by)
        distilled, *controls = taught
        whole = task(session, scores, *needed, baseline, distilled, teacher=taught_by)
        tasks[scores] = replace(whole, after=tuple(controls))
    return list(tasks.values())
