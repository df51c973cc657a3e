"""The verdict: what paired seeds say of two arms, in numbers and in words.

The paired t interval alone decides; everything else describes. Accuracies and their differences are fractions of the
test split (0.0043); sentences for people give them in points (0.43).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from kdistill.core.formatting import points
from kdistill.evaluation.statistics import (
    LEAST_SEEDS,
    ROUNDING,
    Difference,
    Interval,
    bootstrap,
    count_disagreements,
    finite,
    mcnemar,
    paired_differences,
    paired_t,
    probability_of_improvement,
    smallest_detectable,
)


class Contrast(NamedTuple):
    """Two things that are compared, and what is said where the first has the higher accuracy, or the second.

    Attributes:
        first: what differences are counted from: `first - second`.
        second: the other.
        better: the verdict where the interval is above zero, in a word and in the words of a sentence.
        worse: where it is below zero.
    """

    first: str
    second: str
    better: tuple[str, str]
    worse: tuple[str, str]


DISTILLATION = Contrast("distilled", "baseline", ("helps", "Distillation helps"), ("hurts", "Distillation hurts"))


class Answers(NamedTuple):
    """The answers of a model on the test split.

    Attributes:
        accuracy: the share that is right.
        correct: shape (examples,), whether each is right; empty where that is not known.
    """

    accuracy: float
    correct: Sequence[bool] = ()


class Pair(NamedTuple):
    """The two models of one seed."""

    seed: int
    first: Answers
    second: Answers


@dataclass(frozen=True)
class Verdict:
    """What pairs of models, one for each seed, say of a `Contrast`: the `comparison` in `summary.json`.

    Attributes:
        seeds: (s,) of the pairs.
        difference: of the test accuracies, first minus second.
        p_value: of the paired t test; None where there is no interval.
        bootstrap: interval of the mean difference; None below 20 seeds.
        probability_of_improvement: how often a first model beats a second one, over all pairs of runs.
        smallest_detectable: the difference that would have been seen four times in five; None without an interval.
        mcnemar: (s,) for each `seed` how many test examples `only_<first>` and `only_<second>` got right, and the
            `p_value` of McNemar's test; None where single answers are not known.
        decision: the word of the contrast, or `inconclusive`.
        sentence: the verdict for people, with its interval.
        about: a sentence that says what the interval speaks about, and what not.
    """

    seeds: Sequence[int]
    difference: Difference
    p_value: float | None
    bootstrap: Interval | None
    probability_of_improvement: float
    smallest_detectable: float | None
    mcnemar: Sequence[Mapping[str, float]] | None
    decision: str
    sentence: str
    about: str

    @property
    def significant_seeds(self) -> int | None:
        """In how many seeds McNemar's test finds a difference at 5 %; None where single answers are not known."""
        return None if self.mcnemar is None else sum(row["p_value"] < 0.05 for row in self.mcnemar)

    def to_json(self, **more: Any) -> dict[str, Any]:
        """Return it as a document, with `more` before the verdict itself."""
        measured = {key: value for key, value in vars(self).items() if key not in ("decision", "sentence", "about")}
        return {**measured, **more, "verdict": self.decision, "verdict_text": self.sentence, "about": self.about}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Verdict":
        """Return the verdict that `to_json` made a document of."""
        found = {**document, "decision": document["verdict"], "sentence": document["verdict_text"]}
        return cls(**{field.name: found[field.name] for field in fields(cls)})


def compare_pairs(pairs: Sequence[Pair], about: str, contrast: Contrast = DISTILLATION, left_out: int = 0) -> Verdict:
    """Compare the first models of pairs with the second.

    Args:
        pairs: one for each seed.
        about: what the interval speaks about, where there is one.
        contrast: what is compared.
        left_out: seeds that are missing here since one of their runs failed.

    Raises:
        ValueError: there are no pairs, or an accuracy is not finite.
    """
    first, second = [pair.first.accuracy for pair in pairs], [pair.second.accuracy for pair in pairs]
    difference = paired_differences(first, second)
    values = difference["values"]
    test = paired_t(values)
    decision, sentence = decide(values, contrast)
    if left_out:
        sentence += f" {left_out} of {len(values) + left_out} seeds left out, since a run failed."
    return Verdict(
        seeds=[pair.seed for pair in pairs],
        difference=difference,
        p_value=test.p_value if test else None,
        bootstrap=bootstrap(values),
        probability_of_improvement=probability_of_improvement(first, second),
        smallest_detectable=smallest_detectable(float(np.std(values, ddof=1)), len(values)) if test else None,
        mcnemar=_mcnemar_by_seed(pairs, contrast),
        decision=decision,
        sentence=sentence,
        about=about if test else NO_INTERVAL,
    )


def _mcnemar_by_seed(pairs: Sequence[Pair], contrast: Contrast) -> list[dict[str, float]] | None:
    rows = list[dict[str, float]]()
    for seed, first, second in pairs:
        if not 0 < len(first.correct) == len(second.correct):
            return None
        only_first, only_second = count_disagreements(first.correct, second.correct)
        only = {f"only_{contrast.first}": only_first, f"only_{contrast.second}": only_second}
        rows.append({"seed": seed, **only, "p_value": mcnemar(only_first, only_second)})
    return rows


def decide(differences: Sequence[float], contrast: Contrast = DISTILLATION) -> tuple[str, str]:
    """Return the word of the contrast, or `inconclusive`, and a sentence for people that says why.

    A difference is claimed where the interval of `paired_t` excludes zero: wrongly in at most 5 % of experiments in
    which there is none (exactly for normal differences). Where there is no interval, nothing can be told.
    """
    mean, seeds = float(np.mean(differences)), _count_seeds(len(differences))
    test = paired_t(differences)
    if test is None:
        return "inconclusive", _no_interval(differences)
    measured = (
        f"{points(mean)} points of test accuracy (95 % interval {points(test.low)} to {points(test.high)}, "
        f"{_p(test.p_value)}, {seeds})"
    )
    if test.low > 0:
        return contrast.better[0], f"{contrast.better[1]}: {measured}."
    if test.high < 0:
        return contrast.worse[0], f"{contrast.worse[1]}: {measured}."
    unseen = smallest_detectable(float(np.std(differences, ddof=1)), len(differences))
    return "inconclusive", (
        f"Inconclusive: {measured}; with {seeds} anything under {points(unseen).lstrip('+')} points "
        "would go unseen more often than one time in five."
    )


def _no_interval(differences: Sequence[float]) -> str:
    mean, seeds = float(np.mean(differences)), _count_seeds(len(differences))
    if len(differences) < LEAST_SEEDS:
        return (
            f"Inconclusive: {points(mean)} points of test accuracy, but {seeds} cannot tell: "
            f"an interval takes at least {LEAST_SEEDS}, and more are better."
        )
    what = "no difference at all in test accuracy" if abs(mean) <= ROUNDING else "the same difference"
    amount = "" if abs(mean) <= ROUNDING else f", {points(mean)} points of test accuracy"
    return f"Inconclusive: all {seeds} gave {what}{amount}: without spread between seeds there is no interval."


NO_INTERVAL = "Without an interval nothing is said of other seeds, nor of other test images or other teachers."


def about_distillation(teachers: Sequence[Hashable]) -> str:
    """Return the sentence that says what the interval of distillation speaks about, and what not.

    Args:
        teachers: who taught each seed.
    """
    count = len(set(teachers))
    if count < len(teachers):
        these = "this one teacher" if count == 1 else f"these {count} teachers"
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
    taught, alone = float(np.mean(finite(teacher))), float(np.mean(finite(baseline)))
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


def _count_seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3g}"
