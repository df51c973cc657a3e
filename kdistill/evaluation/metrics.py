"""The scores of logits, their calibration, agreement and KL: in float64, without TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError
from kdistill.core.task import SINGLE, Task, of_labels
from kdistill.evaluation.measures import MEASURES, Floats, class_accuracy

CALIBRATION_BINS = 15


def ensemble_logits(logits: Floats, task: Task = SINGLE, shares: Sequence[float] = ()) -> Floats:
    """Return logits (n, classes) of the mean of several teachers' probabilities at T = 1.

    Args:
        logits: (n, teachers, classes); the logits of one teacher, (n, classes), are returned unchanged.
        task: of the labels.
        shares: the weight of each teacher in the mean, which sum to 1; without any, all weigh the same.
    """
    if logits.ndim == 2:
        return logits
    return task.mean_logits(logits, shares)


@dataclass(frozen=True)
class Scores:
    """The metrics of one model on one split."""

    measures: Mapping[str, float | None]  # those of `MEASURES` that suit the classes; None if one is undefined here
    ece: float  # expected calibration error, in [0, 1]: `calibration_error`
    class_accuracy: list[float | None]  # accuracy per class; None for one without examples; empty if multi-label
    class_examples: list[int]  # examples per class

    @property
    def accuracy(self) -> float:
        """Share of examples whose largest logit is the label's."""
        return float(self.measures["accuracy"] or 0.0)

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood of the labels at T = 1, in nats."""
        return float(self.measures["nll"] or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the scores as a document: each measure by its name, `ece`, and the figures of each class."""
        rest = {key: value for key, value in vars(self).items() if key != "measures"}
        return {**self.measures, **rest}


def score(logits: Floats, labels: NDArray[np.integer]) -> Scores:
    """Return the metrics of `logits` (n, classes) against `labels` (n,), or (n, classes) of 0 and 1, in float64."""
    task, classes, logits = of_labels(labels), logits.shape[-1], logits.astype(np.float64)
    return Scores(
        measures={name: of.compute(logits, labels) for name, of in MEASURES.items() if of.suits(classes, task)},
        ece=calibration_error(*task.confidence(logits, labels)),
        class_accuracy=class_accuracy(logits, labels) if task is SINGLE else [],
        class_examples=task.examples(labels, classes).tolist(),
    )


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = CALIBRATION_BINS) -> float:
    """Return the expected calibration error of Guo et al., "On Calibration of Modern Neural Networks" (2017).

    The examples are sorted into `bins` of confidence of equal width; the result is the mean distance between a bin's
    mean confidence and its accuracy, weighted by the bin's examples: 0 is perfect, 1 the worst.

    Args:
        confidence: (n,) largest probability of each example.
        correct: (n,) whether the class of that probability is the label.
        bins: number of bins between 0 and 1; a bin includes its upper edge.
    """
    gap = np.bincount(bin_of(confidence, bins), weights=confidence - correct, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def bin_of(confidence: Floats, bins: int = CALIBRATION_BINS) -> NDArray[np.int64]:
    """Return the bin (n,) from 0 on of each confidence (n,): bins of equal width that include their upper edge."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def agreement(teacher_logits: Floats, student_logits: Floats, task: Task = SINGLE) -> float:
    """Return the share of examples for which teacher and student logits (n, classes) decide the same."""
    return float(task.same(teacher_logits, student_logits).mean())


def kl_to_teacher(teacher_logits: Floats, student_logits: Floats, task: Task = SINGLE) -> float:
    """Return the mean KL(teacher || student) at T = 1 in nats, from logits (n, classes), in float64."""
    return float(task.kl(teacher_logits, student_logits).mean())


SOFTENED_TWICE = "probabilities would be softened twice."


def check_logits(logits: Floats, source: str, hint: str | None = None, task: Task = SINGLE) -> None:
    """Raise ModelError if outputs (n, classes) of `source` are not finite, or are probabilities (with this hint)."""
    if not np.isfinite(logits).all():
        row = int(np.argwhere(~np.isfinite(logits).all(axis=-1))[0, 0])
        raise ModelError(f"{source}: expected finite logits; row {row} is {logits[row].tolist()}")
    if task.are_probabilities(logits):
        why = "every row sums to 1" if task is SINGLE else "all lie from 0 to 1"
        hint = hint or f"Save the model without its last {task.activation}: {SOFTENED_TWICE}"
        raise ModelError(f"{source}: expected logits; {why}, so these are probabilities", hint=hint)
