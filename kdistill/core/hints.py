"""What is declared of each kind of hint: what it compares, its formula in words, its source, the keys that it reads.

A hint is a term of the distilled student's loss that compares outputs of one of its layers, its features, with those of
a layer of the teacher. The function of each kind is in `training.hints`, under the same name. Features are vectors
(values of an example) or maps (places in one or more dimensions, each with channels; the last axis).
"""

from dataclasses import dataclass
from typing import Literal

AUTO, NONE, DENSE, CONV = PROJECTIONS = ("auto", "none", "dense", "conv1x1")
NORMALIZE = ("relative", NONE)
# Letters in formulas; `P` stands for a projection, or for nothing where the widths are equal.
LETTERS = "s[k] and t[l]: outputs of the layer k of the student and l of the teacher"
LETTER_P = "P: a projection to the teacher's width, where the widths differ"


@dataclass(frozen=True)
class HintLoss:
    """The declaration of a kind of hint.

    Attributes:
        name: in `loss` of a hint.
        text: what it compares.
        source: where it is from.
        formula: with the fields `s` and `t`.
        of: the features that it is for.
        projects: whether the widths have to be equal, so that a projection may be needed.
        normalizes: whether `normalize` has an effect.
        least: the fewest examples in a batch of which it says anything.
    """

    name: str
    text: str
    source: str
    formula: str
    of: Literal["any", "maps", "vectors"] = "any"
    projects: bool = True
    normalizes: bool = False
    least: int = 1


_EVERY = (
    HintLoss(
        "mse",
        "mean squared difference of the features; with normalize: relative divided by the mean square of the teacher's",
        "Romero et al. (2015), FitNets, arXiv:1412.6550",
        "MSE({s}, {t})",
        normalizes=True,
    ),
    HintLoss(
        "cosine",
        "one minus the cosine of the features, of maps that of the channels at each place",
        "the mean squared difference of features of length 1, halved",
        "(1 - cos({s}, {t}))",
    ),
    HintLoss(
        "attention",
        "where the squares of a map are large: their means over the channels, as a vector of length 1",
        "Zagoruyko and Komodakis (2017), arXiv:1612.03928, as in mdistiller",
        "1000 * MSE(A({s}), A({t}))",
        of="maps",
        projects=False,
    ),
    HintLoss(
        "rkd",
        "distances between the examples of a batch, divided by their mean, and the angles of every three",
        "Park et al. (2019), arXiv:1904.05068, as in mdistiller",
        "(25 * huber(distances({s}), distances({t})) + 50 * huber(angles({s}), angles({t})))",
        of="vectors",
        projects=False,
        least=2,
    ),
)
HINT_LOSSES = {loss.name: loss for loss in _EVERY}


def term_of(loss: str, teacher: str, student: str, projection: str, normalize: str, weight: float) -> str:
    """Return a hint as a term of a formula, with its weight and the names of the layers."""
    declared = HINT_LOSSES[loss]
    s, t = f"s[{student}]", f"t[{teacher}]"
    projected = declared.projects and projection != NONE
    text = declared.formula.format(s=f"P({s})" if projected else s, t=t)
    relative = declared.normalizes and normalize != NONE
    return f"{weight:g} * {text}{f' / mean({t}^2)' if relative else ''}"
