"""The verdict: two arms compared over paired seeds by one measure, in numbers and in sentences.

The interval for new seeds and new test examples decides (`crossed`), or, where the config asks for it or the answers to
single examples are not known, that of the paired t test, for this test set; all other statistics describe.
Accuracies, other shares and their differences are fractions (0.0043); sentences give them in points (0.43). Differences
always are first minus second: of NLL, a negative one is an improvement.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from kdistill.core.formatting import counted
from kdistill.evaluation.crossed import NewExamples, contributions, for_new_examples
from kdistill.evaluation.headline import INCONCLUSIVE, WITHOUT_TEACHER, amount, interval_words, short_verdict
from kdistill.evaluation.measures import ACCURACY, Measure, recorded
from kdistill.evaluation.statistics import (
    LEAST_SEEDS,
    ROUNDING,
    Difference,
    Interval,
    Scope,
    bootstrap,
    count_disagreements,
    finite,
    mcnemar,
    minimum_detectable_difference,
    paired_differences,
    paired_t,
    probability_of_improvement,
)


class Contrast(NamedTuple):
    """The names of the two arms that are compared, and the words of the verdict."""

    first: str  # differences are `first - second`
    second: str
    better: tuple[str, str]  # if the interval lies above zero: one word, and the beginning of a sentence
    worse: tuple[str, str]  # if the interval lies below zero: one word, and the beginning of a sentence
    against: str  # what the second is, in a sentence


DISTILLATION = Contrast(
    "distilled",
    "baseline",
    ("helps", "Distillation helps"),
    ("hurts", "Distillation hurts"),
    WITHOUT_TEACHER,
)


class Answers(NamedTuple):
    """How a model classified the test split."""

    score: float | None  # by the measure of the comparison; None if it is undefined or not known
    correct: Sequence[bool] = ()  # (examples,) of each prediction; empty if only the score is known
    without: Sequence[float] = ()  # (parts,) the score `crossed.without_parts`; empty for accuracy, or if not known


class Pair(NamedTuple):
    """The two models of one seed."""

    seed: int
    first: Answers
    second: Answers

    @property
    def scores(self) -> tuple[float, float] | None:
        """The scores of both; None if one is undefined or not known."""
        return None if self.first.score is None or self.second.score is None else (self.first.score, self.second.score)


@dataclass(frozen=True)
class Verdict:
    """The comparison of two arms over paired seeds: the `comparison` in `summary.json`.

    Attributes:
        seeds: (s,) the seeds that were compared.
        difference: the paired differences of this measure on the test split, first minus second.
        p_value: of the paired t test; None if there is no interval.
        bootstrap: the bootstrap interval of the mean difference; None below 20 seeds.
        probability_of_improvement: the share of all pairs of runs in which the first arm's run is better.
        smallest_detectable: the minimum detectable difference at 80 % power, on this test set; None if there is no
            interval.
        new_examples: the interval for other seeds and other test examples; None if there is no interval over seeds, or
            the answers to single examples are not known.
        scope: what decided: `new_examples`, or `test_set`.
        mcnemar: (s,) for each `seed` how many test examples `only_<first>` and `only_<second>` classified correctly,
            and the `p_value` of McNemar's test, whatever the measure; None if the single predictions are not known.
        decision: one word: that of the contrast, or `inconclusive`.
        sentence: the verdict as a sentence, with its interval.
        short: the verdict without the figures of a statistician, as the headline has it; early versions had none.
        about: a sentence on which sources of variance the interval covers, and which not.
        measure: name of the measure that is compared; early versions compared accuracies only.
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
    measure: str = ACCURACY.name
    short: str = ""
    new_examples: NewExamples | None = None
    scope: Scope = "test_set"

    @property
    def interval(self) -> Interval | None:
        """The interval that decides, by `scope`; None if there is none."""
        if self.new_examples and self.scope == "new_examples":
            return {"low": self.new_examples["low"], "high": self.new_examples["high"]}
        low, high = self.difference["ci_low"], self.difference["ci_high"]
        return None if low is None or high is None else {"low": low, "high": high}

    @property
    def p_deciding(self) -> float | None:
        """The p value of the interval that decides; None if there is none."""
        return self.new_examples["p_value"] if self.new_examples and self.scope == "new_examples" else self.p_value

    @property
    def significant_seeds(self) -> int | None:
        """The number of seeds in which McNemar's test has p < 0.05; None if `mcnemar` is None."""
        return None if self.mcnemar is None else sum(row["p_value"] < 0.05 for row in self.mcnemar)

    def to_json(self, **more: Any) -> dict[str, Any]:
        """Return the verdict as a JSON document; the keys of `more` come before the decision."""
        measured = {
            key: value for key, value in vars(self).items() if key not in ("decision", "sentence", "short", "about")
        }
        words = {"verdict": self.decision, "verdict_text": self.sentence, "verdict_short": self.short}
        return {**measured, **more, **words, "about": self.about}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Verdict":
        """Return the verdict of a document that `to_json` returned."""
        found = {**document, "decision": document["verdict"], "sentence": document["verdict_text"]}
        found["short"] = document.get("verdict_short", document["verdict_text"])
        return cls(**{field.name: found[field.name] for field in fields(cls) if field.name in found})


