"""What a cell of a table holds: a number, with whatever marks it is written, or a value that is missing."""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from kdistill.core.errors import DataError

LARGEST = float(np.finfo(np.float32).max)
# What stands for a missing value, in capitals or not.
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "?"))
NO_NUMBER = "no number"  # as a text that Python does not take for one
# The marks between thousands, with the characters that each stands for: spaces may be fixed, apostrophes curly.
MARKS = {".": ".", ",": ",", " ": " \u00a0\u202f", "'": "'\u2019"}
THOUSANDS = {".": "points", ",": "commas", " ": "spaces", "'": "apostrophes"}
DECIMALS = {
    ",": re.compile(r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*"),
    ".": re.compile(r"\s*[-+]?\d*\.\d+([eE][-+]?\d+)?\s*"),
}


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value."""
    return cell.strip().lower() in MISSING


def is_number(text: str) -> bool:
    """Whether a cell is a number that is finite in float32; 1_000, which Python accepts, is not a number in a table."""
    try:
        return "_" not in text and abs(float(text)) <= LARGEST  # False for NaN
    except ValueError:
        return False


def plain(text: str, decimal: str | None, thousands: str | None) -> str:
    """Return a cell as Python writes numbers, or as what is no number if it has marks in other places."""
    if thousands and _grouped(thousands, decimal or ".").fullmatch(text):
        text = re.sub(f"[{MARKS[thousands]}]", "", text.strip())
    if decimal == ",":
        return text.replace(",", ".") if "." not in text else NO_NUMBER
    return text


def is_written_otherwise(text: str) -> bool:
    """Whether a cell is a number with a decimal comma or point, or with a mark between thousands."""
    return any(pattern.fullmatch(text) for pattern in DECIMALS.values()) or any(
        _grouped(mark, decimal).fullmatch(text) for decimal in DECIMALS for mark in MARKS if mark != decimal
    )


def decimal_of(cells: Sequence[str], place: str) -> str | None:
    """Return the decimal mark of the numbers in some cells of a table; None if none has any.

    Raises:
        DataError: commas may be decimal marks, or separate thousands.
    """
    with_comma, with_point = ([cell for cell in cells if DECIMALS[mark].fullmatch(cell)] for mark in ",.")
    both = {",": (with_point, "."), ".": (with_comma, ",")}
    # 1.234,5 and 1.234.567 have one meaning; 1.234 has two.
    certain = [
        mark
        for mark, (others, other) in both.items()
        if any(_tells_decimal(cell, mark, other) for cell in cells) and _all_grouped(others, other)
    ]
    if len(certain) == 1:
        return certain[0]
    if with_point and not (with_comma and _all_grouped(with_point, ".") and not _all_grouped(with_comma, ",")):
        return "."
    if not with_comma:
        return None
    if _all_grouped(with_comma, ","):
        raise DataError(
            f"{place}: the comma in {with_comma[0].strip()} may be a decimal mark, or separate thousands",
            hint="Set data.decimal: ',' if it is the decimal mark, or data.thousands: ',' if it separates thousands.",
        )
    return ","


def thousands_of(rows: Sequence[Sequence[str]], decimal: str) -> str | None:
    """Return the mark between thousands; None if no column tells.

    A column tells if all of it is numbers, and one of them can be read in one way only, such as 1.234,5 or 1.234.567.

    Args:
        rows: the first rows of a table, below the names of its columns.
        decimal: the decimal mark.
    """
    width = min(map(len, rows), default=0)
    columns = [[row[cell] for row in rows if not is_missing(row[cell])] for cell in range(width)]
    found = {mark for mark in MARKS if mark != decimal for column in columns if _tells(column, mark, decimal)}
    return found.pop() if len(found) == 1 else None


def _tells(column: Sequence[str], mark: str, decimal: str) -> bool:
    return any(_is_certain(cell, mark, decimal) for cell in column) and all(
        is_number(plain(cell, decimal, mark)) for cell in column
    )


def _tells_decimal(cell: str, decimal: str, other: str) -> bool:
    return _is_certain(cell, other, decimal) or (
        decimal in cell and any(_is_certain(cell, mark, decimal) for mark in MARKS if mark not in DECIMALS)
    )


def _is_certain(cell: str, mark: str, decimal: str) -> bool:
    """Whether a cell is a number with this mark between thousands and no other: it has two of them, or a decimal."""
    return mark != decimal and bool(_grouped(mark, decimal, "{2,}").fullmatch(cell) or
                                    (_grouped(mark, decimal).fullmatch(cell) and decimal in cell))  # fmt: skip


def _all_grouped(cells: Sequence[str], mark: str) -> bool:
    return all(_grouped(mark, "," if mark == "." else ".").fullmatch(cell) for cell in cells)


@cache
def _grouped(mark: str, decimal: str, times: str = "+") -> re.Pattern[str]:
    """Return the pattern of numbers with marks between thousands."""
    return re.compile(rf"\s*[-+]?[1-9]\d{{0,2}}([{MARKS[mark]}]\d{{3}}){times}({re.escape(decimal)}\d*)?\s*")
