"""`sweep`: trains the runs of all cells, chooses a cell on validation, and scores it on test."""

import itertools
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, TypedDict

from kdistill.config import dump
from kdistill.core import files
from kdistill.core.errors import ModelError
from kdistill.evaluation import statistics
from kdistill.evaluation.leaderboard import BASELINE, Entry, Leaderboard, leaderboard
from kdistill.evaluation.measures import NLL, Measure, recorded
from kdistill.evaluation.statistics import Summary
from kdistill.experiments import next_steps, reproduce, workers
from kdistill.experiments import sweep_winner as winner
from kdistill.experiments.part import Part
from kdistill.experiments.preflight import Preflight
from kdistill.experiments.reproduce import Compared, PartSummary
from kdistill.experiments.sweep_grid import Cell, Grid
from kdistill.experiments.task_graph import task, teachers_of
from kdistill.experiments.workers import WINNER, Outcomes, Scale, Task, TaskKey
from kdistill.recipes.session import Document
from kdistill.runs import judge
from kdistill.runs.experiment import CHOSEN_HERE, SWEEP_FILE, chosen_by

OTHER_DATA = "The cells differ in their data: their validation scores are of different examples."


class CellRow(TypedDict):
    """A cell of a sweep, with the scores of its distilled runs."""

    set: dict[str, Any]  # its value of each axis
    status: str  # `done` or `failed`
    # `accuracy`, `nll` and the measure that cells are chosen by; None where a run has failed
    validation: dict[str, Summary] | None
    failed: list[str]  # the messages of the failed runs


class SweepSummary(TypedDict):
    """The result of `sweep`: the document of `sweep.json`."""

    experiment: str
    seeds: list[int]  # of every cell
    axes: dict[str, list[Any]]
    chosen_by: str
    measure: str  # its name
    baseline: dict[str, dict[str, Summary]] | None  # its `validation` as of a cell; None where cells do not share it
    cells: list[CellRow]
    # Which cells differ, on validation; None with fewer than two cells or three seeds, or where their data differ.
    leaderboard: Leaderboard | None
    winner: dict[str, Any]  # `set`: its value of each axis
    test: Compared | None  # of the winner; None where every seed has a failed run
    warnings: list[str]
    failed: list[Document]  # see `reproduce.failures`
    run_info: Document  # of the winner the `config`, and the `command` that scores it with fresh seeds; `next`


def sweep(grid: Grid, seeds: Sequence[int], scale: Scale) -> SweepSummary:
    """Train the distilled runs of all cells and seeds, choose on validation, score the winner; writes `sweep.json`.

    Raises:
        KdistillError: every cell has a failed run; the exit code is that of the first failure.
    """
    started = time.perf_counter()
    _prepare(grid, pairs_of(grid, seeds), seeds)
    outcomes, used = workers.run(grid.home, _tasks(grid, seeds), scale, partial(_score_best, grid, seeds))
    best = _best(grid, seeds, outcomes)
    if best is None:
        raise reproduce.nothing_left("every cell has a failed run", outcomes, _other_values(grid))
    written = winner.write_config(grid.home, best, seeds)
    rows, alone = [_row(cell, seeds, outcomes) for cell in grid.cells], _baseline(grid, seeds, outcomes)
    document: SweepSummary = {
        "experiment": grid.home.experiment.name,
        "seeds": list(seeds),
        "axes": {key: list(values) for key, values in grid.axes.items()},
        "chosen_by": chosen_by(grid.home.measure),
        "measure": grid.home.measure.name,
        "baseline": alone,
        "cells": rows,
        "leaderboard": _leaderboard(grid, best, rows, alone),
        "winner": {"set": dict(best.settings)},
        "test": reproduce.compared(best.session, teachers_of(best.session, seeds), outcomes, WINNER, CHOSEN_HERE),
        "warnings": [] if grid.shares_data else [OTHER_DATA],
        "failed": reproduce.failures(outcomes),
        "run_info": {
            **reproduce.run_info(grid.home, scale, started, used),
            "winner": written,
            "next": next_steps.after_sweep(grid.home, written["command"]),
        },
    }
    best.session.experiment.record(dump(best.session.config))
    with files.writing(grid.home.experiment.folder):
        files.write_sealed(grid.home.experiment.folder / SWEEP_FILE, dict(document))
    return document


