"""One seed: a run beside the other arms of its seed, and what can be said of them before there is a verdict."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from kdistill.core.errors import KdistillError
from kdistill.evaluation import headline
from kdistill.evaluation.measures import Measure, recorded
from kdistill.experiments import next_steps
from kdistill.recipes.session import Document, Session
from kdistill.runs import Result, Run
from kdistill.teachers import files, logits_file

KEPT = ("parameters", "file_bytes")


def trained(session: Session, run: Run, result: Result) -> Document:
    """Return the result of a run with what stands beside it (see `beside`), and the path of its model in `run_info`."""
    following = next_steps.after_training(session, run.arm, run.seed)
    info = {**result["run_info"], "model": str(run.model_file), "next": following}
    about = {"experiment": session.experiment.name, "monitor": session.config.training_for(run.role).monitor}
    return {**about, **result, **beside(session, run, result), "run_info": info}


def together(session: Session, seed: int, results: Sequence[Result]) -> Document:
    """Return the result of a teacher of several members: its validation scores and size, and the result of each."""
    own = session.members(session.experiment.run("teacher", seed))
    teacher = session.teacher(files.of_runs(own))
    rows = [{**result, "member": run.name} for run, result in zip(own, results, strict=True)]
    return {
        "experiment": session.experiment.name,
        "arm": "teacher",
        "seed": seed,
        "validation": teacher.validation_scores.to_json(),
        "parameters": teacher.parameters,
        "file_bytes": sum(result["file_bytes"] for result in results),
        "members": rows,
        "measure": session.measure.name,
        "warnings": list(dict.fromkeys(warning for result in results for warning in result["warnings"])),
        "run_info": {
            "seconds": round(sum(result["run_info"]["seconds"] for result in results), 2),
            "folder": str(own[0].folder.parent),
            "next": next_steps.after_training(session, "teacher", seed),
        },
    }


def beside(session: Session, run: Run, result: Result) -> Document:
    """Return of a student's run the `headline`, the `arms` of its seed, and how they compare, in `comparison_text`.

    The scores are those of validation. A teacher's run has none of these.
    """
    if run.arm == "teacher":
        return {}
    arms = dict[str, Document]()
    if run.arm == "distilled":
        arms["teacher"] = _teacher(session, run, result)
        alone = session.experiment.run("baseline", run.seed)
        with contextlib.suppress(KdistillError):  # one of another config does not count
            if session.judge(alone).counts:
                arms["baseline"] = _row(alone.result or {})
    arms[run.arm] = _row(result)
    told = _told(session, arms, "validation", session.teachers_together)
    return {**told, "arms": arms, "measure": session.measure.name}


def evaluated(session: Session, document: Document) -> Document:
    """Return what `evaluate` returned, with the headline of the arms of one seed, and the next steps."""
    arms, seed = document["arms"], session.config.seed
    known = {arm: scores for arm, scores in arms.items() if arm != "teacher" or _taught(session, scores, seed)}
    of = arms.get("teacher", {})
    teachers = len(of.get("files", of.get("members", []))) or 1
    told = _told(session, known, "test", teachers) if arms else {}
    return {**told, **document, "run_info": {"next": next_steps.after_evaluate(session, list(arms), seed)}}


def _taught(session: Session, scores: Document, seed: int) -> bool:
    """Whether the teacher with these scores is the one of the seed's distilled run, if there is one."""
    taught_by = session.experiment.run("distilled", seed).taught_by
    own = files.of_runs(session.members(session.experiment.run("teacher", seed)))
    return "files" in scores or taught_by in (None, own.recorded_identity)


def _told(session: Session, arms: Mapping[str, Document], split: str, teachers: int) -> Document:
    measure = session.measure
    text = headline.of_arms(arms, measure, teachers, split)
    return {"headline": text, "comparison_text": _compared(arms, measure, split)}


def _compared(arms: Mapping[str, Document], measure: Measure, split: str) -> str:
    """Return in a sentence how the students of one seed differ; empty without both, or their scores."""
    scores = [recorded(arms[arm], measure) for arm in ("distilled", "baseline") if arm in arms]
    if len(scores) < 2 or scores[0] is None or scores[1] is None:
        return ""
    return headline.of_one_seed(scores[0] - scores[1], measure, split)


def _teacher(session: Session, run: Run, result: Result) -> Document:
    """Return the validation scores and the size of a run's teacher, as far as they are known."""
    own = session.members(run.of_arm("teacher"))
    paths = session.teacher_files or tuple(member.model_file for member in own)
    known: Mapping[str, Any] = {} if session.teacher_files or len(own) > 1 else own[0].result or {}
    parameters = result.get("teacher_parameters") or known.get("parameters")
    size = None
    with contextlib.suppress(OSError):  # it may be gone since
        size = logits_file.model_bytes(paths)
    return {**(result["teacher_validation"] or {}), "parameters": parameters, "file_bytes": size}


def _row(result: Result) -> Document:
    return {**result["validation"], **{key: result.get(key) for key in KEPT}}
