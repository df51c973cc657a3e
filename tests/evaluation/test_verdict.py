"""The verdict against published worked examples and simulated experiments, and its sentences."""

import json
import math
import statistics

import numpy as np
import pytest
from scipy.stats import binom, ttest_rel
from simulated_seeds import BASELINE, simulated

from kdistill.evaluation.crossed import without_parts
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL
from kdistill.evaluation.statistics import minimum_detectable_difference, paired_t
from kdistill.evaluation.verdict import (
    Answers,
    Pair,
    Verdict,
    about_distillation,
    compare_pairs,
    decide,
    little_to_teach,
    nothing_to_transfer,
    teaches_on_average,
)

pytestmark = pytest.mark.filterwarnings("error")


# Student (1908), hours of sleep gained with two drugs: R's data set `sleep`, whose paired t-test R documents as
# t = -4.0621, df = 9, p-value = 0.002833, 95 percent confidence interval -2.4598858 to -0.7001142, mean -1.58.
FIRST_DRUG = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND_DRUG = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def share(differences, wanted):
    """Return how often the verdict on a row is one of those wanted."""
    return sum(decide(row.tolist())[0] in wanted for row in differences) / len(differences)


def compare(distilled, baseline, about="", **more):
    """Compare accuracies alone, of seeds from 0."""
    pairs = zip(distilled, baseline, strict=True)
    return compare_pairs(
        [Pair(seed, Answers(first), Answers(second)) for seed, (first, second) in enumerate(pairs)], about, **more
    ).to_json()


@pytest.mark.parametrize("bad", [[], [0.1, math.nan], [math.inf]])
def test_what_is_not_a_finite_number_is_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        compare(bad, bad)


def test_students_sleep_data():
    comparison = compare(FIRST_DRUG, SECOND_DRUG)
    assert comparison["difference"]["mean"] == pytest.approx(-1.58)
    assert comparison["difference"]["ci_low"] == pytest.approx(-2.4598858, abs=5e-8)
    assert comparison["difference"]["ci_high"] == pytest.approx(-0.7001142, abs=5e-8)
    assert comparison["p_value"] == pytest.approx(0.002833, abs=5e-7)
    assert comparison["verdict"] == "hurts"
    assert compare(SECOND_DRUG, FIRST_DRUG)["verdict"] == "helps"


@pytest.mark.parametrize("count", [1, 2])
def test_below_three_seeds_there_is_no_interval(count):
    comparison = compare([0.9, 0.8][:count], [0.8, 0.75][:count])
    difference = comparison["difference"]
    assert difference["ci_low"] is difference["ci_high"] is comparison["p_value"] is None
    assert comparison["smallest_detectable"] is comparison["bootstrap"] is None
    assert comparison["verdict"] == "inconclusive"
    assert f"{count} seed" in comparison["verdict_text"]
    assert "requires at least 3 seeds" in comparison["verdict_text"]


@pytest.mark.parametrize("seeds", [3, 4, 30])
def test_the_same_difference_at_each_seed_gives_no_interval(seeds):
    baseline = (BASELINE * 8)[:seeds]
    # Seven test examples of 360, seed by seed the same number: floats that differ in their last bits.
    comparison = compare([value + 7 / 360 for value in baseline], baseline)
    assert comparison["difference"]["mean"] == pytest.approx(7 / 360)
    assert comparison["difference"]["ci_low"] is comparison["p_value"] is comparison["bootstrap"] is None
    assert comparison["smallest_detectable"] is None
    assert comparison["verdict"] == "inconclusive"
    assert f"all {seeds} seeds gave the same difference, +1.94 points of test accuracy" in comparison["verdict_text"]


def test_no_difference_at_any_seed_is_said():
    comparison = compare(BASELINE, BASELINE)
    assert comparison["difference"]["mean"] == comparison["difference"]["sd"] == 0
    assert comparison["p_value"] is None
    assert comparison["probability_of_improvement"] == 0.5
    assert comparison["verdict"] == "inconclusive"
    assert "all 4 seeds gave no difference of test accuracy" in comparison["verdict_text"]


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
def test_the_minimum_detectable_difference_is_detected_with_80_percent_power(seeds):
    shift = minimum_detectable_difference(0.004, seeds)
    low, high = binom.ppf([0.001, 0.999], 1000, 0.8) / 1000
    assert low <= share(simulated(seeds, shift=shift, experiments=1000), {"helps"}) <= high


