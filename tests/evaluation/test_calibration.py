"""Temperature fitting, against known answers and a grid."""

import numpy as np
import pytest

from kdistill.evaluation import calibration, metrics
from kdistill.evaluation.measures import nll


def drawn(temperature, rows=4000, classes=5):
    """Return logits, and labels drawn from their probabilities at a temperature."""
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(rows, classes))
    shares = np.exp(logits / temperature)
    shares /= shares.sum(-1, keepdims=True)
    return logits, (shares.cumsum(-1) > rng.random((rows, 1))).argmax(-1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_that_drew_the_labels_is_found(temperature):
    logits, labels = drawn(temperature)
    found = calibration.fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.08)
    grid = np.exp(np.linspace(np.log(found) - 0.5, np.log(found) + 0.5, 101))
    assert nll(logits / found, labels) <= min(nll(logits / t, labels) for t in grid) + 1e-9


def test_scores_are_those_of_test_at_the_temperature_of_validation():
    logits, labels = drawn(3.0)
    fitted = calibration.fitted(logits[:2000].astype(np.float32), labels[:2000], logits[2000:], labels[2000:])
    assert tuple(fitted) == calibration.FITTED
    at = metrics.score(logits[2000:] / fitted["fitted_temperature"], labels[2000:])
    assert (fitted["fitted_nll"], fitted["fitted_ece"]) == (pytest.approx(at.nll), pytest.approx(at.ece))
    raw = metrics.score(logits[2000:], labels[2000:])
    assert fitted["fitted_nll"] < raw.nll - 0.3
    assert fitted["fitted_ece"] < raw.ece / 2


def test_a_model_that_never_errs_gets_a_temperature_near_the_least():
    found = calibration.fit_temperature(np.eye(3), np.arange(3))
    assert calibration.LEAST <= found < 0.05  # where its NLL is 0


def test_labels_of_several_classes():
    rng = np.random.default_rng(1)
    logits = 3 * rng.normal(size=(4000, 3))
    labels = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits / 2))).astype(np.int64)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(2, rel=0.08)
