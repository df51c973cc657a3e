"""Whether a teacher's outputs are in another order of classes than the data."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kdistill.core.formatting import first_few

# What is taken for another order, rather than for chance: at least so many more right answers, as a number and as a
# share of all, and so many for each that is right as it is, among the classes that change places.
LEAST_EXAMPLES, LEAST_SHARE, LEAST_RATIO = 10, 0.1, 3
# Some order fits any answers: how well by chance is found with shuffled labels. Beyond that, so much of the way to all
# answers being right must be explained.
LEAST_BEYOND_CHANCE = 0.4


def best_order(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], float]:
    """Return for each class the output that fits it best, and the accuracy of that order: an optimal assignment.

    Args:
        logits: (n, classes).
        labels: (n,).
    """
    from scipy.optimize import linear_sum_assignment

    right = confusion(logits, labels)
    _, outputs = linear_sum_assignment(right, maximize=True)
    return outputs, float(right[np.arange(len(right)), outputs].sum() / len(labels))


def confusion(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the number of examples (classes, classes) of each label, in rows, that each output is the largest of."""
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (labels, logits.argmax(axis=-1)), 1)
    return counts


def another_order(
    logits: NDArray[np.floating], labels: NDArray[np.integer], classes: Sequence[str], role: str = "teacher"
) -> str | None:
    """Return a warning if another order of a model's outputs explains its wrong answers; else None.

    Args:
        logits: (n, classes), of the validation split.
        labels: (n,).
        classes: their names.
        role: what the model is called.
    """
    right = confusion(logits, labels)
    outputs, accuracy = best_order(logits, labels)
    moved = np.flatnonzero(outputs != np.arange(len(outputs)))
    as_it_is, moved_right = right[moved, moved].sum(), right[moved, outputs[moved]].sum()
    gain = moved_right - as_it_is
    _, by_chance = best_order(logits, np.random.default_rng(0).permutation(labels))
    share = by_chance + LEAST_BEYOND_CHANCE * (1 - by_chance)
    enough = max(LEAST_RATIO * as_it_is, share * right[moved].sum())
    if gain < max(LEAST_EXAMPLES, LEAST_SHARE * len(labels)) or moved_right < enough:
        return None
    pairs = first_few([f"output {outputs[label]} for {classes[label]}" for label in moved.tolist()])
    return (
        f"The {role}'s outputs seem to be in another order of classes: its accuracy on validation is "
        f"{np.trace(right) / len(labels):.4f}, and {accuracy:.4f} with {pairs} (outputs are counted from 0). Put them "
        "in the order of the data's classes: rename these, or give the teacher's outputs as a file of logits, with its "
        "columns in that order (--teacher-logits)."
    )
