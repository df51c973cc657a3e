"""The section `distill` of the schema.

Each soft loss is declared in `core.soft_losses`; the keys that one loss alone reads are made of these declarations.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, StrictBool, StrictInt, StrictStr, create_model, model_validator

from kdistill.config import transfer_set
from kdistill.config.hints import Hints
from kdistill.config.section import KeyWithoutEffectError, MisplacedError, Number, Positive, Section, Share
from kdistill.config.transfer_set import Classes
from kdistill.core.soft_losses import DECLARED, STANDARDIZED, WARMUP, Key, Need, SoftLoss, declared
from kdistill.core.task import SINGLE, Task

# The teachers' weights are those in the identity of the teachers, which has each one's share in their mean.
NOT_OF_A_RUN = {"teachers", "teacher_weights"}
# Keys of later versions that all losses read, with their defaults.
LATER = {
    "standardize": False,
    "examples": "all",
    "hints": (),
    "teacher_weights": (),
    "classes": None,
    "adjust_prior": False,
}
# The keys that only losses with a temperature read.
OF_TEMPERATURE = ("temperature", "teacher_temperature", "scale_by_t_squared")
# Each key of `distill` that only some soft losses read, with these.
DISTILL_READERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(OF_TEMPERATURE, tuple(loss.name for loss in DECLARED.values() if loss.divides)),
    **{loss.key(key.name): (loss.name,) for loss in DECLARED.values() for key in loss.keys},
}


def _chosen(values: dict[str, Any]) -> SoftLoss:
    """Return the declaration of the loss among validated values; of an invalid one, that of the default."""
    return declared(values.get("soft_loss", "kl"), values.get("standardize", False))


def _default_of(key: Literal["temperature", "alpha"]) -> dict[str, Any]:
    """Return the arguments of a field whose default is that of the soft loss; documents show that of kl."""
    return {
        "default_factory": lambda values: getattr(_chosen(values), key) or getattr(DECLARED["kl"], key),
        "json_schema_extra": {"default": getattr(DECLARED["kl"], key)},
    }


def _defaults(key: str) -> str:
    """Return a sentence with the losses whose default differs from that of kl."""
    of = {loss.name: getattr(loss, key) for loss in DECLARED.values()}
    others = [f"{name} {value:.3g}" for name, value in of.items() if value not in (of["kl"], None)]
    return f"The default of some losses is another: {', '.join(others)}."


class _Distill(Section):
    """The distillation loss: alpha * soft + (1 - alpha) * hard."""

    soft_loss: Literal["kl"] = Field(  # all names: see below
        "kl", description=f"Soft term: {'. '.join(f'{loss.name}: {loss.text}' for loss in DECLARED.values())}."
    )
    standardize: StrictBool = Field(
        False,
        description="Standardise the logits of teacher and student over the classes before the soft term: less their "
        "mean, divided by their standard deviation. The defaults of kl are then "
        f"T {STANDARDIZED.temperature:g} and alpha {declared('kl', True).alpha:.3g}.",
    )
    temperature: Positive = Field(
        **_default_of("temperature"),
        description="Temperature T, by which logits are divided. `T` is accepted as the key too. "
        f"{_defaults('temperature')}",
    )
    teacher_temperature: Positive | None = Field(None, description="T of the teacher's logits; null: `temperature`.")
    alpha: Share = Field(
        **_default_of("alpha"),
        description="Weight of the soft term; the hard term has 1 - alpha. Some tools define it the other way round. "
        f"{_defaults('alpha')}",
    )
    scale_by_t_squared: StrictBool = Field(
        True, description="Multiply the soft term by T^2, so that the size of its gradients does not depend on T."
    )
    teachers: tuple[StrictStr, ...] = Field(
        (),
        description="Teacher files in place of a teacher trained here: `.keras` models, or `.npz` files of logits. Of "
        "several teachers, the softened outputs are averaged.",
    )
    hints: Hints = Field(
        (),
        description="Terms of the loss that compare layers of the student with layers of the teacher, one model: a "
        "list of {teacher: LAYER, student: LAYER} with the keys below. `kdistill config check` names the layers.",
    )
    examples: Literal["all", "labelled", "unlabelled"] = Field(
        "all",
        description="Which training examples the student is distilled on, where some have no label; these have the "
        "soft term alone.",
    )
    teacher_weights: tuple[Positive, ...] = Field(
        (),
        description="Weights of the files in `teachers` in that mean, in their order; only their ratios count. "
        "[]: all weigh the same.",
    )
    classes: Classes | None = Field(
        None,
        description="Which classes the examples have that the student is distilled on: {only: [7, 8]} or "
        "{without: [3]}; null: all. Arms that learn from labels alone have them all.",
    )
    adjust_prior: StrictBool = Field(
        False,
        description="Move the biases of the trained student so that its mean probability of each class on the "
        "validation inputs, whose labels are not read, is the share of that class in the labels of train.",
    )

    @property
    def loss(self) -> SoftLoss:
        """The declaration of the soft loss."""
        return declared(self.soft_loss, self.standardize)

    def own_numbers(self) -> dict[str, float]:
        """Return the numbers that this soft loss alone reads, by the names of its function's arguments."""
        return {key.name: getattr(self, self.loss.key(key.name)) for key in self.loss.keys}

    def left_out(self, classes: Sequence[str]) -> list[str]:
        """Return those of some classes that the examples do not have on which the student is distilled."""
        return self.classes.left_out(classes) if self.classes else []

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights of the teachers, which sum to 1, in the order of `teachers`; empty where all weigh the same."""
        given = self.teacher_weights
        return tuple(weight / sum(given) for weight in given) if len(set(given)) > 1 else ()

    @property
    def target_temperature(self) -> float:
        """T at which the teacher's probabilities are the target."""
        if not self.loss.divides:
            return 1 / self.own_numbers()["gamma"]
        return self.teacher_temperature or self.temperature

    @property
    def compares_probabilities(self) -> bool:
        """Whether the target is the teacher's probabilities at that T: not where logits are matched or standardised."""
        return self.soft_loss != "mse" and not self.standardize

    def unmet_need(self, classes: int, batch_size: int) -> Need | None:
        """Return what the soft loss needs, or a part of it that has a weight, and does not have; None for nothing."""
        received = {"classes": classes, "examples": batch_size}
        for need in self.loss.needs:
            if received[need.of] < need.least and (not need.part or self.own_numbers()[need.part]):
                return need
        return None

    def problem(self, classes: int, batch_size: int) -> str | None:
        """Return why the soft loss says nothing about so few classes or examples in a batch; None if it does."""
        if (need := self.unmet_need(classes, batch_size)) is None:
            return None
        counted = f"{need.least} classes" if need.of == "classes" else f"{need.least} examples in a batch"
        received = classes if need.of == "classes" else batch_size
        key = "standardize" if need is STANDARDIZED.need else "soft_loss"
        return f"distill.{key}: expected at least {counted}; received {received}: {need.why}"

    def read_keys(self) -> list[str]:
        """Return the keys that the soft loss reads; keys of later versions only if they are set."""
        return [
            key
            for key in type(self).model_fields
            if self.soft_loss in DISTILL_READERS.get(key, (self.soft_loss,))
            and (key not in LATER or getattr(self, key) != LATER[key])
        ]

    @model_validator(mode="after")
    def _what_the_soft_loss_reads(self) -> Self:
        for key in DISTILL_READERS:
            readers = DISTILL_READERS[key]
            if key in self.model_fields_set and self.soft_loss not in readers:
                raise KeyWithoutEffectError("distill", key, "soft_loss", readers, [self.soft_loss])
        if self.teacher_weights and len(self.teacher_weights) != len(self.teachers):
            expected = f"expected a weight for each file in distill.teachers, which are {len(self.teachers)}"
            raise MisplacedError("distill", "teacher_weights", f"{expected}; received {len(self.teacher_weights)}")
        return self

    def specification(self) -> dict[str, Any]:
        """Return the keys that a distilled run depends on; later keys only if changed, so that runs keep identity."""
        later = {"soft_loss"} if self.soft_loss == "kl" else set[str]()
        return self.model_dump(mode="json", include=set(self.read_keys()) - NOT_OF_A_RUN - later)

    def authors(self) -> str:
        """Return by which factor the authors' loss differs, or also by its alpha; empty if it does not."""
        if self.loss.factor == 1:
            return ""
        hard, soft = self.loss.weights
        form = f"{hard:g} * hard + {soft:g} * soft"
        if abs(self.alpha - self.loss.alpha) < 5e-4:  # as it is, or rounded to three digits
            return f"the authors' loss, {form}, is {self.loss.factor:g} times this"
        return f"the authors' loss is {form}: alpha {self.loss.alpha:.3g}, times {self.loss.factor:g}"


