import dataclasses

import pytest
import report_content as made

from kdistill.report.pages import example_cards


def test_a_card_has_the_prediction_of_each_arm_and_the_probability_of_the_true_class():
    card = example_cards.card(made.change(), "abcd", fixed=True)
    assert card.label == "a"
    assert [one.text for one in card.predictions] == ["a 70.0 %", "b 65.0 %, true class 25.0 %", "a 50.0 %"]
    assert [one.arm for one in card.predictions] == ["teacher", "baseline", "distilled"]


def test_an_arm_that_is_not_known_is_left_out():
    change = made.change()
    change.probabilities.pop("teacher")
    assert [one.arm for one in example_cards.card(change, "abcd", fixed=True).predictions] == ["baseline", "distilled"]


@pytest.mark.parametrize(
    ("fixed", "counts", "words"),
    [
        (True, (3, 1, 5), "fixed in 3 of 5 seeds, broken in 1"),
        (True, (3, 0, 5), "fixed in 3 of 5 seeds"),
        (False, (1, 3, 5), "broken in 3 of 5 seeds, fixed in 1"),
        (True, (1, 0, 1), "fixed"),
        (False, (0, 1, 1), "broken"),
    ],
)
def test_in_how_many_seeds_it_changed(fixed, counts, words):
    fixed_in, broken_in, seeds = counts
    change = dataclasses.replace(made.change(), fixed_in=fixed_in, broken_in=broken_in, seeds=seeds)
    card = example_cards.card(change, "abcd", fixed)
    assert card.changed == words
    assert card.alt == f"Test example 7, of class a; {words}"
