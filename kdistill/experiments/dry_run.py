"""The plan of a command, for `--dry-run`: nothing is trained, scored, downloaded or written.

Everything that can be checked is, and raises what the command itself would raise: the config, the folders, the data
unless it would have to be downloaded, model files that were named, the device.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from kdistill import datasets, modelfiles
from kdistill.config.formula import hard_formula
from kdistill.core import backend, members
from kdistill.core.controls import needed_by
from kdistill.core.errors import ModelError
from kdistill.datasets.chance import at_chance
from kdistill.experiments.part import Part
from kdistill.experiments.preflight import Preflight
from kdistill.experiments.sweep import pairs_of
from kdistill.experiments.sweep_grid import Cell, Grid
from kdistill.experiments.task_graph import teachers_of
from kdistill.recipes import budgets, checks, transfer_set
from kdistill.recipes.evaluate import arms_to_score, data_hint
from kdistill.recipes.make import check_needed
from kdistill.recipes.session import Document, Session
from kdistill.runs import Run, arm_order, joint_identity, judge
from kdistill.runs.experiment import chosen_by
from kdistill.teachers import doubts
from kdistill.teachers import files as teacher_files

MADE_AGAIN = "to make again"
STATES = {"missing": "to train", "finished": "complete", "other config": MADE_AGAIN}  # others are called as by `judge`


class PlannedRun(TypedDict):
    """A run that a command would train, or find complete."""

    arm: str
    seed: int
    state: str  # of `STATES`, `interrupted` or `damaged`
    changes: list[str]  # why it is to be made again
    folder: str
    of: NotRequired[str]  # in a sweep: the cell, or the teacher or baseline
    home: NotRequired[str]  # in a sweep: the folder of that experiment or cell


class Plan(TypedDict, total=False):
    """What a command would do. Which keys it has depends on the command."""

    experiment: str
    data: dict[str, str]  # `dataset`, `state`
    examples: dict[str, int] | None  # the sizes of the splits; None where the data is to be downloaded
    run_info: Document  # `threads`, `output_dir`
    part: str | None
    runs: list[PlannedRun]
    transfer_set: str  # what the student is distilled on, where classes are left out, and whether biases are moved
    formula: str | None  # None where the cells of a sweep have several
    updates: dict[str, str]  # by role, updates and epochs in words where the config gives updates, one of all cells
    warnings: list[str]
    teacher: Document | None  # from files: see `_open_teachers`
    axes: dict[str, list[Any]]  # of a sweep, as all keys to `given_teachers`
    seeds: list[int]
    chosen_by: str
    cells: list[Document]  # `set`, and how many `runs` it has, and of those are `done`
    teachers: int  # how many are trained
    given_teachers: list[Document]
    split: str  # of `evaluate`, as all keys from here
    seed: int
    arms: list[dict[str, str]]  # `arm`, `folder`
    models: list[dict[str, str]]  # `path`


def training(
    session: Session,
    arms: Sequence[str],
    seeds: Sequence[int],
    teacher_seeds: Sequence[int] | None = None,
    part: Part | None = None,
) -> Plan:
    """Return the plan of a command that trains some arms, in their order: every run with its state.

    For `teacher_seeds` see `teachers_of`; `part` chooses from the seeds.
    """
    experiment = session.experiment
    experiment.check_usable()
    checks.writable(experiment.folder)
    given = session.teacher_files if "distilled" in arms else ()
    if list(arms) == ["distilled"]:
        check_needed(session, experiment.run("distilled", seeds[0]))
    arms = [arm for arm in arms if arm != "teacher" or not given]
    data = _data(session)
    _ModelChecks().check(session, arms)
    taught_by = {
        seed: seed if of is None else of
        for seed, of in teachers_of(session, seeds, teacher_seeds).items()
        if not part or seed in part.of(seeds)
    }
    for seed in taught_by if given else ():
        teacher_files.check(given, experiment.run("distilled", seed))
    teacher = _open_teachers(session, given) if given else None
    own = [] if teacher or "distilled" not in arms else _own_teachers(session, taught_by.values())
    return {
        "experiment": experiment.name,
        "part": str(part) if part else None,
        "runs": _rows(session, arms, taught_by, teacher["weights"] if teacher else None),
        **data,
        "teacher": teacher,
        **_told(session, arms, data),
        "warnings": _warnings(session, data, [teacher] if teacher else [], own),
        "run_info": _run_info(session),
    }


def _told(session: Session, arms: Sequence[str], data: Document) -> Any:
    """Return what a plan tells of the training: its formula, its updates, and its transfer set if chosen."""
    chosen = transfer_set.told(session) if "distilled" in arms and data["examples"] else ""
    about = {"formula": _formula(session, arms), "updates": _updates(data, [session], arms)}
    return about | ({"transfer_set": chosen} if chosen else {})


def _formula(session: Session, arms: Sequence[str]) -> str:
    weights = session.config.data.class_weights
    if "distilled" in arms:
        return session.formula
    return hard_formula(weights)


def _updates(data: Document, sessions: Sequence[Session], arms: Sequence[str]) -> dict[str, str]:
    """Return `budgets.told` of the roles of some arms, as far as it is the same in all sessions."""
    roles = dict.fromkeys("teacher" if arm == "teacher" else "student" for arm in arms)
    if not data["examples"]:
        return {}
    first, *others = (budgets.told(session.config, session.splits, tuple(roles)) for session in sessions)
    return {role: words for role, words in first.items() if all(other.get(role) == words for other in others)}


def sweep(grid: Grid, seeds: Sequence[int], part: Part | None = None) -> Plan:
    """Return the plan of a sweep, or of a part of it: every run with its state."""
    home, models = grid.home, _ModelChecks()
    home.experiment.check_usable()
    checks.writable(home.experiment.folder)
    data, pairs = _data(home), pairs_of(grid, seeds, part)
    models.compares(home, "validation", "test")
    given: dict[object, Document] = {}
    rows: dict[Path, PlannedRun] = {}
    for cell, seed in pairs:
        _add_rows(rows, cell, seed, given, models)
    for seed in (part.of(seeds) if part else seeds) if grid.shares_baseline else ():
        models.check(home, ["baseline"])
        run = home.experiment.run("baseline", seed)
        rows[run.folder] = _cell_row("baseline", home, run)
    runs = sorted(rows.values(), key=lambda row: arm_order(row["arm"]))
    formulas = {cell.session.formula for cell in grid.cells}
    return {
        "experiment": home.experiment.name,
        "part": str(part) if part else None,
        "axes": {key: list(values) for key, values in grid.axes.items()},
        "seeds": list(seeds),
        "chosen_by": chosen_by(home.measure),
        "cells": [_counted(cell, runs) for cell in grid.cells],
        "runs": runs,
        **data,
        "teachers": sum(members.arm_of(row["arm"]) == "teacher" for row in runs),
        "given_teachers": list(given.values()),
        "formula": formulas.pop() if len(formulas) == 1 else None,
        "updates": _updates(data, [cell.session for cell in grid.cells], ["teacher", "distilled"]),
        "warnings": _warnings(home, data, list(given.values()), []),
        "run_info": _run_info(home),
    }


def _add_rows(
    rows: dict[Path, PlannedRun], cell: Cell, seed: int, given: dict[object, Document], models: "_ModelChecks"
) -> None:
    """Add the rows of one seed of a cell: its teacher, if it is trained and not there yet, and its distilled run."""
    models.check(cell.session, ["distilled"])
    teacher = _teachers_of_cell(cell, seed, given)
    own = cell.session.members(cell.teacher.experiment.run("teacher", seed))
    for member in () if teacher else own:
        models.check(cell.teacher, ["teacher"])
        of = f"{member.name} {cell.teacher_name}".strip()
        rows[member.folder] = rows.get(member.folder) or _cell_row(of, cell.teacher, member)
    run = cell.session.experiment.run("distilled", seed)
    weights = teacher["weights"] if teacher else None
    if start := cell.session.start_of(run):
        rows.setdefault(start.folder, _cell_row(f"baseline {cell.name}", cell.session, start))
    known = [rows[member.folder] for member in own if member.folder in rows]
    rows[run.folder] = _cell_row(cell.name, cell.session, run, weights, own, known)


def _teachers_of_cell(cell: Cell, seed: int, opened: dict[object, Document]) -> Document | None:
    """Return the teachers from files that a cell's config names, opened once for all cells; None for its own."""
    session = cell.session
    given = session.teacher_files
    if not given:
        return None
    teacher_files.check(given, session.experiment.run("distilled", seed))
    key = (
        session.config.data,
        session.config.distill.teachers,
        session.config.distill.shares,
        session.config.teacher.preprocessing,
    )
    if key not in opened:
        teacher_files.check_test_logits(given)
        opened[key] = _open_teachers(session, given)
    return opened[key]


