"""Learning curves, from the histories of runs in whatever state."""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import numpy as np

from kdistill.report.collect.subject import Subject
from kdistill.report.content.report import Curve, Curves
from kdistill.runs import ARMS, Run

SERIES = ("loss", "soft", "hard", "val_nll", "val_accuracy")


def collect_curves(subject: Subject) -> list[Curves]:
    """Return the curves of every arm with a run in this experiment; teachers from elsewhere have none here."""
    experiment, found = subject.session.experiment, []
    for arm in ARMS:
        runs = (experiment.run(arm, seed) for seed in experiment.seeds())
        drawn = [curve for curve in map(_curve, runs) if curve is not None]
        if drawn:
            plan = subject.config.training_for("teacher" if arm == "teacher" else "student")
            found.append(Curves(arm, plan.monitor, plan.patience, drawn))
    return found


def _curve(run: Run) -> Curve | None:
    """Return the curve of a run; None where no epoch is recorded legibly."""
    records = list(takewhile(_is_whole, run.history()))
    if not records:
        return None
    best = [record["epoch"] for record in records if record.get("best")]
    return Curve(
        epochs=np.array([record["epoch"] for record in records], np.int64),
        **{name: np.array([record.get(name) or 0.0 for record in records], np.float64) for name in SERIES},
        best=best[-1] if best else records[0]["epoch"],
    )


def _is_whole(record: Mapping[str, Any]) -> bool:
    return all(name in record for name in SERIES if name != "soft")
