"""Temperature fitting: one number that makes a model's probabilities as good as its decisions let them be.

Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2: the temperature that minimises the
NLL on validation. Divided by it, logits decide the same.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from kdistill.evaluation import metrics
from kdistill.evaluation.measures import NLL, Floats

LEAST, MOST = 0.01, 100.0  # temperature; a model that errs nowhere on validation gets one near the least


class Fitted(TypedDict):
    """Scores on test of logits that are divided by a temperature, which was fitted on validation."""

    fitted_temperature: float
    fitted_nll: float
    fitted_ece: float


FITTED = tuple(Fitted.__annotations__)


def fit_temperature(logits: Floats, labels: NDArray[np.integer]) -> float:
    """Return the temperature, from `LEAST` to `MOST`, by which divided logits (n, classes) have the lowest NLL.

    The NLL is a convex function of 1 / T, so that there is one minimum.
    """
    from scipy.optimize import minimize_scalar

    exact = logits.astype(np.float64)
    found = minimize_scalar(
        lambda log_t: NLL.compute(exact / np.exp(log_t), labels),
        bounds=(np.log(LEAST), np.log(MOST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def fitted(
    validation: Floats, validation_labels: NDArray[np.integer], test: Floats, test_labels: NDArray[np.integer]
) -> Fitted:
    """Return scores of a model's logits (n, classes) on test, at the temperature that fits its logits on validation."""
    temperature = fit_temperature(validation, validation_labels)
    scores = metrics.score(test.astype(np.float64) / temperature, test_labels)
    return {"fitted_temperature": temperature, "fitted_nll": scores.nll, "fitted_ece": scores.ece}
