"""Tables and lists of names and values that stay readable in narrow terminals."""

from collections.abc import Collection, Mapping, Sequence
from shlex import quote, split

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kdistill.cli.rendering.console import broken

NOTHING = "-"  # as `formatting.number` writes a value that is not there
GAP = 2  # columns between two columns of a table
MIN_NAME_WIDTH, MIN_VALUE_WIDTH = 9, 24  # columns of a terminal


class FittingTable:
    """A table of names and figures. In a narrow terminal the names stay.

    Columns without a value, then the last ones, are hidden there.

    Args:
        title: printed above the table, if any.
        rows: a name, and its cells by the headings of their columns, the most important first. A column without any
            text is left out.
        words: the headings of columns of words, which are aligned left; figures are aligned right.
        list_hidden: whether the headings of hidden columns are listed below the table.
    """

    def __init__(
        self,
        title: str | None,
        rows: Sequence[tuple[str, Mapping[str, str]]],
        words: Collection[str] = (),
        list_hidden: bool = True,
    ) -> None:
        self.title, self.names, self.words, self.list_hidden = title, [name for name, _ in rows], words, list_hidden
        headings = dict.fromkeys(heading for _, cells in rows for heading in cells)
        columns = {heading: [cells.get(heading, "") for _, cells in rows] for heading in headings}
        self.columns = {heading: cells for heading, cells in columns.items() if any(cells)}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the title, the table and the headings of hidden columns."""
        # A long name, such as that of a file, is broken into lines, and so leaves room for the first figures.
        longest = max(map(cell_len, self.names), default=0)
        names = min(max(longest, MIN_NAME_WIDTH), max(MIN_NAME_WIDTH, options.max_width // 2))
        kept = self._fitting(options.max_width - names)
        hidden = [heading for heading in self.columns if heading not in kept]
        table = Table(box=None, pad_edge=False)
        table.add_column("", style="bold", overflow="fold", min_width=MIN_NAME_WIDTH, width=names if hidden else None)
        for heading in kept:
            table.add_column(heading, justify="left" if heading in self.words else "right", no_wrap=True)
        for row in zip(self.names, *(self.columns[heading] for heading in kept), strict=True):
            table.add_row(*map(escape, row))
        if self.title:
            yield Text(self.title, style="bold")
        yield table
        if self.list_hidden and hidden:
            yield Text(f"Hidden at this width: {', '.join(hidden)}", style="dim")

    def _fitting(self, room: int) -> list[str]:
        """Return the headings of the columns that are shown in so many columns of a terminal."""
        widths = {heading: GAP + max(map(cell_len, (heading, *cells))) for heading, cells in self.columns.items()}
        kept = list(widths)
        without_value = [heading for heading, cells in self.columns.items() if {*cells} <= {"", NOTHING}]
        hidden_first = [*(heading for heading in kept if heading not in without_value), *without_value]
        while kept and sum(widths[heading] for heading in kept) > room:
            kept.remove(hidden_first.pop())
        return kept


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


def sections(*parts: RenderableType | None) -> Group:
    """Return renderables one below the other, with an empty line between them; None is left out."""
    pieces = [piece for part in parts if part is not None for piece in (Text(), part)]
    return Group(*pieces[1:])


def warning(lines: Sequence[str]) -> "Warnings | None":
    """Return lines in the colour of warnings; None if there are none."""
    return Warnings(lines) if lines else None


class Warnings:
    """Lines in the colour of warnings; in a terminal, those that are too wide are broken at words and indented."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        text = Text("\n".join(self.lines), style="yellow")
        if console.is_terminal:
            text = broken(text, options.max_width)
            text.overflow = "ignore"
            text.no_wrap = True
        yield text


class Steps:
    """What to do next: for each step why, and below it the command, which can be pasted.

    A command that is wider than a terminal is continued on further lines, as a shell reads it; in a file it has one.

    Args:
        steps: each with `why` and `command`.
    """

    def __init__(self, steps: Sequence[Mapping[str, str]]) -> None:
        self.steps = steps

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the heading and the steps."""
        yield Text("Next:", style="bold")
        for step in self.steps:
            yield Text(f"  {step['why']}", style="dim")
            width = options.max_width if console.is_terminal else None
            command = _continued(step["command"], width)
            # Never cut: a path may be longer than a line.
            yield Text(command, no_wrap=True, overflow="ignore")


def _continued(command: str, width: int | None) -> str:
    """Return a command in lines of at most this width, where its words allow it; all but the last end with `\\`."""
    if width is None:
        return f"    {command}"
    words = [quote(word) for word in split(command)]
    # An option stays with its value.
    pairs = list[str]()
    for word in words:
        together = pairs and pairs[-1].startswith("-") and " " not in pairs[-1] and not word.startswith("-")
        pairs[-1:] = [f"{pairs[-1]} {word}"] if together else [*pairs[-1:], word]
    lines = [f"    {pairs[0]}"]
    for pair in pairs[1:]:
        if cell_len(lines[-1]) + cell_len(pair) + len("  \\") > width:
            lines[-1] += " \\"
            lines.append(f"      {pair}")
        else:
            lines[-1] += f" {pair}"
    return "\n".join(lines)
