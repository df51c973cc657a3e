"""The key `initial_weights`: what training starts from."""

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from kdistill.core.formatting import closest, setting

STARTS, KERAS = ["fresh", "file", "baseline"], ".keras"
FROM_BASELINE = ", from the weights of the baseline"  # at the end of a formula


def _read(value: Any) -> str:
    if value in STARTS or (isinstance(value, str) and value.endswith(KERAS)):
        return str(value)
    meant = closest(value, STARTS) if isinstance(value, str) else None
    suggestion = f"; did you mean '{meant}'?" if meant else ""
    raise ValueError(f"expected {', '.join(STARTS)} or a `{KERAS}` file; received {setting(value)}{suggestion}")


def of_teacher(start: str) -> str:
    """Return the start of a teacher; raise ValueError for one that only a student has."""
    if start not in ("fresh", "file"):
        raise ValueError(f"expected one of fresh, file; received {setting(start)}: only a student has a warm start")
    return start


InitialWeights = Annotated[
    str,
    BeforeValidator(_read),
    WithJsonSchema({"anyOf": [{"enum": STARTS}, {"type": "string", "pattern": r"\.keras$"}]}),
]
