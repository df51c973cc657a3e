"""The transfer set: which training examples a model teaches, and which classes these have (`distill.classes`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ConfigError
from kdistill.core.formatting import closest, first_few
from kdistill.core.task import are_labelled
from kdistill.datasets.split import Split

if TYPE_CHECKING:
    from kdistill.config import Distill
    from kdistill.config.transfer_set import Classes
    from kdistill.datasets.splits import Splits

NAMED_AT_MOST = 20


@dataclass(frozen=True)
class OfClasses:
    """The labelled examples of some classes, by their numbers; one without a label is of no known class."""

    numbers: tuple[int, ...]


Which: TypeAlias = Literal["all", "labelled", "unlabelled"] | OfClasses


def positions(labels: NDArray[np.integer], which: Which) -> NDArray[np.int64]:
    """Return the positions (k,) of some examples among all, by their labels (n,), or (n, classes) if multi-label.

    A label that is set aside is `task.NO_LABEL` among these.
    """
    if which == "all":
        return np.arange(len(labels))
    if isinstance(which, OfClasses):
        return np.flatnonzero(np.isin(labels, which.numbers))
    return np.flatnonzero(are_labelled(labels) == (which == "labelled"))


def chosen(keys: "Distill", splits: "Splits") -> Which:
    """Return which examples the section `distill` names; raises what `of_classes` does."""
    return of_classes(keys.classes, splits) if keys.classes else keys.examples


def labelled_in(splits: "Splits", which: Which) -> Split:
    """Return the labelled examples of some classes; of any other choice all that are labelled, since it has all."""
    return splits.part(splits.positions(which)) if isinstance(which, OfClasses) else splits.labelled


def of_classes(keys: "Classes", splits: "Splits") -> OfClasses:
    """Return the labelled examples of the classes that a config names.

    Raises:
        ConfigError: a name is not that of a class, or these are no examples, or all.
    """
    classes, place = splits.classes, f"distill.classes.{keys.key}"
    if unknown := [name for name in keys.named if name not in classes]:
        meant = closest(unknown[0], classes)
        raise ConfigError(
            f"{place}: {unknown[0]} is not a class; expected names among {first_few(list(classes), NAMED_AT_MOST)}"
            + (f"; did you mean '{meant}'?" if meant else "")
        )
    left_out = set(keys.left_out(classes))
    found = OfClasses(tuple(number for number, name in enumerate(classes) if name not in left_out))
    labelled = splits.labelled.all_labels
    if not (kept := len(positions(labelled, found))):
        raise ConfigError(f"{place}: no labelled training example is left", hint="Leave fewer classes out.")
    if kept == len(labelled):
        hint = "To distil on all classes, leave distill.classes out."
        raise ConfigError(f"{place}: these are all {kept:,} labelled training examples", hint=hint)
    return found