def test_the_sentence_of_help():
    # Standard error 0.0004 / sqrt(3), t = 18.6194, half width 4.302653 * 0.00023094 = 0.00099366; with two degrees of
    # freedom the two-sided p is 1 - t / sqrt(2 + t * t) = 0.002872.
    text = decide([0.0039, 0.0043, 0.0047])[1]
    expected = "Distillation helps: +0.43 points of test accuracy (95 % interval +0.33 to +0.53, p = 0.00287, 3 seeds)."
    assert text == expected


def test_the_sentence_of_harm():
    verdict, text = decide([-0.02, -0.021, -0.0205, -0.0201])
    assert verdict == "hurts"
    assert text.startswith("Distillation hurts: -2.04 points of test accuracy (95 % interval -2.11 to -1.97, p < 0.001")


def test_an_inconclusive_sentence_names_the_minimum_detectable_difference():
    differences = [0.01, -0.01, 0.0, 0.005, -0.002]
    verdict, text = decide(differences)
    assert verdict == "inconclusive"
    detectable = 100 * 1.6819970833 * statistics.stdev(differences)
    assert text.endswith(f"; minimum detectable difference {detectable:.2f} points (80 % power).")
    assert "+0.06 points of test accuracy" in text


def test_tiny_amounts_are_not_shown_as_zero():
    text = decide([0.00002, 0.00003, 0.00004])[1]
    assert "+0.003 points" in text
    assert "0.00 " not in text
    assert "+0.00 points" in decide([-1e-12])[1]


def test_a_teacher_must_be_better_than_the_baseline():
    assert nothing_to_transfer([0.9, 0.88], [0.88, 0.88]) is None
    for teacher in ([0.87, 0.88], [0.88, 0.88]):
        sentence = nothing_to_transfer(teacher, [0.88, 0.88])
        assert "no better than the baseline" in sentence
        assert f"{sum(teacher) / 2:.4f} against 0.8800" in sentence


def test_the_comparison_is_plain_json():
    distilled, baseline = np.array([0.90, 0.91, 0.93]), np.array([0.89, 0.91, 0.90])
    answers = [([1] * 5 + [0] * 4, [0] * 5 + [1] * 4), ([1, 1, 0, 0], [0, 0, 1, 1]), ([1] * 7 + [0], [0] * 7 + [1])]
    pairs = [
        Pair(seed, Answers(first, right), Answers(second, others))
        for seed, first, second, (right, others) in zip([0, 3, 7], distilled, baseline, answers, strict=True)
    ]
    verdict = compare_pairs(pairs, "About.")
    comparison = verdict.to_json()
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison
    assert Verdict.from_json(comparison) == verdict
    assert verdict.significant_seeds == 0
    tests = {"p_value", "bootstrap", "probability_of_improvement", "smallest_detectable", "mcnemar"}
    words = {"verdict", "verdict_text", "verdict_short", "about"}
    assert set(comparison) == {"seeds", "difference", "measure", "new_examples", "scope"} | words | tests
    early = {key: value for key, value in comparison.items() if key != "verdict_short"}
    assert Verdict.from_json(early).short == verdict.sentence
    assert set(comparison["difference"]) == {"values", "mean", "sd", "ci_low", "ci_high", "confidence"}
    row = {"seed": 7, "only_distilled": 7, "only_baseline": 1, "p_value": pytest.approx(0.0703125)}
    assert comparison["mcnemar"][2] == row
    assert comparison["probability_of_improvement"] == pytest.approx((1 / 2 + 0 + 1 + 1 + 1 / 2 + 1 + 3) / 9)
    test = paired_t(comparison["difference"]["values"])
    assert comparison["p_value"] == test.p_value
    assert comparison["difference"]["ci_low"] == test.low
    assert (comparison["verdict"], comparison["verdict_text"]) == decide(comparison["difference"]["values"])


def test_twenty_seeds_bring_the_bootstrap_which_does_not_decide():
    """Where the two intervals disagree about zero, the paired t interval has the say."""
    for row in simulated(20, shift=0.0018, experiments=200):
        comparison = compare((0.8 + row).tolist(), [0.8] * 20)
        if comparison["bootstrap"]["low"] > 0 > comparison["difference"]["ci_low"]:
            break
    else:
        pytest.fail("no simulated experiment on which they disagree")
    assert comparison["verdict"] == "inconclusive"
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison


