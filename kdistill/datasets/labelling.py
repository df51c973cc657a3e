"""Labels set aside (`data.labelled`): a part of train keeps them, and the rest of it becomes unlabelled.

So one can measure what examples without labels are worth, where all labels are known. The label of an unlabelled
example is `task.NO_LABEL` in all arrays that students are trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.core.formatting import closest, first_few
from kdistill.core.listener import Listener
from kdistill.core.task import MULTI, NO_LABEL, of_labels
from kdistill.datasets.split import Split
from kdistill.datasets.splits import Splits
from kdistill.datasets.stratify import stratified

if TYPE_CHECKING:
    from kdistill.config import Data

KEY = "data.labelled"
NAMED_AT_MOST = 20


def labelled_as(splits: Splits, data: Data, listener: Listener | None = None) -> Splits:
    """Return splits in which as many examples of train keep their labels as a config says; without it, as they are.

    Validation and test keep all their labels.

    Raises:
        ConfigError: there are fewer examples, or a class would have no label.
    """
    if data.labelled is None:
        return splits
    rows = keep(splits.train, splits.classes, data.labelled, data.label_seed)
    labels = np.full_like(splits.train.labels, NO_LABEL)
    labels[rows] = splits.train.labels[rows]
    hidden = replace(splits, train=replace(splits.train, labels=labels), known=splits.train)
    if listener:
        listener.note(told(hidden, data.label_seed))
    return hidden


def counts_of_labels(splits: Splits) -> dict[str, int]:
    """Return how many training examples have a label and how many have none; nothing where all have one."""
    labelled = len(splits.labelled)
    return {"labelled": labelled, "unlabelled": splits.per_epoch - labelled} if splits.has_unlabelled else {}


def told(splits: Splits, seed: int) -> str:
    """Return in a sentence how many examples have labels."""
    all_of_train, left = len(splits.train), len(splits.labelled)
    return (
        f"Labels: {left:,} of the {all_of_train:,} training examples keep theirs (data.labelled, label_seed {seed}), "
        f"{all_of_train - left:,} are unlabelled; the validation split keeps all its {len(splits.validation):,}"
    )


def keep(train: Split, classes: tuple[str, ...], labelled: float | Mapping[str, int], seed: int) -> NDArray[np.int64]:
    """Return the rows, in ascending order, of the examples of `train` that keep their labels.

    Of each class the first of an order that the seed draws for it: with the same seed, a larger number of labels has
    those of a smaller one among them, as far as classes share them in the same way. Multi-label examples are drawn by
    their combinations of classes: see `stratify.strata`.

    Args:
        train: the training split.
        classes: names of the classes.
        labelled: a number of examples, a share in (0, 1) of them, or a number for each class.
        seed: of the choice.

    Raises:
        ConfigError: there are fewer examples, or a class would have no label.
    """
    counts = of_labels(train.labels).examples(train.all_labels, len(classes))
    if isinstance(labelled, Mapping):
        wanted = _of_each_class(labelled, counts, classes)
    else:
        total = _total(labelled, len(train), int(np.count_nonzero(counts)))
        if of_labels(train.labels) is MULTI:
            return _of_combinations(train, classes, total, seed)
        wanted = proportional(counts, total)
    labels = train.all_labels
    chosen = [
        np.random.default_rng([seed, number]).permutation(train.rows[labels == number])[:count]
        for number, count in enumerate(wanted.tolist())
    ]
    return np.sort(np.concatenate(chosen))


def _total(labelled: float, examples: int, classes: int) -> int:
    """Return how many examples keep their labels; refuse too many, or fewer than classes."""
    total = labelled if isinstance(labelled, int) else round(labelled * examples)
    received = f"received {labelled}" + ("" if isinstance(labelled, int) else f", which is {total}")
    if total >= examples:
        raise ConfigError(
            f"{KEY}: expected fewer labels than the {examples:,} examples of train; {received}",
            hint="To keep all labels, leave data.labelled out.",
        )
    if total < classes:
        raise ConfigError(f"{KEY}: expected at least one label for each of the {classes} classes; {received}")
    return total


def _of_each_class(
    labelled: Mapping[str, int], counts: NDArray[np.int64], classes: tuple[str, ...]
) -> NDArray[np.int64]:
    """Return the number (classes,) that is given for each class."""
    if unknown := [name for name in labelled if name not in classes]:
        meant = closest(unknown[0], classes)
        raise ConfigError(
            f"{KEY}: {unknown[0]} is not a class; expected names among {first_few(list(classes), NAMED_AT_MOST)}"
            + (f"; did you mean '{meant}'?" if meant else "")
        )
    present = dict(zip(classes, counts.tolist(), strict=True))
    if missing := [name for name, count in present.items() if count and name not in labelled]:
        raise ConfigError(f"{KEY}: expected a number for each class; there is none for {first_few(missing)}")
    for name, count in labelled.items():
        if count > present[name]:
            raise ConfigError(
                f"{KEY}: expected at most the {present[name]:,} of class {name} in train; received {count}"
            )
    if sum(labelled.values()) == counts.sum():
        raise ConfigError(f"{KEY}: these are all examples of train", hint="To keep all labels, leave it out.")
    return np.array([labelled.get(name, 0) for name in classes])


def proportional(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Return how many of `total` each class gets, in proportion to its examples, and at least one if it has any.

    What is left after rounding down goes to the largest remainders, of equal ones to the first.
    """
    exact = total * counts / counts.sum()
    shares = np.where(counts > 0, np.maximum(np.floor(exact).astype(np.int64), 1), 0)
    while (left := total - shares.sum()) != 0:
        due = exact - shares
        if left > 0:
            shares[np.where(shares < counts, due, -np.inf).argmax()] += 1
        else:
            shares[np.where(shares > 1, due, np.inf).argmin()] -= 1
    return shares


def _of_combinations(train: Split, classes: tuple[str, ...], total: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of multi-label examples that keep their labels."""
    _, rows = stratified(train.rows, train.labels, (total - 0.5) / len(train), seed)
    task = of_labels(train.labels)
    left, there = (task.examples(train.labels[of], len(classes)) for of in (rows, train.rows))
    if lost := [name for name, count, of_all in zip(classes, left, there, strict=True) if of_all and not count]:
        raise ConfigError(
            f"{KEY}: {total} labels leave no labelled example of {first_few(lost)}: expected one at least",
            hint="Take more labels, or another data.label_seed.",
        )
    return rows
