"""What a command would do, without doing it: nothing is trained, scored, downloaded or written.

Whatever can be checked is, and raises what the command itself would raise: the config, the folders, the data unless it
would have to be downloaded, model files that were named, the device.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from kdistill import datasets, modelfiles
from kdistill.core import backend
from kdistill.core.errors import ModelError
from kdistill.experiments.part import Part
from kdistill.experiments.preflight import Preflight
from kdistill.experiments.sweep import pairs_of
from kdistill.experiments.sweep_grid import Cell, Grid
from kdistill.experiments.task_graph import teacher_of_each, teachers_of
from kdistill.recipes import checks
from kdistill.recipes.evaluate import arms_to_score, held_against
from kdistill.recipes.make import find_teachers
from kdistill.recipes.session import Session
from kdistill.runs import Run, joint_weights, judge
from kdistill.runs.experiment import CHOSEN_BY
from kdistill.teachers import files as teacher_files

MADE_AGAIN = "to make again"
STATES = {
    "missing": "to train",
    "interrupted": "interrupted",
    "damaged": "damaged",
    "finished": "complete",
    "other config": MADE_AGAIN,
}
HARD = "loss = hard"
MODEL = ".keras"


class PlannedRun(TypedDict):
    """A run that a command would make, or would find complete."""

    arm: str
    seed: int
    state: str  # `to train`, `interrupted`, `complete`, `damaged` or `to make again`
    changes: list[str]  # why it is to be made again
    folder: str


class PlannedCellRun(PlannedRun):
    """A run of a sweep."""

    of: str  # the cell, or the teacher or baseline
    home: str  # the folder of that


class FoundTeacher(TypedDict):
    """Files that teach together."""

    path: str
    weights: str
    validation_accuracy: float | None
    warnings: list[str]


class FoundData(TypedDict):
    """The data set, and the sizes of its splits; None where it is to be downloaded."""

    data: dict[str, str]  # `dataset`, `state`
    examples: dict[str, int] | None


class Plan(FoundData):
    """What all plans of commands that train have."""

    experiment: str
    part: str | None
    formula: str | None  # None where it is not the same in all cells
    warnings: list[str]
    run_info: dict[str, Any]  # `threads`, `output_dir`


class TrainingPlan(Plan):
    """What a command that trains would do."""

    runs: list[PlannedRun]
    teacher: FoundTeacher | None


class PlannedCell(TypedDict):
    """A cell of a sweep."""

    set: dict[str, Any]
    runs: int
    done: int


class SweepPlan(Plan):
    """What a sweep, or a part of it, would do; what is left for the winner is not in it."""

    axes: dict[str, list[Any]]
    seeds: list[int]
    chosen_by: str
    cells: list[PlannedCell]
    runs: list[PlannedCellRun]
    teachers: int  # that are trained
    given_teachers: list[FoundTeacher]


class ScoringPlan(FoundData):
    """What would be scored."""

    experiment: str
    split: str
    seed: int
    arms: list[dict[str, str]]  # `arm`, `folder`
    models: list[dict[str, str]]  # `path`
    run_info: dict[str, Any]


def training(
    session: Session,
    arms: Sequence[str],
    seeds: Sequence[int],
    teacher_seeds: Sequence[int] | None = None,
    part: Part | None = None,
) -> TrainingPlan:
    """Return every run of a command with its state.

    Args:
        session: of the command.
        arms: that it makes, in this order.
        seeds: of the runs.
        teacher_seeds: of the experiment's own teachers, taken in turn; by default each seed has its own.
        part: of the seeds; None for all of them.
    """
    config, experiment = session.config, session.experiment
    experiment.check_usable()
    checks.writable(experiment.folder)
    given = session.teacher_files if "distilled" in arms else ()
    if list(arms) == ["distilled"] and not given:
        find_teachers(session, experiment.run("distilled", seeds[0]))
    arms = [arm for arm in arms if arm != "teacher" or not given]
    data = _data(session)
    _check_models(session, arms, Preflight(), set())
    teacher = None
    teachers_of(session, seeds, teacher_seeds)  # refuses what cannot be meant
    taught_by = teacher_of_each(seeds, teacher_seeds)
    if part:
        taught_by = {seed: taught_by[seed] for seed in part.of(seeds)}
    if given:
        for seed in taught_by:
            teacher_files.check(given, experiment.run("distilled", seed))
        teacher = _checked_teacher(session, given)
    _check_device(session)
    rows = _rows(session, arms, taught_by, teacher["weights"] if teacher else None)
    own = [] if teacher or "distilled" not in arms else [experiment.run("teacher", of) for of in taught_by.values()]
    return {
        "experiment": experiment.name,
        "part": str(part) if part else None,
        "runs": rows,
        **data,
        "teacher": teacher,
        "formula": config.distill.formula(len(given)) if "distilled" in arms else HARD,
        "warnings": _told(session, _warnings(session, data, [teacher] if teacher else [], own)),
        "run_info": _run_info(session),
    }


def sweep(grid: Grid, seeds: Sequence[int], part: Part | None = None) -> SweepPlan:
    """Return every run of a sweep with its state, or of a part of it."""
    home, preflight, opened = grid.home, Preflight(), set[Path]()
    home.experiment.check_usable()
    checks.writable(home.experiment.folder)
    data, pairs = _data(home), pairs_of(grid, seeds, part)
    given: dict[object, FoundTeacher] = {}
    rows: dict[Path, PlannedCellRun] = {}
    for cell, seed in pairs:
        _check_models(cell.session, ["distilled"], preflight, opened)
        teacher = _teacher_of(cell, seed, given)
        own = cell.teacher.experiment.run("teacher", seed)
        if not teacher:
            _check_models(cell.teacher, ["teacher"], preflight, opened)
            of = f"teacher {cell.teacher_name}".strip()
            rows.setdefault(own.folder, _row_of(of, cell.teacher, own, own, None, False))
        made_again = own.folder in rows and rows[own.folder]["state"] == MADE_AGAIN
        run = cell.session.experiment.run("distilled", seed)
        weights = teacher["weights"] if teacher else None
        rows[run.folder] = _row_of(cell.name, cell.session, run, own, weights, made_again)
    for seed in (part.of(seeds) if part else seeds) if grid.shares_baseline else ():
        _check_models(home, ["baseline"], preflight, opened)
        run = home.experiment.run("baseline", seed)
        rows[run.folder] = _row_of("baseline", home, run, run, None, False)
    _check_device(home)
    runs = sorted(rows.values(), key=lambda row: ("teacher", "baseline", "distilled").index(row["arm"]))
    formulas = {cell.session.formula for cell in grid.cells}
    return {
        "experiment": home.experiment.name,
        "part": str(part) if part else None,
        "axes": {key: list(values) for key, values in grid.axes.items()},
        "seeds": list(seeds),
        "chosen_by": CHOSEN_BY,
        "cells": [_counted(cell, runs) for cell in grid.cells],
        "runs": runs,
        **data,
        "teachers": sum(row["arm"] == "teacher" for row in runs),
        "given_teachers": list(given.values()),
        "formula": formulas.pop() if len(formulas) == 1 else None,
        "warnings": _told(home, _warnings(home, data, list(given.values()), [])),
        "run_info": _run_info(home),
    }


def _teacher_of(cell: Cell, seed: int, opened: dict[object, FoundTeacher]) -> FoundTeacher | None:
    """Return the teachers that a cell's config names, opened and checked, if they were not before; None for none."""
    session = cell.session
    given = session.teacher_files
    if not given:
        return None
    teacher_files.check(given, session.experiment.run("distilled", seed))
    asked = (session.config.data, session.config.distill.teachers, session.config.teacher.preprocessing)
    if asked not in opened:
        teacher_files.check_test_logits(given)
        opened[asked] = _checked_teacher(session, given)
    return opened[asked]