def compare_pairs(
    pairs: Sequence[Pair],
    about: str,
    contrast: Contrast = DISTILLATION,
    left_out: int = 0,
    measure: Measure = ACCURACY,
    scope: Scope = "new_examples",
) -> Verdict:
    """Compare the first models of pairs with the second.

    Args:
        pairs: one for each seed; those without a score of both models are left out, which is said.
        about: `Verdict.about`, if there is an interval.
        contrast: the names and words of the comparison.
        left_out: how many seeds have no pair because a run failed.
        measure: what the scores are.
        scope: of the verdict; it is this test set where the answers to single examples are not known.

    Raises:
        ValueError: there are no pairs with scores, or one is not finite.
    """
    known = [pair for pair in pairs if pair.scores]
    figures = _figures(known, contrast, measure)
    difference = figures["difference"]
    new = _for_new_examples(known, measure, difference["values"])
    scope = scope if new else "test_set"
    decision, sentence = decide(difference["values"], contrast, measure, new, scope)
    missing = _left_out(len(pairs) + left_out, left_out, len(pairs) - len(known), measure)
    return Verdict(
        **figures,
        decision=decision,
        sentence=sentence + missing,
        about=NO_INTERVAL if figures["p_value"] is None else _about(about, new),
        measure=measure.name,
        short=short_verdict(difference, _start(decision, contrast), contrast.against, measure, new, scope) + missing,
        new_examples=new,
        scope=scope,
    )


def _figures(pairs: Sequence[Pair], contrast: Contrast, measure: Measure) -> dict[str, Any]:
    """Return what a verdict describes of pairs with scores, on this test set, by the names of its attributes."""
    scores = [pair.scores for pair in pairs if pair.scores]
    first, second = [of[0] for of in scores], [of[1] for of in scores]
    difference = paired_differences(first, second)
    values = difference["values"]
    test = paired_t(values)
    return {
        "seeds": [pair.seed for pair in pairs],
        "difference": difference,
        "p_value": test.p_value if test else None,
        "bootstrap": bootstrap(values),
        "probability_of_improvement": probability_of_improvement(
            *(list(map(measure.gain, of)) for of in (first, second))
        ),
        "smallest_detectable": _detectable(values) if test else None,
        "mcnemar": _mcnemar_by_seed(pairs, contrast),
    }


def _for_new_examples(pairs: Sequence[Pair], measure: Measure, differences: Sequence[float]) -> NewExamples | None:
    """Return the interval for new examples; None where a model's answers to single examples are not known."""
    whole = measure is ACCURACY
    answers: list[tuple[Sequence[float], ...]] = [
        tuple(of.correct if whole else of.without for of in (first, second)) for _, first, second in pairs
    ]
    if len({len(of) for pair in answers for of in pair}) != 1 or not answers[0][0]:
        return None
    first, second = (np.asarray(of, dtype=np.float64) for of in zip(*answers, strict=True))
    parts = first - second if whole else contributions(differences, first - second)
    return for_new_examples(parts, differences)


def _about(seeds: str, new: NewExamples | None) -> str:
    """Return `Verdict.about` from what it says of seeds."""
    if new is None:
        return f"{seeds} What new test examples would give is not known."
    return (
        f"{seeds} The interval for new examples covers them too: of its variance, more seeds would remove up to "
        f"{100 * new['removed_by_seeds']:.0f} %, and more test examples up to {100 * new['removed_by_examples']:.0f} %."
    )


def _left_out(seeds: int, failed: int, unknown: int, measure: Measure) -> str:
    """Return a sentence for each reason with the number of seeds, of all `seeds`, that it applies to."""
    reasons = {"a run failed": failed, f"{measure.words} is not known": unknown}
    return "".join(f" {count} of {seeds} seeds are left out because {why}." for why, count in reasons.items() if count)


def _start(decision: str, contrast: Contrast) -> str:
    """Return how a sentence with this decision begins."""
    return dict([contrast.better, contrast.worse]).get(decision, INCONCLUSIVE)


def _mcnemar_by_seed(pairs: Sequence[Pair], contrast: Contrast) -> list[dict[str, float]] | None:
    rows = list[dict[str, float]]()
    for seed, first, second in pairs:
        if not 0 < len(first.correct) == len(second.correct):
            return None
        only_first, only_second = count_disagreements(first.correct, second.correct)
        only = {f"only_{contrast.first}": only_first, f"only_{contrast.second}": only_second}
        rows.append({"seed": seed, **only, "p_value": mcnemar(only_first, only_second)})
    return rows


