"""What the control arms tell: each of them compared with the baseline and with the distilled student, seed by seed.

The comparisons with controls are a family of their own, beside the verdict: of all of them, Holm's correction keeps the
probability of one wrong claim below 5 % (Holm, "A simple sequentially rejective multiple test procedure", 1979).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np

from kdistill.core.controls import CONTROLS, Control
from kdistill.evaluation.measures import ACCURACY, Measure
from kdistill.evaluation.statistics import LEAST_SEEDS, Difference, Interval, Scope, claim, holm
from kdistill.evaluation.verdict import Answers, Contrast, Pair, Verdict, compare_pairs


class ArmsCompared(TypedDict):
    """A control compared with another arm over paired seeds."""

    first: str
    second: str
    seeds: list[int]  # that both have
    difference: Difference  # first minus second, with its interval on this test set
    interval: Interval | None  # that decides, by the scope of the verdict
    p_value: float | None  # of this comparison alone; None if there is no interval
    p_holm: float | None  # corrected for all comparisons with controls
    verdict: str  # of the first arm, by `p_holm`: better, worse or inconclusive


class Causes(TypedDict):
    """What the controls of an experiment tell."""

    comparisons: list[ArmsCompared]  # of each control with the baseline, and of the distilled student with it
    sentences: dict[str, str]  # by control
    about: str


def causes(
    answers: Mapping[str, Mapping[int, Answers]], measure: Measure = ACCURACY, scope: Scope = "new_examples"
) -> Causes | None:
    """Compare the controls among some arms with baseline and distilled student.

    Args:
        answers: of each arm, by seed, on the test split.
        measure: what the scores are.
        scope: which intervals decide, as in the verdict.

    Returns:
        None without controls. A comparison of arms that have no seed with scores of both is left out, which is said.
    """
    controls = [CONTROLS[arm] for arm in answers if arm in CONTROLS]
    if not controls:
        return None
    pairs = [pair for control in controls for pair in (_alone(control), _beyond(control))]
    compared = {pair: _compare(answers, *pair, measure, scope) for pair in pairs}
    corrected = holm([of.p_deciding if of else None for of in compared.values()])
    told = {
        pair: _document(pair, of, p, measure)
        for (pair, of), p in zip(compared.items(), corrected, strict=True)
        if of is not None
    }
    return {
        "comparisons": list(told.values()),
        "sentences": {
            control.name: _sentence(control, told.get(_alone(control)), told.get(_beyond(control)), measure)
            for control in controls
        },
        "about": _about(pairs, told, measure),
    }


def _alone(control: Control) -> tuple[str, str]:
    """Return the arms whose difference is what a control gives."""
    return control.name, "baseline"


def _beyond(control: Control) -> tuple[str, str]:
    """Return the arms whose difference is what distillation gives beyond a control."""
    return "distilled", control.name


def _about(pairs: Sequence[tuple[str, str]], told: Mapping[tuple[str, str], ArmsCompared], measure: Measure) -> str:
    if any(of["p_holm"] is not None for of in told.values()):
        about = (
            "Each interval is that of one comparison; the p values are corrected by Holm's method for all "
            f"{len(pairs)} comparisons with controls."
        )
        if not claims(told.values()):
            about += " None of them is below 0.05: more seeds show smaller differences."
    else:
        about = f"An interval requires at least {LEAST_SEEDS} seeds."
    if left_out := [f"{first} and {second}" for first, second in pairs if (first, second) not in told]:
        about += f" Not compared, since they share no seed with {measure.words} known: {', '.join(left_out)}."
    return about


def _compare(
    answers: Mapping[str, Mapping[int, Answers]], first: str, second: str, measure: Measure, scope: Scope
) -> Verdict | None:
    pairs = [Pair(seed, of, answers[second][seed]) for seed, of in answers[first].items() if seed in answers[second]]
    if not any(pair.scores for pair in pairs):
        return None
    contrast = Contrast(first, second, ("better", ""), ("worse", ""), "")
    return compare_pairs(pairs, "", contrast, measure=measure, scope=scope)


def _document(pair: tuple[str, str], of: Verdict, p_holm: float | None, measure: Measure) -> ArmsCompared:
    gain = measure.gain(float(np.mean(of.difference["values"])))
    first, second = pair
    return {
        "first": first,
        "second": second,
        "seeds": list(of.seeds),
        "difference": of.difference,
        "interval": of.interval,
        "p_value": of.p_deciding,
        "p_holm": p_holm,
        "verdict": claim(gain, p_holm),
    }


def _sentence(control: Control, alone: ArmsCompared | None, beyond: ArmsCompared | None, measure: Measure) -> str:
    """Return what one control tells: what it gives, and whether distillation gives more."""
    if beyond is None or beyond["p_holm"] is None:
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


def _amount(of: ArmsCompared | None, measure: Measure) -> str:
    if of is None:
        return "nothing is known"
    amount = f"{measure.signed(of['difference']['mean'])} {measure.unit}"
    interval, p = of["interval"], of["p_holm"]
    if interval is None or p is None:
        return amount
    return f"{amount} ({measure.signed(interval['low'])} to {measure.signed(interval['high'])}, Holm p = {p:.2g})"


def claims(found: Iterable[ArmsCompared]) -> list[tuple[str, str, str]]:
    """Return first arm, second arm and verdict of the comparisons that are not inconclusive."""
    return [(of["first"], of["second"], of["verdict"]) for of in found if of["verdict"] != "inconclusive"]