def _row_of(
    of: str, session: Session, run: Run, teacher: Run, given: str | None, teacher_changes: bool
) -> PlannedCellRun:
    row = _row(session, run, teacher, given, teacher_changes)
    return {**row, "of": of, "home": str(session.experiment.folder)}


def _counted(cell: Cell, runs: Sequence[PlannedCellRun]) -> PlannedCell:
    """Return how many runs a cell has, and how many of them are done."""
    states = [run["state"] for run in runs if run["arm"] == "distilled" and run["of"] == cell.name]
    return {"set": dict(cell.settings), "runs": len(states), "done": states.count("complete")}


def scoring(session: Session, seed: int, model_files: Sequence[Path]) -> ScoringPlan:
    """Return the finished arms of one seed, or the model files given, that would be scored."""
    arms = [] if model_files else arms_to_score(session, seed)
    data = _data(session)
    for path in model_files:
        _check_model(session, path)
    _check_device(session)
    return {
        "experiment": session.experiment.name,
        "split": "test",
        "seed": seed,
        "arms": [{"arm": run.arm, "folder": str(run.folder)} for run in arms],
        "models": [{"path": str(path)} for path in model_files],
        **data,
        "run_info": _run_info(session),
    }


def _rows(session: Session, arms: Sequence[str], teachers: Mapping[int, int], given: str | None) -> list[PlannedRun]:
    """Return a row for each run; `teachers` has each seed's teacher's seed, `given` the weights of a teacher's file."""
    rows: dict[tuple[str, int], PlannedRun] = {}
    for seed, teacher_seed in teachers.items():
        own = session.experiment.run("teacher", teacher_seed)
        for arm in arms:
            run = own if arm == "teacher" else session.experiment.run(arm, seed)
            if (run.arm, run.seed) not in rows:
                teachers_row = rows.get(("teacher", teacher_seed))
                made_again = teachers_row is not None and teachers_row["state"] == MADE_AGAIN
                rows[run.arm, run.seed] = _row(session, run, own, given, made_again)
    return list(rows.values())


