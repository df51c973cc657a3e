"""The section `distill.classes`: the classes that the transfer set has.

Source: Hinton et al. (2015), section 3: a student that never saw a 3, and one that saw 7s and 8s alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from kdistill.config.section import MisplacedError, Section, Text
from kdistill.core.task import MULTI, Task

if TYPE_CHECKING:
    from kdistill.config.distill_schema import Distill


def _named(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of classes in one order, so that the same classes are the same config; refuse none, and one twice.

    Raises:
        ValueError: with the reason.
    """
    if not classes:
        raise ValueError("expected at least one class; received []")
    if twice := [name for name in classes if classes.count(name) > 1]:
        raise ValueError(f"{twice[0]} is named twice")
    return tuple(sorted(classes))


Names: TypeAlias = Annotated[tuple[Text, ...], AfterValidator(_named)]


class Classes(Section):
    """The classes of the transfer set: one of the keys is set."""

    only: Names = Field((), description="The classes that it has, by name, such as [7, 8].")
    without: Names = Field((), description="The classes that it does not have, such as [3].")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.only) == bool(self.without):
            received = "both" if self.only else "neither"
            raise MisplacedError("distill", "classes", f"expected one of only and without; received {received}")
        return self

    @model_serializer(mode="wrap")
    def _what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: names for key, names in handler(self).items() if names}

    @property
    def key(self) -> str:
        """The key that is set."""
        return "only" if self.only else "without"

    @property
    def named(self) -> tuple[str, ...]:
        """The classes that the key names."""
        return self.only or self.without

    def left_out(self, classes: Sequence[str]) -> list[str]:
        """Return those of some classes that the transfer set does not have, in their order."""
        return [name for name in classes if (name in self.named) == bool(self.without)]


def check(distill: "Distill", task: Task) -> None:
    """Raise MisplacedError where the labels are those of several classes an example."""
    for key, is_set in (("classes", bool(distill.classes)), ("adjust_prior", distill.adjust_prior)):
        if is_set and task is MULTI:
            raise MisplacedError("distill", key, "is for examples of one class each; data.labels is multi")


def check_labelled(distill: "Distill", some_unlabelled: bool) -> None:
    """Raise MisplacedError where classes are to be left out of examples whose class is not known."""
    if distill.classes and some_unlabelled and distill.examples != "labelled":
        why = "some examples have no label, so that nobody knows their class: set distill.examples: labelled"
        raise MisplacedError("distill", "classes", why)
