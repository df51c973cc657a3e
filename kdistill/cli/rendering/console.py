"""Consoles on stdout and stderr, and streams that cannot be written."""

import contextlib
import os
import re
import sys
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

INDENT = 2  # columns, of the further lines of a message


def console(stderr: bool = False) -> Console:
    """Return a console on stdout or stderr. Without a terminal, its width is 140 columns unless COLUMNS says otherwise.

    It is interactive in a terminal, except in CI, whose logs may look like one. FORCE_COLOR colours a file, but does
    not make it interactive.
    """
    file = sys.stderr if stderr else sys.stdout
    wide = None if file.isatty() or "COLUMNS" in os.environ else 140
    watched = file.isatty() and os.environ.get("CI", "").lower() in ("", "0", "false")
    return Console(
        file=_Unfailing(file) if stderr else file,  # type: ignore[arg-type]
        width=wide,
        highlight=False,
        force_interactive=None if watched else False,
        force_terminal=True if file.isatty() else None,  # it stays one where what is printed is caught: see `emit`
    )


def print_text(console: Console, markup: str) -> None:
    """Print text with markup: in a terminal broken at words, the further lines indented; else each line as it is."""
    text = Text.from_markup(markup)
    console.print(broken(text, console.width) if console.is_terminal else text, soft_wrap=True)


def broken(text: Text, width: int) -> Text:
    """Return text whose lines are broken at words where they are wider than `width`, the further lines indented."""
    lines = [line.divide(_breaks(line.plain, width)) for line in text.split(allow_blank=True)]
    for piece in (piece for pieces in lines for piece in pieces[:-1]):
        piece.rstrip()
    return Text("\n").join(Text(f"\n{' ' * INDENT}").join(pieces) for pieces in lines)


def _breaks(line: str, width: int) -> list[int]:
    """Return where a line is broken so that it fits; a word that is wider than a line, such as a path, stays whole."""
    places, used, room = list[int](), 0, width
    for word in re.finditer(r"^\s*\S+\s*|\S+\s*", line):
        if used and used + cell_len(word.group().rstrip()) > room:
            places.append(word.start())
            used, room = 0, width - INDENT
        used += cell_len(word.group())
    return places


class _Unfailing:
    """A stream that ignores failing writes, so that training continues after the reader of a pipe has exited."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            give_up(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            give_up(self._stream)


def give_up(stream: IO[str]) -> None:
    """Redirect a stream that cannot be written to the null device, so that flushing it at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