def _cell_row(of: str, session: Session, *row: Any) -> PlannedRun:
    return {**_row(session, *row), "of": of, "home": str(session.experiment.folder)}


def _counted(cell: Cell, runs: Sequence[PlannedRun]) -> Document:
    states = [run["state"] for run in runs if run["arm"] == "distilled" and run["of"] == cell.name]
    return {"set": dict(cell.settings), "runs": len(states), "done": states.count("complete")}


def scoring(session: Session, seed: int, model_files: Sequence[Path]) -> Plan:
    """Return the plan of `evaluate`: the finished arms of one seed, or the model files, that would be scored."""
    arms = [] if model_files else arms_to_score(session, seed)
    data = _data(session)
    for path in model_files:
        _check_model(session, path)
    return {
        "experiment": session.experiment.name,
        "split": "test",
        "seed": seed,
        "arms": [{"arm": run.name, "folder": str(run.folder)} for run in arms],
        "models": [{"path": str(path)} for path in model_files],
        **data,
        "run_info": _run_info(session),
    }


def _rows(session: Session, arms: Sequence[str], taught_by: Mapping[int, int], given: str | None) -> list[PlannedRun]:
    """Return a row for each run; `taught_by` has the teacher's seed of each seed, `given` the weights of files."""
    rows: dict[Path, PlannedRun] = {}  # by folder: members of several teachers may have one seed
    for seed, teacher_seed in taught_by.items():
        own = session.members(session.experiment.run("teacher", teacher_seed))
        students = [session.experiment.run(arm, seed) for arm in arms if arm != "teacher"]
        for run in [*(own if "teacher" in arms else ()), *students]:
            if run.folder not in rows:
                known = [rows[member.folder] for member in own if member.folder in rows]
                rows[run.folder] = _row(session, run, given, own, known)
    return list(rows.values())


