"""Test examples as a page shows them: the picture or the row, its class, and what each model says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdistill.core.formatting import percent
from kdistill.report.content.report import Change, Example, Floats
from kdistill.runs import ARMS


@dataclass(frozen=True)
class Says:
    """What the models of one arm say of an example, on average over the seeds.

    Attributes:
        arm: its name.
        answer: the class that it finds most likely.
        share: the probability of that, 0 to 1.
        true_share: the probability of the true class.
        right: whether the two are the same class.
    """

    arm: str
    answer: str
    share: float
    true_share: float
    right: bool


@dataclass(frozen=True)
class Card:
    """A test example that changed.

    Attributes:
        example: which.
        label: name of its true class.
        changed: in how many seeds it did, in words.
        says: what each arm says.
    """

    example: Example
    label: str
    changed: str
    says: Sequence[Says]


def cards(changes: Sequence[Change], names: Sequence[str], fixed: bool) -> list[Card]:
    """Return the examples that distillation fixed, or else broke.

    Args:
        changes: the examples.
        names: of the classes.
        fixed: which of the two is told.
    """
    return [
        Card(change.example, names[change.example.label], _in_words(change, fixed), says(change, names))
        for change in changes
    ]


def says(change: Change, names: Sequence[str]) -> list[Says]:
    """Return what each arm says, in the order of the arms."""
    return [_says(arm, shares, change.example.label, names) for arm, shares in _ordered(change.probabilities)]


def _ordered(probabilities: Mapping[str, Floats]) -> list[tuple[str, Floats]]:
    return [(arm, probabilities[arm]) for arm in ARMS if arm in probabilities]


def _says(arm: str, shares: Floats, label: int, names: Sequence[str]) -> Says:
    answer = int(np.argmax(shares))
    return Says(arm, names[answer], float(shares[answer]), float(shares[label]), answer == label)


def _in_words(change: Change, fixed: bool) -> str:
    done, undone = (change.fixed_in, change.broken_in) if fixed else (change.broken_in, change.fixed_in)
    words = ("fixed", "broken") if fixed else ("broken", "fixed")
    if change.seeds == 1:
        return words[0]
    text = f"{words[0]} in {done} of {change.seeds} seeds"
    return f"{text}, {words[1]} in {undone}" if undone else text


def described(card: Card) -> str:
    """Return the text that stands for the picture of an example."""
    return f"Test example {card.example.number}, of class {card.label}; {card.changed}"


def spoken(one: Says) -> str:
    """Return what an arm says in a line, without its name."""
    if one.right:
        return f"{one.answer} {percent(one.share)}"
    return f"{one.answer} {percent(one.share)}, true class {percent(one.true_share)}"
