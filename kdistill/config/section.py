"""What every section of the schema is made of."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt
from pydantic_core import PydanticKnownError


def no_lookalike(value: Any) -> Any:
    """Refuse true and 1.0, which Python takes for 1."""
    if type(value) is not int:
        raise PydanticKnownError("literal_error", {"expected": "a whole number"})
    return value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[StrictInt, Field(ge=1)]
Share = Annotated[Number, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a config: no unknown keys, no changes after it has been read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MisplacedError(ValueError):
    """Keys do not go together; it carries where the one stands that has to change."""

    def __init__(self, section: str, key: str, text: str) -> None:
        self.location = (section, key)
        super().__init__(text)


class KeyWithoutEffectError(MisplacedError):
    """A key is set that nothing reads; it says who would read it."""

    def __init__(self, section: str, key: str, choice: str, readers: tuple[str, ...], chosen: list[str]) -> None:
        text = f"only {choice} {' or '.join(readers)} reads it; {choice} is {' and '.join(chosen)}"
        super().__init__(section, key, text)
