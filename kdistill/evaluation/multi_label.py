"""The measures of multi-label logits (n, classes) against labels (n, classes) of 0 and 1, in float64.

Each example has any number of classes: the model says that it has those whose logit is at least 0, which is a
probability of 0.5.
"""

import numpy as np
from numpy.typing import NDArray

from kdistill.core.task import MULTI, Floats

Labels = NDArray[np.integer]


def subset_accuracy(logits: Floats, labels: Labels) -> float:
    """Return the share of examples for which the decisions on all classes are right."""
    return float(MULTI.correct(logits, labels).mean())


def nll(logits: Floats, labels: Labels) -> float:
    """Return the mean over the examples of the negative log-likelihood of all labels of one, in nats.

    It is the sum over the classes of binary cross-entropies at T = 1.
    """
    return float(-np.where(labels[..., None] == [1, 0], MULTI.log_probabilities(logits), 0.0).sum(axis=(1, 2)).mean())


def average_precision(scores: Floats, has_class: NDArray[np.bool_]) -> float:
    """Return the mean, over the examples that have a class, of the precision among those scored at least as high.

    It is scikit-learn's `average_precision_score`: the sum of precisions weighted by the increase of recall, without
    interpolation; examples of equal scores are taken together.

    Args:
        scores: (n,).
        has_class: (n,), at least one is true.
    """
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(has_class[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of each group of equal scores
    gained = np.diff(found[last], prepend=0)
    return float((gained * found[last] / (last + 1)).sum() / found[-1])


def mean_average_precision(logits: Floats, labels: Labels) -> float:
    """Return the mean of `average_precision` over the classes that an example has."""
    present = np.flatnonzero(labels.any(axis=0))
    return float(np.mean([average_precision(logits[:, number], labels[:, number] == 1) for number in present]))


def macro_f1(logits: Floats, labels: Labels) -> float:
    """Return the mean of F1 = 2 TP / (2 TP + FP + FN) over the classes that an example has.

    It is scikit-learn's `f1_score(average="macro")`, where every class has an example.
    """
    decided, actual = MULTI.decided(logits), labels.sum(axis=0)
    right, present = (decided * labels).sum(axis=0), actual > 0
    return float(np.mean(2 * right[present] / (actual + decided.sum(axis=0))[present]))
