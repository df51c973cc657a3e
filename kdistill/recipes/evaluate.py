"""Test scores of finished runs, of their teachers, and of model files: as recorded, or else computed now."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdistill import modelfiles, runs
from kdistill.config import Config
from kdistill.core import members
from kdistill.core.errors import KdistillError, ModelError, OutputError
from kdistill.evaluation import crossed, measures, metrics
from kdistill.evaluation.measures import ACCURACY, Measure
from kdistill.recipes import predictions, transfer_set
from kdistill.recipes.make import identity_of
from kdistill.recipes.session import Document, Session
from kdistill.runs import Run, ScoresOnTest, known_scores, lacks_parts, record_scores
from kdistill.teachers import files
from kdistill.teachers.files import TeacherFiles

COMMANDS = {"teacher": "train-teacher", "baseline": "baseline", "distilled": "distill"}  # controls: `reproduce`


def evaluate(session: Session, seed: int, model_files: Sequence[Path]) -> Document:
    """Score the finished arms of one seed, or the model files given, on the test split.

    Raises:
        ModelError: there is no run to score, or one is damaged.
        OutputError: the finished arms were all made from another config.
        KdistillError: no file can be scored. Where some can, `failed` has the others: see `failure`.
    """
    document: Document = {
        "experiment": session.experiment.name,
        "split": "test",
        "models": [],
        "arms": {},
        "failed": [],
    }
    if model_files:
        _add_files(session, document, model_files)
    else:
        found = arms_to_score(session, seed)
        every = {run.name: {"seed": seed, **score(session, run, reuse=False)} for run in found}
        together = {"teacher": {"seed": seed, **known}} if (known := _together(session, found)) else {}
        names = members.names(session.config.teacher.members)
        alone = {name: scores for name, scores in every.items() if not together or name not in names}
        document["arms"] = {**_given_teacher(session, found), **together, **alone}
    test = session.splits.test
    document["examples"] = len(test)
    document["imbalance"] = measures.imbalance(
        session.splits.task.examples(test.all_labels, len(session.splits.classes)).tolist()
    )
    document["measure"] = session.measure.name
    return document


def _add_files(session: Session, document: Document, model_files: Sequence[Path]) -> None:
    """Add the scores of model files to a document, and for each that cannot be scored why not.

    Raises:
        KdistillError: no file can be scored; with the reasons.
    """
    if any(path.exists() for path in model_files):
        session.start()
        for warning in session.splits.warnings:
            session.listener.warning(warning)
    errors = list[KdistillError]()
    for path in model_files:
        try:
            document["models"].append({"path": str(path), **_score_file(session, path)})
        except KdistillError as error:
            of = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
            document["failed"].append({"path": str(path), **of})
            errors.append(error)
    if not document["models"]:
        raise failure(document["failed"]) if len(errors) > 1 else errors[0]


def _score_file(session: Session, path: Path) -> ScoresOnTest:
    modelfiles.check_exists(path)
    from kdistill.recipes import arms

    try:
        return arms.evaluate_file(session, path)
    except ModelError as error:
        raise ModelError(error.message, error.hint or data_hint(session.config)) from error


def failure(failed: Sequence[Document]) -> KdistillError:
    """Return the error for files that could not be scored, `failed` in the document of `evaluate`.

    It has the exit code of the first, and the reasons and hints of all.
    """
    hints = dict.fromkeys(each["hint"] for each in failed if each["hint"])
    error = KdistillError("\n".join(each["message"] for each in failed), "\n".join(hints) or None)
    error.exit_code = failed[0]["exit_code"]
    return error


def _given_teacher(session: Session, scored: Sequence[Run]) -> Document:
    """Return the scores of the teacher from files that taught the distilled run, as {"teacher": ...}; else {}.

    A teacher that is a run of the experiment and its seed has scores of its own. Why a teacher is not scored, the
    listener is told.
    """
    distilled = next((run for run in scored if run.arm == "distilled"), None)
    found = distilled and _teacher_of(session, distilled, warns=False)
    own = {member.model_file for member in session.members(distilled.of_arm("teacher"))} if distilled else set()
    if not found or set(found.paths) == own:
        return {}
    names = ", ".join(map(str, found.paths))
    if any(run.arm == "teacher" for run in scored):
        session.listener.note(f"{names} taught the distilled student; `teacher` is the one that was trained here")
        return {}
    from kdistill.recipes import arms

    teacher = session.teacher(found)
    if teacher.test is None:
        session.listener.note(f"{names} has no logits for the test split: the teacher is not scored")
        return {}
    session.listener.note(f"The teacher is {names}")
    return {"teacher": {"seed": None, "files": list(map(str, found.paths)), **arms.evaluate_teacher(session, teacher)}}


def score(session: Session, run: Run, reuse: bool = True, measure: Measure | None = None) -> ScoresOnTest:
    """Return the test scores of a complete run: as recorded, if `reuse` and they are, or else computed and recorded.

    Recorded scores of an early version without `measure`, by default the session's, are completed from the model's
    logits, if these are kept.
    """
    teacher_files = _teacher_of(session, run)
    identity = identity_of(session, teacher_files) if teacher_files else None
    if reuse and (known := known_scores(run, identity)):
        if not _incomplete(run, known, measure or session.measure):
            return known
        if whole := _completed(session, run, known, identity):
            return whole
    session.start()
    from kdistill.recipes import arms

    teacher = session.teacher(teacher_files) if teacher_files else None
    cache = predictions.cache_of(session, run)
    scores, logits = arms.evaluate(session, run.model_file, teacher)
    scores = transfer_set.with_scores_before(run, scores, logits, session.splits.test.all_labels)
    try:
        _record(session, run, scores, identity, logits, cache.model)
        cache.store("test", logits)
    except OutputError as error:  # the experiment may be another user's, and read-only
        session.listener.note(f"The scores are not kept: {error.message}")
    return scores


def known_score(session: Session, run: Run) -> ScoresOnTest | None:
    """Return the recorded test scores of a complete run; None where they, or the session's measure, are not known."""
    teacher_files = _teacher_of(session, run)
    known = known_scores(run, identity_of(session, teacher_files) if teacher_files else None)
    return None if known and _incomplete(run, known, session.measure) else known


