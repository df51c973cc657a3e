"""`reproduce`: trains and scores all arms for all seeds, and compares them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from kdistill.config import Config, dump
from kdistill.core import files, members
from kdistill.core.errors import DivergedError, KdistillError
from kdistill.core.formatting import first_few
from kdistill.evaluation import headline, statistics, transfer_set
from kdistill.evaluation.calibration import FITTED
from kdistill.evaluation.causes import Causes, causes
from kdistill.evaluation.measures import MEASURES, Measure, imbalance, recorded
from kdistill.evaluation.verdict import (
    Answers,
    Pair,
    Verdict,
    about_distillation,
    compare_pairs,
    little_to_teach,
    nothing_to_transfer,
    teaches_on_average,
)
from kdistill.experiments import next_steps, one_seed, workers
from kdistill.experiments.part import Part
from kdistill.experiments.preflight import Preflight
from kdistill.experiments.task_graph import own_seeds, tasks_of, teachers_of
from kdistill.experiments.workers import Outcomes, Scale, Task, TaskKey
from kdistill.recipes import checks
from kdistill.recipes.make import make
from kdistill.recipes.session import Document, Session
from kdistill.runs import ARMS, Experiment, Result, answers_of
from kdistill.runs.experiment import SUMMARY_FILE


class Compared(TypedDict):
    """The arms of some seeds, and their comparison."""

    headline: str  # see `evaluation.headline`
    formula: str
    imbalance: float | None  # of the classes in test: see `measures.imbalance`; None if it was not recorded
    arms: dict[str, Document]  # `parameters`, `file_bytes`, the published `expected` accuracy, a `Summary` a measure
    comparison: Document  # a `Verdict`
    trained_on: NotRequired[dict[str, dict[str, int]]]  # examples `labelled` and `unlabelled`, where some have no label
    transfer_set: NotRequired[transfer_set.TransferSet]  # where classes are left out, or biases moved to the prior
    causes: NotRequired[Causes]  # where the config has controls
    members: NotRequired[list[Document]]  # of teachers of several: `seed`, `member` by its name, and its scores
    warnings: list[str]


class ExperimentSummary(Compared):
    """The result of `reproduce`: the document of `summary.json`."""

    experiment: str
    seeds: list[int]
    teacher_seeds: list[int]
    teachers: list[str]  # files that the config names
    failed: list[Document]  # see `failures`
    run_info: Document


class PartSummary(TypedDict):
    """The result of a part of a command."""

    experiment: str
    part: str
    runs: list[dict[str, str]]  # `run`, `folder`, and `status`: `done` or `failed`
    failed: list[Document]  # see `failures`
    run_info: Document


def train(session: Session, arm: str, seed: int) -> Document:
    """Train one run unless it is complete, of a teacher all its members; return its result, see `one_seed`.

    Raises:
        ConfigError: the config has no layers of a teacher to train.
        DivergedError: with the run, and what to try.
        KdistillError: see `make`.
    """
    if arm == "teacher":
        checks.teacher_has_layers(session.config)
    results = list[Result]()
    for name in members.names(session.config.teacher.members) if arm == "teacher" else [arm]:
        try:
            results.append(make(session, name, seed))
        except DivergedError as error:
            raise DivergedError(f"{name}, seed {seed}: {error.message}", error.hint) from None
    if len(results) > 1:
        return one_seed.together(session, seed, results)
    return one_seed.trained(session, session.experiment.run(arm, seed), results[0])


def reproduce(
    session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int] | None = None, scale: Scale | None = None
) -> ExperimentSummary:
    """Train and score all arms for all seeds, and compare; writes `summary.json`.

    For `teacher_seeds` see `teachers_of`. Seeds with a failed run are left out of `arms` and `comparison`.

    Raises:
        KdistillError: every seed has a failed run; the exit code is that of the first failure.
    """
    started, scale = time.perf_counter(), scale or Scale()
    teachers = teachers_of(session, seeds, teacher_seeds)
    _check(session, seeds, own_seeds(teachers))
    outcomes, used = workers.run(session, tasks_of(session, teachers), scale)
    comparison = compared(session, teachers, outcomes)
    if comparison is None:
        raise nothing_left("every seed has a failed run", outcomes)
    made = {seed: outcomes.done[TaskKey("distilled", seed)] for seed in comparison["comparison"]["seeds"]}
    document: ExperimentSummary = {
        "experiment": session.experiment.name,
        "seeds": list(seeds),
        "teacher_seeds": [teacher for teacher in teachers.values() if teacher is not None],
        "teachers": list(session.config.distill.teachers),
        **comparison,
        "failed": failures(outcomes),
        "run_info": {
            **run_info(session, scale, started, used),
            "next": next_steps.after_reproduce(session, seeds, made),
        },
    }
    session.experiment.record(dump(session.config))
    with files.writing(session.experiment.folder):
        files.write_sealed(session.experiment.folder / SUMMARY_FILE, dict(document))
    return document


def make_part(
    session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int] | None, part: Part, scale: Scale
) -> PartSummary:
    """Train and score all arms for a part of the seeds; nothing is compared, and no summary is written.

    The session has the option `wait` where parts share a teacher.
    """
    teachers = {seed: of for seed, of in teachers_of(session, seeds, teacher_seeds).items() if seed in part.of(seeds)}
    if teachers:
        _check(session, list(teachers), own_seeds(teachers))
    return part_document(session, tasks_of(session, teachers), part, scale)


def part_document(session: Session, tasks: Sequence[Task], part: Part, scale: Scale) -> PartSummary:
    """Do the tasks of a part, and return which runs were made."""
    started = time.perf_counter()
    outcomes, used = workers.run(session, tasks, scale)
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
    """Return what depends on machine, engine and place; `started` is a time of the performance counter."""
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "workers": used,
        "engine": scale.engine,
        "output_dir": str(session.experiment.folder),
    }


def failures(outcomes: Outcomes) -> list[Document]:
    """Return for each failed task its `run`, the `message`, and `since`, the failed task that it needed, or None.

    A bug has its traceback in `details`.
    """
    return [
        {"run": key.name, "message": failure.message, "since": failure.since.name if failure.since else None}
        | ({"details": failure.details} if failure.details else {})
        for key, failure in outcomes.failed.items()
    ]


def nothing_left(what: str, outcomes: Outcomes, hint: str | None = None) -> KdistillError:
    """Return the error for so many failed runs, `what` in words, that the others cannot be compared.

    It has the exit code of the first failure, and their hints if no other `hint` is given.
    """
    causes = {key.name: failure for key, failure in outcomes.failed.items() if not failure.since}
    first = next(iter(causes.values()))
    hints = dict.fromkeys(failure.hint for failure in causes.values() if failure.hint)
    message = f"nothing is left to compare: {what}; failed: {first_few(list(causes))}"
    return replace(first, message=message, hint=hint or "\n".join(hints) or None).error()


def _check(session: Session, seeds: Sequence[int], teacher_seeds: Sequence[int]) -> None:
    """Refuse before anything is trained what would fail after the first seeds."""
    session.experiment.check_usable()
    if teacher_seeds:
        checks.teacher_has_layers(session.config)
    preflight = Preflight()
    preflight.compares(session, "test")
    names = members.names(session.config.teacher.members)
    wanted = [(name, seed) for seed in teacher_seeds for name in names] + [("baseline", seed) for seed in seeds]
    found = [session.judge(session.experiment.run(name, seed)) for name, seed in wanted]
    if not all(status.counts for status in found):
        preflight.fits(session, ARMS if teacher_seeds else ("baseline", "distilled"))
    preflight.given_teachers(session, seeds)


def compared(
    session: Session, teachers: Mapping[int, int | None], outcomes: Outcomes, cell: str = "", note: str = ""
) -> Compared | None:
    """Compare the arms over the seeds without a failed run; return None where there is none.

    Args:
        session: of the experiment.
        teachers: as given to `tasks_of`.
        outcomes: of these tasks.
        cell: as given to `tasks_of`.
        note: a sentence to add to what the verdict is about.
    """
    seeds = [seed for seed in teachers if TaskKey("", seed, cell) in outcomes.done]
    if not seeds:
        return None
    of_seed = {seed: outcomes.done[TaskKey("", seed, cell)] for seed in seeds}
    made = _made(session.config, seeds, outcomes, cell)
    scores = {arm: [of_seed[seed][arm] for seed in of_arm] for arm, of_arm in made.items()}
    # A teacher that taught several seeds counts once.
    scores = {"teacher": list({teachers[seed]: of_seed[seed]["teacher"] for seed in seeds}.values()), **scores}
    measure = session.measure
    answers = {arm: _answers(session, arm, {seed: of_seed[seed] for seed in of_arm}) for arm, of_arm in made.items()}
    verdict = _verdict(session, answers, teachers)
    taught, alone = ([recorded(of, measure) for of in scores[arm]] for arm in ("teacher", "baseline"))
    nothing = filter(None, [nothing_to_transfer(taught, alone, measure) if len(seeds) > 1 else None])
    left_out, examples = _left_out(session.config, seeds, made), scores["baseline"][0].get("class_examples")
    arms = {arm: _arm_summary(session.config, arm, of_arm) for arm, of_arm in scores.items()}
    document: Compared = {
        "headline": headline.of_arms(arms, measure, session.teachers_together),
        "formula": session.formula,
        "imbalance": imbalance(examples) if examples else None,
        "arms": arms,
        "comparison": replace(verdict, about=f"{verdict.about} {note}".strip()).to_json(),
        "warnings": [*_warnings(session.config, seeds, teachers, outcomes, cell, measure), *nothing, *left_out],
        **_members(session, teachers, of_seed),
    }
    told = causes(answers, measure, session.config.verdict.scope)
    more = _trained_on(teachers[seeds[0]], made, outcomes, cell) | ({"causes": told} if told else {})
    more |= _transfer_set(session, scores)
    return document | more  # type: ignore[return-value]


def _trained_on(
    teacher: int | None, students: Mapping[str, Sequence[int]], outcomes: Outcomes, cell: str
) -> dict[str, dict[str, dict[str, int]]]:
    """Return `trained_on`, of the first seed, which is as any other; nothing where all examples have a label."""
    arms = {arm: of[0] for arm, of in students.items()}
    arms = arms if teacher is None else {"teacher": teacher, **arms}
    results = {arm: outcomes.done.get(TaskKey(arm, seed, cell), {}) for arm, seed in arms.items()}
    found = {arm: result["trained_on"] for arm, result in results.items() if "trained_on" in result}
    return {"trained_on": found} if found else {}


def _transfer_set(session: Session, scores: Mapping[str, Sequence[Document]]) -> Any:
    """Return `transfer_set` of `Compared`, of the scores of each arm; nothing where the config sets neither key."""
    keys = session.config.distill
    if not (keys.classes or keys.adjust_prior):
        return {}
    classes = session.splits.classes
    found = transfer_set.scored(scores, classes, keys.left_out(classes))
    return {"transfer_set": found} if found else {}


def _members(
    session: Session, teachers: Mapping[int, int | None], of_seed: Mapping[int, Mapping[str, Document]]
) -> Any:
    """Return `members` of `Compared`: each once, though its teacher may have taught several seeds; else nothing."""
    scored = {of: of_seed[seed]["teacher"].get("members", []) for seed, of in teachers.items() if seed in of_seed}
    names = members.names(session.config.teacher.members)
    rows = [
        {"seed": seed, "member": name, **scores}
        for seed, each in scored.items()
        for name, scores in zip(names, each, strict=False)
    ]
    return {"members": rows} if rows else {}


def _made(config: Config, seeds: Sequence[int], outcomes: Outcomes, cell: str) -> dict[str, list[int]]:
    """Return for each student the seeds, of some, whose run did not fail, if there are any.

    A control that failed, of which an earlier run may be there, is left out of its seed alone.
    """
    made = {arm: [seed for seed in seeds if TaskKey(arm, seed, cell) in outcomes.done] for arm in config.students}
    return {arm: of_arm for arm, of_arm in made.items() if of_arm}


def _left_out(config: Config, seeds: Sequence[int], made: Mapping[str, Sequence[int]]) -> list[str]:
    """Return in sentences which seeds of which controls are compared with nothing, since their runs failed."""
    missing = {arm: [str(seed) for seed in seeds if seed not in made.get(arm, ())] for arm in config.controls}
    return [
        f"The control {arm} is compared without seed {', '.join(of)}: its run failed."
        if arm in made
        else f"The control {arm} is not compared: all its runs failed."
        for arm, of in missing.items()
        if of
    ]


def _verdict(
    session: Session, answers: Mapping[str, Mapping[int, Answers]], teachers: Mapping[int, int | None]
) -> Verdict:
    """Return the verdict on distillation from the answers of baseline and distilled student, by seed."""
    pairs = [Pair(seed, of, answers["baseline"][seed]) for seed, of in answers["distilled"].items()]
    about, scope = about_distillation([teachers[pair.seed] for pair in pairs]), session.config.verdict.scope
    return compare_pairs(pairs, about, left_out=len(teachers) - len(pairs), measure=session.measure, scope=scope)


def _answers(session: Session, arm: str, of_seed: Mapping[int, Mapping[str, Document]]) -> dict[int, Answers]:
    """Return how the runs of an arm classified the test split, by seed."""
    return {
        seed: answers_of(session.experiment.run(arm, seed), scores[arm], session.measure)
        for seed, scores in of_seed.items()
    }


def _warnings(
    config: Config,
    seeds: Sequence[int],
    teachers: Mapping[int, int | None],
    outcomes: Outcomes,
    cell: str,
    measure: Measure,
) -> list[str]:
    """Return the warnings of the runs of some arms and seeds, each once; a control may have failed."""
    warnings, doubts, scores = list[str](), list[str](), list[tuple[Document, Document]]()
    for seed in seeds:
        made = [(arm, seed) for arm in config.students if TaskKey(arm, seed, cell) in outcomes.done]
        if (teacher_seed := teachers[seed]) is not None:
            made = [*((name, teacher_seed) for name in members.names(config.teacher.members)), *made]
        results = {arm: outcomes.done[TaskKey(arm, of, cell)] for arm, of in made}
        for result in results.values():
            warnings += result["warnings"]
        # A reused distilled run may be older than its baseline.
        scores.append((results["distilled"]["teacher_validation"], results["baseline"]["validation"]))
        doubts += little_to_teach(seed, *scores[-1], measure)
    if teaches_on_average(scores, measure):
        return [warning for warning in dict.fromkeys(warnings) if warning not in doubts]
    return list(dict.fromkeys(warnings + doubts))


def _arm_summary(config: Config, arm: str, scores: list[Document]) -> Document:
    known = [name for name in (*MEASURES, *FITTED) if all(name in of for of in scores)]
    measures = (*known, "ece", *(() if arm == "teacher" else ("agreement", "kl_to_teacher")))
    return statistics.summaries(scores, *measures) | {
        "parameters": scores[0]["parameters"],
        "file_bytes": scores[0]["file_bytes"],
        "expected": getattr(config.expected, arm, None),
    }