def _own_fields() -> Iterator[tuple[str, Any]]:
    for loss in DECLARED.values():
        for key in loss.keys:
            field = Field(key.default, description=f"{loss.name}: {key.text}.")
            yield loss.key(key.name), (_kind(key), field)


def _kind(key: Key) -> Any:
    if key.name == WARMUP:
        return Annotated[StrictInt, Field(ge=0)]
    return Positive if key.least is None else Annotated[Number, Field(ge=key.least)]


if TYPE_CHECKING:
    SoftLossName: TypeAlias = str
    Distill: TypeAlias = _Distill
else:  # the declarations decide
    SoftLossName = Literal[tuple(DECLARED)]
    _name = (SoftLossName, _Distill.model_fields["soft_loss"])
    _fields = {"soft_loss": _name, **dict(_own_fields())}
    Distill = create_model("Distill", __base__=_Distill, __module__=__name__, __doc__=_Distill.__doc__, **_fields)


def check_task(distill: Distill, task: Task) -> None:
    """Raise MisplacedError where there is no form of the loss, or of a key, for the labels."""
    transfer_set.check(distill, task)
    if task is SINGLE or distill.loss.multi_label:
        return
    can = " and ".join(loss.name for loss in DECLARED.values() if loss.multi_label)
    why = "is for examples of one class each; data.labels is multi"
    if distill.standardize:
        raise MisplacedError("distill", "standardize", f"{why}, where each logit stands for itself")
    raise MisplacedError("distill", "soft_loss", f"{distill.soft_loss} {why}, for which there are {can}")


def check_examples(distill: Distill, some_unlabelled: bool) -> None:
    """Raise MisplacedError where there are no such examples, or a loss or key needs labels that they do not have."""
    transfer_set.check_labelled(distill, some_unlabelled)
    if not some_unlabelled and distill.examples != "all":
        why = "every example has a label: set data.unlabelled or data.labelled"
        raise MisplacedError("distill", "examples", f"{why}; received {distill.examples}")
    if some_unlabelled and distill.examples != "labelled" and distill.loss.needs_labels:
        can = ", ".join(loss.name for loss in DECLARED.values() if not loss.needs_labels)
        why = "needs the label of every example, and some have none"
        text = f"{distill.soft_loss} {why}: set distill.examples: labelled, or take one of {can}"
        raise MisplacedError("distill", "soft_loss", text)