def _row(session: Session, run: Run, teacher: Run, given: str | None, teacher_changes: bool) -> PlannedRun:
    """Return a run with its state; refuse it where the command would."""
    teacher_weights = None
    if run.arm == "distilled":
        teacher_weights = given or _weights_of_own_teacher(session, teacher, run)
    run.check_free()
    status = session.judge(run, teacher_weights)
    changes, state = list(status.differences), STATES[status.state]
    if run.arm == "distilled" and teacher_changes and run.manifest:
        changes, state = [*changes, "teacher: is made again"], MADE_AGAIN
    return {"arm": run.arm, "seed": run.seed, "state": state, "changes": changes, "folder": str(run.folder)}


def _weights_of_own_teacher(session: Session, teacher: Run, run: Run) -> str | None:
    """Return those of the teacher as it is; where it is still to be made, of the one that taught the run that is there.

    A teacher that is made again from the same config is the same teacher.
    """
    is_there = judge(teacher, session.specification("teacher", teacher.seed)).counts
    return teacher.weights if is_there else run.taught_by


def _data(session: Session) -> FoundData:
    """Return the data set with the sizes of its splits, read and verified unless it would have to be downloaded."""
    name = session.config.data.dataset
    if datasets.needs_download(session.config.data):
        return {"data": {"dataset": name, "state": "to download"}, "examples": None}
    splits = session.splits
    examples = {part: len(getattr(splits, part)) for part in ("train", "validation", "test")}
    return {"data": {"dataset": name, "state": "here"}, "examples": examples}


def _check_models(session: Session, arms: Sequence[str], preflight: Preflight, opened: set[Path]) -> None:
    """Refuse settings that do not go with the data, as far as that is here, and files of layers that do not.

    Args:
        session: whose config it is.
        arms: that are made.
        preflight: what was checked before.
        opened: files of layers that were opened before.
    """
    if not datasets.needs_download(session.config.data):
        preflight.fits(session, arms)
    for role in {"teacher" if arm == "teacher" else "student" for arm in arms}:
        model = getattr(session.config, role).model
        if model and Path(model) not in opened:
            _check_model(session, Path(model))
            opened.add(Path(model))


def _warnings(session: Session, data: FoundData, given: Sequence[FoundTeacher], own: Sequence[Run]) -> list[str]:
    """Return what the runs would warn of, as far as it is known before they are trained.

    Args:
        session: of the command.
        data: see `_data`.
        given: see `_checked_teacher`.
        own: the runs of the experiment's own teachers, which may not be there yet, or be made again.
    """
    if not data["examples"]:
        return []
    warnings = [*session.splits.all_warnings, *(warning for teacher in given for warning in teacher["warnings"])]
    for run in own:
        if judge(run, session.specification("teacher", run.seed)).counts:
            warning = session.splits.no_better_than_chance((run.result or {})["validation"]["accuracy"])
            warnings += [warning] if warning else []
    return list(dict.fromkeys(warnings))


def _told(session: Session, warnings: list[str]) -> list[str]:
    for warning in warnings:
        session.listener.warning(warning)
    return warnings


def _checked_teacher(session: Session, paths: Sequence[Path]) -> FoundTeacher:
    """Open a teacher, or several, with all the checks of training, their logits kept nowhere."""
    names = ", ".join(map(str, paths))
    if datasets.needs_download(session.config.data):
        models = [_check_model(session, path) for path in paths if path.suffix == MODEL]
        return {"path": names, "weights": joint_weights(models), "validation_accuracy": None, "warnings": []}
    teacher_files.check_shapes(paths, session.splits)
    session.start()
    from kdistill.teachers import load

    with tempfile.TemporaryDirectory() as place:
        teacher = load.load_teacher(session.config, session.splits, Path(place), teacher_files.find(paths))
        for note in teacher.notes:
            session.listener.note(note)
        accuracy = teacher.validation_scores.accuracy
        warnings = load.warnings(session.config, session.splits, teacher)
    return {"path": names, "weights": teacher.weights, "validation_accuracy": accuracy, "warnings": warnings}


def _check_model(session: Session, path: Path) -> str:
    """Open a model file as far as it can be without data; return the fingerprint of its weights."""
    modelfiles.check_exists(path)
    backend.start(session.threads, session.options.device)
    from kdistill import models

    shape, classes = session.example
    try:
        model, _ = models.load_classifier(path, shape, classes)
    except ModelError as error:
        raise ModelError(error.message, error.hint or held_against(session.config)) from error
    return models.fingerprint(model)


def _check_device(session: Session) -> None:
    """Refuse a GPU that is not there. It takes TensorFlow to know."""
    if session.options.device == "gpu":
        backend.start(session.threads, "gpu")


def _run_info(session: Session) -> dict[str, Any]:
    return {"threads": session.threads, "output_dir": str(session.experiment.folder)}