def _row(
    session: Session,
    run: Run,
    given: str | None = None,
    teacher: Sequence[Run] = (),
    teachers_rows: Sequence[PlannedRun] = (),
) -> PlannedRun:
    """Return the row of a run; refuse it where the command would."""
    weights = None
    if needed := needed_by(run.arm):
        source = [run.of_arm("baseline")] if needed == "baseline" else teacher
        weights = (given if needed == "teacher" else None) or _weights_of(session, source, run)
    run.check_free()
    status = session.judge(run, weights)
    changes, state = [*status.differences], STATES.get(status.state, status.state)
    changes += [status.damage] if status.damage else []
    if needed == "teacher" and any(row["state"] == MADE_AGAIN for row in teachers_rows) and run.manifest:
        changes, state = [*changes, "teacher: is made again"], MADE_AGAIN
    return {"arm": run.name, "seed": run.of_seed, "state": state, "changes": changes, "folder": str(run.folder)}


def _own_teachers(session: Session, seeds: Iterable[int]) -> list[Run]:
    """Return the runs of the teachers of some seeds, with all members of each."""
    return [member for seed in seeds for member in session.members(session.experiment.run("teacher", seed))]


def _weights_of(session: Session, teacher: Sequence[Run], run: Run) -> str | None:
    """Return the weights of the teacher, or while it is still to be trained, of the teacher of the present run.

    A teacher that is made again from the same config is the same teacher.
    """
    if teacher and all(judge(of, session.specification(of.arm, of.seed)).counts for of in teacher):
        return teacher_files.of_runs(teacher).recorded_identity
    return run.taught_by


