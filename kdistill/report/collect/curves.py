"""Learning curves, from the histories of runs in whatever state."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdistill.report.collect.subject import Subject
from kdistill.report.content.report import Curve, Curves
from kdistill.runs import ARMS, Run

SERIES = ("loss", "soft", "hard", "penalty", "val_loss", "val_nll", "val_accuracy")


def curves(subject: Subject) -> list[Curves]:
    """Return the curves of all arms of which a run has begun; teachers that are runs elsewhere are not among them."""
    experiment, found = subject.session.experiment, []
    for arm in ARMS:
        runs = (experiment.run(arm, seed) for seed in experiment.seeds())
        drawn = [curve for curve in map(_curve, runs) if curve is not None]
        if drawn:
            plan = subject.config.training_for("teacher" if arm == "teacher" else "student")
            found.append(Curves(arm, plan.monitor, plan.patience, drawn))
    return found


def _curve(run: Run) -> Curve | None:
    """Return the curve of a run; None where no epoch has been recorded that can be read."""
    records = [record for record in run.history() if _is_whole(record)]
    if not records:
        return None
    best = [record["epoch"] for record in records if record.get("best")]
    return Curve(
        seed=run.seed,
        complete=run.finished,
        epochs=np.array([record["epoch"] for record in records], np.int64),
        **{name: np.array([record.get(name) or 0.0 for record in records], np.float64) for name in SERIES},
        best=best[-1] if best else records[0]["epoch"],
    )


def _is_whole(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("epoch"), int) and all(
        isinstance(record.get(name), int | float) for name in SERIES if name not in ("soft", "penalty")
    )
