"""Statistics against published worked examples, other packages, and simulated experiments.

Oracle values without a publication were computed once with statsmodels 0.15.0 and arch 8.0.0, as said beside them.
"""

import json
import math
import statistics
import warnings

import numpy as np
import pytest
from scipy.stats import binom

from kdistill.evaluation import statistics as stats

# Student (1908), hours of sleep gained with two drugs: R's data set `sleep`, whose paired t-test R documents as
# t = -4.0621, df = 9, p-value = 0.002833, 95 percent confidence interval -2.4598858 to -0.7001142, mean -1.58.
FIRST_DRUG = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND_DRUG = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

# Seven test examples of 360, seed by seed the same number: floats that differ in their last bits.
BASELINE = [0.81, 0.84, 0.80, 0.90]
ALL_HIGHER = [value + 7 / 360 for value in BASELINE]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def simulated(seeds, shift=0.0, experiments=2000, sd=0.004):
    """Return paired differences, shape (experiments, seeds): normal, mean `shift`."""
    return np.random.default_rng([seeds, experiments]).normal(shift, sd, size=(experiments, seeds))


def share(differences, wanted):
    """Return how often the verdict on a row is one of those wanted."""
    return sum(stats.verdict(row.tolist())[0] in wanted for row in differences) / len(differences)


def test_summary_is_mean_and_sample_standard_deviation():
    values = [0.81, 0.84, 0.80, 0.90]
    summary = stats.summarize(values)
    assert summary["values"] == values
    assert summary["mean"] == pytest.approx(statistics.mean(values))
    assert summary["sd"] == pytest.approx(statistics.stdev(values))


def test_one_value_has_no_spread():
    assert stats.summarize([0.5])["sd"] is None


def test_differences_are_taken_pair_by_pair():
    difference = stats.paired_differences([0.9, 0.8, 0.7], [0.8, 0.9, 0.6])
    assert difference["values"] == pytest.approx([0.1, -0.1, 0.1])
    assert difference["mean"] == pytest.approx(0.1 / 3)
    # By hand: sd 0.2/sqrt(3), so the standard error is 0.2/3; t(0.975, 2 degrees of freedom) = 4.302653 (tables).
    assert difference["ci_low"] == pytest.approx(0.1 / 3 - 4.302653 * 0.2 / 3, abs=1e-7)
    assert difference["ci_high"] == pytest.approx(0.1 / 3 + 4.302653 * 0.2 / 3, abs=1e-7)
    assert difference["confidence"] == 0.95


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        stats.paired_differences([0.1, 0.2], [0.1])


@pytest.mark.parametrize("bad", [[], [0.1, math.nan], [math.inf]])
def test_what_is_not_a_finite_number_is_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        stats.compare(bad, bad)


def test_students_sleep_data():
    comparison = stats.compare(FIRST_DRUG, SECOND_DRUG)
    assert comparison["difference"]["mean"] == pytest.approx(-1.58)
    assert comparison["difference"]["ci_low"] == pytest.approx(-2.4598858, abs=5e-8)
    assert comparison["difference"]["ci_high"] == pytest.approx(-0.7001142, abs=5e-8)
    assert comparison["p_value"] == pytest.approx(0.002833, abs=5e-7)
    assert comparison["verdict"] == "hurts"
    assert stats.compare(SECOND_DRUG, FIRST_DRUG)["verdict"] == "helps"


@pytest.mark.parametrize("count", [1, 2])
def test_below_three_seeds_there_is_no_interval(count):
    comparison = stats.compare([0.9, 0.8][:count], [0.8, 0.75][:count])
    difference = comparison["difference"]
    assert difference["ci_low"] is difference["ci_high"] is comparison["p_value"] is None
    assert comparison["smallest_detectable"] is comparison["bootstrap"] is None
    assert comparison["verdict"] == "inconclusive"
    assert f"{count} seed" in comparison["verdict_text"]
    assert "cannot tell" in comparison["verdict_text"]


