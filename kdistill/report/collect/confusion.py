"""Running totals over the predictions of many models on the same test examples: pure arrays, one model at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from kdistill.evaluation import metrics, statistics
from kdistill.report.content.predictions import ClassChange, Confusion, Floats, Reliability

Ints = NDArray[np.integer]

MOST_CLASSES = 20
"""Classes in a confusion matrix, so that its numbers stay legible."""


@dataclass
class Tally:
    """Totals over the models of one arm.

    Attributes:
        arm: name of the arm.
        labels: (n,) labels of the test examples.
        classes: number of classes.
        models: number of models added so far.
        confusion: (classes, classes) counts, row: true class, column: predicted class.
        probabilities: (n, classes) at T = 1, the sum over the models.
        class_accuracy: for each model (classes,); NaN for a class without examples.
    """

    arm: str
    labels: Ints
    classes: int
    models: int = 0
    class_accuracy: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.classes, self.classes), np.int64)
        self.probabilities = np.zeros((len(self.labels), self.classes))
        self._bins = np.zeros((3, metrics.CALIBRATION_BINS))  # predictions, sum of confidence, correct predictions
        self._errors: list[float] = []

    def add(self, logits: Floats) -> NDArray[np.bool_]:
        """Add the logits (n, classes) of a model; return (n,) whether each prediction is correct."""
        probabilities = softmax(logits.astype(np.float64), axis=-1)
        predicted = logits.argmax(axis=-1)
        correct = predicted == self.labels
        confidence = probabilities.max(axis=-1)
        bins = metrics.CALIBRATION_BINS
        bin_of = metrics.bin_of(confidence, bins)
        for row, weights in enumerate((None, confidence, correct)):
            self._bins[row] += np.bincount(bin_of, weights=weights, minlength=bins)
        self._errors.append(metrics.calibration_error(confidence, correct, bins))
        cells = self.labels.astype(np.int64) * self.classes + predicted
        counts = np.bincount(cells, minlength=self.classes**2).reshape(self.classes, self.classes)
        self.confusion += counts
        self.class_accuracy.append(_shares(counts).diagonal())
        self.probabilities += probabilities
        self.models += 1
        return correct

    def reliability(self) -> Reliability:
        """Return the reliability diagram of all predictions."""
        count, confidence, correct = self._bins
        with np.errstate(invalid="ignore"):
            means = confidence / count, correct / count
        edges = np.linspace(0, 1, metrics.CALIBRATION_BINS + 1)
        error = float(np.mean(self._errors))
        return Reliability(self.arm, edges, count.astype(np.int64), *means, ece=error, runs=self.models)


@dataclass
class Pairs:
    """Totals over the baseline and the distilled student of each seed.

    Attributes:
        baseline: totals over the baseline students.
        distilled: totals over the distilled students.
        fixed: (n,) number of seeds in which only the distilled student classifies an example correctly.
        broken: (n,) number of seeds in which only the baseline classifies an example correctly.
    """

    baseline: Tally
    distilled: Tally

    def __post_init__(self) -> None:
        self.fixed = np.zeros(len(self.baseline.labels), np.int64)
        self.broken = np.zeros(len(self.baseline.labels), np.int64)

    def add(self, baseline: Floats, distilled: Floats) -> None:
        """Add the logits (n, classes) of both students of one seed."""
        before, after = self.baseline.add(baseline), self.distilled.add(distilled)
        self.fixed += after & ~before
        self.broken += before & ~after

    @property
    def seeds(self) -> int:
        """Number of seeds added so far."""
        return self.baseline.models

    def confusion(self, names: Sequence[str]) -> Confusion:
        """Return the confusion matrices; of more than `MOST_CLASSES` classes those that changed most."""
        baseline, distilled = _shares(self.baseline.confusion), _shares(self.distilled.confusion)
        shown = np.arange(len(names))
        if len(names) > MOST_CLASSES:
            change = np.abs(np.nan_to_num(distilled - baseline))
            moved = change.sum(axis=0) + change.sum(axis=1)
            shown = np.sort(np.argsort(-moved, kind="stable")[:MOST_CLASSES])
        among = np.ix_(shown, shown)
        kept = [names[number] for number in shown.tolist()]
        return Confusion(kept, len(names) - len(kept), baseline[among], distilled[among], self.seeds)

    def class_changes(self, names: Sequence[str], teacher: Tally) -> list[ClassChange]:
        """Return the change of each class that has test examples, most improved first."""
        labels, classes = self.baseline.labels, len(names)
        examples, fixed, broken = (np.bincount(labels, of, classes) for of in (None, self.fixed, self.broken))
        before, after = np.array(self.baseline.class_accuracy), np.array(self.distilled.class_accuracy)
        changes = []
        for number in np.flatnonzero(examples).tolist():
            test = statistics.paired_t((after[:, number] - before[:, number]).tolist())
            change = ClassChange(
                name=names[number],
                examples=int(examples[number]),
                teacher=float(np.mean(teacher.class_accuracy, axis=0)[number]) if teacher.models else None,
                baseline=float(before[:, number].mean()),
                distilled=float(after[:, number].mean()),
                low=max(test.low, -1.0) if test else None,  # no class can change by more
                high=min(test.high, 1.0) if test else None,
                fixed=float(fixed[number]) / self.seeds,
                broken=float(broken[number]) / self.seeds,
            )
            changes.append(change)
        return sorted(changes, key=lambda change: -change.difference)


def _shares(counts: Ints) -> Floats:
    """Return counts as shares of their row; NaN in an empty row."""
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)
