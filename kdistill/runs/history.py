"""The history of a run: a JSON record for each epoch, one a line, in a file that another process may be writing."""

from pathlib import Path
from typing import cast

from kdistill.core import documents
from kdistill.core.errors import DamagedError
from kdistill.core.listener import EpochRecord
from kdistill.runs import shapes


def read(path: Path) -> tuple[list[EpochRecord], str | None, bool]:
    """Return the records of a history up to the first line that is not that of the next epoch.

    Returns:
        The records; what is wrong with that line, or why the file cannot be read, or None, as where there is no file;
        whether it is the last line, which may be unfinished.
    """
    records = list[EpochRecord]()
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return records, None, False
    except OSError as error:
        return records, f"{path.name}: cannot be read: {error.strerror or error}", False
    for number, line in enumerate(lines, start=1):
        if problem := _problem(line, number, records):
            return records, f"{path.name}: line {number}: {problem}", number == len(lines)
    return records, None, False


def _problem(line: bytes, number: int, records: list[EpochRecord]) -> str | None:
    """Return what is wrong with a line; append its record where it is sound."""
    try:
        record = documents.parse(line, shapes.Epoch)
    except DamagedError as error:
        return str(error)
    if record["epoch"] != number:
        return f"expected epoch {number}; received {record['epoch']}"
    records.append(cast("EpochRecord", record))
    return None