def _incomplete(run: Run, known: ScoresOnTest, measure: Measure) -> bool:
    """Whether recorded scores lack a measure, or what is needed to compare by it."""
    return measures.lacks(known, measure) or lacks_parts(run, measure)


def _record(
    session: Session, run: Run, scores: ScoresOnTest, weights: str | None, logits: metrics.Floats, model: str | None
) -> None:
    """Record the scores of logits (n, classes) on the test split, and what a verdict by the session's measure needs."""
    labels, measure = session.splits.test.all_labels, session.measure
    correct = session.splits.task.correct(logits, labels).tolist()
    parts = {} if measure is ACCURACY else {measure.name: crossed.without_parts(logits, labels, measure) or []}
    record_scores(run, scores, weights, correct, model, parts)


def _completed(session: Session, run: Run, known: ScoresOnTest, identity: str | None) -> ScoresOnTest | None:
    """Return and record scores with the measures that an early version did not; None without the model's logits."""
    cache = predictions.cache_of(session, run)
    logits = cache.load("test", (len(session.splits.test), len(session.splits.classes)))
    if logits is None:
        return None
    labels = session.splits.test.all_labels
    whole: Any = {**metrics.score(logits, labels).to_json(), **known}
    with contextlib.suppress(OutputError):  # the experiment may be another user's, and read-only
        _record(session, run, whole, identity, logits, cache.model)
    return whole


def _together(session: Session, scored: Sequence[Run]) -> ScoresOnTest | None:
    """Return the scores of a teacher of several members; None of one, or, which is told, where members are missing."""
    found = [run for run in scored if run.arm == "teacher"]
    if session.config.teacher.members == 1 or not found:
        return None
    if len(found) == session.config.teacher.members:
        return score_members(session, found)
    of = f"{len(found)} of {session.config.teacher.members} members are finished"
    session.listener.note(f"The teacher is not scored, each finished member is: {of}")
    return None


def score_members(session: Session, every: Sequence[Run]) -> ScoresOnTest:
    """Return the test scores of several members' mean probability, and under `members` those of each.

    The members are scored first: their logits are kept then, and computed once.
    """
    each = [score(session, member) for member in every]
    found = _in_order(every)
    logits = predictions.of_teachers(session, found.paths, str(found.recorded_identity))
    return _of_members(session, np.asarray(logits), each)


