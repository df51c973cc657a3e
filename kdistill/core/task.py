"""The two tasks, and all that differs between them in NumPy: what a label is, and what logits say about it.

`single`: each example has one class; labels are (n,) class numbers, and probabilities the softmax of logits.
`multi`: each example has any number of classes (multi-label); labels are (n, classes) of 0 and 1, and the probability
of each class the sigmoid of its logit, whatever the others are.

Everything else asks a `Task` (`data.labels` in a config, `Splits.task`, `of_labels`). The losses of both are in
`training.losses`, their measures in `evaluation.measures`. Logits are converted to float64.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
CERTAIN = np.float32(1e4)  # a logit whose probability is 1, and whose negative gives 0, in float32
NO_LABEL = -1  # in place of the label, or of each of its classes, of an unlabelled example
THRESHOLD = 0.5  # the probability from which on a multi-label model says that an example has a class


class Task(ABC):
    """What a label is, and what logits (n, classes) say about it; see `Single` and `Multi`."""

    name: ClassVar[str]  # of `data.labels`
    activation: ClassVar[str]  # from logits to probabilities, by its name in Keras
    # In formulas: the probabilities that logits give, the cross-entropy of labels, and over what both are summed.
    distribution: ClassVar[str]
    cross_entropy: ClassVar[str]
    summed: ClassVar[str]

    @abstractmethod
    def log_probabilities(self, logits: Floats) -> Floats:
        """Return the logarithm of each outcome's probability, where those of the last axis sum to 1."""

    @abstractmethod
    def probabilities(self, logits: Floats) -> Floats:
        """Return the probability (..., classes) of each class."""

    @abstractmethod
    def mean_logits(self, logits: Floats, shares: Sequence[float] = ()) -> Floats:
        """Return logits (n, classes) of the mean of several models' probabilities, from (n, models, classes).

        `shares` are the weights of the models in the mean, which sum to 1; without any, all weigh the same.
        """

    @abstractmethod
    def decided(self, logits: Floats) -> NDArray[Any]:
        """Return what a model decides, in the form of labels."""

    @abstractmethod
    def confidence(self, logits: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Flags]:
        """Return the probability of each decision, and whether it is right; flat."""

    @abstractmethod
    def examples(self, labels: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
        """Return the number (classes,) of examples that have each class."""

    @abstractmethod
    def has(self, labels: NDArray[np.integer], number: int) -> Flags:
        """Return (n,) whether each example has the class of this number."""

    @abstractmethod
    def are_probabilities(self, outputs: Floats) -> bool:
        """Whether outputs (n, classes) look like probabilities rather than logits."""

    @abstractmethod
    def margins(self, reference: Floats, found: Floats) -> Floats:
        """Return how far (n,) other decisions lie apart in the logits of a reference; 0 where decisions are the same.

        Probabilities may be given for logits only if they are those of a softmax.
        """

    @abstractmethod
    def centred(self, logits: Floats) -> Floats:
        """Return logits without what has no influence on probabilities."""

    def same(self, some: Floats, others: Floats) -> Flags:
        """Return (n,) whether two models' decisions on an example are the same."""
        return self._equal(self.decided(some), self.decided(others))

    def correct(self, logits: Floats, labels: NDArray[np.integer]) -> Flags:
        """Return (n,) whether the decision on an example is right: of multi-label ones, that on every class."""
        return self._equal(self.decided(logits), labels)

    def kl(self, of: Floats, to: Floats) -> Floats:
        """Return KL(of || to) (n,) in nats, at T = 1, of logits; summed over the classes of a multi-label example."""
        first, second = self.log_probabilities(of), self.log_probabilities(to)
        return (np.exp(first) * (first - second)).reshape(len(of), -1).sum(axis=-1)

    def nll_of_equal(self, classes: int) -> float:
        """Return the NLL of a model for which all outcomes are equally probable."""
        outcomes = self.log_probabilities(np.zeros((1, classes)))
        return float(-outcomes[..., 0].sum())

    @abstractmethod
    def certain(self, logits: Floats) -> NDArray[np.float32]:
        """Return logits (n, classes) with the same decisions, and probabilities of 0 and 1."""

    @staticmethod
    def _equal(some: NDArray[Any], others: NDArray[Any]) -> Flags:
        return np.asarray((some == others).reshape(len(some), -1).all(axis=-1))


class Single(Task):
    """Each example has one class: the largest logit decides, of equal ones the first."""

    name = "single"
    activation = "softmax"
    distribution = "softmax({})"
    cross_entropy = "CE"
    summed = ""

    def log_probabilities(self, logits: Floats) -> Floats:
        """Return the log-softmax (..., classes)."""
        from scipy.special import log_softmax

        return np.asarray(log_softmax(logits.astype(np.float64), axis=-1))

    def probabilities(self, logits: Floats) -> Floats:
        """Return the softmax (..., classes)."""
        from scipy.special import softmax

        return np.asarray(softmax(logits.astype(np.float64), axis=-1))

    def mean_logits(self, logits: Floats, shares: Sequence[float] = ()) -> Floats:
        """Return the logarithm (n, classes) of the mean probabilities."""
        from scipy.special import logsumexp

        log_p = self.log_probabilities(logits)
        if shares:
            return np.asarray(logsumexp(log_p + np.log(shares)[:, None], axis=1))
        return np.asarray(logsumexp(log_p, axis=1) - np.log(logits.shape[1]))

    def decided(self, logits: Floats) -> NDArray[Any]:
        """Return the class (n,) of the largest logit."""
        return logits.argmax(axis=-1)

    def certain(self, logits: Floats) -> NDArray[np.float32]:
        """Return `CERTAIN` for the class of the largest logit, and 0 for the others."""
        return CERTAIN * np.eye(logits.shape[-1], dtype=np.float32)[self.decided(logits)]

    def confidence(self, logits: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Flags]:
        """Return the largest probability (n,), and whether its class is the label."""
        log_p = self.log_probabilities(logits)
        return np.exp(log_p.max(axis=-1)), log_p.argmax(axis=-1) == labels

    def examples(self, labels: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
        """Return the number (classes,) of examples of each class."""
        return np.bincount(labels, minlength=classes)

    def has(self, labels: NDArray[np.integer], number: int) -> Flags:
        """Return (n,) whether the class of each example is this one."""
        return np.asarray(labels == number)

    def are_probabilities(self, outputs: Floats) -> bool:
        """Whether no output is negative, and those of each example sum to 1."""
        return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1.0, atol=1e-3))

    def margins(self, reference: Floats, found: Floats) -> Floats:
        """Return the reference's largest logit less that of the class that was found."""
        every = np.arange(len(reference))
        exact = reference.astype(np.float64)
        return exact[every, self.decided(reference)] - exact[every, self.decided(found)]

    def centred(self, logits: Floats) -> Floats:
        """Return logits less their mean, which the softmax ignores."""
        return logits.astype(np.float64) - logits.mean(axis=-1, keepdims=True, dtype=np.float64)


