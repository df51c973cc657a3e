"""Biases that bring mean probabilities to a prior: closed forms, a reference, and properties."""

import numpy as np
import pytest
from scipy.optimize import root
from scipy.special import softmax

from kdistill.evaluation import prior


def test_two_classes_with_the_same_logits_have_a_closed_form():
    logits, wanted = np.tile([2.0, -1.0], (5, 1)), np.array([0.2, 0.8])
    offsets = prior.offsets(logits, wanted)
    assert offsets[1] - offsets[0] == pytest.approx(np.log(0.8 / 0.2) + 3.0, abs=1e-7)
    assert offsets.sum() == pytest.approx(0, abs=1e-12)


def test_equal_rows_of_any_classes_have_a_closed_form():
    rng = np.random.default_rng(0)
    row, wanted = rng.normal(size=7) * 5, rng.dirichlet(np.ones(7))
    expected = np.log(wanted) - row
    np.testing.assert_allclose(prior.offsets(np.tile(row, (9, 1)), wanted), expected - expected.mean(), atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 3.0, 50.0, 1000.0])
def test_mean_probabilities_are_the_prior(scale):
    """Also of a model that is certain, and never of the first class: exp(-5000) is no float64."""
    rng = np.random.default_rng(1)
    logits = (rng.normal(size=(300, 6)) * scale).astype(np.float32)
    logits[:, 0] -= 5 * scale
    wanted = rng.dirichlet(np.ones(6))
    found = softmax(logits.astype(np.float64) + prior.offsets(logits, wanted), axis=1).mean(axis=0)
    np.testing.assert_allclose(found, wanted, atol=1e-8)


def test_another_solver_finds_the_same():
    rng = np.random.default_rng(2)
    logits, wanted = rng.normal(size=(80, 4)) * 2, np.array([0.1, 0.2, 0.3, 0.4])

    def distance(rest):
        return (softmax(logits + np.array([0.0, *rest]), axis=1).mean(axis=0) - wanted)[1:]

    reference = np.array([0.0, *root(distance, np.zeros(3), tol=1e-12).x])
    np.testing.assert_allclose(prior.offsets(logits, wanted), reference - reference.mean(), atol=1e-6)


def test_a_shift_of_the_logits_is_taken_back():
    rng = np.random.default_rng(3)
    logits, shift = rng.normal(size=(50, 5)), np.array([3.0, -1.0, 0.5, -2.5, 0.0])
    own = softmax(logits, axis=1).mean(axis=0)
    np.testing.assert_allclose(prior.offsets(logits, own), 0, atol=1e-7)
    np.testing.assert_allclose(prior.offsets(logits + shift, own), -shift, atol=1e-6)


def test_logits_without_a_prior_or_not_finite_stay():
    logits = np.array([[0.0, np.nan]], np.float32)
    assert prior.moved(logits, np.array([0.5, 0.5])) is logits
    assert prior.moved(logits, None) is logits
    moved = prior.moved(np.zeros((2, 2), np.float32), np.array([0.25, 0.75]))
    assert moved.dtype == np.float32
    np.testing.assert_allclose(softmax(moved, axis=1).mean(axis=0), [0.25, 0.75], atol=1e-6)