@pytest.mark.parametrize("seeds", [3, 4, 30])
def test_the_same_difference_at_each_seed_gives_no_interval(seeds):
    baseline = (BASELINE * 8)[:seeds]
    comparison = stats.compare([value + 7 / 360 for value in baseline], baseline)
    assert comparison["difference"]["mean"] == pytest.approx(7 / 360)
    assert comparison["difference"]["ci_low"] is comparison["p_value"] is comparison["bootstrap"] is None
    assert comparison["smallest_detectable"] is None
    assert comparison["verdict"] == "inconclusive"
    assert f"all {seeds} seeds gave the same difference, +1.94 points" in comparison["verdict_text"]


def test_no_difference_at_any_seed_is_said():
    comparison = stats.compare(BASELINE, BASELINE)
    assert comparison["difference"]["mean"] == comparison["difference"]["sd"] == 0
    assert comparison["p_value"] is None
    assert comparison["probability_of_improvement"] == 0.5
    assert comparison["verdict"] == "inconclusive"
    assert "all 4 seeds gave no difference at all" in comparison["verdict_text"]


def test_the_bootstrap_waits_for_twenty_seeds():
    differences = simulated(20, experiments=1)[0].tolist()
    assert stats.bootstrap(differences[:19]) is None
    assert stats.bootstrap(differences) is not None


def test_the_bootstrap_interval_is_bca_and_always_the_same():
    differences = [k * k / 10000 - 0.01 for k in range(1, 26)]
    interval = stats.bootstrap(differences)
    assert interval == stats.bootstrap(differences)
    # arch: IIDBootstrap(differences, seed=0, 1, 2).conf_int(np.mean, 200000, method="bca") gives 0.005192 to 0.020390,
    # 0.005140 to 0.020351 and 0.005168 to 0.020408; its percentile interval, 0.0048 to 0.0199, is too far from that.
    assert interval["low"] == pytest.approx(0.00517, abs=2e-4)
    assert interval["high"] == pytest.approx(0.02038, abs=2e-4)


def test_the_bootstrap_bears_a_single_seed_that_differs():
    interval = stats.bootstrap([0.0] * 19 + [0.01])
    assert 0 <= interval["low"] < interval["high"] < 0.01


def test_probability_of_improvement_of_the_tortoise_and_the_hare():
    # The worked example of Wikipedia's "Mann-Whitney U test": in order of arrival T H H H H H T T T T T H, of 36 pairs
    # the tortoises win 11 and the hares 25.
    tortoises, hares = [12, 6, 5, 4, 3, 2], [11, 10, 9, 8, 7, 1]
    assert stats.probability_of_improvement(tortoises, hares) == pytest.approx(11 / 36)
    assert stats.probability_of_improvement(hares, tortoises) == pytest.approx(25 / 36)


def test_a_tie_is_half_an_improvement():
    # Over all pairs: 0.8 ties with one and loses to one, 0.9 beats one and ties with one.
    assert stats.probability_of_improvement([0.8, 0.9], [0.8, 0.9]) == 0.5
    assert stats.probability_of_improvement([0.9, 0.9], [0.8, 0.9]) == 0.75
    assert stats.probability_of_improvement([0.8], [0.8]) == 0.5
    assert stats.probability_of_improvement([0.9], [0.8]) == 1.0


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        # Fagerland, Lydersen, Laake (2013), BMC Med. Res. Methodol. 13:91, tables 1 and 2, exact conditional test;
        # also statsmodels, mcnemar(table, exact=True): 0.0703125 and 0.052478790283203125.
        (1, 7, 0.0703125),
        (7, 1, 0.0703125),
        (6, 16, 0.052478790283203125),
        (0, 5, 2 / 2**5),
        (4, 4, 1.0),
        (0, 0, 1.0),
    ],
)
def test_exact_mcnemar(only_first, only_second, p_value):
    assert stats.mcnemar(only_first, only_second) == pytest.approx(p_value, rel=1e-9)


def test_disagreements_are_counted_on_the_same_examples():
    first, second = [True, True, False, False, True], [True, False, True, False, False]
    assert stats.count_disagreements(first, second) == (2, 1)
    with pytest.raises(ValueError, match="same examples"):
        stats.count_disagreements([True, False], [True])