def _other_values(grid: Grid) -> str | None:
    """Return what to do if every cell diverged, where the learning rate is an axis of the sweep."""
    rates = [key for key in grid.axes if key.endswith(".learning_rate")]
    return f"Try smaller values of {' and '.join(rates)}." if rates else None


def make_part(grid: Grid, seeds: Sequence[int], part: Part, scale: Scale) -> PartSummary:
    """Train some of the runs of a sweep; nothing is chosen or scored, and no summary is written."""
    pairs = pairs_of(grid, seeds, part)
    _prepare(grid, pairs, part.of(seeds))
    tasks = {task.key: task for task in _tasks(grid, seeds)}
    chosen = [tasks[cell.distilled(seed)] for cell, seed in pairs]
    teachers = [tasks[key] for key in dict.fromkeys(need for task in chosen for need in task.needs)]
    known = {need for task in chosen for need in task.needs}
    alone = [task for task in _baselines(grid, part.of(seeds)) if task.key not in known]
    return reproduce.part_document(grid.home, [*teachers, *chosen, *alone], part, scale)


def pairs_of(grid: Grid, seeds: Sequence[int], part: Part | None = None) -> list[tuple[Cell, int]]:
    """Return cell and seed of every distilled run of a sweep, or of a part of it."""
    pairs = list(itertools.product(grid.cells, seeds))
    return part.of(pairs) if part else pairs


def _prepare(grid: Grid, pairs: Sequence[tuple[Cell, int]], baseline_seeds: Sequence[int]) -> None:
    """Refuse before anything is trained what would fail after the first runs; create the experiment's folder.

    The config in a folder that exists stays: it is that of the runs in it.
    """
    grid.home.experiment.check_usable()
    preflight = Preflight()
    for cell, _ in pairs:
        preflight.compares(cell.session, "validation", "test")
    wanted = [(cell.session, "distilled", seed) for cell, seed in pairs]
    wanted += [
        (cell.teacher, member.arm, seed)
        for cell, seed in pairs
        for member in (() if cell.session.teacher_files else cell.taught_by(seed))
    ]
    wanted += [(grid.home, "baseline", seed) for seed in baseline_seeds if grid.shares_baseline]
    runs = {(session.experiment.folder, arm, seed): session for session, arm, seed in wanted}
    for (_, arm, seed), session in runs.items():
        if session.options.overwrite or not judge(session.experiment.run(arm, seed)).counts:
            preflight.fits(session, [session.experiment.run(arm, seed).arm])
    for cell, own in itertools.groupby(pairs, key=lambda pair: pair[0]):
        preflight.given_teachers(cell.session, [seed for _, seed in own])
    if not (grid.home.experiment.folder / "config.yaml").exists():
        grid.home.experiment.create(dump(grid.home.config))


def _tasks(grid: Grid, seeds: Sequence[int]) -> list[Task]:
    """Return the tasks of all cells: the teachers first, then seed by seed, since a worker keeps one teacher open."""
    teachers, students, starts = dict[TaskKey, Task](), dict[TaskKey, Task](), dict[TaskKey, Task]()
    for seed, cell in itertools.product(seeds, grid.cells):
        needed, key, start = cell.taught_by(seed), cell.distilled(seed), _start(grid, cell, seed)
        starts |= start
        if cell.session.teacher_files:
            students[key] = task(cell.session, key, *start)
            continue
        for member in needed:
            teachers.setdefault(member, task(cell.teacher, member))
        students[key] = task(cell.session, key, *needed, *start, teacher=cell.teacher.experiment.run("teacher", seed))
    alone = [of for of in _baselines(grid, seeds) if of.key not in starts]
    return [*teachers.values(), *starts.values(), *students.values(), *alone]


