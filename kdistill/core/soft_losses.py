"""What is declared of each soft loss: its keys and their defaults, its formula in words, what it needs, its source.

All that depends on a soft loss reads it here: the keys of the config's section `distill` and which of them a loss
reads, formulas, refusals, the table in the reference. Its function, from logits to a number, is in `training.losses`,
under the same name.

The defaults are those of the authors' code. Where authors minimise c * hard + w * soft, alpha is w / (c + w) here, and
their loss is c + w times that of `training.losses`: see `factor`. Adam, AdamW and RMSprop are indifferent to a constant
factor, plain gradient descent is not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kdistill.core.task import Task

WARMUP = "warmup"  # a key of this name: epochs over which the soft term rises in proportion to its full weight
THREE_CLASSES = 3


@dataclass(frozen=True)
class Key:
    """A number that one loss alone reads.

    Attributes:
        name: of the argument of the loss's function; the config key has the loss's name before it.
        default: the authors'.
        text: its description.
        least: 0, or None for any number above 0.
    """

    name: str
    default: float
    text: str
    least: float | None = 0


@dataclass(frozen=True)
class Need:
    """The fewest classes, or examples in a batch, for which a loss says anything.

    Attributes:
        least: how many.
        of: `classes`, or `examples` of a batch.
        why: what it is with fewer, as the end of a sentence.
        part: the key that weighs the part of the loss which needs them: at 0 there is no need; empty: the whole loss.
    """

    least: int
    of: Literal["classes", "examples"]
    why: str
    part: str = ""


@dataclass(frozen=True)
class SoftLoss:
    """The declaration of a soft loss.

    Attributes:
        name: in `distill.soft_loss`.
        text: what it compares.
        source: where it is from.
        soft: the term in a formula, with fields for `formula_of`.
        where: what its letters stand for, likewise; empty if nothing is left to say.
        keys: its own numbers.
        temperature: the authors' T; None for a loss that divides no logits by T.
        weights: of the authors' hard and soft term.
        needs_labels: whether the soft term depends on the label, so that examples without one cannot have it.
        multi_label: whether there is a form of it for multi-label data.
        needs: of classes and of examples.
    """

    name: str
    text: str
    source: str
    soft: str
    where: str = ""
    keys: tuple[Key, ...] = ()
    temperature: float | None = 4.0
    weights: tuple[float, float] = (0.1, 0.9)
    needs_labels: bool = False
    multi_label: bool = False
    needs: tuple[Need, ...] = ()

    @property
    def alpha(self) -> float:
        """The authors' weight of the soft term, as a share."""
        return self.weights[1] / self.factor

    @property
    def factor(self) -> float:
        """By what the loss with `alpha` is multiplied in the authors' code."""
        return sum(self.weights)

    @property
    def divides(self) -> bool:
        """Whether logits are divided by a temperature, so that T, the teacher's T and the factor T^2 have an effect."""
        return self.temperature is not None

    def key(self, name: str) -> str:
        """Return the config key of one of its own numbers."""
        return f"{self.name}_{name}"


_LOSSES = (
    SoftLoss(
        "kl",
        "KL divergence of the softened outputs",
        "Hinton, Vinyals and Dean (2015), arXiv:1503.02531",
        "{scale}KL({P} || {Q})",
        multi_label=True,
    ),
    SoftLoss(
        "mse",
        "mean squared difference of the logits, in which T cancels",
        "Ba and Caruana (2014), arXiv:1312.6184; Kim et al. (2021), arXiv:2105.08919",
        "{scale}MSE({t}, {s})",
        multi_label=True,
    ),
    SoftLoss(
        "dkd",
        "KL of the label against all other classes, and KL among these, each with a weight",
        "Zhao et al. (2022), arXiv:2203.08679, as in mdistiller",
        "{warmup}{scale}({target:g} * KL_label({P} || {Q}) + {other:g} * KL_others({P} || {Q}))",
        "KL_label: the label against all other classes, KL_others: among these",
        keys=(
            Key("target", 1.0, "weight of the label against all other classes (the paper's alpha)"),
            Key("other", 8.0, "weight of the other classes among themselves (the paper's beta)"),
            Key(WARMUP, 20, "epochs over which the soft term rises to its full weight: min(epoch / this, 1); 0: none"),
        ),
        weights=(1.0, 1.0),
        needs_labels=True,
        needs=(Need(THREE_CLASSES, "classes", "with one other class, dkd is dkd_target times kl"),),
    ),
    SoftLoss(
        "nkd",
        "cross-entropy of the label times the teacher's probability of it, and cross-entropy among the other classes",
        "Yang et al. (2023), arXiv:2303.13005, as in cls_KD",
        "(P[label] * CE(labels, {q}) + {gamma:g} * {scale}CE_others({P}, {Q}))",
        "P = {p}, CE_others: among all classes but the label",
        keys=(Key("gamma", 1.5, "weight of the other classes among themselves"),),
        temperature=1.0,
        weights=(1.0, 1.0),
        needs_labels=True,
        needs=(Need(THREE_CLASSES, "classes", "a single other class has no distribution", "gamma"),),
    ),
    SoftLoss(
        "dist",
        "correlation of the softened outputs over the classes, and over the batch",
        "Huang et al. (2022), arXiv:2205.10536, as in DIST_KD",
        "{scale}({rows:g} * (1 - r_rows) + {columns:g} * (1 - r_columns))",
        "r: the mean correlation of {P} and {Q}, of rows over the classes, of columns over the batch",
        keys=(
            Key("rows", 1.0, "weight of the correlation over the classes of each example (the paper's beta)"),
            Key("columns", 1.0, "weight of the correlation over the batch for each class (the paper's gamma)"),
        ),
        weights=(1.0, 2.0),
        needs=(
            Need(THREE_CLASSES, "classes", "the correlation of two numbers is 1 or -1, whatever they are", "rows"),
            Need(3, "examples", "the correlation over a batch of two is 1 or -1, over one undefined", "columns"),
        ),
    ),
    SoftLoss(
        "wttm",
        "KL divergence from a power of the teacher's outputs, weighted by how unsure it is; the student's T is 1",
        "Zheng and Yang (2024), arXiv:2402.11148, as in TTM",
        "u * KL(P^{gamma:g}/u || {q})",
        "P = {p}, u = sum of P^{gamma:g} over the classes",
        keys=(Key("gamma", 0.1, "power of the teacher's probabilities: 1 / gamma is its temperature", least=None),),
        temperature=None,
        weights=(1.0, 45.0),
    ),
    SoftLoss(
        "wsld",
        "cross-entropy of the softened outputs, with less weight where the student knows the label better",
        "Zhou et al. (2021), arXiv:2102.00650",
        "{scale}u * CE({P}, {Q})",
        "u = 1 - exp(-CE(label, {q}) / CE(label, {p})), a constant for gradients",
        temperature=2.0,
        weights=(1.0, 2.5),
        needs_labels=True,
    ),
)
# By `distill.soft_loss` in the config.
DECLARED: dict[str, SoftLoss] = {loss.name: loss for loss in _LOSSES}


