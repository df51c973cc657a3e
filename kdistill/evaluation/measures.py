"""The measures by which models are scored, compared and selected: `MEASURES` is the only list of them.

A measure of that list is in the scores of every model whose classes it suits, in tables and on the report page, and may
be chosen by name as `training.monitor` (with `val_` before it) and `verdict.measure`. Each is a function of logits
(n, classes) and integer labels (n,), or of multi-label data (n, classes), in float64, without TensorFlow. Configs are
checked against the names, so nothing slow is imported here before a measure is computed.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kdistill.core.formatting import points
from kdistill.core.task import SINGLE, Task, of_labels
from kdistill.evaluation import multi_label

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]

IMBALANCED = 2.0
"""How many times the examples of the rarest class the commonest has, above which classes count as imbalanced."""
VALIDATION = "val_"  # before the name of a measure, in `training.monitor` and in the record of an epoch


@dataclass(frozen=True)
class Measure:
    """A measure of a model on a split.

    Attributes:
        name: in configs and documents.
        title: the heading of its column.
        words: its name in a sentence.
        about: what it is, as a sentence.
        of: the function of logits and labels; it is called where `problem` finds none. None: for multi-label data only.
        of_multi: that of multi-label data; None: not for them.
        higher_is_better: whether a model with a higher value is better.
        unit: of differences: `points` of a share (100 points are 1), or `nats`.
        classes: the least and the most classes that it suits; None: no limit.
        needs_every_class: whether it is undefined on a split without examples of some class.
        shown: which tables have its column: `always`, or those of `imbalanced` classes.
        of_class_accuracy: returns it from the accuracy of each class, where that is all that it depends on.
    """

    name: str
    title: str
    words: str
    about: str
    of: Callable[[Floats, Labels], float] | None
    of_multi: Callable[[Floats, Labels], float] | None = None
    higher_is_better: bool = True
    unit: Literal["points", "nats"] = "points"
    classes: tuple[int, int | None] = (2, None)
    needs_every_class: bool = False
    shown: Literal["always", "imbalanced"] = "always"
    of_class_accuracy: Callable[[Sequence[float | None]], float] | None = None

    def function(self, task: Task) -> Callable[[Floats, Labels], float] | None:
        """Return the function of logits and labels of a task; None if it is undefined for it."""
        return self.of if task is SINGLE else self.of_multi

    def suits(self, classes: int, task: Task = SINGLE) -> bool:
        """Whether it is defined for this number of classes, and the task of the labels."""
        least, most = self.classes
        return self.function(task) is not None and least <= classes and (most is None or classes <= most)

    def problem(self, labels: Labels, classes: Sequence[str], split: str) -> str | None:
        """Return why it is undefined for the labels of a split with classes of these names, or else None."""
        task = of_labels(labels)
        if self.function(task) is None:
            wanted, found = ("multi", "single") if task is SINGLE else ("single", "multi")
            return f"{self.words} is for data.labels: {wanted}; the data have {found}"
        if not self.suits(len(classes), task):
            least, most = self.classes
            wanted = f"{least} classes" if least == most else f"{least} or more classes"
            return f"{self.words} is for {wanted}; the data have {len(classes)}"
        absent = np.flatnonzero(task.examples(labels, len(classes)) == 0)
        if self.needs_every_class and len(absent):
            return f"{self.words} needs examples of every class; the {split} split has none of {classes[absent[0]]}"
        return None

    def compute(self, logits: Floats, labels: Labels) -> float | None:
        """Return its value for logits (n, classes) and labels (n,); None where it is undefined."""
        names = list(map(str, range(logits.shape[-1])))
        of = self.function(of_labels(labels))
        return None if of is None or self.problem(labels, names, "") else float(of(logits.astype(np.float64), labels))

    def gain(self, difference: float) -> float:
        """Return a difference with the sign by which a positive one is an improvement."""
        return difference if self.higher_is_better else -difference

    def signed(self, difference: float) -> str:
        """Return a difference with its sign, as a number of `unit`."""
        return points(difference) if self.unit == "points" else f"{difference:+.4f}"

    def rounded(self, difference: float) -> str:
        """Return a difference with its sign, all with equally many decimals."""
        return f"{100 * difference:+.2f}" if self.unit == "points" else f"{difference:+.4f}"


def accuracy(logits: Floats, labels: Labels) -> float:
    """Return the share of examples whose largest logit is the label's; of equal logits the first counts."""
    return float((logits.argmax(axis=-1) == labels).mean())


