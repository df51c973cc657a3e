"""The interval for new seeds and new test examples: against covariances, the bootstrap, and simulated experiments."""

import numpy as np
import pytest
from scipy import stats

from kdistill.evaluation.crossed import (
    PARTS,
    contributions,
    for_new_examples,
    mean_squares,
    without_parts,
)
from kdistill.evaluation.measures import MEASURES
from kdistill.evaluation.statistics import paired_t


def drawn(rng, seeds, examples, seed=0.0, example=0.0, interaction=1.0, shift=0.0):
    """Return differences (seeds, examples): normal, with these standard deviations of the parts."""
    rows = rng.normal(0, seed, (seeds, 1)) if seed else 0.0
    columns = rng.normal(0, example, (1, examples)) if example else 0.0
    return shift + rows + columns + rng.normal(0, interaction, (seeds, examples))


def interval(values):
    return for_new_examples(values, values.mean(axis=1).tolist())


def test_mean_squares_of_a_worked_example():
    # Two rows of three, worked by hand: row means 2 and 4, column means 2, 3 and 4, mean 3.
    # Rows: 3 * (1 + 1) = 6 over 1; columns: 2 * (1 + 0 + 1) = 4 over 2; total 14, so that 4 over 2 are left.
    assert mean_squares(np.array([[1, 1, 4], [3, 5, 4]])) == pytest.approx((6.0, 2.0, 2.0))


def test_the_variance_is_obuchowskis_and_rocketts():
    """Var(mean) = (variance of the seeds' differences + S * mean covariance of two seeds' differences) / S."""
    values = drawn(np.random.default_rng(1), 6, 400, seed=0.05, example=0.7)
    covariances = np.cov(values) / values.shape[1]
    between = covariances[np.triu_indices(6, 1)].mean()
    spread = np.var(values.mean(axis=1), ddof=1)
    variance = (spread + 6 * between) / 6
    freedom = 5 * ((spread + 6 * between) / spread) ** 2
    low, high = stats.t.interval(0.95, freedom, values.mean(), np.sqrt(variance))
    found = interval(values)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["p_value"] == pytest.approx(2 * stats.t.sf(abs(values.mean()) / np.sqrt(variance), freedom))


def test_the_standard_error_is_that_of_the_two_way_bootstrap():
    """Seeds and examples are both drawn anew, with replacement; many of each, where the bootstrap is right too."""
    rng = np.random.default_rng(2)
    values = drawn(rng, 40, 400, seed=0.1, example=1.0)
    means = [values[rng.integers(0, 40, 40)][:, rng.integers(0, 400, 400)].mean() for _ in range(2000)]
    found = interval(values)
    # The bootstrap counts the interaction three times, which adds 2 / (40 * 400) to a variance of 0.0028.
    assert (found["high"] - found["low"]) / 2 / 1.96 == pytest.approx(np.std(means), rel=0.08)


def test_it_is_never_narrower_than_the_interval_over_seeds():
    rng = np.random.default_rng(3)
    for _ in range(200):
        values = drawn(rng, 3, 50, seed=0.2, example=0.2)
        seeds, new = paired_t(values.mean(axis=1).tolist()), interval(values)
        assert new["low"] <= seeds.low + 1e-12
        assert new["high"] >= seeds.high - 1e-12
        assert new["p_value"] >= seeds.p_value
        assert (new["low"] > 0 or new["high"] < 0) == (new["p_value"] < 0.05)


def test_what_more_seeds_and_more_examples_would_remove():
    rng = np.random.default_rng(4)
    alike = interval(drawn(rng, 200, 200, example=1.0, interaction=0.05))
    assert alike["removed_by_seeds"] < 0.05
    assert alike["removed_by_examples"] > 0.99
    apart = interval(drawn(rng, 200, 200, seed=1.0, interaction=0.05))
    assert apart["removed_by_seeds"] > 0.99
    assert apart["removed_by_examples"] < 0.05
    # Of an interaction alone, either would remove everything.
    mixed = interval(drawn(rng, 200, 200, interaction=1.0))
    assert min(mixed["removed_by_seeds"], mixed["removed_by_examples"]) > 0.8


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_interval_below_three_seeds(seeds):
    assert interval(drawn(np.random.default_rng(5), seeds, 50)) is None


