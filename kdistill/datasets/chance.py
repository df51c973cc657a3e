"""Whether a model is no better on validation than chance."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.evaluation.measures import MEASURES, recorded

ROUNDING = 1e-9
CHANCE = 2  # standard errors of an accuracy


def at_chance(
    scores: Mapping[str, Any], labels: NDArray[np.integer], role: str = "teacher", every_class: bool = False
) -> str | None:
    """Return a warning if a model is no better than one that answers the same for every example, or else None.

    Args:
        scores: of the model on validation.
        labels: (n,) of validation; of multi-label data (n, classes), for which there is no warning.
        role: what the model is called: `teacher`, `student` or `model`.
        every_class: whether every class is to count (`Config.every_class_counts`). If so, the accuracy may be below
            the share of the most frequent class for a good reason, and the balanced accuracy is judged.
    """
    if labels.ndim == 2:  # a model may be of use that has fewer examples wholly right than one that finds no class
        return None
    count = np.bincount(labels)
    if not every_class:
        return _of_accuracy(scores["accuracy"], count.max() / len(labels), len(labels), role)
    balanced = recorded(scores, MEASURES["balanced_accuracy"])
    if balanced is None or balanced > 1 / np.count_nonzero(count) + ROUNDING:
        return None
    return (
        f"The {role} is no better than predicting one class for every example (balanced accuracy {balanced:.4f} on "
        "validation)."
    )


def _of_accuracy(accuracy: float, share: float, examples: int, role: str) -> str | None:
    """Judge an accuracy by the share of the most frequent class.

    Where that is not most of the examples, an accuracy within `CHANCE` standard errors of it is chance too: in such
    data, a model that has learnt something is far above.
    """
    if accuracy <= share:
        return f"The {role} is no better than predicting the most frequent class ({accuracy:.4f} on validation)."
    if share > 0.5 or accuracy > share + CHANCE * sqrt(share * (1 - share) / examples):
        return None
    return (
        f"The {role} is hardly better than predicting the most frequent class ({accuracy:.4f} on validation; that "
        f"gives {share:.4f})."
    )
