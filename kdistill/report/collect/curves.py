"""Learning curves, from the histories of runs in whatever state."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from kdistill.core import members
from kdistill.core.formatting import first_few
from kdistill.report.collect.subject import Subject
from kdistill.report.content.report import Curve, Curves
from kdistill.runs import Run, history

SERIES = ("loss", "soft", "hard", "val_nll", "val_accuracy")


def collect_curves(subject: Subject) -> tuple[list[Curves], str]:
    """Return the curves of every arm with a run in this experiment, and a sentence on what is missing.

    Teachers from elsewhere have no curves here.
    """
    experiment, found, cut = subject.session.experiment, list[Curves](), list[str]()
    for arm in ("teacher", *subject.config.students):
        plan = subject.config.training_for("teacher" if arm == "teacher" else "student")
        names = members.names(subject.config.teacher.members) if arm == "teacher" else [arm]
        runs = [experiment.run(name, seed) for seed in experiment.seeds() for name in names]
        cut += [f"{run.title}: {damage}" for run in runs if (damage := _damage(run))]
        drawn = [curve for run in runs if (curve := _curve(run, plan.monitor)) is not None]
        if drawn:
            found.append(Curves(arm, plan.monitor, plan.patience, drawn))
    if cut:
        return found, f"A curve ends before a damaged line of its history ({first_few(cut)})."
    return found, "" if found else "No epoch has been recorded yet."


def _damage(run: Run) -> str | None:
    """Return what is wrong with the history of a run; None for a last line that is still being written."""
    records, problem, is_last = history.read(run.history_file)
    lacking = next((record["epoch"] for record in map(dict[str, Any], records) if not _is_whole(record)), None)
    if lacking is not None:
        return f"epoch {lacking} lacks a figure"
    return None if is_last else problem


def _curve(run: Run, monitor: str) -> Curve | None:
    """Return the curve of a run; None where no epoch is recorded legibly."""
    records = list(takewhile(_is_whole, map(dict[str, Any], run.history())))
    if not records:
        return None
    monitored: list[Any] = [record.get(monitor) for record in records]
    has_own = monitor not in (*SERIES, "val_loss") and _is_numbers(monitored)
    hints: list[Any] = [record.get("hints") for record in records]
    best = [record["epoch"] for record in records if record.get("best")]
    return Curve(
        epochs=np.array([record["epoch"] for record in records], np.int64),
        **{name: np.array([record.get(name) or 0.0 for record in records], np.float64) for name in SERIES},
        monitored=np.array(monitored if has_own else [], np.float64),
        hints=np.array(hints if _is_numbers(hints) else [], np.float64),
        best=best[-1] if best else records[0]["epoch"],
    )


def _is_whole(record: Mapping[str, Any]) -> bool:
    return _is_numbers([record.get(name) for name in SERIES if name != "soft"])


def _is_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)
