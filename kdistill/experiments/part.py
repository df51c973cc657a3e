"""`--part I/N`: the share of the runs that one of several commands, each on its own machine, makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Part `number` of `total`, counted from 1."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return every `total`-th item from the one at `number` on: all parts together have each item once."""
        return list(items[self.number - 1 :: self.total])