def test_mcnemar_needs_the_answers_of_every_model():
    known, unknown = Answers(0.9, [True, False]), Answers(0.8)
    for pairs in ([Pair(0, known, unknown)], [Pair(0, known, known), Pair(1, unknown, known)]):
        verdict = compare_pairs(pairs, "")
        assert verdict.mcnemar is verdict.significant_seeds is None


def test_it_is_said_what_the_interval_is_about():
    own, shared, few = map(about_distillation, ([0, 1, 2], [0, 0, 0], [0, 1, 0]))
    assert own == "The interval on this test set covers seed variance (teachers' seeds included)."
    assert "given this one teacher, not other teachers" in shared
    assert "given these 2 teachers, not other teachers" in few
    assert (
        compare([0.9, 0.92, 0.95], [0.8, 0.81, 0.85], own)["about"]
        == f"{own} What new test examples would give is not known."
    )
    assert compare([0.9], [0.8], shared)["about"].startswith("Without an interval nothing can be inferred")


def test_seeds_that_failed_are_missed():
    compared = compare([0.9, 0.8, 0.9], [0.8, 0.8, 0.7], left_out=2)
    assert compared["seeds"] == [0, 1, 2]
    assert compared["verdict_text"].endswith(" 2 of 5 seeds are left out because a run failed.")


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_by_every_measure_the_better_arm_helps_and_the_numbers_are_those_of_the_t_test(measure):
    worse, gain = [0.5, 0.52, 0.48, 0.51], [0.02, 0.021, 0.019, 0.022]
    better = [value + measure.gain(each) for value, each in zip(worse, gain, strict=True)]
    helps, hurts = compare(better, worse, measure=measure), compare(worse, better, measure=measure)
    assert (helps["verdict"], hurts["verdict"], helps["measure"]) == ("helps", "hurts", measure.name)
    expected = ttest_rel(better, worse)
    interval = expected.confidence_interval(0.95)
    assert helps["p_value"] == pytest.approx(expected.pvalue, rel=1e-6)
    assert helps["difference"]["ci_low"] == pytest.approx(interval.low, rel=1e-6)
    assert helps["difference"]["ci_high"] == pytest.approx(interval.high, rel=1e-6)
    assert helps["probability_of_improvement"] > 0.5 > hurts["probability_of_improvement"]
    lower = "-0.0205 nats of test NLL, where lower is better"
    amount = lower if measure is NLL else f"+2.05 points of test {measure.words}"
    assert helps["verdict_text"].startswith(f"Distillation helps: {amount} (95 % interval ")


def test_a_seed_whose_score_is_undefined_is_left_out_and_told():
    scores = [(0.7, 0.6), (0.71, 0.6), (None, 0.6), (0.72, 0.6)]
    pairs = [Pair(seed, Answers(first), Answers(second)) for seed, (first, second) in enumerate(scores)]
    verdict = compare_pairs(pairs, "", left_out=1, measure=MEASURES["auc"])
    assert list(verdict.seeds) == [0, 1, 3]
    assert verdict.sentence.endswith(
        " 1 of 5 seeds are left out because a run failed. 1 of 5 seeds are left out because AUC is not known."
    )


def test_a_verdict_of_an_early_version_is_about_accuracy():
    document = compare([0.9, 0.8, 0.85], [0.8, 0.75, 0.8])
    del document["measure"]
    assert Verdict.from_json(document).measure == "accuracy"


def test_a_teacher_is_held_against_the_baseline_by_the_measure():
    assert nothing_to_transfer([0.3], [0.4], NLL) is None
    assert "(0.5000 against 0.4000 test NLL)" in nothing_to_transfer([0.5], [0.4], NLL)
    assert nothing_to_transfer([None], [0.4], MEASURES["auc"]) is None
    taught, alone = {"accuracy": 0.9, "macro_f1": 0.5}, {"accuracy": 0.8, "macro_f1": 0.6}
    assert little_to_teach(3, taught, alone) == []
    assert little_to_teach(3, taught, alone, MEASURES["macro_f1"]) == [
        "Seed 3: the teacher is no better than the student trained alone (0.5000 against 0.6000 macro F1 on "
        "validation): it has little to teach."
    ]
    assert little_to_teach(3, taught, {"accuracy": 0.8}, MEASURES["macro_f1"]) == []


