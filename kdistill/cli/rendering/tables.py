"""Tables and lists of names and values that stay readable in narrow terminals."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

GAP = 2  # columns between two columns of a table
MIN_NAME_WIDTH, MIN_VALUE_WIDTH = 9, 24  # columns of a terminal


class FittingTable:
    """A table of names and figures. In a narrow terminal the names stay, and the last columns are hidden.

    Args:
        title: printed above the table, if any.
        headings: of the columns after the names, the most important first.
        rows: a name, and a cell for each heading.
        words: whether the cells are words, which are aligned left, rather than figures.
        list_hidden: whether the headings of hidden columns are listed below the table.
    """

    def __init__(
        self,
        title: str | None,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        words: bool = False,
        list_hidden: bool = True,
    ) -> None:
        self.title, self.headings, self.rows, self.words, self.list_hidden = title, headings, rows, words, list_hidden

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the title, the table and the headings of hidden columns."""
        # A long name, such as that of a file, is broken into lines, and so leaves room for the first figures.
        longest = max((cell_len(row[0]) for row in self.rows), default=0)
        names = min(max(longest, MIN_NAME_WIDTH), max(MIN_NAME_WIDTH, options.max_width // 2))
        kept, room = 0, options.max_width - names
        for number, heading in enumerate(self.headings, start=1):
            room -= GAP + max(cell_len(text) for text in (heading, *(row[number] for row in self.rows)))
            if room < 0:
                break
            kept = number
        table = Table(box=None, pad_edge=False)
        table.add_column("", style="bold", overflow="fold", min_width=MIN_NAME_WIDTH)
        table.columns[0].width = names if kept < len(self.headings) else None
        for heading in self.headings[:kept]:
            table.add_column(heading, justify="left" if self.words else "right", no_wrap=True)
        for name, *cells in self.rows:
            table.add_row(escape(name), *map(escape, cells[:kept]))
        if self.title:
            yield Text(self.title, style="bold")
        yield table
        if self.list_hidden and kept < len(self.headings):
            yield Text(f"Hidden at this width: {', '.join(self.headings[kept:])}", style="dim")


class Pairs:
    """Names and values side by side; in a terminal too narrow for that, each value below its name.

    Args:
        title: printed above the rows, if any.
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
        if 1 + names + GAP + min(values, MIN_VALUE_WIDTH) > options.max_width:
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