def test_no_interval_without_variance_of_seeds_or_for_one_example():
    row = np.random.default_rng(6).integers(-1, 2, (1, 50))
    assert interval(np.repeat(row, 4, axis=0)) is None
    assert interval(np.array([[1], [0], [-1]])) is None


def answers(rng, seeds, examples, gain, spread):
    """Return differences of right answers (seeds, examples), as int8, of pairs of models.

    Examples differ in difficulty, models in skill, distilled ones are better by `gain` on average but not on every
    example: a logistic model with a part for seeds, one for examples and one for both.
    """
    difficulty = rng.normal(2.0, 2.0, (1, examples))
    of_example = rng.normal(gain, spread, (1, examples))
    of_seed = rng.normal(0, 0.1, (seeds, 1))
    right = rng.logistic(size=(2, seeds, examples)) < np.stack(
        [difficulty + of_example + of_seed, 0 * of_seed + difficulty]
    )
    return right[0].astype(np.int8) - right[1].astype(np.int8)


def covered(rng, seeds, examples, gain, spread, experiments):
    """Return the share of experiments whose interval has the mean over all seeds and examples."""
    truth = answers(rng, 400, 20_000, gain, spread).mean()
    hits = 0
    for _ in range(experiments):
        values = answers(rng, seeds, examples, gain, spread)
        found = interval(values)
        hits += found is None or found["low"] <= truth <= found["high"]
    return hits / experiments


@pytest.mark.parametrize(("seeds", "examples"), [(3, 1000), (5, 200)])
def test_it_covers_the_mean_over_seeds_and_examples(seeds, examples):
    assert 0.91 <= covered(np.random.default_rng(seeds), seeds, examples, 0.3, 1.0, 400) <= 0.985


@pytest.mark.campaign
@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("examples", [200, 1000, 10_000])
@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
def test_coverage_at_all_sizes(seeds, examples, spread):
    """93 to 97 %, give or take three standard errors of a simulation of 1500 experiments."""
    share = covered(np.random.default_rng([seeds, examples]), seeds, examples, 0.3, spread, 1500)
    print(f"| {seeds} | {examples} | {'with' if spread else 'without'} | {100 * share:.1f} % |")
    assert 0.93 - 0.02 <= share <= 0.97 + 0.013


def logits_of(rng, seeds, n, classes=4):
    labels = rng.integers(0, classes, n)
    base = np.eye(classes)[labels] * 2 + rng.normal(0, 1.5, (n, classes))
    return labels, [base + rng.normal(0, 0.5, (n, classes)) for _ in range(seeds)]


def test_parts_of_accuracy_contribute_what_its_examples_do():
    """Accuracy is a mean, so that parts of one example each give the interval of the examples themselves."""
    rng = np.random.default_rng(7)
    labels, first = logits_of(rng, 4, PARTS)
    _, second = logits_of(rng, 4, PARTS)
    accuracy = MEASURES["accuracy"]
    right = [np.stack([of.argmax(-1) == labels for of in arm]).astype(int) for arm in (first, second)]
    values = right[0] - right[1]
    differences = values.mean(axis=1)
    without = np.stack([without_parts(of, labels, accuracy) for of in first]) - np.stack(
        [without_parts(of, labels, accuracy) for of in second]
    )
    order = np.random.default_rng(0).permutation(PARTS)
    np.testing.assert_allclose(contributions(differences, without), values[:, order], atol=1e-9)


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "nll"])
def test_the_parts_of_a_measure_give_its_variance_over_test_splits(name):
    """One pair of models, many test splits: the jackknife's standard error is the spread of the measure."""
    rng, measure = np.random.default_rng(8), MEASURES[name]
    estimated, values = [], []
    for _ in range(60):
        labels, (logits,) = logits_of(rng, 1, 600)
        values.append(measure.compute(logits, labels))
        pseudo = contributions(values[-1:], np.array([without_parts(logits, labels, measure)]))[0]
        estimated.append(np.var(pseudo, ddof=1) / len(pseudo))
    assert np.sqrt(np.mean(estimated)) == pytest.approx(np.std(values, ddof=1), rel=0.3)


def test_a_measure_that_needs_every_class_may_have_no_parts():
    labels = np.array([0] * 60 + [1])
    logits = np.random.default_rng(9).normal(size=(61, 2))
    assert without_parts(logits, labels, MEASURES["auc"]) is None
    assert without_parts(logits, labels, MEASURES["mean_average_precision"]) is None
    assert len(without_parts(logits, labels, MEASURES["nll"])) == PARTS