def nll(logits: Floats, labels: Labels) -> float:
    """Return the mean negative log-likelihood of the labels at T = 1, in nats."""
    from scipy.special import log_softmax

    return float(-log_softmax(logits, axis=-1)[np.arange(len(labels)), labels].mean())


def class_accuracy(logits: Floats, labels: Labels) -> list[float | None]:
    """Return for each class the share of its examples that are classified correctly; None for one without any."""
    classes = logits.shape[-1]
    of_class = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[logits.argmax(axis=-1) == labels], minlength=classes)
    return [float(hits / total) if total else None for hits, total in zip(right, of_class, strict=True)]


def mean_of_classes(accuracies: Sequence[float | None]) -> float:
    """Return the mean over the classes that have examples."""
    return float(np.mean([each for each in accuracies if each is not None]))


def balanced_accuracy(logits: Floats, labels: Labels) -> float:
    """Return the mean, over the classes that have examples, of the accuracy within the class.

    It is scikit-learn's `balanced_accuracy_score`.
    """
    return mean_of_classes(class_accuracy(logits, labels))


def macro_f1(logits: Floats, labels: Labels) -> float:
    """Return the mean of F1 = 2 TP / (2 TP + FP + FN), over the classes that have examples.

    It is scikit-learn's `f1_score(average="macro")`, where every class has examples. A class without any is left out
    even if it is predicted (scikit-learn would count 0 for it, unless `labels` names the others): the mean is over the
    same classes for every model, and such predictions lower the F1 of the true classes.
    """
    classes, predicted = logits.shape[-1], logits.argmax(axis=-1)
    actual, guessed = np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes)
    right = np.bincount(labels[predicted == labels], minlength=classes)
    present = actual > 0
    return float(np.mean(2 * right[present] / (actual + guessed)[present]))


def auc(logits: Floats, labels: Labels) -> float:
    """Return the area under the ROC curve, of two classes; equal scores count one half.

    It is the share of pairs, one example of each class, that the difference of the logits puts in the right order
    (the Mann-Whitney U statistic; scikit-learn's `roc_auc_score`), whichever class is called positive.
    """
    from scipy.stats import rankdata

    ranks = rankdata(logits[:, 1] - logits[:, 0])
    positive = int(np.sum(labels == 1))
    above = ranks[labels == 1].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(labels) - positive)))


def top5_accuracy(logits: Floats, labels: Labels) -> float:
    """Return the share of examples whose label is among the five largest logits.

    Of equal logits the first come first, as in `accuracy` (in scikit-learn's `top_k_accuracy_score` the last).
    """
    own = np.take_along_axis(logits, labels[:, None].astype(np.int64), axis=-1)
    before = np.arange(logits.shape[-1]) < labels[:, None]
    ahead = ((logits > own) | ((logits == own) & before)).sum(axis=-1)
    return float((ahead < 5).mean())


