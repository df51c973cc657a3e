"""What the columns of a table hold: numbers or categories, missing values, the numbers of the rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets.csv_file import DATA_HINT, CsvFile, Row
from kdistill.datasets.table_columns import MISSING_HINT, Column, category, is_missing, missing_values
from kdistill.datasets.user import labels

MOST_CATEGORIES = 100
FEW_ROWS = 10  # in fewer, numbers from 1 on may be anything, and names may be different by chance
ROWS_AT_ONCE = 4096
DROP = "Leave it out with data.drop"


@dataclass
class Found:
    """What a column holds.

    Attributes:
        name: name of the column.
        cell: position in a row.
        numbers: how many cells are numbers.
        total: their sum.
        missing: how many cells are empty, or stand for a missing value.
        categories: values that are no numbers, with how many cells have them; one more than the most at most.
        first_text: line and text of the first such cell, if any.
        counting: all values so far, while each is another whole number; None if it does not count rows.
    """

    name: str
    cell: int
    numbers: int = 0
    total: float = 0.0
    missing: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    first_text: tuple[int, str] | None = None
    counting: list[NDArray[np.float32]] | None = field(default_factory=list)

    def add_numbers(self, values: NDArray[np.float32]) -> None:
        """Add the numbers (rows,) of a block."""
        self.numbers += len(values)
        self.total += float(values.sum(dtype=np.float64))
        if self.counting is not None:
            is_whole = bool((values == np.floor(values)).all()) and len(np.unique(values)) == len(values)
            self.counting = [*self.counting, values.copy()] if is_whole else None  # a view would keep the whole block

    def add_cells(self, block: Sequence[Row], table: CsvFile) -> None:
        """Add the cells of a block that are not all numbers."""
        self.counting, numbers = None, []
        for line, row in block:
            text = row[self.cell]
            if is_missing(text):
                self.missing += 1
            elif table.is_number(text):
                numbers.append((line, row))
            else:
                self.first_text = self.first_text or (line, text)
                name = category(text)
                if name in self.categories or len(self.categories) <= MOST_CATEGORIES:
                    self.categories[name] += 1
        if numbers and (values := table.numbers(numbers, [self.cell])) is not None:
            self.add_numbers(values[:, 0])

    @property
    def counts_rows(self) -> bool:
        """Whether the values are the numbers of the rows, from 0 or 1, in any order."""
        if not self.counting or self.numbers < FEW_ROWS:
            return False
        values = np.sort(np.concatenate(self.counting))
        return values[0] in (0, 1) and bool((values - values[0] == np.arange(len(values))).all())


def survey(table: CsvFile, cells: Sequence[int]) -> tuple[list[Found], int]:
    """Return what some columns of a table hold, and the number of its rows; the table is read to its end."""
    found, rows = [Found(table.columns[cell], cell) for cell in cells], 0
    for block in table.row_blocks(ROWS_AT_ONCE):
        rows += len(block)
        for column in found:
            if column.first_text:
                column.add_cells(block, table)
        _add_numbers([column for column in found if not column.first_text], block, table)
    return found, rows


def _add_numbers(columns: Sequence[Found], block: Sequence[Row], table: CsvFile) -> None:
    """Add the cells of a block: of all columns at once, or else by halves down to the columns that are not numbers."""
    values = table.numbers(block, [column.cell for column in columns])
    if values is not None:
        for column, of_column in zip(columns, values.T, strict=True):
            column.add_numbers(of_column)
    elif len(columns) == 1:
        columns[0].add_cells(block, table)
    else:
        half = len(columns) // 2
        _add_numbers(columns[:half], block, table)
        _add_numbers(columns[half:], block, table)


def columns_of(found: Sequence[Found], rows: int, table: CsvFile, fills: bool) -> list[Column]:
    """Return the columns that are read, each as numbers or as categories.

    Args:
        found: what the columns of train hold.
        rows: number of the rows of train.
        table: train, for messages.
        fills: whether missing values get the mean.

    Raises:
        DataError: a column has both numbers and text, no value, too many categories, or missing values though they are
            not filled.
    """
    for column in found:
        _check(column, rows, table)
    if table.format.header is None and (named := [one.name for one in found if one.categories[category(one.name)]]):
        raise DataError(
            f"{table.place}: the first line looks like data: {first_few(named)} also in the rows below", hint=DATA_HINT
        )
    missing = {column.name: column.missing for column in found if column.missing}
    if missing and not fills:
        raise missing_values(table.place, missing, rows, MISSING_HINT)
    return [_column(one, fills) for one in found]


def _column(found: Found, fills: bool) -> Column:
    if not found.categories:
        return Column(found.name, None, (found.total / found.numbers,) if fills else None)
    names = labels.in_order(found.categories)
    count = sum(found.categories.values())
    means = tuple(found.categories[name] / count for name in names)
    return Column(found.name, tuple(names), means if fills else None)


def _check(found: Found, rows: int, table: CsvFile) -> None:
    """Raise DataError if a column is neither numbers nor a few categories."""
    place = f"{table.place}: column {found.name!r}"
    if not found.numbers and not found.categories:
        raise DataError(f"{place} has no value", hint=f"{DROP}: [{found.name}].")
    if found.numbers and found.first_text:
        line, text = found.first_text
        others = rows - found.numbers - found.missing
        raise table.not_a_number(
            line,
            found.cell,
            text,
            f"Of this column, {found.numbers:,} cells are numbers and {others:,} are not. Mend these, or leave it "
            f"out with data.drop: [{found.name}]. A column of text alone is read as categories.",
        )
    if len(found.categories) > MOST_CATEGORIES:
        raise DataError(
            f"{place} has text with more than {MOST_CATEGORIES} different values: expected numbers or categories",
            hint=f"{DROP}: [{found.name}].",
        )
    if len(found.categories) == rows >= FEW_ROWS:
        raise DataError(
            f"{place} has another text in each of the {rows:,} rows: expected numbers or categories",
            hint=f"{DROP}: [{found.name}].",
        )
