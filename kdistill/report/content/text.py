"""How the user's own names are written on a page."""

import re
import unicodedata

# Characters that HTML and XML cannot hold, and lone surrogates, which UTF-8 cannot.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def writable(text: str) -> str:
    """Return text with each character that no page can hold replaced by U+FFFD."""
    return _UNWRITABLE.sub("\ufffd", text)


def short(name: str, most: int = 18) -> str:
    """Return a name on one line, cut to `most` characters, without characters that change the text direction."""
    line = " ".join(writable(name).split())
    line = "".join(char for char in line if unicodedata.category(char) != "Cf")
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
