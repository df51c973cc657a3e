"""Statistics of many runs: means, paired tests, intervals.

Accuracies and their differences are fractions of the test split (0.0043). scipy is imported where it is used: commands
that compute nothing do not load it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypedDict

import numpy as np

CONFIDENCE = 0.95
LEAST_SEEDS = 3
"""Fewer give neither interval nor p: with two, a t interval has one degree of freedom and says next to nothing."""
LEAST_SEEDS_FOR_BOOTSTRAP = 20
"""With fewer the bootstrap is too narrow: at 3 to 10 seeds it excluded zero in 15 to 28 % of null cases."""
POWER = 0.8
ROUNDING = 1e-9
"""Differences of accuracy that are no further apart than this are equal: a test example counts for far more."""


class Summary(TypedDict):
    """One measure over several runs."""

    values: list[float]
    mean: float
    sd: float | None  # of the sample; None for a single value


class Difference(Summary):
    """Paired differences, with the interval of their mean; its ends are None where `paired_t` has none."""

    ci_low: float | None
    ci_high: float | None
    confidence: float


class Interval(TypedDict):
    """An interval of the mean difference at `CONFIDENCE`."""

    low: float
    high: float


class PairedT(NamedTuple):
    """The paired t test: interval of the mean difference at `CONFIDENCE`, and two-sided p value of no difference."""

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


def summaries(scores: Sequence[Mapping[str, Any]], *measures: str) -> dict[str, Any]:
    """Return the `Summary` of each measure over some scores; None where one of its values is."""
    values = {measure: [of[measure] for of in scores] for measure in measures}
    return {measure: None if None in of else summarize(of) for measure, of in values.items()}


def paired_differences(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return `first - second`, pair by pair, summarized, with the interval of `paired_t` (None where it has none)."""
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
        None below `LEAST_SEEDS`, and where all differences are equal: their spread, which the interval is made of,
        cannot be estimated then (a p of 0 would follow from three seeds that gained one test example each).
    """
    if len(differences) < LEAST_SEEDS or _all_equal(differences):
        return None
    from scipy.stats import ttest_1samp

    test = ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(CONFIDENCE)
    return PairedT(float(low), float(high), float(test.pvalue))


def bootstrap(differences: Sequence[float]) -> Interval | None:
    """Return the BCa bootstrap interval of the mean difference.

    Bias-corrected and accelerated (Efron 1987), 9999 resamples, always of the same random stream.

    Returns:
        None below `LEAST_SEEDS_FOR_BOOTSTRAP`, and where all differences are equal.
    """
    if len(differences) < LEAST_SEEDS_FOR_BOOTSTRAP or _all_equal(differences):
        return None
    from scipy import stats

    rng = np.random.default_rng(0)
    result = stats.bootstrap((differences,), np.mean, confidence_level=CONFIDENCE, method="BCa", rng=rng)
    low, high = result.confidence_interval
    return {"low": float(low), "high": float(high)}


def probability_of_improvement(distilled: Sequence[float], baseline: Sequence[float]) -> float:
    """Return how often a distilled run beats a baseline run: the share of all pairs of runs, a tie counted as half.

    All n * m pairs, also those of different seeds: the Mann-Whitney U statistic over n * m. 0.5 is no improvement. It
    says how often, not by how much. Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the
    Statistical Precipice", NeurIPS 2021, and its library rliable.
    """
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(finite(distilled), finite(baseline), method="asymptotic")
    return float(test.statistic) / (len(distilled) * len(baseline))


def count_disagreements(first_correct: Sequence[bool], second_correct: Sequence[bool]) -> tuple[int, int]:
    """Return how many examples only the first, and how many only the second model classified correctly.

    Args:
        first_correct: shape (examples,), whether the first model is right on each.
        second_correct: the same for the second model, on the same examples in the same order.

    Raises:
        ValueError: the shapes differ.
    """
    first, second = np.asarray(first_correct, dtype=bool), np.asarray(second_correct, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"both models must be scored on the same examples, not on {first.shape} and {second.shape}")
    return int(np.sum(first & ~second)), int(np.sum(second & ~first))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p value of the exact (conditional, binomial) McNemar test of two models on one test set.

    It asks whether these two models differ, not whether distillation helps: other seeds make other models. So it
    describes a seed and has no say in the verdict. 1.0 where the models are right on the same examples.

    Args:
        only_first: examples that only the first model classified correctly.
        only_second: examples that only the second model classified correctly.
    """
    if only_first == only_second == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def smallest_detectable(sd: float, seeds: int, power: float = POWER) -> float:
    """Return the smallest true difference that the verdict would not have missed, with probability `power`.

    Exact for normal differences: the power of the two-sided paired t test at 1 - `CONFIDENCE`, from the noncentral t
    distribution, solved for the difference. As good as `sd`, which few seeds estimate roughly.

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
    """Return values as floats. Raises ValueError where there are none, or one is not finite."""
    numbers = [float(value) for value in values]
    if not numbers or not np.all(np.isfinite(numbers)):
        raise ValueError(f"expected one or more finite numbers, got {numbers}")
    return numbers


def _all_equal(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= ROUNDING
