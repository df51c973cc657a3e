"""Values of options, read from text: each mistake says what was expected and what was received."""

from collections.abc import Callable
from pathlib import Path

import typer

LARGEST_SEED = 2**31 - 1
MOST_THREADS = 1024


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers between two limits, both included."""

    def read(text: str) -> int:
        digits = str(text).strip()
        # A number of more digits than the limit has cannot be one below it, and Python refuses to read thousands.
        if digits.isascii() and digits.isdecimal() and len(digits.lstrip("0")) <= len(str(most)):
            number = int(digits)
            if least <= number <= most:
                return number
        raise typer.BadParameter(f"expected a whole number from {least} to {most}; received {text!r}")

    return read


def a_path(text: str) -> Path:
    """Read a path. An empty one would be the working directory, which is hardly ever meant: often a variable is."""
    if not str(text).strip():
        raise typer.BadParameter(f"expected a path; received {text!r}")
    return Path(text)


def a_path_to(suffix: str) -> Callable[[str], Path]:
    """Return a reader of paths that end in `suffix`."""

    def read(text: str) -> Path:
        path = a_path(text)
        if path.suffix != suffix:
            raise typer.BadParameter(f"expected the path of a {suffix} file; received {text!r}")
        return path

    return read
