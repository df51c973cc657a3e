"""Many runs: which there are, who makes them, and what they say together."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdistill import backend, files, stats, workers
from kdistill.beforehand import Beforehand
from kdistill.chains import own_seeds, tasks_of, teachers_of
from kdistill.config import Config
from kdistill.datasets.labels import listed
from kdistill.errors import DivergedError, KdistillError
from kdistill.listener import Listener
from kdistill.parts import Part
from kdistill.recipes import checks
from kdistill.recipes.make import SUMMARY, make
from kdistill.recipes.session import Document, Session
from kdistill.runs import ARMS, Experiment
from kdistill.workers import FollowUp, Outcomes, Task, TaskKey

SOME_FAILED = 6  # exit code: finished, with failed runs


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


def train(session: Session, arm: str, seed: int) -> Document:
    """Train one run unless it is complete; return its result, and where it is.

    Raises:
        DivergedError: which run, and what to try.
        KdistillError: whatever `make` raises.
    """
    try:
        result = make(session, arm, seed)
    except DivergedError as error:
        raise DivergedError(f"{arm}, seed {seed}: {error.message}", error.hint) from None
    run = session.experiment.run(arm, seed)
    info = {**result["run_info"], "model": str(run.model_file)}
    return {"experiment": session.experiment.name, **result, "run_info": info}


def reproduce(
    session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int] | None = None, scale: Scale | None = None
) -> Document:
    """Train and score all arms for all seeds, and compare; writes `summary.json`.

    Args:
        session: of the experiment.
        seeds: of baseline and distilled student.
        teacher_seeds: of the teachers, taken in turn; by default each seed has its own. Teachers that the config names
            teach all seeds.
        scale: who makes the runs.

    Returns:
        What `summary.json` holds: `experiment`, `seeds`, `teacher_seeds`, `formula`, `arms`, `comparison`, `failed`,
        `warnings`, `run_info`. Seeds of which a run failed are left out of `arms` and `comparison`.

    Raises:
        KdistillError: of no seed all runs could be made; the exit code is that of whatever made the first one fail.
    """
    started = time.perf_counter()
    scale = scale or Scale()
    teachers = teachers_of(session, seeds, teacher_seeds)
    _check(session, seeds, own_seeds(teachers))
    outcomes, used = run(session, tasks_of(session, teachers), scale)
    comparison = compared(session, teachers, outcomes)
    if comparison is None:
        raise nothing_left("of no seed all runs could be made", outcomes)
    document = {
        "experiment": session.experiment.name,
        "seeds": list(seeds),
        "teacher_seeds": [teacher for teacher in teachers.values() if teacher is not None],
        "teachers": list(session.config.distill.teachers),
        **comparison,
        "failed": failures(outcomes),
        "run_info": run_info(session, scale, started, used),
    }
    with files.writing(session.experiment.folder):
        files.write_json(session.experiment.folder / SUMMARY, document)
    return document


def make_part(
    session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int] | None, part: Part, scale: Scale
) -> Document:
    """Train and score all arms for some of the seeds; nothing is compared, and no summary is written.

    Args:
        session: of the experiment, which should wait for other parts where they share a teacher.
        seeds: of the whole.
        teacher_seeds: see `reproduce`.
        part: which of the seeds.
        scale: who makes the runs.

    Returns:
        See `part_document`.
    """
    teachers = {seed: of for seed, of in teachers_of(session, seeds, teacher_seeds).items() if seed in part.of(seeds)}
    if teachers:
        _check(session, list(teachers), own_seeds(teachers))
    return part_document(session, tasks_of(session, teachers), part, scale)


def part_document(session: Session, tasks: Sequence[Task], part: Part, scale: Scale) -> Document:
    """Do the tasks of a part.

    Returns:
        `experiment`, `part`, `runs` (`run, folder, status`), `failed`, `run_info`.
    """
    started = time.perf_counter()
    outcomes, used = run(session, tasks, scale)
    rows = [
        {
            "run": task.name,
            "folder": str(Experiment(Path(task.folder)).run(task.key.arm, task.key.seed).folder),
            "status": "done" if task.key in outcomes.done else "failed",
        }
        for task in tasks
        if task.trains
    ]
    return {
        "experiment": session.experiment.name,
        "part": str(part),
        "runs": rows,
        "failed": failures(outcomes),
        "run_info": run_info(session, scale, started, used),
    }


def run_info(session: Session, scale: Scale, started: float, used: int) -> Document:
    """Return what depends on the machine, the engine and the place; `started` is a time of the performance counter."""
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "workers": used,
        "engine": scale.engine,
        "output_dir": str(session.experiment.folder),
    }


def failures(outcomes: Outcomes) -> list[Document]:
    """Return which tasks failed and why: `run`, `message`, and `since`, the task that it needed and that failed.

    For a bug in kdistill there is its traceback too, in `details`.
    """
    return [
        {
            "run": key.name,
            "message": failure.message,
            "since": failure.since.name if failure.since else None,
            **({"details": failure.details} if failure.details else {}),
        }
        for key, failure in outcomes.failed.items()
    ]


def nothing_left(what: str, outcomes: Outcomes, hint: str | None = None) -> KdistillError:
    """Return the error for so many failed runs that there is nothing to say of the others.

    Args:
        what: is missing, in words.
        outcomes: why each of them failed was told when it did.
        hint: what to do, if not what the failures themselves say.
    """
    causes = {key.name: failure for key, failure in outcomes.failed.items() if not failure.since}
    first = next(iter(causes.values()))
    hints = dict.fromkeys(failure.hint for failure in causes.values() if failure.hint)
    message = f"nothing is left to compare: {what}; failed: {listed(list(causes))}"
    return replace(first, message=message, hint=hint or "\n".join(hints) or None).error()


def run(
    session: Session,
    tasks: Sequence[Task],
    scale: Scale,
    follow_up: Callable[[Outcomes], Sequence[Task]] = lambda outcomes: (),
) -> tuple[Outcomes, int]:
    """Do those tasks that are not done yet; return what came of all of them, and with how many workers.

    Args:
        session: tells of the listener and the threads.
        tasks: each after those that it needs.
        scale: who does them.
        follow_up: from what came of the tasks, those that the same workers do next.

    Raises:
        KdistillError: one failed for a reason that would fail the others too, such as data that are not there.
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
    count = scale.workers
    if count is None and scale.engine == "local":
        most = len({(task.folder, task.key.seed) for task in missing})
        count = max(1, min(backend.cores() // session.threads, most))
    return outcomes, workers.run(missing, outcomes, count, listener, scale.engine, scale.address, then)


def _missing(tasks: Sequence[Task], outcomes: Outcomes, listener: Listener) -> list[Task]:
    """Return those tasks that are not done yet; add what came of the others to `outcomes`.

    What needs a task that is missing is missing too: it was made from, or computed on, what may turn out another run.
    """
    missing = list[Task]()
    for task in tasks:
        document = workers.known(task, listener)
        if document is None or not all(need in outcomes.done for need in task.needs):
            missing.append(task)
        else:
            outcomes.done[task.key] = document
    return missing


def _check(session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int]) -> None:
    """Refuse before anything is trained what would fail after the first seeds have been."""
    session.experiment.check_usable()
    beforehand = Beforehand()
    wanted = [("teacher", seed) for seed in teacher_seeds] + [("baseline", seed) for seed in seeds]
    found = [session.judge(session.experiment.run(arm, seed)) for arm, seed in wanted]
    if not all(status.counts for status in found):
        beforehand.fits(session, ARMS if teacher_seeds else ("baseline", "distilled"))
    beforehand.given_teachers(session, seeds)


def compared(
    session: Session, teachers: Mapping[int, int | None], outcomes: Outcomes, cell: str = ""
) -> Document | None:
    """Return `formula`, `arms`, `comparison` and `warnings` over the seeds of which all runs are there; None for none.

    Args:
        session: of the experiment.
        teachers: the seed of the teacher of each seed; None where the config names teachers.
        outcomes: what came of `tasks_of`.
        cell: that was given to `tasks_of`.
    """
    seeds = [seed for seed in teachers if TaskKey("", seed, cell) in outcomes.done]
    if not seeds:
        return None
    of_seed = {seed: outcomes.done[TaskKey("", seed, cell)] for seed in seeds}
    scores = {arm: [of_seed[seed][arm] for seed in seeds] for arm in ("baseline", "distilled")}
    # A teacher that taught several seeds counts once.
    of_teacher = {teachers[seed]: of_seed[seed]["teacher"] for seed in seeds}
    scores = {"teacher": list(of_teacher.values()), **scores}
    accuracy = {arm: [score["accuracy"] for score in of_arm] for arm, of_arm in scores.items()}
    comparison = stats.compare(
        accuracy["distilled"],
        accuracy["baseline"],
        seeds=seeds,
        disagreements=_disagreements(session.experiment, seeds),
        shared_teachers=len(of_teacher) if len(of_teacher) < len(seeds) else 0,
        left_out=len(teachers) - len(seeds),
    )
    warnings = _warnings(seeds, teachers, outcomes, cell)
    if len(seeds) > 1 and (nothing := stats.nothing_to_transfer(accuracy["teacher"], accuracy["baseline"])):
        warnings.append(nothing)
    return {
        "formula": session.formula,
        "arms": {arm: _arm_summary(session.config, arm, of_arm) for arm, of_arm in scores.items()},
        "comparison": comparison,
        "warnings": warnings,
    }


def _disagreements(experiment: Experiment, seeds: Sequence[int]) -> list[tuple[int, int]] | None:
    """Return for each seed how many test examples the distilled, and how many the baseline student alone got right."""
    answers = [[experiment.run(arm, seed).test_correct() for arm in ("distilled", "baseline")] for seed in seeds]
    if not all(distilled and baseline for distilled, baseline in answers):
        return None
    return [stats.count_disagreements(distilled, baseline) for distilled, baseline in answers]


def _warnings(seeds: Sequence[int], teachers: Mapping[int, int | None], outcomes: Outcomes, cell: str) -> list[str]:
    warnings = list[str]()
    for seed in seeds:
        made = [("baseline", seed), ("distilled", seed)]
        if (teacher_seed := teachers[seed]) is not None:
            made.insert(0, ("teacher", teacher_seed))
        results = {arm: outcomes.done[TaskKey(arm, of, cell)] for arm, of in made}
        for result in results.values():
            warnings += result["warnings"]
        # A distilled run that is reused may have been made before there was a baseline.
        taught = results["distilled"]["teacher_validation"]["accuracy"]
        warnings += stats.little_to_teach(seed, taught, results["baseline"]["validation"]["accuracy"])
    return list(dict.fromkeys(warnings))


def _arm_summary(config: Config, arm: str, scores: list[Document]) -> Document:
    measures = ["accuracy", "nll", "ece"]
    if arm != "teacher":
        measures += ["agreement", "kl_to_teacher"]
    return {
        **{name: stats.summarize([score[name] for score in scores]) for name in measures},
        "parameters": scores[0]["parameters"],
        "file_bytes": scores[0]["file_bytes"],
        "expected": getattr(config.expected, arm),
    }