@pytest.mark.parametrize(
    ("seeds", "in_sds"),
    [
        # statsmodels: TTestPower().solve_power(effect_size=None, nobs=seeds, alpha=0.05, power=0.8). The normal
        # approximation, (1.95996 + 0.84162) / sqrt(seeds), gives 1.6175 at 3 seeds.
        (3, 3.264043552819638),
        (4, 2.1279493431921157),
        (5, 1.6819970833232674),
        (10, 0.9960019107624178),
        (20, 0.6604416544380312),
        (40, 0.45425711232469046),
    ],
)
def test_smallest_detectable_difference(seeds, in_sds):
    assert stats.smallest_detectable(1.0, seeds) == pytest.approx(in_sds, rel=1e-6)
    assert stats.smallest_detectable(0.004, seeds) == pytest.approx(0.004 * in_sds, rel=1e-6)


def test_power_of_the_example_in_the_gpower_manual():
    # G*Power 3.1 manual, "Means: Difference between two dependent means", after Cohen (1969, p. 48): 50 pairs,
    # dz = 0.421637 (0.4 at a correlation of 0.55), alpha 0.05 two-sided: power 0.832114.
    assert stats.smallest_detectable(1.0, 50, power=0.832114) == pytest.approx(0.421637, abs=1e-6)


def test_power_of_two_seeds_is_not_spoken_of():
    with pytest.raises(ValueError, match="3 seeds"):
        stats.smallest_detectable(0.004, 2)


def test_more_seeds_see_smaller_differences():
    detectable = [stats.smallest_detectable(1.0, seeds) for seeds in range(3, 60)]
    assert detectable == sorted(detectable, reverse=True)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_without_a_difference_the_verdict_errs_in_five_percent(seeds):
    wrong = share(simulated(seeds), {"helps", "hurts"})
    # The test is exact for normal differences, so the rate is 5 %, not less: outside these bounds in 1 of 500 samples.
    low, high = binom.ppf([0.001, 0.999], 2000, 0.05) / 2000
    assert low <= wrong <= high


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_without_a_difference_the_verdict_errs_no_oftener_in_whole_examples(seeds):
    """Small test splits: an accuracy moves in steps of 1/360, and seeds differ by a few steps."""
    rng = np.random.default_rng(seeds)
    steps = rng.binomial(6, 0.5, size=(1000, seeds)) - rng.binomial(6, 0.5, size=(1000, seeds))
    assert share(steps / 360, {"helps", "hurts"}) <= binom.ppf(0.999, 1000, 0.05) / 1000


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_large_difference_is_seen_with_its_sign(seeds):
    large = simulated(seeds, shift=0.08, experiments=200)
    assert share(large, {"helps"}) >= 0.99
    assert share(-large, {"hurts"}) >= 0.99


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_smallest_detectable_difference_is_seen_four_times_in_five(seeds):
    shift = stats.smallest_detectable(0.004, seeds)
    low, high = binom.ppf([0.001, 0.999], 1000, 0.8) / 1000
    assert low <= share(simulated(seeds, shift=shift, experiments=1000), {"helps"}) <= high


def test_the_sentence_of_help():
    # Standard error 0.0004 / sqrt(3), t = 18.6194, half width 4.302653 * 0.00023094 = 0.00099366; with two degrees of
    # freedom the two-sided p is 1 - t / sqrt(2 + t * t) = 0.002872.
    text = stats.verdict([0.0039, 0.0043, 0.0047])[1]
    expected = "Distillation helps: +0.43 points of test accuracy (95 % interval +0.33 to +0.53, p = 0.00287, 3 seeds)."
    assert text == expected


def test_the_sentence_of_harm():
    verdict, text = stats.verdict([-0.02, -0.021, -0.0205, -0.0201])
    assert verdict == "hurts"
    assert text.startswith("Distillation hurts: -2.04 points of test accuracy (95 % interval -2.11 to -1.97, p < 0.001")


def test_an_inconclusive_sentence_names_what_would_go_unseen():
    differences = [0.01, -0.01, 0.0, 0.005, -0.002]
    verdict, text = stats.verdict(differences)
    assert verdict == "inconclusive"
    unseen = 100 * 1.6819970833 * statistics.stdev(differences)
    assert f"with 5 seeds anything under {unseen:.2f} points would go unseen" in text
    assert "+0.06 points of test accuracy" in text


