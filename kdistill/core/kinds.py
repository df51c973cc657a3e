"""The kinds of examples: tables, tokens, sequences, images and volumes, with the meaning of their axes."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Kind = Literal["table", "tokens", "sequence", "image", "volume"]

# The axes of one example that are places; another axis after them has the channels, of a table the features.
PLACES: dict[Kind, int] = {"table": 0, "tokens": 1, "sequence": 1, "image": 2, "volume": 3}
# The shapes of an array of examples, in messages.
SHAPES: dict[Kind, str] = {
    "table": "(n, features)",
    "tokens": "(n, length)",
    "sequence": "(n, steps, features) or (n, steps)",
    "image": "(n, height, width) or (n, height, width, channels)",
    "volume": "(n, depth, height, width) or (n, depth, height, width, channels)",
}


class Example(NamedTuple):
    """What a model is built for.

    Attributes:
        shape: shape of one example.
        classes: number of classes.
        kind: kind of the examples.
    """

    shape: tuple[int, ...]
    classes: int
    kind: Kind


def plain(shape: Sequence[int]) -> Kind:
    """Return the kind that an example of `shape` has if nothing else is known of it."""
    return "table" if len(shape) == 1 else "image" if len(shape) <= 3 else "volume"


def has_channels(kind: Kind, shape: Sequence[int]) -> bool:
    """Whether the last axis of an example has channels or, of a table, features."""
    return len(shape) > PLACES[kind]


def fits(kind: Kind, shape: Sequence[int]) -> bool:
    """Whether an example of `shape` may be of a kind; only sequences, images and volumes may have channels."""
    most = 1 if kind in ("table", "tokens") else PLACES[kind] + 1
    return max(1, PLACES[kind]) <= len(shape) <= most


def marked(fingerprint: str, kind: Kind, vocabulary: int | None = None) -> str:
    """Return the fingerprint of data with its kind, on which scaling and layers depend.

    Tables and images have none, so that runs of versions without kinds keep their identity.
    """
    if kind in ("table", "image"):
        return fingerprint
    return " ".join([fingerprint, kind, *([str(vocabulary)] if vocabulary else [])])


def unmarked(fingerprint: str) -> tuple[str, str]:
    """Return the fingerprint of the arrays alone, and what `marked` has added; empty for tables and images."""
    arrays, _, mark = fingerprint.partition(" ")
    return arrays, mark
