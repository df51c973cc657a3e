"""Statistics over runs: means, paired tests, intervals, power.

Accuracies and their differences are fractions of the test split (0.0043). SciPy is imported inside the functions, so
that commands that compute nothing start fast.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np

Scope = Literal["new_examples", "test_set"]  # of a verdict: other seeds on new test examples too, or on these alone
CONFIDENCE = 0.95
LEAST_SEEDS = 3
"""Seeds required for an interval and a p value: with two seeds a t interval has one degree of freedom."""
LEAST_SEEDS_FOR_BOOTSTRAP = 20
"""Seeds required for the bootstrap: at 3 to 10 seeds its interval excluded zero in 15 to 28 % of null cases."""
POWER = 0.8
ROUNDING = 1e-9
"""Accuracies that differ by at most this are equal: one test example changes an accuracy by far more."""


class Summary(TypedDict):
    """One metric over several runs."""

    values: list[float]
    mean: float
    sd: float | None  # of the sample; None for a single value


class Difference(Summary):
    """Paired differences, with the interval of their mean."""

    ci_low: float | None  # None if `paired_t` returns None
    ci_high: float | None
    confidence: float


class Interval(TypedDict):
    """A confidence interval of the mean difference, at the level `CONFIDENCE`."""

    low: float
    high: float


class PairedT(NamedTuple):
    """The paired t test: confidence interval of the mean difference at `CONFIDENCE`, and two-sided p value."""

    low: float
    high: float
    p_value: float


def summarize(values: Sequence[float]) -> Summary:
    """Return `values` with their mean and sample standard deviation."""
    return {
        "values": [float(value) for value in values],
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def summaries(scores: Sequence[Mapping[str, Any]], *metrics: str) -> dict[str, Any]:
    """Return the `Summary` of each metric over `scores`; None for a metric with a missing value."""
    values: dict[str, list[Any]] = {metric: [of.get(metric) for of in scores] for metric in metrics}
    return {metric: None if None in of else summarize(of) for metric, of in values.items()}


def paired_differences(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return the summary of `first - second`, pair by pair, with the interval of `paired_t`."""
    differences = [a - b for a, b in zip(finite(first), finite(second), strict=True)]
    test = paired_t(differences)
    return {
        **summarize(differences),
        "ci_low": test.low if test else None,
        "ci_high": test.high if test else None,
        "confidence": CONFIDENCE,
    }


def paired_t(differences: Sequence[float]) -> PairedT | None:
    """Test whether the mean of paired differences is zero.

    Returns:
        None below `LEAST_SEEDS`, and if all differences are equal: their variance cannot be estimated then (three seeds
        that gain one test example each would give p = 0).
    """
    if len(differences) < LEAST_SEEDS or _all_equal(differences):
        return None
    from scipy.stats import ttest_1samp

    test = ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(CONFIDENCE)
    return PairedT(float(low), float(high), float(test.pvalue))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values adjusted by Holm's method: step down, the smallest times the number of comparisons.

    The probability of one wrong claim among all of them stays below the level of each alone, however they depend on
    each other (Holm, "A simple sequentially rejective multiple test procedure", 1979). A comparison without a p value
    stays without, and counts.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p))
        adjusted[place] = highest
    return adjusted


def claim(gain: float, p_holm: float | None) -> str:
    """Return what a corrected p value says of a difference: better, worse or inconclusive; above 0 a gain is better."""
    if p_holm is None or p_holm >= 1 - CONFIDENCE:
        return "inconclusive"
    return "better" if gain > 0 else "worse"


def bootstrap(differences: Sequence[float]) -> Interval | None:
    """Return the bootstrap interval of the mean difference: BCa (Efron 1987), 9999 resamples, a fixed random seed.

    Returns:
        None below `LEAST_SEEDS_FOR_BOOTSTRAP`, and if all differences are equal.
    """
    if len(differences) < LEAST_SEEDS_FOR_BOOTSTRAP or _all_equal(differences):
        return None
    from scipy import stats

    rng = np.random.default_rng(0)
    result = stats.bootstrap((differences,), np.mean, confidence_level=CONFIDENCE, method="BCa", rng=rng)
    low, high = result.confidence_interval
    return {"low": float(low), "high": float(high)}


def probability_of_improvement(distilled: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the share of all n * m pairs of runs in which the distilled run is more accurate; a tie counts one half.

    It is the Mann-Whitney U statistic over n * m; 0.5 means no improvement. Source: Agarwal et al., "Deep
    Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021, and its library rliable.
    """
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(finite(distilled), finite(baseline), method="asymptotic")
    return float(test.statistic) / (len(distilled) * len(baseline))


def count_disagreements(first_correct: Sequence[bool], second_correct: Sequence[bool]) -> tuple[int, int]:
    """Return how many examples only the first, and how many only the second model classified correctly.

    Both arguments are (examples,), of the same examples in the same order; ValueError if their shapes differ.
    """
    first, second = np.asarray(first_correct, dtype=bool), np.asarray(second_correct, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"both models must be scored on the same examples, not on {first.shape} and {second.shape}")
    return int(np.sum(first & ~second)), int(np.sum(second & ~first))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p value of the exact (conditional, binomial) McNemar test of two models on one test set.

    It tests whether these two models differ, not whether distillation helps, since other seeds give other models: it
    describes one seed and does not enter the verdict. The arguments are what `count_disagreements` returns; p is 1.0 if
    both are 0.
    """
    if only_first == only_second == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def minimum_detectable_difference(sd: float, seeds: int, power: float = POWER) -> float:
    """Return the smallest true difference that the paired t test detects with probability `power`.

    Exact for normal differences: the power of the two-sided test at the level 1 - `CONFIDENCE`, from the noncentral t
    distribution, solved for the difference. It is as uncertain as `sd`.

    Args:
        sd: standard deviation of the paired differences; the result has its unit.
        seeds: number of pairs, at least `LEAST_SEEDS`.
        power: above 1 - `CONFIDENCE` and below 1.
    """
    return sd * _detectable_in_sds(seeds, power)


@cache
def _detectable_in_sds(seeds: int, power: float) -> float:
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    if seeds < LEAST_SEEDS:
        raise ValueError(f"at least {LEAST_SEEDS} seeds are needed, not {seeds}")
    freedom = seeds - 1
    critical = t.ppf((1 + CONFIDENCE) / 2, freedom)

    def shortfall(noncentrality: float) -> float:
        return power - nct.sf(critical, freedom, noncentrality) - nct.cdf(-critical, freedom, noncentrality)

    highest = critical
    while shortfall(highest) > 0:
        highest += 1.0
    return float(brentq(shortfall, 0.0, highest) / np.sqrt(seeds))


def finite(values: Sequence[float]) -> list[float]:
    """Return values as floats. Raises ValueError if there are none, or one is not finite."""
    numbers = [float(value) for value in values]
    if not numbers or not np.all(np.isfinite(numbers)):
        raise ValueError(f"expected one or more finite numbers, got {numbers}")
    return numbers


def _all_equal(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= ROUNDING
