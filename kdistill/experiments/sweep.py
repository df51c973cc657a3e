"""Making the runs of a sweep, and choosing among its cells."""

import itertools
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, TypedDict

from kdistill.config import dump
from kdistill.core import files
from kdistill.evaluation import statistics
from kdistill.evaluation.statistics import Summary
from kdistill.experiments import reproduce, workers
from kdistill.experiments import sweep_winner as winner
from kdistill.experiments.part import Part
from kdistill.experiments.preflight import Preflight
from kdistill.experiments.reproduce import Compared, FailedRun, PartSummary
from kdistill.experiments.sweep_grid import Cell, Grid
from kdistill.experiments.task_graph import task, teachers_of
from kdistill.experiments.workers import WINNER, Outcomes, Scale, Task, TaskKey
from kdistill.recipes.session import Document
from kdistill.runs import judge
from kdistill.runs.experiment import CHOSEN_BY, CHOSEN_HERE, SWEEP_FILE


class Validation(TypedDict):
    """The scores of some runs on the validation split."""

    accuracy: Summary
    nll: Summary


class ScoredArm(TypedDict):
    """The runs of an arm on the validation split."""

    validation: Validation


class CellRow(TypedDict):
    """What came of a cell."""

    set: dict[str, Any]  # its value of each axis
    status: str  # `done` or `failed`
    validation: Validation | None  # of its distilled runs; None where one has failed
    failed: list[str]  # why


class Winner(TypedDict):
    """The cell that was chosen."""

    set: dict[str, Any]


class SweepSummary(TypedDict):
    """What `sweep` says, and `sweep.json` holds."""

    experiment: str
    seeds: list[int]  # of every cell
    axes: dict[str, list[Any]]
    chosen_by: str
    baseline: ScoredArm | None  # the student alone; None where the cells do not share it
    cells: list[CellRow]
    winner: Winner
    test: Compared | None  # the winner; None where no seed could be scored
    warnings: list[str]
    failed: list[FailedRun]
    run_info: dict[
        str, Any
    ]  # a `RunInfo`, and `winner`: the path of its `config`, the `command` that runs it with fresh seeds


def sweep(grid: Grid, seeds: Sequence[int], scale: Scale) -> SweepSummary:
    """Make the distilled runs of all cells and seeds, choose on validation, and score the winner; writes `sweep.json`.

    Args:
        grid: the cells.
        seeds: of every cell.
        scale: who makes the runs.

    Raises:
        KdistillError: no cell has all its runs; the exit code is that of whatever made the first one fail.
    """
    started = time.perf_counter()
    _prepare(grid, pairs_of(grid, seeds), seeds)
    outcomes, used = workers.run(grid.home, _tasks(grid, seeds), scale, partial(_score_best, grid, seeds))
    best = _best(grid, seeds, outcomes)
    if best is None:
        raise reproduce.nothing_left("no cell has all its runs", outcomes, _other_values(grid))
    document: SweepSummary = {
        "experiment": grid.home.experiment.name,
        "seeds": list(seeds),
        "axes": {key: list(values) for key, values in grid.axes.items()},
        "chosen_by": CHOSEN_BY,
        "baseline": _baseline(grid, seeds, outcomes),
        "cells": [_row(cell, seeds, outcomes) for cell in grid.cells],
        "winner": {"set": dict(best.settings)},
        "test": reproduce.compared(best.session, teachers_of(best.session, seeds), outcomes, WINNER, CHOSEN_HERE),
        "warnings": _warnings(grid),
        "failed": reproduce.failures(outcomes),
        "run_info": {
            **reproduce.run_info(grid.home, scale, started, used),
            "winner": winner.write_config(grid.home, best, seeds),
        },
    }
    with files.writing(grid.home.experiment.folder):
        files.write_json(grid.home.experiment.folder / SWEEP_FILE, document)
    return document


def _other_values(grid: Grid) -> str | None:
    """Return what to do if every cell diverged, where it is the sweep that sets the learning rate."""
    rates = [key for key in grid.axes if key.endswith(".learning_rate")]
    return f"Try smaller values of {' and '.join(rates)}." if rates else None


def make_part(grid: Grid, seeds: Sequence[int], part: Part, scale: Scale) -> PartSummary:
    """Make some of the runs of a sweep; nothing is chosen, nothing is scored, and no summary is written."""
    pairs = pairs_of(grid, seeds, part)
    _prepare(grid, pairs, part.of(seeds))
    tasks = {task.key: task for task in _tasks(grid, seeds)}
    chosen = [tasks[cell.distilled(seed)] for cell, seed in pairs]
    teachers = [tasks[key] for key in dict.fromkeys(need for task in chosen for need in task.needs)]
    return reproduce.part_document(grid.home, [*teachers, *chosen, *_baselines(grid, part.of(seeds))], part, scale)


