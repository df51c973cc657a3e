"""Biases that bring the mean class probabilities of logits to a prior: in float64, without labels."""

import numpy as np
from numpy.typing import NDArray

from kdistill.core.task import SINGLE, Floats

TOLERANCE = 1e-9  # of each mean probability
MOST_STEPS = 10_000
SHARES = (1.0, 0.5, 0.25, 0.125)  # of a step of Newton, the first that is good enough


def offsets(logits: Floats, prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return b (classes,) for which the mean over the examples of softmax(logits + b) is the prior.

    It minimises the convex function mean logsumexp(logits + b) - prior . b, so that there is one b but for a constant;
    its mean is made zero. A step of Newton, shortened if need be, is taken where it lessens the distance to the prior,
    and else the step b += log(prior / mean probability), which always converges (Sinkhorn's iteration). Hinton et al.
    (2015), section 3, chose one such offset by the errors on test; Saerens et al. (2002) use this ratio to estimate a
    prior.

    Args:
        logits: (n, classes), finite.
        prior: (classes,), each above 0, which sum to 1.
    """
    found = np.zeros(len(prior))
    log_mean, probabilities = _means(logits, found)
    for _ in range(MOST_STEPS):
        if (distance := _distance(log_mean, prior)) <= TOLERANCE:
            break
        step = _newton(probabilities, prior)
        for share in SHARES:
            candidate = found + share * step
            reached = _means(logits, candidate)
            if _distance(reached[0], prior) <= (1 - share / 2) * distance:
                break
        else:
            candidate = found + np.log(prior) - log_mean
            reached = _means(logits, candidate)
        found, (log_mean, probabilities) = candidate - candidate.mean(), reached
    return found


def moved(logits: NDArray[np.float32], prior: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """Return logits (n, classes) whose mean probabilities are the prior; as they are without one, or not finite."""
    if prior is None or not np.isfinite(logits).all():
        return logits
    return (logits + offsets(logits, prior)).astype(np.float32)


def mean_probabilities(logits: Floats) -> NDArray[np.float64]:
    """Return the mean (classes,) of softmax(logits) over the examples of logits (n, classes)."""
    return SINGLE.probabilities(logits).mean(axis=0)


def _means(logits: Floats, offset: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithm (classes,) of the mean probabilities, and the probabilities (n, classes)."""
    from scipy.special import logsumexp

    log_p = SINGLE.log_probabilities(logits.astype(np.float64) + offset)
    return np.asarray(logsumexp(log_p, axis=0)) - np.log(len(logits)), np.exp(log_p)


def _distance(log_mean: NDArray[np.float64], prior: NDArray[np.float64]) -> float:
    return float(np.abs(np.exp(log_mean) - prior).max())


def _newton(probabilities: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a step of Newton; constants, in whose direction nothing changes, are no part of it."""
    mean = probabilities.mean(axis=0)
    hessian = np.diag(mean) - probabilities.T @ probabilities / len(probabilities)
    return np.linalg.lstsq(hessian, prior - mean, rcond=None)[0]
