"""How documents are laid out for a person: tables that keep their shape in narrow terminals, figures, sizes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

GAP = 2  # columns between two columns of a table
LEAST_NAMES, LEAST_VALUES = 9, 24  # columns of a terminal


class FittingTable:
    """A table of names and figures that keeps its names in a narrow terminal, and leaves out the last columns.

    Args:
        title: above it.
        headings: of the columns after the names, those that matter most first.
        rows: a name, and a cell for each heading.
        words: the cells are words rather than figures.
    """

    def __init__(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], words: bool = False) -> None:
        self.title, self.headings, self.rows, self.words = title, headings, rows, words

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table with the columns that find room, and the names of those that do not."""
        # A long name, such as that of a file, is broken into lines, and so leaves room for the first figures.
        longest = max((cell_len(row[0]) for row in self.rows), default=0)
        names = min(max(longest, LEAST_NAMES), max(LEAST_NAMES, options.max_width // 2))
        kept, room = 0, options.max_width - names
        for number, heading in enumerate(self.headings, start=1):
            room -= GAP + max(cell_len(text) for text in (heading, *(row[number] for row in self.rows)))
            if room < 0:
                break
            kept = number
        table = Table(box=None, pad_edge=False)
        table.add_column("", style="bold", overflow="fold", min_width=LEAST_NAMES)
        table.columns[0].width = names if kept < len(self.headings) else None
        for heading in self.headings[:kept]:
            table.add_column(heading, justify="left" if self.words else "right", no_wrap=True)
        for name, *cells in self.rows:
            table.add_row(escape(name), *map(escape, cells[:kept]))
        yield Text(self.title, style="bold")
        yield table
        if kept < len(self.headings):
            yield Text(f"No room for: {', '.join(self.headings[kept:])}", style="dim")


class Pairs:
    """Names and values side by side; one below the other in a terminal with no room for that.

    Args:
        title: above them, if any.
        rows: name and value.
    """

    def __init__(self, title: str | None, rows: Sequence[tuple[str, str]]) -> None:
        self.title, self.rows = title, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the title and the rows."""
        if self.title:
            yield Text(self.title, style="bold")
        names = max((cell_len(name) for name, _ in self.rows), default=0)
        values = max((cell_len(line) for _, value in self.rows for line in value.splitlines()), default=0)
        if 1 + names + GAP + min(values, LEAST_VALUES) > options.max_width:
            for name, value in self.rows:
                yield Text(f" {name}", style="dim")
                yield Padding(Text(value, overflow="fold"), (0, 0, 0, 3))
            return
        table = Table(box=None, show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in self.rows:
            table.add_row(escape(name), escape(value))
        yield table


def number(value: float | None) -> str:
    """Return a score as it is shown; a dash where there is none."""
    return "-" if value is None else f"{value:.4f}"


def file_size(count: int | None) -> str:
    """Return a number of bytes as it is shown; a dash where there is none."""
    if count is None:
        return "-"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def setting(value: Any) -> str:
    """Return the value of a config key as a config has it: null, true, [16, 8], text without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def settings(values: Mapping[str, Any]) -> str:
    """Return config keys with their values: distill.alpha=0.5, distill.temperature=4."""
    return ", ".join(f"{key}={setting(value)}" for key, value in values.items())


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the last part of each config key, if it tells all of them apart; else the keys themselves."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return last if len(set(last.values())) == len(last) else {key: key for key in last}


def dimensions(shape: Sequence[int]) -> str:
    """Return the shape of an example as it is shown: 28 x 28 x 3."""
    return " x ".join(map(str, shape))


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