def test_tiny_amounts_are_not_shown_as_zero():
    text = stats.verdict([0.00002, 0.00003, 0.00004])[1]
    assert "+0.003 points" in text
    assert "0.00 " not in text
    assert "+0.00 points" in stats.verdict([-1e-12])[1]


def test_a_teacher_must_be_better_than_the_baseline():
    assert stats.nothing_to_transfer([0.9, 0.88], [0.88, 0.88]) is None
    for teacher in ([0.87, 0.88], [0.88, 0.88]):
        sentence = stats.nothing_to_transfer(teacher, [0.88, 0.88])
        assert "no better than the baseline" in sentence
        assert f"{sum(teacher) / 2:.4f} against 0.8800" in sentence


def test_the_comparison_is_plain_json():
    distilled, baseline = np.array([0.90, 0.91, 0.93]), np.array([0.89, 0.91, 0.90])
    comparison = stats.compare(distilled, baseline, seeds=[0, 3, 7], disagreements=[(5, 4), (2, 2), (7, 1)])
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison
    tests = {"p_value", "bootstrap", "probability_of_improvement", "smallest_detectable", "mcnemar"}
    assert set(comparison) == {"seeds", "difference", "verdict", "verdict_text", "about"} | tests
    assert set(comparison["difference"]) == {"values", "mean", "sd", "ci_low", "ci_high", "confidence"}
    row = {"seed": 7, "only_distilled": 7, "only_baseline": 1, "p_value": pytest.approx(0.0703125)}
    assert comparison["mcnemar"][2] == row
    assert comparison["probability_of_improvement"] == pytest.approx((1 / 2 + 0 + 1 + 1 + 1 / 2 + 1 + 3) / 9)
    test = stats.paired_t(comparison["difference"]["values"])
    assert comparison["p_value"] == test.p_value
    assert comparison["difference"]["ci_low"] == test.low
    assert (comparison["verdict"], comparison["verdict_text"]) == stats.verdict(comparison["difference"]["values"])


def test_twenty_seeds_bring_the_bootstrap_which_does_not_decide():
    """Where the two intervals disagree about zero, the paired t interval has the say."""
    for row in simulated(20, shift=0.0018, experiments=200):
        comparison = stats.compare((0.8 + row).tolist(), [0.8] * 20)
        if comparison["bootstrap"]["low"] > 0 > comparison["difference"]["ci_low"]:
            break
    else:
        pytest.fail("no simulated experiment on which they disagree")
    assert comparison["verdict"] == "inconclusive"
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison


def test_mcnemar_needs_counts_for_each_seed():
    assert stats.compare([0.9, 0.8], [0.8, 0.8])["mcnemar"] is None
    assert "seed" not in stats.compare([0.9], [0.8], disagreements=[(1, 0)])["mcnemar"][0]
    with pytest.raises(ValueError, match="2 pairs"):
        stats.compare([0.9, 0.8], [0.8, 0.8], disagreements=[(1, 0)])
    with pytest.raises(ValueError, match="2 pairs"):
        stats.compare([0.9, 0.8], [0.8, 0.8], seeds=[0], disagreements=[(1, 0), (2, 0)])


def test_it_is_said_what_the_interval_is_about():
    pairs = [0.9, 0.92, 0.95], [0.8, 0.81, 0.85]
    own, shared, few = (stats.compare(*pairs, shared_teachers=count)["about"] for count in (0, 1, 2))
    assert "training seeds" in own
    assert "this test set" in own
    assert "this one teacher" not in own
    assert "this one teacher" in shared
    assert "these 2 teachers" in few
    assert "the teacher's too" not in few
    assert stats.compare([0.9], [0.8], shared_teachers=1)["about"].startswith("Without an interval nothing is said")


def test_seeds_that_failed_are_missed():
    compared = stats.compare([0.9, 0.8, 0.9], [0.8, 0.8, 0.7], seeds=[0, 1, 4], left_out=2)
    assert compared["seeds"] == [0, 1, 4]
    assert compared["verdict_text"].endswith(" 2 of 5 seeds left out, since a run failed.")
