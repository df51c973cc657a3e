"""What the answers of many models on the same test examples come to: pure arrays, a model taken in at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from kdistill.evaluation import metrics, statistics
from kdistill.report.content.report import ClassChange, Confusion, Reliability

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

MOST_CLASSES = 20
"""That a matrix shows, and still can be read."""


@dataclass
class Tally:
    """The answers of the models of one arm.

    Args:
        arm: its name.
        labels: (n,) of the test examples.
        classes: how many there are.

    Attributes:
        models: how many were taken in.
        confusion: (classes, classes) counts, row: true class, column: answer.
        probabilities: (n, classes) at T = 1, their sum over the models.
        class_accuracy: of each model, (classes,); NaN where a class has no example.
    """

    arm: str
    labels: Ints
    classes: int
    models: int = 0
    class_accuracy: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.classes, self.classes), np.int64)
        self.probabilities = np.zeros((len(self.labels), self.classes))
        self._bins = np.zeros((3, metrics.CALIBRATION_BINS))  # count, sum of confidence, right answers
        self._errors: list[float] = []

    def take(self, logits: Floats) -> NDArray[np.bool_]:
        """Take in a model's logits (n, classes); return for each example whether it is right."""
        probabilities = softmax(logits.astype(np.float64), axis=-1)
        answers = logits.argmax(axis=-1)
        right = answers == self.labels
        confidence = probabilities.max(axis=-1)
        bins = metrics.CALIBRATION_BINS
        bin_of = metrics.bin_of(confidence, bins)
        for row, weights in enumerate((None, confidence, right)):
            self._bins[row] += np.bincount(bin_of, weights=weights, minlength=bins)
        self._errors.append(metrics.calibration_error(confidence, right, bins))
        pairs = self.labels.astype(np.int64) * self.classes + answers
        counts = np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes)
        self.confusion += counts
        self.class_accuracy.append(_shares(counts).diagonal())
        self.probabilities += probabilities
        self.models += 1
        return right

    def reliability(self) -> Reliability:
        """Return how confidence and accuracy went together."""
        count, confidence, right = self._bins
        with np.errstate(invalid="ignore"):
            means = confidence / count, right / count
        edges = np.linspace(0, 1, metrics.CALIBRATION_BINS + 1)
        error = float(np.mean(self._errors))
        return Reliability(self.arm, edges, count.astype(np.int64), *means, ece=error, runs=self.models)


@dataclass
class Pairs:
    """The answers of baseline and distilled students, seed by seed.

    Attributes:
        fixed: (n,) in how many seeds the distilled student alone is right about an example.
        broken: (n,) in how many the baseline alone is.
    """

    baseline: Tally
    distilled: Tally

    def __post_init__(self) -> None:
        self.fixed = np.zeros(len(self.baseline.labels), np.int64)
        self.broken = np.zeros(len(self.baseline.labels), np.int64)

    def take(self, baseline: Floats, distilled: Floats) -> None:
        """Take in the logits (n, classes) of both students of one seed."""
        alone, taught = self.baseline.take(baseline), self.distilled.take(distilled)
        self.fixed += taught & ~alone
        self.broken += alone & ~taught

    @property
    def seeds(self) -> int:
        """How many were taken in."""
        return self.baseline.models

    def confusion(self, names: Sequence[str]) -> Confusion:
        """Return the confusion matrices, of many classes those alone in which most has changed."""
        baseline, distilled = _shares(self.baseline.confusion), _shares(self.distilled.confusion)
        shown = np.arange(len(names))
        if len(names) > MOST_CLASSES:
            change = np.abs(np.nan_to_num(distilled - baseline))
            moved = change.sum(axis=0) + change.sum(axis=1)
            shown = np.sort(np.argsort(-moved, kind="stable")[:MOST_CLASSES])
        among = np.ix_(shown, shown)
        kept = [names[number] for number in shown.tolist()]
        return Confusion(kept, len(names) - len(kept), baseline[among], distilled[among], self.seeds)

    def class_changes(self, names: Sequence[str], teacher: Tally | None) -> list[ClassChange]:
        """Return what has changed in each class that has test examples, most improved first."""
        labels, classes = self.baseline.labels, len(names)
        fixed, broken = (
            np.bincount(labels, weights=counts, minlength=classes) / self.seeds for counts in (self.fixed, self.broken)
        )
        examples = np.bincount(labels, minlength=classes)
        alone, taught = (np.array(tally.class_accuracy) for tally in (self.baseline, self.distilled))
        taughts = np.array(teacher.class_accuracy) if teacher else None
        changes = []
        for number in np.flatnonzero(examples).tolist():
            test = statistics.paired_t((taught[:, number] - alone[:, number]).tolist())
            change = ClassChange(
                name=names[number],
                examples=int(examples[number]),
                teacher=None if taughts is None else float(taughts[:, number].mean()),
                baseline=float(alone[:, number].mean()),
                distilled=float(taught[:, number].mean()),
                low=max(test.low, -1.0) if test else None,  # no class can change by more
                high=min(test.high, 1.0) if test else None,
                fixed=float(fixed[number]),
                broken=float(broken[number]),
            )
            changes.append(change)
        return sorted(changes, key=lambda change: -change.difference)


def _shares(counts: Ints) -> Floats:
    """Return counts as shares of their row; NaN in a row without any."""
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)
