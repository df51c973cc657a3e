"""A hint in `distill.hints` of the schema: a layer of the teacher, one of the student, and how they are compared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from kdistill.config.section import Positive, Section
from kdistill.core.hints import AUTO, HINT_LOSSES, LETTER_P, LETTERS, NONE, NORMALIZE, PROJECTIONS, term_of

if TYPE_CHECKING:
    Loss: TypeAlias = str
    Projection: TypeAlias = str
    Normalize: TypeAlias = str
else:  # the declarations decide
    Loss, Projection, Normalize = Literal[tuple(HINT_LOSSES)], Literal[PROJECTIONS], Literal[NORMALIZE]

Layer = Annotated[StrictStr, Field(min_length=1)]
KEYS = ("projection", "normalize")  # which only some kinds of hints read


class Hint(Section):
    """A term of the loss that compares the outputs of a layer of the student with those of a layer of the teacher."""

    teacher: Layer = Field(description="The name of a layer of the teacher.")
    student: Layer = Field(description="The name of a layer of the student.")
    loss: Loss = Field("mse", description="How their outputs are compared: see below.")
    projection: Projection = Field(
        AUTO,
        description="mse, cosine: the projection of the student's outputs to the teacher's width, which is trained "
        "along and is in no file: dense for vectors, conv1x1 for maps; auto: none where the widths are equal.",
    )
    normalize: Normalize = Field(
        "relative", description="mse: divide by the mean square of the teacher's outputs, or do not."
    )
    weight: Positive = Field(0.1, description="Its weight in the loss, to which it is added.")

    @field_validator("projection")
    @classmethod
    def _projects(cls, projection: str, others: ValidationInfo) -> str:
        loss = HINT_LOSSES.get(others.data.get("loss", ""))
        if loss and not loss.projects and projection not in (AUTO, NONE):
            raise ValueError(f"{loss.name} compares outputs of any widths, and projects none; remove this key")
        return projection

    @field_validator("normalize")
    @classmethod
    def _normalizes(cls, normalize: str, others: ValidationInfo) -> str:
        loss = HINT_LOSSES.get(others.data.get("loss", ""))
        if loss and not loss.normalizes:
            readers = " or ".join(each.name for each in HINT_LOSSES.values() if each.normalizes)
            raise ValueError(f"only loss {readers} reads it; loss is {loss.name}")
        return normalize

    @model_serializer(mode="wrap")
    def _what_is_read(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        loss = HINT_LOSSES[self.loss]
        unread = {key for key, read in zip(KEYS, (loss.projects, loss.normalizes), strict=True) if not read}
        return {key: value for key, value in handler(self).items() if key not in unread}

    def term(self) -> str:
        """Return the hint as a term of a formula."""
        return term_of(self.loss, self.teacher, self.student, self.projection, self.normalize, self.weight)


def _check_different(hints: tuple[Hint, ...]) -> tuple[Hint, ...]:
    """Return hints; raise ValueError where two of them compare the same layers in the same way."""
    seen = set[tuple[str, str, str]]()
    for number, hint in enumerate(hints):
        same = (hint.teacher, hint.student, hint.loss)
        if same in seen:
            raise ValueError(
                f"hint {number + 1} compares the same layers in the same way as another one: teacher {hint.teacher}, "
                f"student {hint.student}, {hint.loss}; give one the weight of both"
            )
        seen.add(same)
    return hints


Hints: TypeAlias = Annotated[tuple[Hint, ...], AfterValidator(_check_different)]


def formula_of(hints: Sequence[Hint]) -> tuple[str, str]:
    """Return the terms of hints, to be added to a formula, and what their letters stand for; empty without hints."""
    if not hints:
        return "", ""
    terms = "".join(f" + {hint.term()}" for hint in hints)
    return terms, f"{LETTERS}{f'; {LETTER_P}' if 'P(' in terms else ''}"