@dataclass(frozen=True)
class Standardized:
    """The declaration of `distill.standardize`; as a loss by itself, of kl between standardised logits."""

    source: str = "Sun et al. (2024), arXiv:2403.01427, as in logit-standardization-KD"
    where: str = "z: logits less their mean over the classes, divided by their standard deviation"
    temperature: float = 2.0
    weights: tuple[float, float] = (0.1, 9.0)
    need: Need = Need(THREE_CLASSES, "classes", "two standardised logits are .707 and -.707, whatever they were")

    @staticmethod
    def highest(classes: int, temperature: float) -> float:
        """Return the highest probability that the softmax of standardised logits / T can have.

        A standardised logit is at most (classes - 1) / sqrt(classes), all others being equal.
        """
        top = (classes - 1) / math.sqrt(classes)
        rest = -1 / math.sqrt(classes)
        return 1 / (1 + (classes - 1) * math.exp((rest - top) / temperature))


STANDARDIZED = Standardized()


def declared(name: str, standardize: bool = False) -> SoftLoss:
    """Return the declaration of a loss; of standardised logits with what these need, and kl with their defaults."""
    from dataclasses import replace

    loss = DECLARED[name]
    if not standardize:
        return loss
    own = {"temperature": STANDARDIZED.temperature, "weights": STANDARDIZED.weights} if name == "kl" else {}
    where = "; ".join(filter(None, [loss.where, STANDARDIZED.where]))
    return replace(loss, where=where, multi_label=False, needs=(STANDARDIZED.need, *loss.needs), **own)  # type: ignore[arg-type]


def formula_of(
    loss: SoftLoss,
    numbers: Mapping[str, Any],
    task: Task,
    teachers: int = 1,
    standardize: bool = False,
    shares: Sequence[float] = (),
) -> tuple[str, str]:
    """Return the soft term with its numbers, and what its letters stand for.

    Args:
        loss: of `declared`.
        numbers: the loss's own, by `Key.name`; temperature, teacher_temperature and t_squared if it divides logits.
        task: of the labels.
        teachers: how many teachers there are.
        standardize: whether logits are standardised first.
        shares: the weights of several teachers in their mean, if they differ.
    """
    t, teacher_t = (f"{numbers.get(key) or 1:g}" for key in ("temperature", "teacher_temperature"))
    teacher, student = ("z(teacher)", "z(student)") if standardize else ("teacher", "student")
    kind = f"mean ({', '.join(f'{share:.3g}' for share in shares)})" if shares else "mean"
    mean, of = f"{kind} of {teachers} " if teachers > 1 else "", task.distribution.format
    fields = {
        "scale": f"{t}^2 * " if numbers.get("t_squared") else "",
        WARMUP: f"min(epoch/{numbers[WARMUP]:g}, 1) * " if numbers.get(WARMUP) else "",
        "P": f"{mean}{of(f'{teacher}/{teacher_t}')}",
        "Q": of(f"{student}/{t}"),
        "p": f"{mean}{of(teacher)}",
        "q": of(student),
        "t": f"{mean}{teacher}/{teacher_t}",
        "s": f"{student}/{t}",
    }
    fields = {**numbers, **fields}
    return loss.soft.format(**fields), loss.where.format(**fields)