def test_the_mean_over_seeds_decides_whether_their_teachers_teach():
    better, worse = ({"accuracy": 0.9}, {"accuracy": 0.8}), ({"accuracy": 0.8}, {"accuracy": 0.85})
    assert teaches_on_average([better, worse], ACCURACY)
    assert not teaches_on_average([better, worse, worse, worse], ACCURACY)
    assert not teaches_on_average([better], ACCURACY), "one seed has no mean"
    nll = [({"nll": 0.3}, {"nll": 0.5}), ({"nll": 0.5}, {"nll": 0.4})]
    assert teaches_on_average(nll, NLL)
    assert not teaches_on_average([({"accuracy": None}, {"accuracy": 0.8}), better], ACCURACY), "one is known"


def with_answers(seeds, examples, gain, spread=0.0, seed=0):
    """Return pairs of models whose distilled one is right on a share `gain` of the examples more, the same for all."""
    rng = np.random.default_rng(seed)
    easier = rng.random(examples) < gain
    pairs = []
    for number in range(seeds):
        baseline = rng.random(examples) < 0.5
        noise = rng.random((2, examples)) < spread
        distilled = np.where(easier, True, np.where(noise[0], noise[1], baseline))
        answers = (Answers(float(of.mean()), of.tolist()) for of in (distilled, baseline & ~easier))
        pairs.append(Pair(number, *answers))
    return pairs


def test_what_new_examples_would_give_decides_unless_the_test_set_is_asked_about():
    """Ten of 400 examples are gained by every seed: certain on this test set, and 2.5 +- 1.5 points elsewhere."""
    pairs = with_answers(5, 400, 0.025, spread=0.02)
    verdict = compare_pairs(pairs, "About.")
    assert verdict.scope == "new_examples"
    assert verdict.new_examples["low"] <= verdict.difference["ci_low"]
    assert verdict.new_examples["high"] >= verdict.difference["ci_high"]
    assert verdict.p_deciding == verdict.new_examples["p_value"] >= verdict.p_value
    few = with_answers(5, 100, 0.02, spread=0.01)
    here, elsewhere = compare_pairs(few, "About.", scope="test_set"), compare_pairs(few, "About.")
    assert (here.decision, elsewhere.decision) == ("helps", "inconclusive")
    assert here.p_deciding == here.p_value < 0.05 < elsewhere.p_deciding
    assert "for new examples" in elsewhere.sentence.partition("on this test set")[0]
    assert "on this test set" in here.sentence.partition("for new examples")[0]
    assert "it includes zero; on this test set alone +" in elsewhere.short
    assert "95 % interval on this test set +" in here.short
    assert elsewhere.about.startswith("About. The interval for new examples covers them too: of its variance, ")
    assert Verdict.from_json(json.loads(json.dumps(elsewhere.to_json()))) == elsewhere


def test_without_answers_the_verdict_is_about_this_test_set():
    pairs = [pair._replace(second=pair.second._replace(correct=())) for pair in with_answers(4, 100, 0.2, 0.02)]
    verdict = compare_pairs(pairs, "About.")
    assert (verdict.scope, verdict.new_examples) == ("test_set", None)
    assert verdict.about == "About. What new test examples would give is not known."


def test_other_measures_are_compared_by_their_parts():
    rng, measure = np.random.default_rng(1), MEASURES["macro_f1"]
    labels = rng.integers(0, 3, 300)
    pairs = []
    for seed in range(4):
        arms = [3 * np.eye(3)[labels] * strength + rng.normal(size=(300, 3)) for strength in (1.0, 0.5)]
        answers = (Answers(measure.compute(of, labels), (), without_parts(of, labels, measure)) for of in arms)
        pairs.append(Pair(seed, *answers))
    verdict = compare_pairs(pairs, "About.", measure=measure)
    assert verdict.decision == "helps"
    assert verdict.new_examples["low"] < verdict.difference["mean"] < verdict.new_examples["high"]


def test_equal_intervals_are_said_once():
    text = compare_pairs(with_answers(3, 10_000, 0.0, spread=0.5), "").sentence
    assert text.count(" to ") in (1, 2)
    assert "on this test set and for new examples" in text or text.count("interval") == 1
