"""Columns of a table as features: numbers as they are, categories as one-hot features, the mean of train if missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DataError
from kdistill.core.formatting import counted, first_few
from kdistill.datasets.cells import is_missing
from kdistill.datasets.csv_file import CsvFile, Row

TRUTH = ("false", "true")
MISSING_HINT = (
    "Set data.missing: mean to put the mean of train in their place, leave the columns out with data.drop, or remove "
    "the rows."
)


@dataclass(frozen=True)
class Column:
    """A column of a table, and the features that it becomes.

    Attributes:
        name: its name in the header.
        categories: its values in order, each of which is a feature, 1 where the cell has it; None for numbers.
        means: mean of each feature over train, which a missing value gets; None if none may be missing.
    """

    name: str
    categories: tuple[str, ...] | None = None
    means: tuple[float, ...] | None = None

    @property
    def features(self) -> list[str]:
        """Names of its features, such as `age`, or `sex=female` and `sex=male`."""
        return [self.name] if self.categories is None else [f"{self.name}={category}" for category in self.categories]

    @property
    def is_plain(self) -> bool:
        """Whether a cell is the feature."""
        return self.categories is None and self.means is None

    def document(self) -> dict[str, Any]:
        """Return the column as JSON."""
        return {
            "name": self.name,
            **({} if self.categories is None else {"categories": list(self.categories)}),
            **({} if self.means is None else {"means": list(self.means)}),
        }

    @classmethod
    def of(cls, document: Any) -> "Column":
        """Return the column of a document; ValueError if it is not one."""
        if not isinstance(document, Mapping) or not isinstance(name := document.get("name"), str):
            raise ValueError("expected a column with a name")
        categories, means = document.get("categories"), document.get("means")
        names = categories is None or (isinstance(categories, list) and all(isinstance(one, str) for one in categories))
        numbers = means is None or (isinstance(means, list) and all(type(one) in (int, float) for one in means))
        if (
            not names
            or not numbers
            or (means is not None and len(means) != (1 if categories is None else len(categories)))
        ):
            raise ValueError(f"column {name}: expected categories that are text, and a mean for each feature")
        of_train = None if means is None else tuple(map(float, means))
        return cls(name, None if categories is None else tuple(categories), of_train)


def category(cell: str) -> str:
    """Return the category in a cell: without spaces around it, and true and false in small letters."""
    text = cell.strip()
    return text.lower() if text.lower() in TRUTH else text


@dataclass
class Encoder:
    """Makes features of the rows of a table.

    Attributes:
        table: the table.
        columns: the columns to read, in the order of the features.
        cells: position of each of them in a row.
        hint: the hint of the error for a cell that is not a number.
        rows: how many rows were read.
        missing: number of missing values by column, of those that may have none.
        unknown: values by column that are no category, with their numbers; all features of such a value are 0.
    """

    table: CsvFile
    columns: Sequence[Column]
    cells: Sequence[int]
    hint: str | None
    rows: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    unknown: dict[str, Counter[str]] = field(default_factory=dict)
    _line: int = 0  # of the first missing value

    @property
    def width(self) -> int:
        """The number of features."""
        return sum(len(column.features) for column in self.columns)

    def encode(self, block: Sequence[Row]) -> NDArray[np.float32]:
        """Return the features (rows, features) of a block; those of missing values that may not be missing are NaN.

        Raises:
            DataError: a number is expected and the cell has something else; names line and column.
        """
        self.rows += len(block)
        pairs = list(zip(self.columns, self.cells, strict=True))
        numeric = [cell for column, cell in pairs if column.categories is None]
        found = self.table.numbers(block, numeric)  # of all columns at once, which is faster by far
        if found is not None and len(numeric) == len(pairs):
            return found
        known = {} if found is None else dict(zip(numeric, found.T, strict=True))
        parts = [known[cell][:, None] if cell in known else self._encode(block, column, cell) for column, cell in pairs]
        return np.concatenate(parts, axis=1)

    def _encode(self, block: Sequence[Row], column: Column, cell: int) -> NDArray[np.float32]:
        """Return the features of one column."""
        if column.categories is None and (numbers := self.table.numbers(block, [cell])) is not None:
            return numbers
        position = {name: index for index, name in enumerate(column.categories or ())}
        found = np.zeros((len(block), len(column.features)), np.float32)
        for row, (line, cells) in enumerate(block):
            text = cells[cell]
            if is_missing(text):
                found[row] = np.nan if column.means is None else column.means
                if column.means is None:
                    self.missing[column.name] += 1
                    self._line = self._line or line
            elif column.categories is None:
                number = self.table.numbers([(line, cells)], [cell])
                if number is None:
                    raise self.table.not_a_number(line, cell, text, self.hint)
                found[row] = number
            elif (index := position.get(category(text))) is not None:
                found[row, index] = 1
            else:
                self.unknown.setdefault(column.name, Counter())[category(text)] += 1
        return found

    def check_missing(self, hint: str) -> None:
        """Raise DataError if values are missing that may not be."""
        if self.missing:
            raise missing_values(self.table.place, self.missing, self.rows, hint, self._line)

    def warnings(self) -> list[str]:
        """Return a sentence on each column with values that are no category."""
        return [
            f"{self.table.place}: column {name!r} has {counted(sum(values.values()), 'value')} that train has not: "
            f"{first_few(list(values))}. All features of such a value are 0."
            for name, values in self.unknown.items()
        ]


def missing_values(place: str, missing: Mapping[str, int], rows: int, hint: str, line: int = 0) -> DataError:
    """Return the error for missing values, with their number by column."""
    columns = [f"{name} ({number:,} of {rows:,})" for name, number in missing.items()]
    first = f"; the first is in line {line}" if line else ""
    return DataError(f"{place}: values are missing: {first_few(columns, 20)}{first}", hint=hint)
