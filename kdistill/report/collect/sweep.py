"""The cells of a sweep, from its summary or, while it is unfinished, from their folders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdistill.evaluation import statistics
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL, Measure, recorded
from kdistill.evaluation.statistics import Summary
from kdistill.evaluation.verdict import Verdict
from kdistill.report.collect.subject import Document, Subject
from kdistill.report.content.report import Cell, Sweep
from kdistill.runs import Run
from kdistill.runs.experiment import SWEEP_FILE, chosen_by
from kdistill.runs.survey import FoundCell


def collect_sweep(subject: Subject) -> tuple[Sweep | None, str]:
    """Return a sweep; or None, and why it cannot be shown (empty for an experiment that is no sweep)."""
    if subject.sweep:
        try:
            return _finished(subject.sweep), ""
        except (KeyError, TypeError, ValueError) as error:  # the verdict in it is of another version
            return None, f"{SWEEP_FILE} cannot be read: {error}: run the sweep again to write it."
    if not subject.described["cells"]:
        return None, ""
    return _unfinished(subject)


def _finished(document: Document) -> Sweep:
    axes, winner, test = document["axes"], document["winner"], document["test"]
    measure = MEASURES[document.get("measure", ACCURACY.name)]  # early versions have no other
    cells = []
    for cell in document["cells"]:
        scores = cell["validation"] or {measure.name: None, "nll": None}
        settings = {key: cell["set"][key] for key in axes}
        done = len(document["seeds"]) - len(cell["failed"])
        is_winner = cell["set"] == winner["set"]
        cells.append(Cell(settings, scores[measure.name], scores["nll"], done, cell["failed"], is_winner))
    alone = document["baseline"]
    return Sweep(
        axes=dict(axes),
        cells=cells,
        seeds=len(document["seeds"]),
        chosen_by=document["chosen_by"],
        baseline=alone["validation"][measure.name]["mean"] if alone else None,
        test=Verdict.from_json(test["comparison"]) if test else None,
        command=document["run_info"].get("winner", winner)["command"],  # up to 0.1.0 it stood under `winner`
        measure=measure,
        leaderboard=document.get("leaderboard"),
    )


def _unfinished(subject: Subject) -> tuple[Sweep | None, str]:
    """Return the cells that were started."""
    described = subject.described["cells"]
    axes = _axes(described)
    if not axes:
        return None, "Only one cell of the sweep was started, so that the keys it varies are not known yet."
    home = subject.home.experiment.folder / "cells"
    by = subject.home.measure
    cells = [_cell(home / cell["cell"], cell, by) for cell in described]
    started = max((sum(run["arm"] == "distilled" for run in cell["runs"]) for cell in described), default=0)
    alone = [(run.result or {}).get("validation", {}) for run in subject.runs["baseline"].values()]
    scores = _summary(_known(alone, by))
    return Sweep(axes, cells, started, chosen_by(by), scores["mean"] if scores else None, measure=by), ""


def _axes(cells: Sequence[FoundCell]) -> Mapping[str, Sequence[Any]]:
    """Return the keys in which the cells differ, and their values, in order; none for a single cell."""
    values = {key: {json.dumps(cell["set"][key]): cell["set"][key] for cell in cells} for key in cells[0]["set"]}
    return {key: list(of_key.values()) for key, of_key in values.items()}


def _cell(folder: Path, described: FoundCell, by: Measure) -> Cell:
    rows = [row for row in described["runs"] if row["arm"] == "distilled"]
    results = [Run(folder / f"seed-{row['seed']}" / "distilled", "distilled", row["seed"]).result for row in rows]
    scores = [result["validation"] for result in results if result]
    score, nll = _summary(_known(scores, by)), _summary(_known(scores, NLL))
    failed = [str(row["problem"]) for row in rows if row["state"] == "failed"]
    return Cell(described["set"], score, nll, len(scores), failed)


def _known(scores: Sequence[Mapping[str, Any]], measure: Measure) -> list[float]:
    return [value for of in scores if (value := recorded(of, measure)) is not None]


def _summary(values: Sequence[float]) -> Summary | None:
    return statistics.summarize(values) if values else None
