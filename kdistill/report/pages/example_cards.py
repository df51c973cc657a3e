"""Test examples as a page shows them: the image or the row, its class, and the prediction of each arm."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdistill.core.formatting import percent
from kdistill.report.content.predictions import Change, Example, Floats
from kdistill.runs import ARMS


@dataclass(frozen=True)
class ArmPrediction:
    """The prediction of one arm for an example: the mean over the seeds.

    Attributes:
        arm: name of the arm.
        predicted: name of the most probable class.
        probability: of the most probable class, 0 to 1.
        true_probability: of the true class, 0 to 1.
        correct: whether the most probable class is the true one.
    """

    arm: str
    predicted: str
    probability: float
    true_probability: float
    correct: bool

    @property
    def text(self) -> str:
        """The prediction in a line, without the arm."""
        text = f"{self.predicted} {percent(self.probability)}"
        return text if self.correct else f"{text}, true class {percent(self.true_probability)}"


@dataclass(frozen=True)
class Card:
    """A test example that distillation changed.

    Attributes:
        example: the example.
        label: name of its true class.
        changed: in how many seeds it changed, in words.
        predictions: of each arm that is known, in the order of the arms.
    """

    example: Example
    label: str
    changed: str
    predictions: Sequence[ArmPrediction]

    @property
    def alt(self) -> str:
        """The alternative text of the example's image."""
        return f"Test example {self.example.number}, of class {self.label}; {self.changed}"


def card(change: Change, names: Sequence[str], fixed: bool) -> Card:
    """Return the card of an example.

    Args:
        change: the example.
        names: of the classes.
        fixed: whether the page shows it as fixed by distillation, or else as broken.
    """
    label, shares = change.example.label, change.probabilities
    predictions = [_prediction(arm, shares[arm], label, names) for arm in ARMS if arm in shares]
    return Card(change.example, names[label], _changed(change, fixed), predictions)


def _prediction(arm: str, shares: Floats, label: int, names: Sequence[str]) -> ArmPrediction:
    best = int(shares.argmax())
    return ArmPrediction(arm, names[best], float(shares[best]), float(shares[label]), best == label)


def _changed(change: Change, fixed: bool) -> str:
    counts = [("fixed", change.fixed_in), ("broken", change.broken_in)]
    (word, seeds), (opposite, others) = counts if fixed else reversed(counts)
    if change.seeds == 1:
        return word
    return f"{word} in {seeds} of {change.seeds} seeds" + (f", {opposite} in {others}" if others else "")
