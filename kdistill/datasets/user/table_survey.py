"""What the columns of a table hold: numbers or categories, missing values, the numbers of the rows."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets.cells import MARKS, is_missing, is_written_otherwise
from kdistill.datasets.csv_file import DATA_HINT, SHOWN, CsvFile, Row
from kdistill.datasets.table_columns import MISSING_HINT, Column, category, missing_values
from kdistill.datasets.user import labels

MOST_CATEGORIES = 100
FEW_ROWS = 10  # in fewer, numbers from 1 on may be anything, and names may be different by chance
ROWS_AT_ONCE = 4096
NEARLY_ALL = 0.9  # of the rows; text of which as many are different values says nothing of other rows
MANY = 0.5
ID = re.compile(r"(?i:(.*[\W_])?(id|ids|index|idx|key|nr))|.*[a-z]I[dD]")  # names of columns that number the rows
NAMED_PROBLEMS = 10


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
        counting: all values so far, while each is another whole number; None if one is not.
    """

    name: str
    cell: int
    numbers: int = 0
    total: float = 0.0
    missing: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    first_text: tuple[int, str] | None = None
    counting: list[NDArray[np.float64]] | None = field(default_factory=list)

    def add_numbers(self, values: NDArray[np.float64]) -> None:
        """Add the numbers (rows,) of a block."""
        self.numbers += len(values)
        self.total += float(values.sum())
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
        if numbers and (values := table.exact_numbers(numbers, [self.cell])) is not None:
            self.add_numbers(values[:, 0])

    @cached_property
    def whole(self) -> NDArray[np.float64] | None:
        """The values in the order of the rows, if each of them is another whole number; None if not, or too few."""
        if not self.counting or self.numbers < FEW_ROWS:
            return None
        values = np.concatenate(self.counting)
        return values if (np.diff(np.sort(values)) > 0).all() else None

    @property
    def counts_rows(self) -> bool:
        """Whether the values are the numbers of the rows, from 0 or 1, in any order."""
        return self.whole is not None and self.whole.min() in (0, 1) and self._is_counted

    @property
    def may_be_ids(self) -> bool:
        """Whether the values are different whole numbers that are counted or sorted, or the name is one of ids."""
        if self.whole is None:
            return False
        steps = np.diff(self.whole)
        return self._is_counted or bool((steps > 0).all() or (steps < 0).all()) or bool(ID.fullmatch(self.name))

    @property
    def _is_counted(self) -> bool:
        return self.whole is not None and bool(np.ptp(self.whole) == len(self.whole) - 1)


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
    values = table.exact_numbers(block, [column.cell for column in columns])
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
    _check(found, rows, table)
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


def _check(found: Sequence[Found], rows: int, table: CsvFile) -> None:
    """Raise one DataError for all columns that are neither numbers nor a few categories."""
    problems = {column.name: text for column in found if (text := _problem(column, rows, table))}
    if not problems:
        return
    mixed = [column for column in found if column.name in problems and column.numbers]
    if len(problems) == len(mixed) == 1:
        raise _mixed(mixed[0], rows, table)
    (first, text), names = next(iter(problems.items())), list(problems)
    marks = sorted({mark for column in found if column.name in problems and (mark := _mark_in(column, table))})
    hint = f"Leave {'it' if len(names) == 1 else 'them'} out with data.drop: [{first_few(names, 2 * NAMED_PROBLEMS)}]."
    if marks:
        hint = f"If {' or '.join(map(repr, marks))} separates thousands, set data.thousands. {hint}"
    if len(names) == 1:
        raise DataError(f"{table.place}: column {first!r} {text}", hint=hint)
    each = first_few([f"{name} ({of})" for name, of in problems.items()], NAMED_PROBLEMS)
    raise DataError(
        f"{table.place}: {len(names):,} columns are neither numbers nor a few categories: {each}", hint=hint
    )


def _problem(found: Found, rows: int, table: CsvFile) -> str | None:
    """Return why a column cannot be used, as the end of a sentence; None if it can be."""
    different, count = len(found.categories), sum(found.categories.values())
    if not found.numbers and not different:
        return "has no value"
    if found.numbers and found.first_text:
        line, text = found.first_text
        return f"has numbers and text, such as {text[:SHOWN]!r} in line {line}"
    if different and all(map(is_written_otherwise, found.categories)):
        decimal = table.format.decimal
        return f"has numbers in another form, such as {next(iter(found.categories))!r}; the decimal mark is {decimal!r}"
    if different > MOST_CATEGORIES:
        return f"has text with more than {MOST_CATEGORIES} different values: expected numbers or categories"
    if different == rows >= FEW_ROWS:
        return f"has another text in each of the {rows:,} rows: expected numbers or categories"
    if count >= FEW_ROWS and different >= NEARLY_ALL * count:
        return f"has {different} different texts in {count:,} rows: expected numbers or categories"
    return None


def _mark_in(found: Found, table: CsvFile) -> str | None:
    """Return the mark that may separate the thousands of a column with numbers that cannot be read."""
    texts = [found.first_text[1]] if found.numbers and found.first_text else list(found.categories)
    return next((mark for mark in MARKS if texts and all(table.is_number_with(text, mark) for text in texts)), None)


def _mixed(found: Found, rows: int, table: CsvFile) -> DataError:
    line, text = found.first_text or (0, "")
    others = rows - found.numbers - found.missing
    mark = _mark_in(found, table)
    thousands = f"If {mark!r} separates thousands, set data.thousands: {mark!r}. " if mark else ""
    return table.not_a_number(
        line,
        found.cell,
        text,
        f"{thousands}Of this column, {found.numbers:,} cells are numbers and {others:,} are not. Mend these, or leave "
        f"it out with data.drop: [{found.name}]. A column of text alone is read as categories.",
    )


def warnings(found: Sequence[Found], kept: Collection[str], place: str) -> list[str]:
    """Return a sentence on the columns that are features, and look like ids or like text of single rows.

    Args:
        found: what the columns hold that are features.
        kept: names of the columns that the user wants as they are.
        place: the table.
    """
    others = [column for column in found if column.name not in kept]
    ids = {column.name: column.name for column in others if column.may_be_ids}
    rare = {
        column.name: f"{column.name} ({len(column.categories)} values in {count:,} rows)"
        for column in others
        if (count := sum(column.categories.values())) >= FEW_ROWS and len(column.categories) > MANY * count
    }
    return _warning(ids, "another whole number in each row, as ids and row numbers have", place) + _warning(
        rare, "text that is seldom twice the same, as dates and names have", place
    )


def _warning(names: Mapping[str, str], what: str, place: str) -> list[str]:
    if not names:
        return []
    has, read, it = (
        ("has", "is read as a feature", "it") if len(names) == 1 else ("have", "are read as features", "them")
    )
    return [
        f"{place}: {first_few(list(names.values()))} {has} {what}, and {read}: a model may learn {it} by heart. "
        f"data.drop: [{first_few(list(names))}] leaves {it} out; the same in data.keep reads {it} without this warning."
    ]
