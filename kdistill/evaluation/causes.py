"""What the control arms tell: each of them compared with the baseline and with the distilled student, seed by seed.

The comparisons with controls are a family of their own, beside the verdict: of all of them, Holm's correction keeps the
probability of one wrong claim below 5 % (Holm, "A simple sequentially rejective multiple test procedure", 1979).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np

from kdistill.core.controls import CONTROLS, Control
from kdistill.evaluation.measures import ACCURACY, Measure
from kdistill.evaluation.statistics import CONFIDENCE, Difference, Interval, Scope
from kdistill.evaluation.verdict import Answers, Contrast, Pair, Verdict, compare_pairs


class ArmsCompared(TypedDict):
    """A control compared with another arm over paired seeds."""

    first: str
    second: str
    difference: Difference  # first minus second, with its interval on this test set
    interval: Interval | None  # that decides, by the scope of the verdict
    p_value: float | None  # of this comparison alone; None if there is no interval
    p_holm: float | None  # corrected for all comparisons with controls
    verdict: str  # of the first arm, by `p_holm`: better, worse or inconclusive


class Causes(TypedDict):
    """What the controls of an experiment tell."""

    comparisons: list[ArmsCompared]  # for each control: with the baseline, and the distilled student with it
    sentences: list[str]  # one for each control
    about: str


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values adjusted by Holm's method: step down, the smallest times the number of comparisons.

    A comparison without a p value stays without, and counts.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p))
        adjusted[place] = highest
    return adjusted


def causes(
    answers: Mapping[str, Mapping[int, Answers]], measure: Measure = ACCURACY, scope: Scope = "new_examples"
) -> Causes | None:
    """Compare the controls among some arms with baseline and distilled student.

    Args:
        answers: of each arm, by seed, on the test split.
        measure: what the scores are.
        scope: which intervals decide, as in the verdict.

    Returns:
        None without controls, or where the scores of an arm are undefined for all seeds.
    """
    controls = [CONTROLS[arm] for arm in answers if arm in CONTROLS]
    pairs = [pair for control in controls for pair in ((control.name, "baseline"), ("distilled", control.name))]
    compared = [_compare(answers, *pair, measure, scope) for pair in pairs]
    if not controls or any(of is None for of in compared):
        return None
    verdicts = [of for of in compared if of is not None]
    corrected = holm([of.p_deciding for of in verdicts])
    comparisons = [_document(pair, of, p, measure) for pair, of, p in zip(pairs, verdicts, corrected, strict=True)]
    about = (
        "Each interval is that of one comparison; the p values are corrected by Holm's method for all "
        f"{len(pairs)} comparisons with controls."
    )
    if not claims(comparisons):
        about += " None of them is below 0.05: more seeds show smaller differences."
    twos = zip(controls, comparisons[::2], comparisons[1::2], strict=True)
    return {"comparisons": comparisons, "sentences": [_sentence(*two, measure) for two in twos], "about": about}


def _compare(
    answers: Mapping[str, Mapping[int, Answers]], first: str, second: str, measure: Measure, scope: Scope
) -> Verdict | None:
    pairs = [Pair(seed, of, answers[second][seed]) for seed, of in answers[first].items() if seed in answers[second]]
    if not any(pair.scores for pair in pairs):
        return None
    contrast = Contrast(first, second, ("better", ""), ("worse", ""), "")
    return compare_pairs(pairs, "", contrast, measure=measure, scope=scope)


def _document(pair: tuple[str, str], of: Verdict, p_holm: float | None, measure: Measure) -> ArmsCompared:
    claimed = p_holm is not None and p_holm < 1 - CONFIDENCE
    gain = measure.gain(float(np.mean(of.difference["values"])))
    verdict = ("better" if gain > 0 else "worse") if claimed else "inconclusive"
    first, second = pair
    return {
        "first": first,
        "second": second,
        "difference": of.difference,
        "interval": of.interval,
        "p_value": of.p_deciding,
        "p_holm": p_holm,
        "verdict": verdict,
    }


def _sentence(control: Control, alone: ArmsCompared, beyond: ArmsCompared, measure: Measure) -> str:
    """Return what one control tells: what it gives, and whether distillation gives more."""
    if beyond["p_holm"] is None:
        shown = f"no interval, so that nothing can be said about {control.rest}"
    else:
        # That a control is better does not show that what it lacks does harm: what it has instead may be better.
        shown = {
            "better": f"this shows an effect of {control.rest}",
            "worse": "this shows that distillation is worse than this control",
            "inconclusive": f"no effect is shown of {control.rest}",
        }[beyond["verdict"]]
    return (
        f"{control.alone}: {_amount(alone, measure)} against the baseline. Distilled: {_amount(beyond, measure)} "
        f"against that; {shown}."
    )


def _amount(of: ArmsCompared, measure: Measure) -> str:
    amount = f"{measure.signed(of['difference']['mean'])} {measure.unit}"
    interval, p = of["interval"], of["p_holm"]
    if interval is None or p is None:
        return amount
    return f"{amount} ({measure.signed(interval['low'])} to {measure.signed(interval['high'])}, Holm p = {p:.2g})"


def claims(found: Iterable[ArmsCompared]) -> list[tuple[str, str, str]]:
    """Return first arm, second arm and verdict of the comparisons that are not inconclusive."""
    return [(of["first"], of["second"], of["verdict"]) for of in found if of["verdict"] != "inconclusive"]
