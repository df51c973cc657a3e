"""The weight of each class in the hard term of the loss, for imbalanced data."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.core.formatting import closest, first_few
from kdistill.datasets.split import Split

NAMED_AT_MOST = 20


def class_weights(
    chosen: Literal["balanced"] | Mapping[str, float], train: Split, classes: tuple[str, ...]
) -> NDArray[np.float64]:
    """Return the weight of each class (classes,); their mean over the examples of train is 1.

    Args:
        chosen: `balanced` for n / (k * count), where count is that of the class among the n examples of train, and k
            the number of classes with any, as in scikit-learn's `compute_class_weight`; or weights by class name, 1 for
            a class that is not named, which are divided by their mean over train. So learning rate and alpha keep
            their meaning.
        train: the examples whose labels are learnt. A class without examples in it has the weight 1 where `balanced`.
        classes: names of the classes.

    Raises:
        ConfigError: a name is not that of a class.
    """
    count = np.bincount(train.all_labels, minlength=len(classes))
    if chosen == "balanced":
        return np.where(count > 0, len(train) / (np.count_nonzero(count) * np.maximum(count, 1)), 1.0)
    if unknown := [name for name in chosen if name not in classes]:
        meant = closest(unknown[0], classes)
        raise ConfigError(
            f"data.class_weights: {unknown[0]} is not a class; expected names among "
            f"{first_few(list(classes), NAMED_AT_MOST)}" + (f"; did you mean '{meant}'?" if meant else "")
        )
    weights = np.array([float(chosen.get(name, 1.0)) for name in classes])
    return weights / (weights @ count / len(train))
