"""How numbers and the user's own names are written on a page."""

import re
import unicodedata

import numpy as np

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


def points(fraction: float) -> str:
    """Return a difference of accuracies in points, with its sign; one digit where two decimals would show 0.00."""
    value = round(100 * fraction, 6) + 0.0
    return f"{value:+.1g}" if 0 < abs(value) < 0.005 else f"{value:+.2f}"


def percent(fraction: float | None) -> str:
    """Return a share in per cent with one decimal; a dash where there is none."""
    return "-" if fraction is None or np.isnan(fraction) else f"{100 * fraction:.1f} %"


def listed(names: list[str]) -> str:
    """Return names in a sentence: `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
