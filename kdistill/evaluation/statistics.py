"""Numbers about many runs, and the verdict on them: what `experiments` stores and `report` shows.

Accuracies and their differences are fractions of the test split (0.0043); sentences for people give them in points
(0.43). Differences are distilled minus baseline, one for each seed. The paired t interval alone decides the verdict;
everything else here describes. scipy is imported where it is used: commands that compute nothing do not load it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

Document = dict[str, Any]

CONFIDENCE = 0.95
LEAST_SEEDS = 3
"""Fewer give neither interval nor p: with two, a t interval has one degree of freedom and says next to nothing."""
LEAST_SEEDS_FOR_BOOTSTRAP = 20
"""With fewer the bootstrap is too narrow: at 3 to 10 seeds it excluded zero in 15 to 28 % of null cases."""
POWER = 0.8
ROUNDING = 1e-9
"""Differences of accuracy that are no further apart than this are equal: a test example counts for far more."""


Claims = tuple[tuple[str, str], tuple[str, str]]
HELPS_OR_HURTS: Claims = (("helps", "Distillation helps"), ("hurts", "Distillation hurts"))
"""A verdict in a word and in the words of a sentence, where the difference is above zero and where it is below."""


class PairedT(NamedTuple):
    """The paired t test: interval of the mean difference at `CONFIDENCE`, and two-sided p value of no difference."""

    low: float
    high: float
    p_value: float


def summarize(values: Sequence[float]) -> Document:
    """Return `values` with their mean and sample standard deviation (None for a single value)."""
    return {
        "values": [float(value) for value in values],
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
    }


def paired_differences(first: Sequence[float], second: Sequence[float]) -> Document:
    """Return `first - second`, pair by pair, summarized, with the interval of `paired_t` (None where it has none)."""
    differences = [a - b for a, b in zip(_finite(first), _finite(second), strict=True)]
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


def bootstrap(differences: Sequence[float]) -> Document | None:
    """Return the BCa bootstrap interval of the mean difference, `low` and `high`, at `CONFIDENCE`.

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

    test = mannwhitneyu(_finite(distilled), _finite(baseline), method="asymptotic")
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


def verdict(differences: Sequence[float], claims: Claims = HELPS_OR_HURTS) -> tuple[str, str]:
    """Return `helps`, `hurts` or `inconclusive`, and a sentence for people that says why.

    `helps` and `hurts`, or what `claims` has for them, are said where the interval of `paired_t` excludes zero: wrongly
    in at most 5 % of experiments in which there is no difference (exactly for normal differences). Where there is no
    interval, nothing can be told.
    """
    mean, seeds = float(np.mean(differences)), _count_seeds(len(differences))
    test = paired_t(differences)
    if test is None:
        return "inconclusive", _no_interval(differences)
    measured = (
        f"{_points(mean)} points of test accuracy (95 % interval {_points(test.low)} to {_points(test.high)}, "
        f"{_p(test.p_value)}, {seeds})"
    )
    if test.low > 0:
        return claims[0][0], f"{claims[0][1]}: {measured}."
    if test.high < 0:
        return claims[1][0], f"{claims[1][1]}: {measured}."
    unseen = smallest_detectable(float(np.std(differences, ddof=1)), len(differences))
    return "inconclusive", (
        f"Inconclusive: {measured}; with {seeds} anything under {_points(unseen).lstrip('+')} points "
        "would go unseen more often than one time in five."
    )


def _no_interval(differences: Sequence[float]) -> str:
    mean, seeds = float(np.mean(differences)), _count_seeds(len(differences))
    if len(differences) < LEAST_SEEDS:
        return (
            f"Inconclusive: {_points(mean)} points of test accuracy, but {seeds} cannot tell: "
            f"an interval takes at least {LEAST_SEEDS}, and more are better."
        )
    what = "no difference at all in test accuracy" if abs(mean) <= ROUNDING else "the same difference"
    amount = "" if abs(mean) <= ROUNDING else f", {_points(mean)} points of test accuracy"
    return f"Inconclusive: all {seeds} gave {what}{amount}: without spread between seeds there is no interval."


NO_INTERVAL = "Without an interval nothing is said of other seeds, nor of other test images or other teachers."


def about(shared_teachers: int = 0) -> str:
    """Return the sentence that says what the interval speaks about, and what not.

    Args:
        shared_teachers: how many teachers taught all seeds, where they are fewer than the seeds.
    """
    if shared_teachers:
        these = "this one teacher" if shared_teachers == 1 else f"these {shared_teachers} teachers"
        return (
            f"The interval is about training seeds, for this test set and {these}: "
            "what other seeds would give, not other test images or other teachers."
        )
    return (
        "The interval is about training seeds, the teacher's too, for this test set: "
        "what other seeds would give, not other test images."
    )


