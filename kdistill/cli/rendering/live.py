"""What the live view says of runs that are on: a line for one, a table for several, at whatever width there is."""

import time
from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from kdistill.core.listener import EpochRecord

BAR_WIDTH = 16
GAP = "  "
RECENT = 5  # epochs, whose median tells how fast it goes
SLOW_EPOCH = 2.0  # seconds, from which on the table tells how much of the epoch is done
LEAST_FIRST = ("loss", "bar", "", "speed", "patience", "best", "left")
"""What goes first where there is no room; an empty name stands for words that are made shorter."""


class RunState:
    """The figures of a run that is on.

    Args:
        title: of the run.
        epochs: how many at most.
        examples: that an epoch trains on; 0 where that is not known.
        monitor: the measure that chooses the best epoch.
    """

    def __init__(self, title: str, epochs: int, examples: int = 0, monitor: str | None = None) -> None:
        self.title, self.epochs, self.examples, self.monitor = title, epochs, examples, monitor
        self.share = 0.0
        self.best, self.best_epoch = 0.0, 0
        self.record: EpochRecord | None = None
        self.seconds: list[float] = []
        self._began = time.monotonic()
        self._first_epoch: float | None = None

    def take(self, record: EpochRecord) -> None:
        """Take in the record of an epoch."""
        self.record, self.share = record, 0.0
        self.seconds = [*self.seconds[1 - RECENT :], record["seconds"]]
        if record["best"]:
            self.best, self.best_epoch = record["val_accuracy"], record["epoch"]

    def progress(self, share: float) -> None:
        """Take in the share of the epoch that is done. It tells how long the first one takes."""
        self.share = share
        if not self.seconds and share > 0:
            self._first_epoch = (time.monotonic() - self._began) / share

    def plain_line(self) -> str:
        """Return the figures after an epoch."""
        parts = {"title": self.title, "epoch": f"epoch {self._done}/{self.epochs}", **self._figures()}
        return GAP.join(part for part in parts.values() if part)

    def line(self, width: int) -> str:
        """Return the figures within an epoch, without those that find no room: first the least of them go."""
        parts = {"title": self.title, "bar": _bar(self.share), "epoch": f"epoch {self._now}", **self._figures()}
        for least in LEAST_FIRST:
            if _width(parts) <= width:
                break
            if least:
                parts.pop(least, None)
            else:
                parts = {"title": self.title, "epoch": self._now, **self._figures(short=True)}
                parts.pop("loss", None)
        return _join(parts)

    def cells(self) -> dict[str, str]:
        """Return the figures for a table."""
        figures = self._figures(short=True)
        share = f" {self.share:.0%}" if self.share and (self._epoch_seconds or 0.0) >= SLOW_EPOCH else ""
        patience, speed = figures.get("patience", ""), figures.get("speed", "")
        return {
            "title": self.title,
            "epoch": f"{self._now}{share}",
            "accuracy": figures.get("accuracy", "").removeprefix("val "),
            "best": figures.get("best", "").removeprefix("best "),
            "patience": patience.removeprefix("patience "),
            "speed": speed.removesuffix("/s"),
            "left": figures.get("left", "").removeprefix("≤ "),
        }

    @property
    def _done(self) -> int:
        return self.record["epoch"] if self.record else 0

    @property
    def _now(self) -> str:
        return f"{min(self._done + 1, self.epochs)}/{self.epochs}"

    @property
    def _epoch_seconds(self) -> float | None:
        """What an epoch takes, the median of the last few; None where nothing is known yet."""
        recent = sorted(self.seconds)
        return recent[len(recent) // 2] if recent else self._first_epoch

    def _figures(self, short: bool = False) -> dict[str, str]:
        figures = {}
        if record := self.record:
            patience = record["patience_left"]
            by = f" by {self.monitor}" if self.monitor else ""
            best = f"best epoch{by}: {self.best_epoch} ({self.best:.4f})"
            figures = {
                "loss": _losses(record),
                "accuracy": f"{'val' if short else 'val accuracy'} {record['val_accuracy']:.4f}",
                "best": f"best {self.best:.4f}" if short else best,
                "patience": "" if patience is None else f"patience {patience}",
            }
        return {**figures, "speed": self._speed(short), "left": self._time_left(short)}

    def _speed(self, short: bool) -> str:
        seconds = self._epoch_seconds
        if not seconds or not self.examples:
            return ""
        speed = f"{float(f'{self.examples / seconds:.2g}'):,.0f}"
        return f"{speed}/s" if short else f"{speed} examples/s"

    def _time_left(self, short: bool) -> str:
        """Return the time to the last epoch: early stopping may well end the run before."""
        seconds = self._epoch_seconds
        if seconds is None or self._done >= self.epochs:
            return ""
        left = max(seconds * (self.epochs - self._done - self.share), 1.0)
        return f"≤ {duration(left).replace(' ', '').replace('min', 'm')}" if short else f"at most {duration(left)} left"


COLUMNS = {
    "title": "",
    "epoch": "epoch",
    "accuracy": "val acc",
    "best": "best",
    "patience": "patience",
    "speed": "examples/s",
    "left": "at most",
}


def table(states: Sequence[RunState], width: int) -> list[str]:
    """Return a heading and a line for each run, without the columns that find no room."""
    rows = [COLUMNS, *(state.cells() for state in states)]
    rows = [{**row, "title": _elided(row["title"], max(width // 2, 12))} for row in rows]
    columns = [name for name in COLUMNS if name in ("title", "epoch") or any(row[name] for row in rows[1:])]
    for least in (name for name in LEAST_FIRST if name in columns):
        if _table_width(rows, columns) <= width:
            break
        columns.remove(least)
    widths = {name: max(cell_len(row[name]) for row in rows) for name in columns}
    lines = []
    for row in rows:
        title = row["title"] + " " * (widths["title"] - cell_len(row["title"]))
        lines.append(GAP.join([title, *(row[name].rjust(widths[name]) for name in columns[1:])]).rstrip())
    return lines


class View:
    """The runs that are on, and below them how many of all are done: rendered at the width that there is by then.

    Args:
        states: of the runs.
        footer: returns the last line; none where it is empty.
    """

    def __init__(self, states: Sequence[RunState], footer: Callable[[], str]) -> None:
        self.states, self.footer = states, footer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, none of them wider than the terminal."""
        width = options.max_width
        one = len(self.states) == 1
        lines = [self.states[0].line(width)] if one else table(self.states, width) if self.states else []
        for number, line in enumerate(filter(None, [*lines, self.footer()])):
            is_heading = number == 0 and len(lines) > 1
            yield Text(line, style="dim" if is_heading else "", no_wrap=True, overflow="ellipsis")


def _table_width(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> int:
    return sum(max(cell_len(row[name]) for row in rows) for name in columns) + len(GAP) * (len(columns) - 1)


def _elided(title: str, width: int) -> str:
    """Return a title that keeps its end, which names the seed."""
    return title if cell_len(title) <= width else f"…{title[len(title) - width + 1 :]}"


def _join(parts: Mapping[str, str]) -> str:
    return GAP.join(part for part in parts.values() if part)


def _width(parts: Mapping[str, str]) -> int:
    return cell_len(_join(parts))


def _losses(record: EpochRecord) -> str:
    if record["soft"]:
        return f"loss {record['loss']:.4f} (soft {record['soft']:.4f}, hard {record['hard']:.4f})"
    return f"loss {record['loss']:.4f}"


def _bar(share: float) -> str:
    full = round(share * BAR_WIDTH)
    return "━" * full + "╌" * (BAR_WIDTH - full)


def duration(seconds: float) -> str:
    """Return seconds in words, to two units: 3 s, 2 min 05 s, 1 h 12 min."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def download_line(name: str, received: int, total: int | None) -> str:
    """Return how much of a file has arrived."""
    return f"downloading {name}{GAP}{_bar(received / total if total else 0.0)} {received / 1e6:.1f} MB"
