"""The cells of a sweep: as `sweep` has written them down, or as far as an unfinished one has come."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdistill.evaluation import statistics
from kdistill.evaluation.statistics import Summary
from kdistill.evaluation.verdict import Verdict
from kdistill.report.collect.subject import Document, Subject
from kdistill.report.content.report import Cell, Sweep
from kdistill.runs import Run
from kdistill.runs.experiment import CHOSEN_BY
from kdistill.runs.survey import FoundCell


def sweep(subject: Subject) -> tuple[Sweep | None, str]:
    """Return a sweep, or None and why there is nothing to tell of one; an empty text where there is none."""
    if subject.sweep:
        try:
            return _finished(subject.sweep), ""
        except (KeyError, TypeError, ValueError):
            return None, "The sweep's summary, sweep.json, cannot be read: run the sweep again to write it."
    if not subject.described["cells"]:
        return None, ""
    return _unfinished(subject)


def _finished(document: Document) -> Sweep:
    axes, winner, test = document["axes"], document["winner"], document["test"]
    cells = []
    for cell in document["cells"]:
        scores = cell["validation"]
        cells.append(
            Cell(
                settings=[cell["set"][key] for key in axes],
                accuracy=scores["accuracy"] if scores else None,
                nll=scores["nll"] if scores else None,
                done=len(document["seeds"]) - len(cell["failed"]),
                failed=cell["failed"],
                is_winner=cell["set"] == winner["set"],
            )
        )
    alone = document["baseline"]
    return Sweep(
        axes=list(axes.items()),
        cells=cells,
        seeds=len(document["seeds"]),
        finished=True,
        chosen_by=document["chosen_by"],
        baseline=alone["validation"]["accuracy"]["mean"] if alone else None,
        test=Verdict.from_json(test["comparison"]) if test else None,
        command=winner["command"],
    )


def _unfinished(subject: Subject) -> tuple[Sweep | None, str]:
    """Return what is known of the cells that were begun."""
    described = subject.described["cells"]
    axes = _axes(described)
    if not axes:
        return None, "The sweep has not come far enough to tell its cells apart."
    home = subject.home.experiment.folder / "cells"
    cells = [_cell(home / cell["cell"], cell, [key for key, _ in axes]) for cell in described]
    begun = max((sum(run["arm"] == "distilled" for run in cell["runs"]) for cell in described), default=0)
    alone = [(run.result or {}).get("validation", {}) for run in subject.runs["baseline"].values()]
    scores = [score["accuracy"] for score in alone if "accuracy" in score]
    mean = statistics.summarize(scores)["mean"] if scores else None
    return Sweep(axes, cells, begun, False, CHOSEN_BY, mean, None, None), ""


def _axes(cells: Sequence[FoundCell]) -> list[tuple[str, Sequence[Any]]]:
    """Return the keys in which the cells differ, and their values, in order; none where one cell alone was begun."""
    axes: list[tuple[str, Sequence[Any]]] = []
    for key in cells[0]["set"]:
        values = {json.dumps(cell["set"][key]): cell["set"][key] for cell in cells}
        axes.append((key, list(values.values())))
    return axes


def _cell(folder: Path, described: FoundCell, keys: Sequence[str]) -> Cell:
    rows = [row for row in described["runs"] if row["arm"] == "distilled"]
    results = [Run(folder / f"seed-{row['seed']}" / "distilled", "distilled", row["seed"]).result for row in rows]
    scores = [result["validation"] for result in results if result]
    accuracy, nll = _summary([of["accuracy"] for of in scores]), _summary([of["nll"] for of in scores])
    failed = [str(row["problem"]) for row in rows if row["state"] == "failed"]
    return Cell([described["set"].get(key) for key in keys], accuracy, nll, len(scores), failed, False)


def _summary(values: Sequence[float]) -> Summary | None:
    return statistics.summarize(values) if values else None
