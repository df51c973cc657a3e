"""The leaderboard of a sweep: against worked examples, and in simulated sweeps whose cells do not differ."""

import json

import numpy as np
import pytest
from scipy.stats import binom, ttest_rel

from kdistill.evaluation.leaderboard import BASELINE, MOST_CELLS, Entry, leaderboard
from kdistill.evaluation.measures import ACCURACY, NLL
from kdistill.evaluation.statistics import holm

BASE = np.array([0.900, 0.903, 0.898, 0.905, 0.901])
NOISE = np.array([0.0004, -0.0003, 0.0001, -0.0002, 0.0003])
CELLS = {"kl": BASE + 0.01 + NOISE, "dkd": BASE + 0.03 - NOISE, "mse": BASE + 0.03 + 2 * NOISE[::-1] - 0.0003}


def board(cells, winner, measure=ACCURACY, alone=None):
    entries = [Entry(name, {"distill.soft_loss": name}, list(scores)) for name, scores in cells.items()]
    entries += [] if alone is None else [Entry(BASELINE, None, list(alone))]
    return leaderboard(entries, winner, measure)


def test_rows_are_in_order_and_their_p_values_corrected_for_all_pairs():
    found = board(CELLS, "dkd", alone=BASE)
    assert [row["name"] for row in found["rows"]] == ["dkd", "mse", "kl", BASELINE]
    assert found["pairs"] == 6
    every = {**CELLS, BASELINE: BASE}
    pairs = [(a, b) for place, a in enumerate(every) for b in list(every)[place + 1 :]]
    alone = [ttest_rel(every[a], every[b]).pvalue for a, b in pairs]
    expected = dict(zip(map(frozenset, pairs), zip(alone, holm(alone), strict=True), strict=True))
    for row in found["rows"]:
        for other, key in (("dkd", "against_winner"), (BASELINE, "against_baseline")):
            if row["name"] == other:
                assert row[key] is None
                continue
            p_value, p_holm = expected[frozenset((row["name"], other))]
            assert (row[key]["p_value"], row[key]["p_holm"]) == (pytest.approx(p_value), pytest.approx(p_holm))
            assert row[key]["difference"]["values"] == pytest.approx(list(every[row["name"]] - every[other]))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_is_shown_is_said():
    found = board(CELLS, "dkd", alone=BASE)
    assert found["sentences"] == [
        "dkd has the best mean validation accuracy, 0.9313. It is better than kl; no difference is shown from mse.",
        "Against the baseline: better are dkd, mse, kl.",
    ]
    assert "for all 6 pairs of cells and baseline, since the winner was chosen by these same scores" in found["about"]
    noisy = board({"a": [0.9, 0.8, 0.7], "b": [0.8, 0.9, 0.65]}, "a", alone=[0.85, 0.7, 0.9])
    assert [row["name"] for row in noisy["rows"]] == [BASELINE, "a", "b"]
    assert noisy["sentences"] == [
        "a has the best mean validation accuracy, 0.8000. No cell is shown to be worse than it.",
        "Against the baseline: no difference is shown for a, b.",
    ]
    without = board(CELLS, "dkd")
    assert (without["pairs"], len(without["sentences"])) == (3, 1)
    assert {row["against_baseline"] for row in without["rows"]} == {None}


def test_a_measure_where_lower_is_better():
    losses = {name: 1 - scores for name, scores in CELLS.items()}
    found = board(losses, "dkd", NLL, alone=1 - BASE)
    assert [row["name"] for row in found["rows"]] == ["dkd", "mse", "kl", BASELINE]
    assert found["sentences"][0].startswith("dkd has the best mean validation NLL, 0.0687. It is better than kl;")
    assert [row["against_baseline"] and row["against_baseline"]["verdict"] for row in found["rows"]] == [
        *["better"] * 3,
        None,
    ]


def test_equal_scores_have_no_p_value_and_the_winner_stands_first():
    found = board({"a": BASE, "b": BASE}, "b")
    assert [row["name"] for row in found["rows"]] == ["b", "a"]
    assert (found["rows"][1]["against_winner"]["p_holm"], found["rows"][1]["against_winner"]["verdict"]) == (
        None,
        "inconclusive",
    )


def test_too_few_cells_or_seeds_or_too_many_cells_have_no_leaderboard():
    assert board({"a": BASE}, "a", alone=BASE) is None
    assert board({"a": BASE[:2], "b": BASE[1:3]}, "a") is None
    assert board({str(number): BASE for number in range(MOST_CELLS)}, "0", alone=BASE)
    assert board({str(number): BASE for number in range(MOST_CELLS + 1)}, "0") is None


def wrong_claims(seeds, cells, experiments):
    """Return in how many sweeps without any difference a row claims one, and in how many it would uncorrected."""
    rng, wrong, uncorrected = np.random.default_rng([seeds, cells]), 0, 0
    for _ in range(experiments):
        shared = rng.normal(0.8, 0.01, seeds)
        scores = {str(number): shared + rng.normal(0, 0.004, seeds) for number in range(cells)}
        winner = max(scores, key=lambda name: scores[name].mean())
        found = board(scores, winner, alone=shared + rng.normal(0, 0.004, seeds))
        compared = [row[key] for row in found["rows"] for key in ("against_winner", "against_baseline") if row[key]]
        wrong += any(of["verdict"] != "inconclusive" for of in compared)
        uncorrected += any(of["p_value"] < 0.05 for of in compared)
    return wrong, uncorrected


def test_wrong_claims_against_a_winner_that_the_same_scores_chose_are_rarer_than_five_percent():
    wrong, uncorrected = wrong_claims(5, 4, 150)
    assert wrong <= binom.ppf(0.999, 150, 0.05)
    assert uncorrected > 2 * binom.ppf(0.999, 150, 0.05)


@pytest.mark.campaign
@pytest.mark.parametrize(("seeds", "cells"), [(3, 4), (5, 7), (10, 7)])
def test_the_family_wise_error_stays_below_five_percent(seeds, cells):
    wrong, uncorrected = wrong_claims(seeds, cells, 2000)
    print(f"| {seeds} | {cells} | {wrong / 20:.1f} % | {uncorrected / 20:.1f} % |")
    assert wrong <= binom.ppf(0.999, 2000, 0.05)
