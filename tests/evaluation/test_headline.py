"""The headline: what the user came for, in one sentence, whatever is known and whoever is better."""

import pytest

from kdistill.evaluation import headline
from kdistill.evaluation.headline import Model
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL
from kdistill.evaluation.verdict import Answers, Pair, compare_pairs

TEACHER, STUDENT = Model(0.9767, 85_002, 371_000), Model(0.9678, 1210, 27_000)


def told(student=STUDENT, teacher=TEACHER, measure=ACCURACY, **more):
    return headline.headline(student, teacher, measure, **more)


def test_a_student_is_compared_with_its_teacher():
    assert told() == "Student: 1.4 % of the teacher's parameters, 14 times smaller on disk, 0.9 points below it."


@pytest.mark.parametrize(
    ("score", "end"),
    [
        (0.9767, "equal to it in accuracy."),
        (0.9767 + 1e-12, "equal to it in accuracy."),
        (0.9811, "0.4 points above it."),
        (0.9763, "0.04 points below it."),
        (0.97668, "0.002 points below it."),
        (None, "14 times smaller on disk."),
    ],
)
def test_the_distance_has_the_side_and_the_digits_that_it_needs(score, end):
    assert told(Model(score, 1210, 27_000)).endswith(f", {end}")


@pytest.mark.parametrize(
    ("measure", "score", "end"),
    [
        ("macro_f1", 0.9, "7.7 points of macro F1 below it."),
        ("macro_f1", 0.9767, "equal to it in macro F1."),
        ("mean_average_precision", 0.99, "1.3 points of mean average precision above it."),
        ("nll", 0.9, "0.077 nats of NLL below it (better)."),
        ("nll", 1.0, "0.023 nats of NLL above it (worse)."),
    ],
)
def test_another_measure_is_named(measure, score, end):
    assert told(Model(score, 1210, 27_000), measure=MEASURES[measure]).endswith(f", {end}")


@pytest.mark.parametrize(
    ("parameters", "size", "words"),
    [
        (85_002, 371_000, "all of the teacher's parameters, as large on disk"),
        (170_004, 742_000, "2 times the teacher's parameters, 2 times larger on disk"),
        (850, 370_000, "1 % of the teacher's parameters, as large on disk"),
        (12, 2_600, "0.014 % of the teacher's parameters, 140 times smaller on disk"),
        (1, 250, "0.0012 % of the teacher's parameters, 1,500 times smaller on disk"),
    ],
)
def test_sizes_are_relative_whichever_is_larger(parameters, size, words):
    assert words in told(Model(0.9, parameters, size))


def test_sizes_are_absolute_where_those_of_the_teacher_are_not_known():
    expected = "Student: 1,210 parameters, 27 kB on disk, 0.9 points below the teacher."
    assert told(teacher=Model(0.9767)) == expected
    assert told(teacher=Model(0.9767, 85_002)) == expected
    assert told(Model(0.9, 1), Model(0.8)) == "Student: 1 parameter, 10.0 points above the teacher."


def test_several_teachers_are_one_ensemble():
    assert told(teachers=3).endswith(
        "1.4 % of the 3 teachers' parameters, 14 times smaller on disk, 0.9 points below their ensemble."
    )
    assert told(teacher=Model(0.97), teachers=2).endswith("0.2 points below the ensemble of 2 teachers.")


def test_a_split_other_than_test_is_named():
    assert told(split="validation").endswith("0.9 points below it on validation.")
    assert told(teacher=None, split="validation").endswith("27 kB on disk, validation accuracy 0.9678.")


def test_of_arms_takes_values_and_means_and_falls_back_on_the_student_alone():
    def arm(value, parameters=1210, file_bytes=27_000):
        return {"accuracy": value, "parameters": parameters, "file_bytes": file_bytes}

    arms = {"teacher": arm({"mean": 0.9767}, 85_002, 371_000), "distilled": arm({"mean": 0.9678})}
    assert headline.of_arms(arms) == told()
    assert headline.of_arms({"teacher": arm(0.9767, 85_002, 371_000), "baseline": arm(0.9767)}) == (
        "Student without a teacher: 1.4 % of the teacher's parameters, 14 times smaller on disk, equal to it in "
        "accuracy."
    )
    alone = headline.of_arms({"baseline": arm(0.9)})
    assert alone == "Student without a teacher: 1,210 parameters, 27 kB on disk, test accuracy 0.9000."
    assert headline.of_arms({"teacher": arm(0.9)}) == ""
    assert headline.of_arms({"distilled": arm(None)}) == "Student: 1,210 parameters, 27 kB on disk."


AGAINST = "against the baseline, the same student without a teacher"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((0.01,), f"Inconclusive: +1.00 points of test accuracy {AGAINST} (1 seed; an interval needs at least 3)."),
        (
            (0.01, 0.012, 0.011),
            f"Distillation helps: +1.10 points of test accuracy {AGAINST} (95 % interval +0.85 to +1.35, 3 seeds).",
        ),
        (
            (-0.01, -0.012, -0.011),
            f"Distillation hurts: -1.10 points of test accuracy {AGAINST} (95 % interval -1.35 to -0.85, 3 seeds).",
        ),
        (
            (0.01, -0.02, 0.003),
            f"Inconclusive: -0.23 points of test accuracy {AGAINST} (95 % interval -4.13 to +3.67, 3 seeds: it "
            "includes zero).",
        ),
    ],
)
def test_the_verdict_in_short_has_the_word_the_amount_and_the_interval(values, sentence):
    pairs = [Pair(seed, Answers(0.9 + value), Answers(0.9)) for seed, value in enumerate(values)]
    assert compare_pairs(pairs, "about").short == sentence


def test_the_verdict_in_short_says_what_is_left_out_and_which_way_is_better():
    pairs = [Pair(seed, Answers(0.3 - value), Answers(0.3)) for seed, value in enumerate((0.01, 0.012, 0.011))]
    short = compare_pairs(pairs, "about", left_out=2, measure=NLL).short
    assert short.startswith("Distillation helps: -0.0110 nats of test NLL against the baseline")
    assert "without a teacher, where lower is better (95 %" in short
    assert short.endswith(" 2 of 5 seeds are left out because a run failed.")


def test_equal_differences_have_no_interval():
    pairs = [Pair(seed, Answers(0.9), Answers(0.9)) for seed in range(3)]
    assert "(3 seeds; the same in each, so that there is no interval)" in compare_pairs(pairs, "about").short


def test_one_seed_is_no_verdict():
    assert headline.of_one_seed(0.0159, ACCURACY, "validation") == (
        "Distillation: +1.59 points on validation against the same student without a teacher (one seed, no verdict)."
    )
    assert headline.of_one_seed(-0.01, NLL, "test") == (
        "Distillation: -0.0100 nats of NLL on test against the same student without a teacher, where lower is better "
        "(one seed, no verdict)."
    )