def known_members(session: Session, every: Sequence[Run]) -> ScoresOnTest | None:
    """Return what `score_members` does if it is known, or can be computed from logits that were kept; else None."""
    each, found = [known_score(session, member) for member in every], _in_order(every)
    whole = [scores for scores in each if scores is not None]
    logits = predictions.kept_of(session, found, str(found.recorded_identity)) if len(whole) == len(each) else None
    return None if logits is None else _of_members(session, logits, whole)


def _in_order(every: Sequence[Run]) -> TeacherFiles:
    """Return complete runs as a teacher, in the order of their joint identity."""
    return files.of_runs(sorted(every, key=lambda run: str(run.weights)))


def _of_members(session: Session, logits: metrics.Floats, each: list[ScoresOnTest]) -> ScoresOnTest:
    task, labels = session.splits.task, session.splits.test.all_labels
    scores: Any = metrics.score(metrics.ensemble_logits(logits, task), labels).to_json()
    sizes = {key: sum(scored[key] or 0 for scored in each) for key in ("parameters", "file_bytes")}
    return scores | sizes | {"agreement": None, "kl_to_teacher": None, "members": each}


def score_teachers(session: Session) -> ScoresOnTest:
    """Return the test scores of the teachers from files: see `arms.evaluate_teacher`."""
    teacher = session.teacher(files.find(session.teacher_files, session.config.distill.shares))
    from kdistill.recipes import arms

    return arms.evaluate_teacher(session, teacher)


def _teacher_of(session: Session, run: Run, warns: bool = True) -> TeacherFiles | None:
    """Return the teacher whose agreement with a student is measured: the one that taught the distilled run of its seed.

    Without a distilled run it is the experiment's own teacher. A file that has changed since does not count. A run of
    another experiment, such as a student that teaches here, is compared with nobody.
    """
    if run.arm == "teacher" or run != session.experiment.run(run.arm, run.seed):
        return None
    every = session.members(session.experiment.run("teacher", run.seed))
    own = files.find([member.model_file for member in every])
    candidates = [own] if all(own.runs) else []
    distilled = session.experiment.run("distilled", run.seed)
    identity = distilled.taught_by
    if identity is None:
        return candidates[0] if candidates else None
    if places := runs.teacher_files(distilled.manifest or {}):
        candidates.append(files.find([session.experiment.folder / place for place in places], runs.shares_of(identity)))
    for found in candidates:
        with contextlib.suppress(ModelError):  # a file is missing or damaged
            if runs.same_teachers(identity_of(session, found), identity):
                return found
    if warns:
        session.listener.warning(
            f"Seed {run.seed}: the teacher of the distilled student is missing or has changed: agreement is left out."
        )
    return None


def data_hint(config: Config) -> str:
    """Return a hint for a model that does not fit the data: which data it was checked against."""
    data = f"the data of the config `{config.name}` ({config.data.dataset})"
    return f"The model was checked against {data}. For a model of other data, give the config of that data with -c."


def arms_to_score(session: Session, seed: int) -> list[Run]:
    """Return the finished runs of one seed that were made from the session's config; warn of those that were not.

    Raises:
        ModelError: there is no finished run, or one is damaged.
        OutputError: all finished runs were made from another config.
    """
    found, others = [], []
    names = (*members.names(session.config.teacher.members), *session.config.students)
    for run in (session.experiment.run(name, seed) for name in names):
        if not run.finished:
            continue
        status = runs.judge(run, session.specification(run.arm, run.seed, run.taught_by) if run.manifest else None)
        if status.differences:
            others.append(f"{run.folder}: {runs.other_config(run, status)}")
        elif status.damage:
            command = COMMANDS.get(run.arm, "reproduce")
            again = f"with the same -c, --set, --output-dir and --seed {seed} to make it again."
            raise ModelError(f"{run.folder}: {status.damage}", hint=f"Run `kdistill {command}` {again}")
        else:
            found.append(run)
    if others and not found:
        raise OutputError("\n".join(others), "Give the -c and --set that it was made with, or another --output-dir.")
    if not found:
        raise ModelError(
            f"{session.experiment.folder}: there is no finished run of seed {seed} to evaluate",
            hint="Run `kdistill reproduce` with the same -c, --set and --output-dir first, or name model files.",
        )
    for other in others:
        session.listener.warning(f"{other}\n  It is not scored.")
    return found