def _data(session: Session) -> Any:
    """Return `data` and `examples` of a plan; the data is read and verified unless it would have to be downloaded."""
    name = session.config.data.dataset
    if datasets.needs_download(session.config.data):
        return {"data": {"dataset": name, "state": "to download"}, "examples": None}
    examples = {part: len(getattr(session.splits, part)) for part in ("train", "validation", "test")}
    return {"data": {"dataset": name, "state": "here"}, "examples": examples}


class _ModelChecks:
    """Checks that models fit the data, as far as it is here, and that files of layers can be loaded; nothing twice."""

    def __init__(self) -> None:
        self._preflight = Preflight()
        self._loaded: set[Path] = set()

    def compares(self, session: Session, *parts: str) -> None:
        """Refuse a measure that is undefined on parts of the data of a session."""
        if not datasets.needs_download(session.config.data):
            self._preflight.compares(session, *parts)

    def check(self, session: Session, arms: Sequence[str]) -> None:
        """Refuse settings, files of models and, of arms that are compared, a measure that do not fit the data."""
        if {"baseline", "distilled"} <= set(arms):
            self.compares(session, "test")
        if not datasets.needs_download(session.config.data):
            self._preflight.fits(session, arms)
        for role in {"teacher" if arm == "teacher" else "student" for arm in arms}:
            model = getattr(session.config, role).model
            if model and Path(model) not in self._loaded:
                _check_model(session, Path(model))
                self._loaded.add(Path(model))


def _warnings(session: Session, data: Document, given: Sequence[Document], own: Sequence[Run]) -> list[str]:
    """Show and return the warnings of data and teachers that are known before the runs are trained."""
    if not data["examples"]:
        return []
    warnings = [*session.splits.all_warnings, *(warning for teacher in given for warning in teacher["warnings"])]
    for run in own:
        if judge(run, session.specification("teacher", run.seed)).counts:
            scores, labels = (run.result or {})["validation"], session.splits.validation.all_labels
            warning = at_chance(scores, labels, every_class=session.config.every_class_counts("teacher"))
            warnings += [warning] if warning else []
    warnings = list(dict.fromkeys(warnings))
    for warning in warnings:
        session.listener.warning(warning)
    return warnings


def _open_teachers(session: Session, paths: Sequence[Path]) -> Document:
    """Return `path`, `weights`, `warnings` of teachers from files, and how good they are; their logits are not kept.

    `validation` is the value of `measure` on validation; both are None where the data would have to be downloaded.
    """
    names, shares = ", ".join(map(str, paths)), session.config.distill.shares
    if datasets.needs_download(session.config.data):
        models = [_check_model(session, path) for path in paths if path.suffix == ".keras"]
        unknown = dict.fromkeys(("validation_accuracy", "measure", "validation"))
        return {
            "path": names,
            "weights": joint_identity(models, shares),
            **unknown,
            "warnings": [],
        }
    teacher_files.check_shapes(paths, session.splits)
    session.start()
    from kdistill.teachers import load

    with tempfile.TemporaryDirectory() as cache:
        teacher = load.load_teacher(session.config, session.splits, Path(cache), teacher_files.find(paths, shares))
        for note in teacher.notes:
            session.listener.note(note)
        accuracy, (measure, value) = teacher.validation_scores.accuracy, teacher.judged_by(session.measure)
        warnings = doubts.of_teacher(session.config, session.splits, teacher)
    good = {"validation_accuracy": accuracy, "measure": measure.name, "validation": value}
    return {"path": names, "weights": teacher.identity, **good, "warnings": warnings}


def _check_model(session: Session, path: Path) -> str:
    """Refuse a model file that does not fit the data, which is not read; return the fingerprint of its weights."""
    modelfiles.check_exists(path)
    backend.start(session.threads, session.options.device)
    from kdistill import models

    shape, classes, _ = session.example
    vocabulary = session.splits.vocabulary if session.config.data.is_own else None
    try:
        model, _ = models.load_classifier(path, shape, classes, vocabulary, session.config.data.task)
    except ModelError as error:
        raise ModelError(error.message, error.hint or data_hint(session.config)) from error
    return models.fingerprint(model)


def _run_info(session: Session) -> Document:
    if session.options.device == "gpu":
        backend.start(session.threads, "gpu")  # which refuses a GPU that is not there
    return {"threads": session.threads, "output_dir": str(session.experiment.folder)}
