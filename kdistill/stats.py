"""Numbers about many runs: what `experiments` stores and `report` shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def summarize(values: Sequence[float]) -> dict[str, Any]:
    """Return `values` with their mean and sample standard deviation (None for a single value)."""
    return {
        "values": list(values),
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def paired_differences(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return `first - second`, pair by pair, summarized.

    The interval is None: it is not computed yet.
    """
    differences = [float(a - b) for a, b in zip(first, second, strict=True)]
    return {**summarize(differences), "ci_low": None, "ci_high": None, "confidence": 0.95}


def little_to_teach(seed: int, teacher_accuracy: float, baseline_accuracy: float) -> list[str]:
    """Return the warning that a seed's teacher is no better than the student trained alone, if that is so."""
    if teacher_accuracy > baseline_accuracy:
        return []
    return [
        f"Seed {seed}: the teacher is no better than the student trained alone "
        f"({teacher_accuracy:.4f} against {baseline_accuracy:.4f} on validation): it has little to teach."
    ]
