"""How a table is written: separator, decimal mark, encoding, and whether its first line names the columns.

What is not given is told from the file where only one answer is possible.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdistill.core import files
from kdistill.core.errors import DataError
from kdistill.datasets import cells

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SAMPLE_BYTES = 2**16  # of a file, from which separator and decimal mark are told
CHUNK = 2**20  # bytes
UTF8 = "utf-8"
# The marks that files in UTF-16 and UTF-8 may begin with.
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
PACKED = {b"\x1f\x8b": "a gzip archive", b"PK\x03\x04": "a zip archive, such as .xlsx files are", b"PAR1": "Parquet"}


@dataclass(frozen=True)
class Format:
    """How a table is written; None where that is not given, or unknown.

    Attributes:
        separator: the character between two cells.
        decimal: the decimal mark of numbers, `.` or `,`.
        thousands: the mark between thousands, one of `cells.MARKS`; None if numbers have none.
        encoding: name of the encoding, as Python knows it.
        header: whether the first line names the columns.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    thousands: str | None = None

    def or_else(self, other: "Format") -> "Format":
        """Return the format with what is None taken from another one."""
        return replace(other, **{key: value for key, value in vars(self).items() if value is not None})

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Format":
        """Return the format of a document; ValueError if it is none."""
        texts = {key: document.get(key) for key in ("separator", "decimal", "encoding", "thousands")}
        if any(value is not None and not isinstance(value, str) for value in texts.values()):
            raise ValueError("expected text as separator, decimal, encoding and thousands")
        if texts["thousands"] not in (None, *cells.MARKS):
            raise ValueError(f"thousands: expected one of {', '.join(map(repr, cells.MARKS))}")
        header = document.get("header")
        return cls(**texts, header=header if isinstance(header, bool) else None)

    def document(self) -> dict[str, Any]:
        """Return what differs from commas, points, UTF-8 and a line of names, as JSON."""
        usual = {"separator": ",", "decimal": ".", "encoding": UTF8, "header": True}
        return {key: value for key, value in vars(self).items() if value is not None and value != usual.get(key)}


UNKNOWN = Format()


def told(sample: Sequence[str], place: str, given: Format, usual: Format) -> Format:
    """Return how a table is written that begins with the lines `sample`; its encoding is known.

    Args:
        sample: its first lines.
        place: its name, for messages.
        given: what is known.
        usual: what holds where the lines do not tell.

    Raises:
        DataError: several separators or decimal marks are possible, and none is usual.
    """
    separator = given.separator or _one(lambda: separator_of(sample, place), usual.separator) or ","
    likely = None if separator == "," else usual.decimal  # between commas, a decimal comma needs quotes
    rows = list(_rows(sample, separator))
    decimal = given.decimal or {",": ".", ".": ","}.get(given.thousands or "")
    decimal = decimal or _one(lambda: cells.decimal_of([cell for row in rows for cell in row], place), likely) or "."
    thousands = given.thousands or cells.thousands_of(rows[1:], decimal) or usual.thousands
    header = usual.header if given.header is None else given.header
    return Format(separator, decimal, given.encoding, header, None if thousands == decimal else thousands)


def _one(tell: Callable[[], str | None], usual: str | None) -> str | None:
    try:
        return tell() or usual
    except DataError:
        if usual is None:
            raise
        return usual


def encoding_of(path: Path) -> str:
    """Return the encoding of a text file: that of its mark, UTF-8 if all of it is UTF-8, or else latin-1.

    Raises:
        DataError: the file is packed, or has NUL bytes, and no mark that says that it is UTF-16.
        OSError: it cannot be read.
    """
    decoder = codecs.getincrementaldecoder(UTF8)()
    is_utf8, start = True, 0
    files.stat_regular(path)
    with open(path, "rb") as file:
        first = file.read(max(map(len, (*MARKS, *PACKED))))
        if marked := next((name for mark, name in MARKS.items() if first.startswith(mark)), None):
            return marked
        if packed := next((name for mark, name in PACKED.items() if first.startswith(mark)), None):
            raise DataError(f"{path}: expected text; received {packed}", hint="Unpack it, or save the table as CSV.")
        file.seek(0)
        while chunk := file.read(CHUNK):
            if b"\0" in chunk:
                raise DataError(
                    f"{path}: a NUL byte at position {start + chunk.index(0)}: expected text",
                    hint="If it is UTF-16, set data.encoding to utf-16-le or utf-16-be. Else the file is damaged.",
                )
            start += len(chunk)
            try:
                is_utf8 = is_utf8 and decoder.decode(chunk) is not None
            except UnicodeDecodeError:
                is_utf8 = False
        try:
            decoder.decode(b"", final=is_utf8)
        except UnicodeDecodeError:
            is_utf8 = False
    return UTF8 if is_utf8 else "latin-1"


