"""The interval of a mean difference for new seeds and new test examples at once.

The interval over seeds of `statistics.paired_t` speaks about one test set. Here each seed's difference is taken apart
into its test examples: seeds and examples are crossed, both drawn at random, as readers and cases are in radiology.

    d[s, i] = mean + seed[s] + example[i] + interaction[s, i]

Sources: Obuchowski and Rockette (1995) for the variance of the mean; Hillis, "A comparison of denominator degrees of
freedom methods for multiple observer ROC analysis", Statistics in Medicine 26 (2007), for the degrees of freedom.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdistill.core.task import of_labels
from kdistill.evaluation.measures import Floats, Labels, Measure
from kdistill.evaluation.statistics import CONFIDENCE, Interval, paired_t

PARTS = 50
"""Into how many parts a test split is cut to estimate what its examples contribute to a measure that is not a mean."""


class NewExamples(Interval):
    """The interval of a mean difference for other seeds and other test examples."""

    p_value: float
    removed_by_seeds: float  # share of the variance that endlessly many seeds would remove
    removed_by_examples: float  # share of the variance that endlessly many test examples would remove


class MeanSquares(NamedTuple):
    """The mean squares of a two-way layout with one value a cell."""

    seeds: float
    examples: float
    interaction: float


def mean_squares(values: NDArray[np.number]) -> MeanSquares:
    """Return the mean squares of values (seeds, examples), two or more of each."""
    seeds, examples = values.shape
    of_seed, of_example = values.mean(axis=1), values.mean(axis=0)
    mean = of_seed.mean()
    by_seed = examples * np.sum((of_seed - mean) ** 2)
    by_example = seeds * np.sum((of_example - mean) ** 2)
    total = np.sum(np.square(values, dtype=np.float64)) - seeds * examples * mean**2
    rest = max(total - by_seed - by_example, 0.0)
    return MeanSquares(
        float(by_seed / (seeds - 1)), float(by_example / (examples - 1)), float(rest / ((seeds - 1) * (examples - 1)))
    )


def for_new_examples(values: NDArray[np.number], differences: Sequence[float]) -> NewExamples | None:
    """Return the interval of the mean difference for other seeds and other test examples.

    With S seeds, I examples and mean squares MS, the variance of the mean is (MS_seeds + max(MS_examples -
    MS_interaction, 0)) / (S I), and its degrees of freedom are those of Hillis. Few seeds make these too many now and
    then: the interval is never narrower than that of `paired_t`, so that it cannot claim more about new examples than
    can be said of these. Simulated coverage: `tests/evaluation/test_crossed.py`.

    Args:
        values: (seeds, examples) what each example contributes to each seed's difference: their mean over examples is
            the seed's difference (of accuracy: 1, 0 or -1), or close to it (`contributions`).
        differences: (seeds,) the differences.

    Returns:
        None where `paired_t` returns None, or there is one example only.
    """
    of_seeds = paired_t(differences)
    if of_seeds is None or values.shape[1] < 2:
        return None
    from scipy.stats import t

    squares = mean_squares(values)
    # The seeds' mean square is that of the differences themselves: contributions of other measures are approximate.
    by_seed = float(np.var(differences, ddof=1)) * values.shape[1]
    by_example = max(squares.examples - squares.interaction, 0.0)
    variance = by_seed + by_example
    freedom = (len(differences) - 1) * (variance / by_seed) ** 2
    mean, error = float(np.mean(differences)), float(np.sqrt(variance / values.size))
    half = max(float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error, (of_seeds.high - of_seeds.low) / 2)
    return {
        "low": mean - half,
        "high": mean + half,
        "p_value": max(float(2 * t.sf(abs(mean) / error, freedom)), of_seeds.p_value),
        "removed_by_seeds": by_seed / variance,
        "removed_by_examples": 1 - max(by_seed - squares.interaction, 0.0) / variance,
    }


def without_parts(logits: Floats, labels: Labels, measure: Measure) -> list[float] | None:
    """Return a measure of logits (n, classes) without each of `PARTS` parts of the examples, in turn.

    The parts are drawn at random, the same for all models of a test split, and as equal in size as can be; fewer than
    `PARTS` examples are left out one by one.

    Returns:
        None where the measure is undefined without one of the parts, or there are fewer than two examples.
    """
    if len(labels) < 2 or measure.function(of_labels(labels)) is None:
        return None
    order = np.random.default_rng(0).permutation(len(labels))
    values = list[float]()
    for part in np.array_split(order, min(PARTS, len(labels))):
        kept = np.ones(len(labels), dtype=bool)
        kept[part] = False
        value = measure.compute(logits[kept], labels[kept])
        if value is None:
            return None
        values.append(value)
    return values


def contributions(differences: Sequence[float], without: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return what each part contributes to each seed's difference (seeds, parts): the pseudovalues of the jackknife.

    Args:
        differences: (seeds,) of the whole test split.
        without: (seeds, parts) the differences without each part.
    """
    parts = without.shape[1]
    return parts * np.asarray(differences, dtype=np.float64)[:, None] - (parts - 1) * without
