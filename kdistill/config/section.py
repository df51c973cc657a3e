"""The base class and the types of the schema's sections, and the errors of their validators."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr
from pydantic_core import PydanticKnownError


def exact_int(value: Any) -> Any:
    """Refuse true and 1.0, which pydantic's Literal takes for 1."""
    if type(value) is not int:
        raise PydanticKnownError("literal_error", {"expected": "a whole number"})
    return value


def whole_as_text(value: Any) -> Any:
    """Return a whole number as text, such as a name that is written without quotes; other values as they are."""
    return str(value) if type(value) is int else value


Text = Annotated[StrictStr, BeforeValidator(whole_as_text)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[StrictInt, Field(ge=1)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A section of a config: unknown keys are refused, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MisplacedError(ValueError):
    """Keys that do not go together; `location` is the path of the key to change."""

    def __init__(self, section: str, key: str, text: str) -> None:
        self.location = (section, key)
        super().__init__(text)


class KeyWithoutEffectError(MisplacedError):
    """A key that has no effect: the value chosen for another key does not read it."""

    def __init__(self, section: str, key: str, choice: str, readers: tuple[str, ...], chosen: list[str]) -> None:
        text = f"only {choice} {' or '.join(readers)} reads it; {choice} is {' and '.join(chosen)}"
        super().__init__(section, key, text)