def sample_of(path: Path, encoding: str) -> list[str]:
    """Return the first lines of a text file, with their ends; UnicodeError if they are in another encoding."""
    with open(path, encoding=encoding, newline="") as file:
        text = file.read(SAMPLE_BYTES)
        is_whole = len(text) < SAMPLE_BYTES
    lines = list(io.StringIO(text, newline=""))  # unlike splitlines, at the ends of lines of a file alone
    return lines if is_whole or len(lines) < 2 else lines[:-1]


def separator_of(sample: Sequence[str], place: str) -> str | None:
    """Return the character that separates cells in the first lines of a table; None if none does.

    Raises:
        DataError: several are possible.
    """
    rows = {mark: list(_rows(sample, mark)) for mark in SEPARATORS}
    possible = [mark for mark in SEPARATORS if rows[mark] and len(rows[mark][0]) > 1]
    even = [mark for mark in possible if len({len(row) for row in rows[mark]}) == 1]
    even = _likely({mark: rows[mark] for mark in even}) if len(even) > 1 else even
    if len(even) > 1:
        marks = " or ".join(SEPARATORS[mark] for mark in even)
        raise DataError(f"{place}: columns may be separated by {marks}", hint="Set data.separator.")
    return even[0] if even else possible[0] if len(possible) == 1 else None


def _likely(rows: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
    """Return those of several possible separators of some rows that leave no cell with another one of them in it.

    A decimal comma is none. Without such, one that makes three cells or more, where all others make two.
    """
    clean = [mark for mark in rows if not any(_has_other(cell, mark, rows) for row in rows[mark] for cell in row)]
    many = [mark for mark in rows if len(rows[mark][0]) > 2]
    return clean if len(clean) == 1 else many if len(many) == 1 and not clean else list(rows)


def _has_other(cell: str, mark: str, others: Iterable[str]) -> bool:
    is_decimal = cells.DECIMALS[","].fullmatch(cell)
    return any(other in cell for other in others if other != mark and not (other == "," and is_decimal))


def notes(found: Format, given: Format, place: str) -> list[str]:
    """Return a sentence on what was told from a file and is not as usual."""
    told = []
    if given.separator is None and found.separator not in (None, ","):
        told.append(f"columns are separated by {SEPARATORS[str(found.separator)]}")
    if given.decimal is None and found.decimal == ",":
        told.append("the decimal mark is a comma")
    if given.thousands is None and found.thousands:
        told.append(f"thousands are separated by {cells.THOUSANDS[found.thousands]}")
    if given.encoding is None and found.encoding == "latin-1":
        told.append("it is not UTF-8, and read as latin-1: set data.encoding if names look wrong")
    elif given.encoding is None and found.encoding not in (None, UTF8):
        named = "UTF-8 with a byte order mark" if found.encoding == "utf-8-sig" else "UTF-16"
        told.append(f"it is {named}")
    return [f"{place}: {'; '.join(told)}"] if told else []


def without_nul(lines: Iterable[str], place: str) -> Iterator[str]:
    """Yield lines; raise DataError for one with a NUL character."""
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise DataError(f"{place}, line {number}: a NUL character: expected text", hint="The file may be damaged.")
        yield line


def _rows(sample: Sequence[str], separator: str) -> Iterator[list[str]]:
    """Yield the rows of a sample, as far as it can be read."""
    reader = csv.reader(sample, delimiter=separator, strict=True)
    while True:
        try:
            row = next(reader)
        except (StopIteration, csv.Error):
            return
        if row:
            yield row
