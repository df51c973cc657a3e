"""Numbers, sizes, shapes and lists of names as text."""

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAMED_AT_MOST = 5


def first_few(names: list[str], most: int = NAMED_AT_MOST) -> str:
    """Return at most `most` names, and the number of those left out: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def printable(text: object) -> str:
    """Return text, such as the path of a file, with what cannot be written in UTF-8 as an escape: `\\udcff`."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def closest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word that is most similar to `word`, or the only one that it abbreviates; None if none is."""
    abbreviated = [each for each in known if len(word) > 2 and each.startswith(word)]
    if len(abbreviated) == 1:
        return abbreviated[0]
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)


def number(value: float | None) -> str:
    """Return a score with four decimals; a dash for None."""
    return "-" if value is None else f"{value:.4f}"


def file_size(count: int | None) -> str:
    """Return a number of bytes in kB or MB; a dash for None."""
    if count is None:
        return "-"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def setting(value: Any) -> str:
    """Return the value of a config key as YAML: null, true, [16, 8], text without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def settings(values: Mapping[str, Any]) -> str:
    """Return config keys with their values: `distill.alpha=0.5, distill.temperature=4`."""
    return ", ".join(f"{key}={setting(value)}" for key, value in values.items())


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the last part of each config key if these are all different; else the keys themselves."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return last if len(set(last.values())) == len(last) else {key: key for key in last}


def dimensions(shape: Sequence[int]) -> str:
    """Return the shape of an example: `28 x 28 x 3`."""
    return " x ".join(map(str, shape))


def counted(number: int, noun: str, form: str = "") -> str:
    """Return a number with its noun: `1 seed`, `5 seeds`; with the form `,`, `85,002 parameters`."""
    return f"{number} {noun}" if number == 1 else f"{number:{form}} {noun}s"


def two_digits(value: float) -> str:
    """Return a positive number with its first two digits: `0.014`, `1.4`, `14`, `1,400`."""
    return f"{float(f'{value:.2g}'):,.12g}" if value >= 0.0001 else f"{value:.2g}"


def points(fraction: float) -> str:
    """Return a difference of accuracies in points, with its sign and two decimals; one digit if these would be 0.00."""
    value = round(100 * fraction, 6) + 0.0
    return f"{value:+.1g}" if 0 < abs(value) < 0.005 else f"{value:+.2f}"


def percent(fraction: float | None) -> str:
    """Return a share in per cent with one decimal; a dash for None and NaN."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f} %"


def listed(names: list[str]) -> str:
    """Return names as part of a sentence: `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