class Multi(Task):
    """Each example has any number of classes: those whose logit is at least 0, a probability of 0.5."""

    name = "multi"
    activation = "sigmoid"
    distribution = "Bernoulli(sigmoid({}))"
    cross_entropy = "BCE"
    summed = ", KL and BCE summed over the classes"

    def log_probabilities(self, logits: Floats) -> Floats:
        """Return log p and log (1 - p) of each class, (..., classes, 2)."""
        from scipy.special import log_expit

        exact = logits.astype(np.float64)
        return np.stack([log_expit(exact), log_expit(-exact)], axis=-1)

    def probabilities(self, logits: Floats) -> Floats:
        """Return the sigmoid (..., classes)."""
        from scipy.special import expit

        return np.asarray(expit(logits.astype(np.float64)))

    def mean_logits(self, logits: Floats, shares: Sequence[float] = ()) -> Floats:
        """Return log p - log (1 - p) (n, classes) of the mean probabilities."""
        from scipy.special import logsumexp

        each = np.log(shares)[:, None, None] if shares else 0.0
        outcomes = logsumexp(self.log_probabilities(logits) + each, axis=1)
        return np.asarray(outcomes[..., 0] - outcomes[..., 1])

    def decided(self, logits: Floats) -> NDArray[Any]:
        """Return (n, classes) whether an example has a class."""
        return (logits >= 0).astype(np.int32)

    def certain(self, logits: Floats) -> NDArray[np.float32]:
        """Return `CERTAIN` for the classes that an example has, and less than 0 by as much for the others."""
        return np.where(logits >= 0, CERTAIN, -CERTAIN)

    def confidence(self, logits: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Flags]:
        """Return the probability (n * classes,) of each decision, and whether it is right."""
        return self.probabilities(np.abs(logits)).reshape(-1), (self.decided(logits) == labels).reshape(-1)

    def examples(self, labels: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
        """Return the number (classes,) of examples that have each class."""
        return labels.sum(axis=0, dtype=np.int64)

    def has(self, labels: NDArray[np.integer], number: int) -> Flags:
        """Return (n,) whether this class is among those of each example."""
        return np.asarray(labels[:, number] == 1)

    def are_probabilities(self, outputs: Floats) -> bool:
        """Whether all outputs lie from 0 to 1: then each class would be decided, and the same for every example."""
        return bool((outputs >= 0).all() and (outputs <= 1).all())

    def margins(self, reference: Floats, found: Floats) -> Floats:
        """Return the reference's largest distance from 0 among the logits of classes that are decided otherwise."""
        other = self.decided(reference) != self.decided(found)
        return np.where(other, np.abs(reference.astype(np.float64)), 0.0).max(axis=-1)

    def centred(self, logits: Floats) -> Floats:
        """Return logits as they are: each has its own probability."""
        return logits.astype(np.float64)


SINGLE, MULTI = Single(), Multi()
TASKS: dict[str, Task] = {task.name: task for task in (SINGLE, MULTI)}


def are_labelled(labels: NDArray[np.integer]) -> Flags:
    """Return (n,) which of labels (n,) or (n, classes) are there: see `NO_LABEL`."""
    return np.asarray((labels if labels.ndim == 1 else labels[:, 0]) != NO_LABEL)


def of_labels(labels: NDArray[np.integer]) -> Task:
    """Return the task of labels (n,) or (n, classes)."""
    return MULTI if labels.ndim == 2 else SINGLE