def decide(
    differences: Sequence[float],
    contrast: Contrast = DISTILLATION,
    measure: Measure = ACCURACY,
    new: NewExamples | None = None,
    scope: Scope = "test_set",
) -> tuple[str, str]:
    """Return the word of the contrast, or `inconclusive`, and the verdict as a sentence.

    A difference is claimed if the interval of its scope excludes zero: that of `paired_t`, whose type I error is 5 %,
    exactly so for normally distributed differences, or that for new examples, `new`.
    """
    test = paired_t(differences)
    if test is None:
        return "inconclusive", _no_interval(differences, measure)
    on_test_set = Interval(low=test.low, high=test.high)
    deciding = new if new and scope == "new_examples" else None
    p_value = deciding["p_value"] if deciding else test.p_value
    p = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3g}"
    measured = (
        f"{amount(float(np.mean(differences)), measure)} ({interval_words(on_test_set, new, scope, measure)}, {p}, "
        f"{counted(len(differences), 'seed')})"
    )
    ends = [measure.gain((deciding or on_test_set)[end]) for end in ("low", "high")]
    if min(ends) > 0:
        return contrast.better[0], f"{contrast.better[1]}: {measured}."
    if max(ends) < 0:
        return contrast.worse[0], f"{contrast.worse[1]}: {measured}."
    detectable = _detectable(differences)
    return "inconclusive", (
        f"Inconclusive: {measured}; minimum detectable difference {measure.signed(detectable).lstrip('+')} "
        f"{measure.unit} (80 % power{', on this test set' if new else ''})."
    )


def _detectable(differences: Sequence[float]) -> float:
    return minimum_detectable_difference(float(np.std(differences, ddof=1)), len(differences))


def _no_interval(differences: Sequence[float], measure: Measure) -> str:
    mean, seeds = float(np.mean(differences)), counted(len(differences), "seed")
    if len(differences) < LEAST_SEEDS:
        return (
            f"Inconclusive: {amount(mean, measure)} ({seeds}); a 95 % interval requires at least {LEAST_SEEDS} seeds."
        )
    same = abs(mean) <= ROUNDING
    what = f"no difference of test {measure.words}" if same else f"the same difference, {amount(mean, measure)}"
    return f"Inconclusive: all {seeds} gave {what}: no variance between seeds, so no interval."


NO_INTERVAL = "Without an interval nothing can be inferred about other seeds, other test examples or other teachers."


def about_distillation(teachers: Sequence[Hashable]) -> str:
    """Return `Verdict.about` for distilled against baseline.

    Args:
        teachers: (seeds,) the identity of each seed's teacher.
    """
    count = len(set(teachers))
    if count == len(teachers):
        return "The interval on this test set covers seed variance (teachers' seeds included)."
    these = "this one teacher" if count == 1 else f"these {count} teachers"
    return f"The interval on this test set covers the students' seed variance given {these}, not other teachers."


def nothing_to_transfer(
    teacher: Sequence[float | None], baseline: Sequence[float | None], measure: Measure = ACCURACY
) -> str | None:
    """Return a caveat if the teacher is on average no better than the baseline by a measure.

    Returns:
        None if it is better, or a score is undefined or not known.
    """
    taught, alone = ([score for score in scores if score is not None] for scores in (teacher, baseline))
    return None if len(taught + alone) < len(teacher) + len(baseline) else _no_better(taught, alone, measure)


def _no_better(teacher: Sequence[float], baseline: Sequence[float], measure: Measure) -> str | None:
    taught, alone = float(np.mean(finite(teacher))), float(np.mean(finite(baseline)))
    if measure.gain(taught - alone) > ROUNDING:
        return None
    return (
        f"The teacher is on average no better than the baseline ({taught:.4f} against {alone:.4f} test "
        f"{measure.words}): the teacher's {measure.words} cannot explain a gain of the distilled student."
    )


def little_to_teach(
    seed: int, teacher: Mapping[str, Any], baseline: Mapping[str, Any], measure: Measure = ACCURACY
) -> list[str]:
    """Return a warning if a seed's teacher is no better than the student trained alone, by their validation scores."""
    taught, alone = recorded(teacher, measure), recorded(baseline, measure)
    if taught is None or alone is None or measure.gain(taught - alone) > 0:
        return []
    of = "" if measure is ACCURACY else f"{measure.words} "
    return [
        f"Seed {seed}: the teacher is no better than the student trained alone "
        f"({taught:.4f} against {alone:.4f} {of}on validation): it has little to teach."
    ]


def teaches_on_average(scores: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], measure: Measure) -> bool:
    """Whether the mean validation score of several seeds' teachers is better than that of their baselines.

    A small validation split tells little about one seed: `little_to_teach` may be wrong about it.
    """
    gains = [
        measure.gain(taught - alone)
        for taught, alone in ((recorded(teacher, measure), recorded(baseline, measure)) for teacher, baseline in scores)
        if taught is not None and alone is not None
    ]
    return len(gains) > 1 and float(np.mean(gains)) > 0
