"""Makes a run of a session unless it is complete: checks, locks, and calls its recipe in `arms`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kdistill import runs
from kdistill.config import dump
from kdistill.core import documents, files
from kdistill.core.controls import needed_by
from kdistill.core.errors import DamagedError, ModelError
from kdistill.recipes import checks, hints
from kdistill.recipes.session import Session
from kdistill.runs import Result, Run, judge, shapes
from kdistill.runs.experiment import SUMMARY_FILE
from kdistill.teachers import files as teachers
from kdistill.teachers.files import TeacherFiles


def make(session: Session, arm: str, seed: int, teacher_run: Run | None = None) -> Result:
    """Return the result of one run, which is trained now if it is not complete.

    Args:
        session: of the run's experiment.
        arm: one of `runs.EVERY_ARM`, or the name of a teacher's member.
        seed: of the run, of a member that of its teacher.
        teacher_run: the experiment's run whose model teaches this run, of several members the first; None for the
            teacher of the same seed.
            Not used if teacher files are named.

    Raises:
        OutputError: the folder cannot be used, or holds a run of another config.
        ModelError: there is no teacher to distil from.
        ConfigError: there are no layers of a teacher to train, or a setting does not fit the data.
    """
    session.experiment.check_usable()
    run = session.experiment.run(arm, seed)
    taught_by = find_teachers(session, run, teacher_run) if needed_by(run.arm) else None
    identity = identity_of(session, taught_by) if taught_by else None
    check_start(session, run)
    if not session.options.wait:
        run.check_free()
    if _is_complete(session, run, identity):
        return _reused(session, run)
    checks.writable(session.experiment.folder)
    checks.fits(session.config, run, session.splits)
    session.start()
    if run.arm == "teacher" or session.config.distill.adjust_prior:
        check_student(session)
    if run.arm == "teacher":
        hints.check(session)
    session.experiment.create(dump(session.config))
    with run.locked(session.options.wait):
        if _is_complete(session, run, identity):  # another process has just made it
            return _reused(session, run)
        result = _recipe(session, run, session.teacher(taught_by) if taught_by else None)()
    _drop_stale_summary(session, seed)
    return result


def _recipe(session: Session, run: Run, needed: Any) -> Callable[[], Result]:
    """Return the function that trains a run; `needed` is the model that it learns or starts from, if it needs one."""
    from kdistill.recipes import arms, controls

    match run.arm:
        case "teacher":
            return partial(arms.train_teacher, session, run.of_seed, run.name)
        case "baseline":
            return partial(arms.baseline, session, run.seed)
        case "distilled":
            return partial(arms.distill, session, run.seed, needed)
    return partial(controls.TRAINED[run.arm], session, run, needed)


def check_needed(session: Session, run: Run) -> None:
    """Raise what `make` would where the experiment's own models, which a run learns or starts from, are not there."""
    if not session.teacher_files:
        find_teachers(session, run)
    check_start(session, run)


def check_start(session: Session, run: Run) -> None:
    """Refuse to start a run from a baseline that is not finished, or of another config; the hint says how to make it.

    Raises:
        ModelError: it is missing, damaged or not finished.
        OutputError: it has another specification.
    """
    if (start := session.start_of(run)) is None:
        return
    again = f"with the same -c, --set, --output-dir and --seed {run.seed} first."
    if not (status := judge(start)).counts:
        raise ModelError(
            f"{start.folder}: {run.name} starts from the weights of a finished baseline (student.initial_weights); "
            f"{status.damage or 'it is missing or not finished'}",
            hint=f"Run `kdistill baseline` {again}",
        )
    status = judge(start, session.specification("baseline", run.seed))
    runs.refuse_other_config(start, status, f"Run `kdistill baseline --overwrite` {again}")


def finished(session: Session, run: Run, teacher_run: Run | None = None) -> Result | None:
    """Return the result of a run if it is complete and has the identity that `make` would give it; else None.

    Raises:
        OutputError: the run was made from another config, and may not be overwritten.
    """
    identity = None
    if (start := session.start_of(run)) and not judge(start).counts:
        session.judge(run, run.taught_by)  # raises for a run of another config
        return None
    if needed_by(run.arm):
        identity = _found(session, _teacher_paths(session, run, teacher_run)).recorded_identity
        if identity is None:  # a teacher is missing, or its file has to be opened to know its identity
            session.judge(run, run.taught_by)  # raises for a run of another config
            return None
    return _repeat_warnings(session, run) if _is_complete(session, run, identity) else None


def find_teachers(session: Session, run: Run, teacher_run: Run | None = None) -> TeacherFiles:
    """Return the models that a run learns or starts from: the files that were named, or a run of the experiment.

    Raises:
        ModelError: one is not there, or not finished.
        OutputError: the experiment's own teacher was made from another config.
        ConfigError: no file is named, and the config has no teacher to train.
    """
    paths = _teacher_paths(session, run, teacher_run)
    if not paths:
        checks.teacher_has_layers(session.config)
        members = session.members(run.of_arm("teacher"))
        return teachers.find_trained([(member, session.specification("teacher", member.seed)) for member in members])
    teachers.check(paths, run)
    return _found(session, paths)


def _found(session: Session, paths: tuple[Path, ...]) -> TeacherFiles:
    """Return models with the weights that the config gives them, if they are the teachers that are named."""
    return teachers.find(paths, session.config.distill.shares if paths == session.teacher_files else ())


def identity_of(session: Session, found: TeacherFiles) -> str:
    """Return the joint identity of teachers: as their runs record it, or else of the opened files."""
    if recorded := found.recorded_identity:
        return recorded
    teachers.check_shapes(found.paths, session.splits)
    return session.teacher(found).identity


def _teacher_paths(session: Session, run: Run, teacher_run: Run | None) -> tuple[Path, ...]:
    if needed_by(run.arm) == "baseline":
        return (run.of_arm("baseline").model_file,)
    own = session.members(teacher_run) if teacher_run else []
    return session.teacher_files or tuple(member.model_file for member in own)


def check_student(session: Session) -> None:
    """Refuse files of a student that do not fit the data, or each other, before its teacher is trained in vain."""
    from kdistill import models
    from kdistill.models import output_bias

    section, splits = session.config.student, session.splits
    if section.model:
        model, _ = models.load_classifier(Path(section.model), *splits.fitting)
        if session.config.distill.adjust_prior:
            output_bias.check(model, Path(section.model))
    if section.weights_file:
        shape, classes, kind = splits.example
        models.build(section, "student", shape, classes, splits.scale, 0, kind=kind, task=splits.task)


def _is_complete(session: Session, run: Run, identity: str | None) -> bool:
    status = session.judge(run, identity)
    if status.damage:
        session.listener.warning(f"{run.folder}: {status.damage}; the run is made again")
    return status.counts


def _reused(session: Session, run: Run) -> Result:
    session.listener.note(f"{session.title(run)}: complete, reused")
    return _repeat_warnings(session, run)


def _repeat_warnings(session: Session, run: Run) -> Result:
    """Return the result of a complete run after its warnings, with what a killed process left in its folder removed."""
    runs.tidy(run)
    result = run.result or {}
    for warning in result.get("warnings", []):
        session.listener.warning(warning)
    return result


def _drop_stale_summary(session: Session, seed: int) -> None:
    """Remove a summary that was computed from the run of this seed which has just been replaced."""
    summary = session.experiment.folder / SUMMARY_FILE
    try:
        known = documents.read(summary, shapes.Summary)
    except DamagedError:
        return  # whoever reads it is told
    if known and seed in known.get("seeds", []):
        with files.writing(summary):
            summary.unlink()
