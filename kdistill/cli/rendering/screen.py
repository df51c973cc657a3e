"""The progress of a command on stderr: a live view in a terminal, a few plain lines in a file, a pipe or a CI log."""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import TaskID
from rich.text import Text

from kdistill.cli.rendering.console import console, print_text
from kdistill.cli.rendering.live import RunTable, download
from kdistill.cli.rendering.results import STOPPED_IN_WORDS
from kdistill.core import members
from kdistill.core.listener import (
    Caution,
    Downloading,
    EpochDone,
    EpochProgress,
    EpochRecord,
    Event,
    Listener,
    Note,
    Planned,
    RunFailed,
    RunFinished,
    RunStarted,
)
from kdistill.evaluation.measures import ACCURACY, NLL, main_of, monitored, title_of

PLAIN_LINE_EVERY = 30.0  # seconds
MOST_NEEDED = 2  # parts of the line of a run that has ended: its name and its score


class Screen(Listener):
    """Shows the events of a command: live in a terminal, as plain lines elsewhere.

    Args:
        stderr: the console to print on; by default standard error.
        quiet: whether warnings and failures alone are shown.
        verbose: whether a line stays for every epoch.
        monitors: for `teacher` and `student`, the measure that selects the best epoch.
    """

    def __init__(
        self,
        stderr: Console | None = None,
        quiet: bool = False,
        verbose: bool = False,
        monitors: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.console = stderr or console(stderr=True)
        self.quiet, self.verbose, self.monitors = quiet, verbose, monitors
        self._live: Live | None = None
        self._count = _Count(self.console.get_time)
        self._table = RunTable(self.console, self._count.words)
        self._rows: dict[str, TaskID] = {}
        self._printed: set[str] = set()
        self._last_line = 0.0

    def handle(self, event: Event, name: str = "") -> None:
        """Show an event; `name` is that of its run, where several are in progress."""
        match event:
            case Note(text) if not self.quiet:
                self._print_once(f"[dim]{escape(text)}[/dim]")
            case Caution(text):
                self._print_once(f"[yellow]Warning:[/yellow] {escape(text)}")
            case Downloading():
                self._show_download(event)
            case Planned(done, total):
                self._count.planned(done, total)
            case RunStarted():
                self._start(event, name)
            case EpochProgress(share):
                self._table.add_share(self._rows[name], share)
                self._show(self._table)
            case EpochDone(record):
                self._end_epoch(record, name)
            case RunFinished():
                self._finish(event, name)
            case RunFailed(message):
                self._remove(name)
                self._print(f"[red]Failed:[/red] {escape(name)}: {escape(message)}")

    def _print(self, markup: str) -> None:
        print_text(self.console, markup)

    def _print_once(self, markup: str) -> None:
        """Print a line that each of several processes may send."""
        if markup not in self._printed:
            self._printed.add(markup)
            self._print(markup)

    def _show_download(self, file: Downloading) -> None:
        self._show(download(file, self.console))
        if file.total and file.received >= file.total:
            self.close()
            self.note(f"downloaded {file.name} ({file.received / 1e6:.1f} MB)")

    def _start(self, run: RunStarted, name: str) -> None:
        if name in self._rows:  # a run of the same name that did not end
            self._table.remove_task(self._rows.pop(name))
        self._rows[name] = self._table.add_run(name or f"{run.arm} seed {run.seed}", run, self._monitor(run.arm))
        self._last_line = self.console.get_time()
        self._show(self._table)

    def _monitor(self, arm: str) -> str | None:
        return self.monitors.get("teacher" if members.arm_of(arm) == "teacher" else "student")

    def _end_epoch(self, record: EpochRecord, name: str) -> None:
        """Update the row of a run. With --verbose, or now and then without a live view, print a line."""
        row = self._rows[name]
        self._table.add_epoch(row, record)
        self._show(self._table)
        overdue = self.console.get_time() - self._last_line > PLAIN_LINE_EVERY
        if self.verbose or (overdue and not self.console.is_interactive):
            self._last_line = self.console.get_time()
            done = self._count.words()
            self.note(self._table.plain_line(row) + (f"  ({done})" if done else ""))

    def _finish(self, run: RunFinished, name: str) -> None:
        """Replace the live row of a run by a line that stays."""
        self._remove(name)
        number = self._count.next()
        if not self.quiet:
            own = f"{run.arm} seed {run.seed}"
            title = f"{run.arm:9} seed {run.seed}" if name in ("", own) else name
            parts = [f"{escape(number)}[bold]{escape(title)}[/bold]", *self._outcome(run)]
            width = self.console.width if self.console.is_terminal else math.inf
            while len(parts) > MOST_NEEDED and Text.from_markup("  ".join(parts)).cell_len > width:
                parts.pop()
            self._print("  ".join(parts))

    def _outcome(self, run: RunFinished) -> list[str]:
        """Return what came out of a run, the most important first."""
        result, monitor = run.result, self._monitor(run.arm) or ""
        watched = monitored(monitor)
        chosen = watched and watched.name in result["validation"] and watched is not NLL
        measure = watched if watched and chosen else main_of(result["validation"])
        title = "val acc" if measure is ACCURACY else f"val {measure.title}"
        by = f"best {title_of(monitor).removeprefix('val ')} at" if monitor else "best"
        right = result.get("validation_right")
        return [
            f"{escape(title)} [bold]{result['validation'][measure.name]:.4f}[/bold]",
            *([f"{right[measure.name]:.4f} on right labels"] if right else []),
            f"{by} epoch {result['best_epoch']} of {result['epochs']}",
            f"{result['run_info']['seconds']:.1f} s",
            STOPPED_IN_WORDS.get(result["stopped"], result["stopped"]),
        ]

    def _remove(self, name: str) -> None:
        if set(self._rows) <= {name}:  # the last one; a view that is taken down shows its rows once more
            self.close()
        if name in self._rows:
            self._table.remove_task(self._rows.pop(name))

    def _show(self, view: RenderableType) -> None:
        if self.quiet or not self.console.is_interactive:
            return
        if self._live is None:
            self._live = Live(console=self.console, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.update(view)

    def close(self) -> None:
        """Take down the live view and give back the cursor."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class _Count:
    """How many runs of a command are done, and an estimate of the time that the others take."""

    def __init__(self, get_time: Callable[[], float]) -> None:
        self.total = 0
        self._get_time = get_time
        self._changes: list[tuple[float, int]] = []

    @property
    def done(self) -> int:
        return self._changes[-1][1] if self._changes else 0

    def planned(self, done: int, total: int) -> None:
        """Take in how many runs there are, and how many of them are done or have failed."""
        self.total = total
        self._set(max(done, self.done))

    def next(self) -> str:
        """Count a run that has ended; return its number, such as `[ 3/15] `, or nothing if it is the only run."""
        self._set(self.done + 1)
        return f"[{self.done:{len(str(self.total))}}/{self.total}] " if self.total > 1 else ""

    def words(self) -> str:
        """Return how many runs are done, and the time that the others take at the rate since the first one ended.

        Until then processes start and steps are compiled, which says nothing of the rate.
        """
        if self.total < 2:
            return ""
        text = f"{self.done} of {self.total} runs done"
        since_first = self._changes[1:]
        if len(since_first) < 2 or self.done >= self.total:
            return text
        (began, before), (last, done) = since_first[0], since_first[-1]
        left = (last - began) / (done - before) * (self.total - done) - (self._get_time() - last)
        return f"{text}, about {timedelta(seconds=max(round(left), 1))} left"

    def _set(self, done: int) -> None:
        if not self._changes or done > self.done:
            self._changes.append((self._get_time(), done))
