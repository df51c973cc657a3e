"""Making a run of a session, unless it is there: checked, locked, trained by its recipe."""

import json
from pathlib import Path

from kdistill import runs
from kdistill.config import dump
from kdistill.core import files
from kdistill.recipes import checks
from kdistill.recipes.session import Session
from kdistill.runs import Result, Run
from kdistill.runs.experiment import SUMMARY_FILE
from kdistill.teachers import files as teachers
from kdistill.teachers.files import TeacherFiles


def make(session: Session, arm: str, seed: int, own_teacher: Run | None = None) -> Result:
    """Return the result of one run, which is trained now if it is not complete.

    Args:
        session: of the run's experiment.
        arm: `teacher`, `baseline` or `distilled`.
        seed: of the run.
        own_teacher: for a distilled run without teachers from files, the run that teaches it, if not the teacher of its
            own seed.

    Raises:
        OutputError: the folder cannot be used, or holds a run of another config.
        ModelError: there is no teacher to distil from.
    """
    session.experiment.check_usable()
    run = session.experiment.run(arm, seed)
    taught_by = find_teachers(session, run, own_teacher) if arm == "distilled" else None
    weights = identity(session, taught_by) if taught_by else None
    if not session.options.wait:
        run.check_free()
    if _is_done(session, run, weights):
        return _reused(session, run)
    checks.writable(session.experiment.folder)
    checks.fits(session.config, run, session.splits)
    session.start()
    from kdistill.recipes import arms

    if arm == "teacher":
        arms.check_student(session)
    session.experiment.create(dump(session.config))
    with run.locked(session.options.wait):
        if _is_done(session, run, weights):  # another process has just made it
            return _reused(session, run)
        if taught_by:
            result = arms.distill(session, seed, session.teacher(taught_by))
        else:
            result = arms.train_teacher(session, seed) if arm == "teacher" else arms.baseline(session, seed)
    _drop_stale_summary(session, seed)
    return result


def finished(session: Session, run: Run, own_teacher: Run | None = None) -> Result | None:
    """Return the result of a run that is complete and was made as this session would make it; else None.

    Args:
        session: of the run's experiment.
        run: which need not be there.
        own_teacher: see `make`; it may not be there yet.

    Raises:
        OutputError: it was made from another config, and may not be overwritten.
    """
    weights = None
    if run.arm == "distilled":
        weights = teachers.find(session.teacher_files or _models(own_teacher)).recorded_weights
        if weights is None:
            session.judge(run, run.taught_by)  # whoever that was, the config may be another
            return None
    return _taken_up(session, run) if _is_done(session, run, weights) else None


def find_teachers(session: Session, run: Run, own_teacher: Run | None = None) -> TeacherFiles:
    """Return the teachers of a distilled run: of files that were named, or a run.

    Args:
        session: of the run's experiment.
        run: that is to be taught.
        own_teacher: see `make`.

    Raises:
        ModelError: one is not there, or not finished.
        OutputError: the experiment's own teacher was made from another config.
    """
    paths = session.teacher_files or _models(own_teacher)
    if not paths:
        return teachers.find_own(run.of_arm("teacher"), session.specification("teacher", run.seed))
    teachers.check(paths, run)
    return teachers.find(paths)


def identity(session: Session, found: TeacherFiles) -> str:
    """Return the fingerprint of a teacher, or of several: that of their runs, or else of their opened files."""
    if recorded := found.recorded_weights:
        return recorded
    teachers.check_shapes(found.paths, session.splits)
    return session.teacher(found).weights


def _models(own_teacher: Run | None) -> tuple[Path, ...]:
    return (own_teacher.model_file,) if own_teacher else ()


def _is_done(session: Session, run: Run, teacher_weights: str | None) -> bool:
    status = session.judge(run, teacher_weights)
    if status.damage:
        session.listener.warning(f"{run.folder}: {status.damage}; the run is made again")
    return status.counts


def _reused(session: Session, run: Run) -> Result:
    session.listener.note(f"{session.title(run)}: complete, reused")
    return _taken_up(session, run)


def _taken_up(session: Session, run: Run) -> Result:
    runs.tidy(run)
    result = run.result or {}
    for warning in result["warnings"]:
        session.listener.warning(warning)
    return result


def _drop_stale_summary(session: Session, seed: int) -> None:
    """Remove a summary of this seed: the run that was just made is not the one that it was computed from."""
    summary = session.experiment.folder / SUMMARY_FILE
    try:
        stale = seed in json.loads(summary.read_bytes())["seeds"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # there is none, or nothing that could be taken for one
    if stale:
        with files.writing(summary):
            summary.unlink()
