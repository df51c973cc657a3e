"""Wrong labels on purpose, for studies: a share of the labels of train and validation is replaced by other classes.

Symmetric noise: each other class is as likely. Test is never touched, and the right labels of validation stand beside
for scores alone: neither training nor early stopping sees them.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.datasets.split import Split
from kdistill.datasets.splits import Splits

if TYPE_CHECKING:
    from kdistill.config import Data

NOISE = 1  # after the seed of labels, in the seed of their noise
TRAIN, VALIDATION = 0, 1  # after it


def with_noise(splits: Splits, data: "Data") -> Splits:
    """Return splits with the wrong labels that a config asks for; without its key, as they are.

    Of the labels that `data.labelled` keeps that share is wrong, and of those that it sets aside. They depend on
    nothing but the data and `data.label_seed`. A validation split that is the test split stays right.

    Raises:
        ConfigError: the share is too small to replace a label.
    """
    share = data.label_noise
    if share is None:
        return splits
    right = splits.known or splits.train
    kept = splits.train.rows if splits.known is None else splits.labelled.rows
    _check(share, len(kept))
    rest = np.setdiff1d(right.rows, kept, assume_unique=True)
    seeds, classes = [[data.label_seed, NOISE, part] for part in (TRAIN, VALIDATION)], len(splits.classes)
    labels = noisy(right, [kept, rest], share, classes, seeds[TRAIN])
    validation = splits.validation
    if is_noisy := data.label_noise_in == "both" and not splits.validation_is_test:
        # Train and what is held out from it share one array, in which labels of both stand when it is exported.
        own = validation if splits.has_own_validation else replace(validation, labels=labels)
        noisy_labels = noisy(own, [own.rows], share, classes, seeds[VALIDATION])
        labels = labels if splits.has_own_validation else noisy_labels
        validation = replace(validation, labels=noisy_labels)
    train = labels
    if splits.known is not None:
        train = splits.train.labels.copy()
        train[kept] = labels[kept]
    changed = replace(
        splits,
        train=replace(splits.train, labels=train),
        known=splits.known and replace(splits.known, labels=labels),
        validation=validation,
        right_validation=splits.validation if is_noisy else None,
        noise={"share": share, "seed": data.label_seed, "validation": is_noisy},
    )
    return replace(changed, warnings=(*splits.warnings, _told(changed, splits, share)))


def _check(share: float, labels: int) -> None:
    """Raise ConfigError where a share of so many labels is none of them."""
    if not round(share * labels):
        raise ConfigError(
            f"data.label_noise: expected a share that replaces at least one of the {labels:,} labels of train; "
            f"received {share:g}, which replaces none",
            hint=f"Set at least {1 / labels:.2g}, or leave this key out.",
        )


def noisy(split: Split, groups: list[NDArray[np.int64]], share: float, classes: int, seed: list[int]) -> NDArray:
    """Return labels (n,) of all rows of a split's arrays, of which a share of each group of its rows is wrong.

    With the same seed, a larger share has the wrong labels of a smaller one among its own.

    Args:
        split: with labels in [0, classes).
        groups: rows of the split, which have no row in common.
        share: in (0, 1), of the labels of each group; to the nearest whole number.
        classes: their number, at least two.
        seed: of the choice, and of the other classes.
    """
    rng = np.random.default_rng(seed)
    order, steps = rng.permutation(split.rows), rng.integers(1, classes, len(split.labels), np.int32)
    labels = split.labels.copy()
    for group in groups:
        wrong = order[np.isin(order, group)][: round(share * len(group))]
        labels[wrong] = (labels[wrong] + steps[wrong]) % classes
    return labels


def _told(splits: Splits, right: Splits, share: float) -> str:
    """Return in a sentence how many labels are wrong."""
    wrong = int((splits.labelled.all_labels != right.labelled.all_labels).sum())
    parts = [f"{wrong:,} of the {len(right.labelled):,} labels of train"]
    ends = "the labels of validation and test are right."
    if splits.right_validation:
        wrong = int((splits.validation.all_labels != right.validation.all_labels).sum())
        parts.append(f"{wrong:,} of the {len(right.validation):,} of validation")
        ends = "those of test are right. Early stopping and validation scores see the wrong ones."
    elif splits.validation_is_test:
        ends = "those of test, which is the validation split, are right."
    return f"data.label_noise: {share:g} replaced {' and '.join(parts)} by other classes; {ends}"