def _start(grid: Grid, cell: Cell, seed: int) -> dict[TaskKey, Task]:
    """Return the task of the baseline that the distilled run of a cell starts from, if it does."""
    run = cell.session.experiment.run("distilled", seed)
    if (start := cell.session.start_of(run)) is None:
        return {}
    shared = start == grid.home.experiment.run("baseline", seed)
    key = TaskKey("baseline", seed, "" if shared else cell.name)
    return {key: task(grid.home if shared else cell.session, key)}


def _baselines(grid: Grid, seeds: Sequence[int]) -> list[Task]:
    """Return the tasks of the baselines that all cells share.

    Where cells have other students, the baselines of the winner are made once it is chosen.
    """
    if not grid.shares_baseline:
        return []
    return [task(grid.home, TaskKey("baseline", seed)) for seed in seeds]


def _score_best(grid: Grid, seeds: Sequence[int], outcomes: Outcomes) -> list[Task]:
    best = _best(grid, seeds, outcomes)
    return winner.tasks(grid, best, seeds, outcomes) if best else []


def _best(grid: Grid, seeds: Sequence[int], outcomes: Outcomes) -> Cell | None:
    """Return the best cell on validation, of those without a failed run; None where there is none."""
    scored = [(cell, _row(cell, seeds, outcomes)["validation"]) for cell in grid.cells]
    measure = grid.home.measure
    ranks = {
        cell.name: (measure.gain(of[measure.name]["mean"]), NLL.gain(of["nll"]["mean"])) for cell, of in scored if of
    }
    whole = [cell for cell in grid.cells if cell.name in ranks]
    return max(whole, key=lambda cell: ranks[cell.name], default=None)


def _row(cell: Cell, seeds: Sequence[int], outcomes: Outcomes) -> CellRow:
    keys = [cell.distilled(seed) for seed in seeds]
    failed = [outcomes.failed[key].message for key in keys if key in outcomes.failed]
    return {
        "set": dict(cell.settings),
        "status": "failed" if failed else "done",
        "validation": None if failed else _validation(cell.session.measure, [outcomes.done[key] for key in keys]),
        "failed": failed,
    }


def _baseline(grid: Grid, seeds: Sequence[int], outcomes: Outcomes) -> dict[str, dict[str, Summary]] | None:
    keys = [TaskKey("baseline", seed) for seed in seeds]
    if not all(key in outcomes.done for key in keys):
        return None
    return {"validation": _validation(grid.home.measure, [outcomes.done[key] for key in keys])}


def _leaderboard(
    grid: Grid, best: Cell, rows: Sequence[CellRow], alone: dict[str, dict[str, Summary]] | None
) -> Leaderboard | None:
    """Return the leaderboard of the cells without a failed run, and of the baseline that they share."""
    measure = grid.home.measure
    entries = [
        Entry(cell.name, cell.settings, row["validation"][measure.name]["values"])
        for cell, row in zip(grid.cells, rows, strict=True)
        if row["validation"]
    ]
    if alone:
        entries.append(Entry(BASELINE, None, alone["validation"][measure.name]["values"]))
    return leaderboard(entries, best.name, measure) if grid.shares_data else None


def _validation(measure: Measure, results: Sequence[Document]) -> dict[str, Summary]:
    """Return the summaries of accuracy, NLL and the measure that cells are chosen by.

    Raises:
        ModelError: a run of an early version did not record the measure.
    """
    scores = [{**of["validation"], measure.name: recorded(of["validation"], measure)} for of in results]
    if any(score[measure.name] is None for score in scores):
        raise ModelError(
            f"verdict.measure: an early version, which did not record {measure.words} on validation, trained a run of "
            "this sweep",
            hint="Choose accuracy or balanced_accuracy, or remove the folders of these runs to train them again.",
        )
    return statistics.summaries(scores, *dict.fromkeys(("accuracy", "nll", measure.name)))
