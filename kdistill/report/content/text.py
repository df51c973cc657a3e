"""How numbers and the user's own names are written on a page."""

import re
import unicodedata

# Characters that HTML and XML cannot hold, and lone surrogates, which UTF-8 cannot.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
LONGEST = 18  # characters of a name in a plot


def writable(text: str) -> str:
    """Return text with those characters replaced that no page can hold."""
    return _UNWRITABLE.sub("\ufffd", text)


def short(name: str, most: int = LONGEST) -> str:
    """Return a name as a label in a plot: one line, at most so many characters, nothing that turns the direction."""
    line = " ".join(writable(name).split())
    line = "".join(char for char in line if unicodedata.category(char) != "Cf")
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
