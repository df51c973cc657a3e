"""What controls tell: against worked examples, and in simulated experiments without any difference."""

import json

import numpy as np
import pytest
from scipy.stats import binom

from kdistill.core.controls import CONTROLS
from kdistill.evaluation.causes import causes, claims
from kdistill.evaluation.measures import NLL
from kdistill.evaluation.statistics import holm, paired_t
from kdistill.evaluation.verdict import Answers


def told(measure=None, **scores):
    answers = {arm: {seed: Answers(score) for seed, score in enumerate(of)} for arm, of in scores.items()}
    return causes(answers, *([measure] if measure else []))


def test_holm_of_a_published_example():
    # Four hypotheses: 0.01 * 4, then at least that: 0.02 * 2 of the third, 0.04 of the fourth; 0.03 * 2 = 0.06 before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_comparison_without_a_p_value_counts():
    assert holm([0.01, None, 0.9]) == [pytest.approx(0.03), None, 1.0]
    assert holm([]) == []


BASE = np.array([0.800, 0.803, 0.798, 0.805, 0.801])
NOISE = np.array([0.0004, -0.0003, 0.0001, -0.0002, 0.0003])


def test_pseudo_labels_that_do_all_of_it():
    """Distillation gains a point, and hard answers of the same teacher do so too: no effect of softened outputs."""
    found = told(baseline=BASE, distilled=BASE + 0.01 + NOISE, pseudo=BASE + 0.01 + NOISE[::-1])
    alone, beyond = found["comparisons"]
    assert (alone["first"], alone["second"], alone["verdict"]) == ("pseudo", "baseline", "better")
    assert (beyond["first"], beyond["second"], beyond["verdict"]) == ("distilled", "pseudo", "inconclusive")
    assert alone["p_value"] == pytest.approx(paired_t((0.01 + NOISE[::-1]).tolist()).p_value)
    assert alone["p_holm"] == pytest.approx(2 * alone["p_value"])
    sentence = found["sentences"]["pseudo"]
    assert sentence.startswith("The teacher's hard answers: +1.01 points (+0.97 to +1.04, Holm p = ")
    assert sentence.endswith("no effect is shown of the softened outputs.")
    assert claims(found["comparisons"]) == [("pseudo", "baseline", "better")]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_gain_that_no_control_has():
    found = told(baseline=BASE, distilled=BASE + 0.01 + NOISE, smoothed=BASE + NOISE[::-1], self=BASE - NOISE)
    assert claims(found["comparisons"]) == [("distilled", "smoothed", "better"), ("distilled", "self", "better")]
    assert [
        sentence.endswith(end)
        for sentence, end in zip(
            found["sentences"].values(),
            ("this shows an effect of the teacher.", "this shows an effect of the larger teacher."),
            strict=True,
        )
    ] == [True, True]
    assert "all 4 comparisons" in found["about"]


def test_harm_and_measures_where_lower_is_better():
    found = told(NLL, baseline=BASE, distilled=BASE + 0.01 + NOISE, continued=BASE - 0.02 + NOISE[::-1])
    assert claims(found["comparisons"]) == [("continued", "baseline", "better"), ("distilled", "continued", "worse")]
    assert "this shows that distillation is worse than this control." in found["sentences"]["continued"]
    assert "-0.0199 nats" in found["sentences"]["continued"]


def test_too_few_seeds_say_so():
    found = told(baseline=BASE[:2], distilled=BASE[:2] + 0.01, pseudo=BASE[:2])
    assert found["about"] == "An interval requires at least 3 seeds."
    (sentence,) = found["sentences"].values()
    assert sentence.endswith("no interval, so that nothing can be said about the softened outputs.")
    assert "(" not in sentence


def test_nothing_without_controls():
    assert told(baseline=BASE, distilled=BASE) is None


def test_a_comparison_without_scores_is_left_out_said_and_counted():
    """The scores of one control are not defined: the other one is told all the same, corrected for all four."""
    gains = {"distilled": BASE + 0.01 + NOISE, "pseudo": BASE + 0.01 + NOISE[::-1]}
    found = told(baseline=BASE, **gains, smoothed=[None] * 5)
    assert [(of["first"], of["second"]) for of in found["comparisons"]] == [
        ("pseudo", "baseline"),
        ("distilled", "pseudo"),
    ]
    alone = found["comparisons"][0]
    assert alone["p_holm"] == pytest.approx(4 * alone["p_value"])
    assert list(found["sentences"]) == ["pseudo", "smoothed"]
    assert found["sentences"]["smoothed"].endswith("nothing can be said about the teacher.")
    assert "for all 4 comparisons" in found["about"]
    assert found["about"].endswith(
        "Not compared, since they share no seed with accuracy known: smoothed and baseline, distilled and smoothed."
    )


def test_the_seeds_of_a_comparison_are_those_that_both_arms_have():
    answers = {arm: {seed: Answers(0.8 + seed / 100) for seed in range(4)} for arm in ("baseline", "distilled")}
    found = causes({**answers, "pseudo": {seed: Answers(0.8) for seed in (1, 3)}})
    assert [of["seeds"] for of in found["comparisons"]] == [[1, 3], [1, 3]]


def test_one_wrong_claim_of_all_is_rarer_than_five_percent():
    """Without any difference, arms that share seeds: claims of any of ten comparisons, in 300 experiments."""
    rng, wrong, experiments = np.random.default_rng(0), 0, 300
    for _ in range(experiments):
        seeds = rng.normal(0.8, 0.01, 5)
        arms = {arm: seeds + rng.normal(0, 0.004, 5) for arm in ("baseline", "distilled", *CONTROLS)}
        wrong += bool(claims(told(**arms)["comparisons"]))
    assert wrong <= binom.ppf(0.999, experiments, 0.05)


@pytest.mark.campaign
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_family_wise_error_stays_below_five_percent(seeds):
    rng, wrong, experiments = np.random.default_rng(seeds), 0, 3000
    for _ in range(experiments):
        shared = rng.normal(0.8, 0.01, seeds)
        arms = {arm: shared + rng.normal(0, 0.004, seeds) for arm in ("baseline", "distilled", *CONTROLS)}
        wrong += bool(claims(told(**arms)["comparisons"]))
    print(f"| {seeds} | {100 * wrong / experiments:.1f} % |")
    assert wrong <= binom.ppf(0.999, experiments, 0.05)