def pairs_of(grid: Grid, seeds: Sequence[int], part: Part | None = None) -> list[tuple[Cell, int]]:
    """Return the cell and the seed of every distilled run of a sweep, or of a part of it."""
    pairs = list(itertools.product(grid.cells, seeds))
    return part.of(pairs) if part else pairs


def _prepare(grid: Grid, pairs: Sequence[tuple[Cell, int]], baseline_seeds: Sequence[int]) -> None:
    """Refuse before anything is trained what would fail after the first runs have been; make the experiment's folder.

    Where it is there already, the config in it is that of the runs in it.
    """
    grid.home.experiment.check_usable()
    preflight = Preflight()
    wanted = [(cell.session, "distilled", seed) for cell, seed in pairs]
    wanted += [(cell.teacher, "teacher", seed) for cell, seed in pairs if not cell.session.teacher_files]
    wanted += [(grid.home, "baseline", seed) for seed in baseline_seeds if grid.shares_baseline]
    runs = {(session.experiment.folder, arm, seed): session for session, arm, seed in wanted}
    for (_, arm, seed), session in runs.items():
        if session.options.overwrite or not judge(session.experiment.run(arm, seed)).counts:
            preflight.fits(session, [arm])
    for cell, own in itertools.groupby(pairs, key=lambda pair: pair[0]):
        preflight.given_teachers(cell.session, [seed for _, seed in own])
    if not (grid.home.experiment.folder / "config.yaml").exists():
        grid.home.experiment.create(dump(grid.home.config))


def _tasks(grid: Grid, seeds: Sequence[int]) -> list[Task]:
    """Return the tasks of all cells: the teachers first, each once, and then seed by seed, since a worker keeps one."""
    teachers, students = dict[TaskKey, Task](), dict[TaskKey, Task]()
    for seed, cell in itertools.product(seeds, grid.cells):
        needed, key = cell.taught_by(seed), cell.distilled(seed)
        if cell.session.teacher_files:
            students[key] = task(cell.session, key)
            continue
        teachers.setdefault(needed, task(cell.teacher, needed))
        students[key] = task(cell.session, key, needed, teacher=cell.teacher.experiment.run("teacher", seed))
    return [*teachers.values(), *students.values(), *_baselines(grid, seeds)]


def _baselines(grid: Grid, seeds: Sequence[int]) -> list[Task]:
    """Return the tasks of the experiment's own baselines, if the winner will be compared with them.

    Those of a cell with another student are made when it is known which one has won.
    """
    if not grid.shares_baseline:
        return []
    return [task(grid.home, TaskKey("baseline", seed)) for seed in seeds]


def _score_best(grid: Grid, seeds: Sequence[int], outcomes: Outcomes) -> list[Task]:
    best = _best(grid, seeds, outcomes)
    return winner.tasks(grid, best, seeds, outcomes) if best else []


def _best(grid: Grid, seeds: Sequence[int], outcomes: Outcomes) -> Cell | None:
    """Return the cell that is chosen, of those all of whose runs are there."""
    rows = [(cell, _row(cell, seeds, outcomes)) for cell in grid.cells]
    whole = [(cell, row["validation"]) for cell, row in rows if row["validation"]]
    return max(whole, key=lambda each: _rank(each[1]))[0] if whole else None


def _rank(validation: Validation) -> tuple[float, float]:
    return validation["accuracy"]["mean"], -validation["nll"]["mean"]


def _row(cell: Cell, seeds: Sequence[int], outcomes: Outcomes) -> CellRow:
    """Return what came of a cell."""
    keys = [cell.distilled(seed) for seed in seeds]
    failed = [outcomes.failed[key].message for key in keys if key in outcomes.failed]
    return {
        "set": dict(cell.settings),
        "status": "failed" if failed else "done",
        "validation": None if failed else _validation([outcomes.done[key] for key in keys]),
        "failed": failed,
    }


def _baseline(grid: Grid, seeds: Sequence[int], outcomes: Outcomes) -> ScoredArm | None:
    """Return the validation scores of the student alone, which those of the cells are to be read against."""
    keys = [TaskKey("baseline", seed) for seed in seeds]
    if not all(key in outcomes.done for key in keys):
        return None
    return {"validation": _validation([outcomes.done[key] for key in keys])}


def _validation(results: Sequence[Document]) -> Validation:
    summaries: Any = statistics.summaries([result["validation"] for result in results], "accuracy", "nll")
    return summaries


def _warnings(grid: Grid) -> list[str]:
    if grid.shares_data:
        return []
    return ["The cells differ in their data: their validation accuracies are of different examples."]