def nothing_to_transfer(teacher: Sequence[float], baseline: Sequence[float]) -> str | None:
    """Return a sentence where the teacher's mean accuracy is not above the baseline's; None where it is."""
    taught, alone = float(np.mean(_finite(teacher))), float(np.mean(_finite(baseline)))
    if taught - alone > ROUNDING:
        return None
    return (
        f"The teacher is on average no better than the baseline ({taught:.4f} against {alone:.4f} test accuracy): "
        "whatever the distilled student gains, it is not the teacher's accuracy."
    )


def little_to_teach(seed: int, teacher_accuracy: float, baseline_accuracy: float) -> list[str]:
    """Return the warning that a seed's teacher is no better than the student trained alone, if that is so."""
    if teacher_accuracy > baseline_accuracy:
        return []
    return [
        f"Seed {seed}: the teacher is no better than the student trained alone "
        f"({teacher_accuracy:.4f} against {baseline_accuracy:.4f} on validation): it has little to teach."
    ]


def paired_statistics(first: Sequence[float], second: Sequence[float]) -> Document:
    """Return what can be said of paired values, `first - second`, without a claim.

    Args:
        first: shape (pairs,).
        second: shape (pairs,), in the same order.

    Returns:
        `difference` (see `paired_differences`), `p_value` (of `paired_t`), `bootstrap`, `probability_of_improvement` of
        `first`, `smallest_detectable`; None where there is none.

    Raises:
        ValueError: the lengths differ, there are no values, or one is not finite.
    """
    difference = paired_differences(first, second)
    values = difference["values"]
    test = paired_t(values)
    return {
        "difference": difference,
        "p_value": test.p_value if test else None,
        "bootstrap": bootstrap(values),
        "probability_of_improvement": probability_of_improvement(first, second),
        "smallest_detectable": smallest_detectable(difference["sd"], len(values)) if test else None,
    }


def compare(
    distilled: Sequence[float],
    baseline: Sequence[float],
    *,
    seeds: Sequence[int] | None = None,
    disagreements: Sequence[tuple[int, int]] | None = None,
    shared_teachers: int = 0,
    left_out: int = 0,
) -> Document:
    """Compare two arms, seed by seed: the `comparison` in `summary.json`, ready for JSON.

    Args:
        distilled: shape (seeds,), test accuracies.
        baseline: the same for the baseline, in the same order of seeds.
        seeds: shape (seeds,), the seeds themselves, to name them under `mcnemar`.
        disagreements: for each seed how many test examples only the distilled, and how many only the baseline model
            classified correctly (`count_disagreements`); without it `mcnemar` is None.
        shared_teachers: see `about`.
        left_out: seeds that are missing here since one of their runs failed.

    Raises:
        ValueError: the lengths differ, there are no values, or one is not finite.
    """
    paired = paired_statistics(distilled, baseline)
    values = paired["difference"]["values"]
    decision, sentence = verdict(values)
    if left_out:
        sentence += f" {left_out} of {len(values) + left_out} seeds left out, since a run failed."
    return {
        "seeds": None if seeds is None else list(seeds),
        **paired,
        "mcnemar": None if disagreements is None else _mcnemar_by_seed(disagreements, seeds, len(values)),
        "verdict": decision,
        "verdict_text": sentence,
        "about": NO_INTERVAL if paired["difference"]["ci_low"] is None else about(shared_teachers),
    }


def _mcnemar_by_seed(
    disagreements: Sequence[tuple[int, int]], seeds: Sequence[int] | None, count: int
) -> list[Document]:
    if len(disagreements) != count or (seeds is not None and len(seeds) != count):
        raise ValueError(f"there are {count} pairs of runs; disagreements and seeds must be as many")
    rows: list[Document] = []
    for number, (only_distilled, only_baseline) in enumerate(disagreements):
        row: Document = {} if seeds is None else {"seed": int(seeds[number])}
        row |= {"only_distilled": int(only_distilled), "only_baseline": int(only_baseline)}
        rows.append({**row, "p_value": mcnemar(row["only_distilled"], row["only_baseline"])})
    return rows


def _finite(values: Sequence[float]) -> list[float]:
    numbers = [float(value) for value in values]
    if not numbers or not np.all(np.isfinite(numbers)):
        raise ValueError(f"expected one or more finite numbers, got {numbers}")
    return numbers


def _all_equal(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= ROUNDING


def _count_seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"


def _points(fraction: float) -> str:
    """Return a difference in points with its sign: two decimals, or one digit where they would show 0.00."""
    points = round(100 * fraction, 6) + 0.0  # the sum turns -0.0 into 0.0
    return f"{points:+.1g}" if 0 < abs(points) < 0.005 else f"{points:+.2f}"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3g}"
