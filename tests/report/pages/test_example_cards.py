import dataclasses

import page_material as made
import pytest

from kdistill.report.pages import example_cards


def test_a_card_says_what_each_arm_answers_and_how_likely_it_finds_the_truth():
    card = example_cards.cards([made.change()], "abcd", fixed=True)[0]
    assert card.label == "a"
    assert [example_cards.spoken(one) for one in card.says] == ["a 70.0 %", "b 65.0 %, true class 25.0 %", "a 50.0 %"]
    assert [one.arm for one in card.says] == ["teacher", "baseline", "distilled"]


def test_an_arm_that_is_not_known_is_left_out():
    change = made.change()
    change.probabilities.pop("teacher")
    assert [one.arm for one in example_cards.says(change, "abcd")] == ["baseline", "distilled"]


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
    card = example_cards.cards([change], "abcd", fixed)[0]
    assert card.changed == words
    assert example_cards.described(card) == f"Test example 7, of class a; {words}"
