"""Statistics against published worked examples, other packages, and simulated experiments.

Oracle values without a publication were computed once with statsmodels 0.15.0 and arch 8.0.0, as said beside them.
"""

import statistics

import pytest
from simulated_seeds import simulated

from kdistill.evaluation.statistics import (
    bootstrap,
    count_disagreements,
    mcnemar,
    minimum_detectable_difference,
    paired_differences,
    probability_of_improvement,
    summarize,
)

pytestmark = pytest.mark.filterwarnings("error")


def test_summary_is_mean_and_sample_standard_deviation():
    values = [0.81, 0.84, 0.80, 0.90]
    summary = summarize(values)
    assert summary["values"] == values
    assert summary["mean"] == pytest.approx(statistics.mean(values))
    assert summary["sd"] == pytest.approx(statistics.stdev(values))


def test_one_value_has_no_spread():
    assert summarize([0.5])["sd"] is None


def test_differences_are_taken_pair_by_pair():
    difference = paired_differences([0.9, 0.8, 0.7], [0.8, 0.9, 0.6])
    assert difference["values"] == pytest.approx([0.1, -0.1, 0.1])
    assert difference["mean"] == pytest.approx(0.1 / 3)
    # By hand: sd 0.2/sqrt(3), so the standard error is 0.2/3; t(0.975, 2 degrees of freedom) = 4.302653 (tables).
    assert difference["ci_low"] == pytest.approx(0.1 / 3 - 4.302653 * 0.2 / 3, abs=1e-7)
    assert difference["ci_high"] == pytest.approx(0.1 / 3 + 4.302653 * 0.2 / 3, abs=1e-7)
    assert difference["confidence"] == 0.95


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        paired_differences([0.1, 0.2], [0.1])


def test_the_bootstrap_waits_for_twenty_seeds():
    differences = simulated(20, experiments=1)[0].tolist()
    assert bootstrap(differences[:19]) is None
    assert bootstrap(differences) is not None


def test_the_bootstrap_interval_is_bca_and_always_the_same():
    differences = [k * k / 10000 - 0.01 for k in range(1, 26)]
    interval = bootstrap(differences)
    assert interval == bootstrap(differences)
    # arch: IIDBootstrap(differences, seed=0, 1, 2).conf_int(np.mean, 200000, method="bca") gives 0.005192 to 0.020390,
    # 0.005140 to 0.020351 and 0.005168 to 0.020408; its percentile interval, 0.0048 to 0.0199, is too far from that.
    assert interval["low"] == pytest.approx(0.00517, abs=2e-4)
    assert interval["high"] == pytest.approx(0.02038, abs=2e-4)


def test_the_bootstrap_bears_a_single_seed_that_differs():
    interval = bootstrap([0.0] * 19 + [0.01])
    assert 0 <= interval["low"] < interval["high"] < 0.01


def test_probability_of_improvement_of_the_tortoise_and_the_hare():
    # The worked example of Wikipedia's "Mann-Whitney U test": in order of arrival T H H H H H T T T T T H, of 36 pairs
    # the tortoises win 11 and the hares 25.
    tortoises, hares = [12, 6, 5, 4, 3, 2], [11, 10, 9, 8, 7, 1]
    assert probability_of_improvement(tortoises, hares) == pytest.approx(11 / 36)
    assert probability_of_improvement(hares, tortoises) == pytest.approx(25 / 36)


def test_a_tie_is_half_an_improvement():
    # Over all pairs: 0.8 ties with one and loses to one, 0.9 beats one and ties with one.
    assert probability_of_improvement([0.8, 0.9], [0.8, 0.9]) == 0.5
    assert probability_of_improvement([0.9, 0.9], [0.8, 0.9]) == 0.75
    assert probability_of_improvement([0.8], [0.8]) == 0.5
    assert probability_of_improvement([0.9], [0.8]) == 1.0


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
    assert mcnemar(only_first, only_second) == pytest.approx(p_value, rel=1e-9)


def test_disagreements_are_counted_on_the_same_examples():
    first, second = [True, True, False, False, True], [True, False, True, False, False]
    assert count_disagreements(first, second) == (2, 1)
    with pytest.raises(ValueError, match="same examples"):
        count_disagreements([True, False], [True])


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
def test_minimum_detectable_difference_difference(seeds, in_sds):
    assert minimum_detectable_difference(1.0, seeds) == pytest.approx(in_sds, rel=1e-6)
    assert minimum_detectable_difference(0.004, seeds) == pytest.approx(0.004 * in_sds, rel=1e-6)


def test_power_of_the_example_in_the_gpower_manual():
    # G*Power 3.1 manual, "Means: Difference between two dependent means", after Cohen (1969, p. 48): 50 pairs,
    # dz = 0.421637 (0.4 at a correlation of 0.55), alpha 0.05 two-sided: power 0.832114.
    assert minimum_detectable_difference(1.0, 50, power=0.832114) == pytest.approx(0.421637, abs=1e-6)


def test_power_of_two_seeds_is_not_spoken_of():
    with pytest.raises(ValueError, match="3 seeds"):
        minimum_detectable_difference(0.004, 2)


def test_more_seeds_see_smaller_differences():
    detectable = [minimum_detectable_difference(1.0, seeds) for seeds in range(3, 60)]
    assert detectable == sorted(detectable, reverse=True)
