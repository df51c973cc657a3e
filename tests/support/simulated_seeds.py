"""Accuracies of paired seeds, drawn or from a worked example."""

import numpy as np

BASELINE = [0.81, 0.84, 0.80, 0.90]


def simulated(seeds, shift=0.0, experiments=2000, sd=0.004):
    """Return paired differences, shape (experiments, seeds): normal, mean `shift`."""
    return np.random.default_rng([seeds, experiments]).normal(shift, sd, size=(experiments, seeds))
