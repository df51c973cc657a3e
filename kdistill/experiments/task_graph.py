"""The tasks that a reproduction consists of: which runs are made for each seed, after which others."""

from collections.abc import Mapping, Sequence

from kdistill.config import resolved
from kdistill.core.errors import ConfigError
from kdistill.experiments.workers import Task
from kdistill.recipes.session import Session
from kdistill.runs import Run


def run_name(arm: str, seed: int, whose: str = "") -> str:
    """Return the name of the task that makes a run; `whose` stands before it where there are others of that name."""
    return f"{whose} {arm} seed {seed}".strip()


def scores_name(seed: int, whose: str = "") -> str:
    """Return the name of the task that scores all arms of a seed."""
    return f"{whose} seed {seed}, scores".strip()


def task(session: Session, arm: str, seed: int, name: str, *needs: str, teacher: Run | None = None) -> Task:
    """Return the task of making one run of a session's experiment, or of scoring a seed where `arm` is empty."""
    return Task(
        name=name,
        kind="train" if arm else "score",
        config=resolved(session.config),
        folder=str(session.experiment.folder),
        cache=str(session.experiment.cache),
        seed=seed,
        arm=arm,
        teacher_file=str(teacher.model_file) if teacher else None,
        given=session.config.distill.teachers if arm in ("", "distilled") else (),
        needs=needs,
        threads=session.threads,
        device=session.options.device,
        overwrite=session.options.overwrite,
        wait=session.options.wait,
        track=session.options.track,
    )


def teacher_of_each(seeds: Sequence[int], teacher_seeds: Sequence[int] | None) -> dict[int, int]:
    """Return the seed of the teacher that teaches each seed."""
    if teacher_seeds is None:
        return {seed: seed for seed in seeds}
    return {seed: teacher_seeds[number % len(teacher_seeds)] for number, seed in enumerate(seeds)}


def teachers_of(
    session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int] | None = None
) -> dict[int, int | None]:
    """Return the seed of the teacher that teaches each seed, or None where the config names teachers.

    Raises:
        ConfigError: it does, and seeds of others are given.
    """
    if not session.given_teachers():
        return dict(teacher_of_each(seeds, teacher_seeds))
    if teacher_seeds is not None:
        raise ConfigError(
            "--teacher-seeds: no teacher is trained here, since distill.teachers names files",
            hint="Leave out the one or the other.",
        )
    return dict.fromkeys(seeds)


def own_seeds(teachers: Mapping[int, int | None]) -> list[int]:
    """Return the seeds of the teachers that are trained here, each once."""
    return sorted({teacher for teacher in teachers.values() if teacher is not None})


def tasks_of(session: Session, teachers: Mapping[int, int | None], whose: str = "") -> list[Task]:
    """Return the tasks of `reproduce`, each after those it needs.

    Args:
        session: of the experiment.
        teachers: the seed of the teacher of each seed; None where the config names teachers.
        whose: what the names of the tasks begin with.
    """
    tasks, made = list[Task](), set[int]()
    for seed, teacher_seed in teachers.items():
        baseline, distilled = (run_name(arm, seed, whose) for arm in ("baseline", "distilled"))
        needed, taught_by = list[str](), None
        if teacher_seed is not None:
            needed = [run_name("teacher", teacher_seed, whose)]
            taught_by = session.experiment.run("teacher", teacher_seed)
            if teacher_seed not in made:
                made.add(teacher_seed)
                tasks.append(task(session, "teacher", teacher_seed, *needed))
        tasks += [
            task(session, "baseline", seed, baseline),
            task(session, "distilled", seed, distilled, *needed, baseline, teacher=taught_by),
            task(session, "", seed, scores_name(seed, whose), *needed, baseline, distilled, teacher=taught_by),
        ]
    return tasks