_EVERY = (
    Measure(
        "accuracy",
        "accuracy",
        "accuracy",
        "Accuracy is the share of examples classified correctly, of multi-label ones in every class.",
        accuracy,
        multi_label.subset_accuracy,
    ),
    Measure(
        "nll",
        "NLL",
        "NLL",
        "NLL is the mean negative log-likelihood of the labels: lower is better.",
        nll,
        multi_label.nll,
        higher_is_better=False,
        unit="nats",
    ),
    Measure(
        "balanced_accuracy",
        "bal. acc.",
        "balanced accuracy",
        "Balanced accuracy is the mean over the classes of the accuracy within each.",
        balanced_accuracy,
        shown="imbalanced",
        of_class_accuracy=mean_of_classes,
    ),
    Measure(
        "macro_f1",
        "macro F1",
        "macro F1",
        "Macro F1 is the mean over the classes of the harmonic mean of precision and recall.",
        macro_f1,
        multi_label.macro_f1,
        shown="imbalanced",
    ),
    Measure(
        "auc",
        "AUC",
        "AUC",
        "AUC is the area under the ROC curve: 0.5 is chance.",
        auc,
        classes=(2, 2),
        needs_every_class=True,
    ),
    Measure(
        "top5_accuracy",
        "top-5",
        "top-5 accuracy",
        "Top-5 accuracy is the share of examples whose class is among the five most probable.",
        top5_accuracy,
        classes=(20, None),
    ),
    Measure(
        "mean_average_precision",
        "mAP",
        "mean average precision",
        "Mean average precision (mAP) is the mean over the classes of the area under precision against recall.",
        None,
        multi_label.mean_average_precision,
    ),
)
MEASURES = {measure.name: measure for measure in _EVERY}
ACCURACY, NLL = MEASURES["accuracy"], MEASURES["nll"]
OF_MULTI_LABEL = "mean_average_precision"  # the measure of the verdict on multi-label data, unless it is another


def main_of(known: Container[str], prefix: str = "") -> Measure:
    """Return the measure that a single number of a model is: mean average precision if it is known, or else accuracy.

    `known` has the names of the measures, each after a prefix, such as `VALIDATION`. Only scores of multi-label data
    have mean average precision; there, accuracy is the share of examples with every class right, which says little.
    """
    return MEASURES[OF_MULTI_LABEL] if f"{prefix}{OF_MULTI_LABEL}" in known else ACCURACY


def monitored(monitor: str) -> Measure | None:
    """Return the measure of a `training.monitor`; None for `val_loss`, the objective itself: lower is better."""
    return MEASURES.get(monitor.removeprefix(VALIDATION))


def title_of(monitor: str) -> str:
    """Return a `training.monitor` as the heading of a column: `val NLL`; of the objective itself `val loss`."""
    measure = monitored(monitor)
    return f"val {measure.title if measure else 'loss'}"


def monitors() -> tuple[str, ...]:
    """Return the choices of `training.monitor`, the default first."""
    first = ("val_nll", "val_accuracy", "val_loss")
    return tuple(dict.fromkeys([*first, *(f"{VALIDATION}{name}" for name in MEASURES)]))


def recorded(scores: Mapping[str, Any], measure: Measure) -> float | None:
    """Return a measure of a model from its recorded scores; None if it is undefined or was not recorded.

    Early versions recorded only accuracy, NLL and ECE, with the accuracy of each class.
    """
    if measure.name not in scores and measure.of_class_accuracy and (known := scores.get("class_accuracy")):
        return measure.of_class_accuracy(known)
    return scores.get(measure.name)


def lacks(scores: Mapping[str, Any], measure: Measure) -> bool:
    """Whether recorded scores are of an early version that did not record a measure which suits the classes."""
    return measure.name not in scores and recorded(scores, measure) is None


def imbalance(examples: Sequence[int]) -> float:
    """Return how many times the examples of the rarest class the commonest has, of the classes that have any."""
    present = [count for count in examples if count]
    return max(present) / min(present)


def columns(known: Mapping[str, Any], imbalance: float | None, chosen: Measure = ACCURACY) -> list[Measure]:
    """Return the measures that a table of scores shows besides NLL, the most important first.

    Args:
        known: has the names of the measures that are known.
        imbalance: of the classes; None if unknown: scores of early versions do not have it.
        chosen: the measure of the verdict; it comes first.
    """
    if_imbalanced = (imbalance is not None and imbalance > IMBALANCED) or OF_MULTI_LABEL in known
    others = [
        each for each in _EVERY if each.name in known and each is not NLL and (each.shown == "always" or if_imbalanced)
    ]
    return list(dict.fromkeys([chosen, *others]))
