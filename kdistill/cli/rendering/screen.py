"""What a person sees while it trains: a live line in a terminal, a few plain lines anywhere else. All on stderr."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from kdistill.cli.rendering.live import RunState, View, download_line, duration
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

PLAIN_LINE_EVERY = 30.0  # seconds


def console(stderr: bool = False) -> Console:
    """Return a console on stdout or stderr. Where there is no terminal, tables are given room and keep their shape.

    It is interactive where a person watches: in a terminal, but not in the log of a CI that pretends to be one, nor
    where FORCE_COLOR asks for colours in a file.
    """
    file = sys.stderr if stderr else sys.stdout
    wide = None if file.isatty() or "COLUMNS" in os.environ else 140
    watched = file.isatty() and os.environ.get("CI", "").lower() in ("", "0", "false")
    return Console(
        file=_Narration(file) if stderr else file,  # type: ignore[arg-type]
        width=wide,
        highlight=False,
        force_interactive=None if watched else False,
    )


class _Narration:
    """A stream whose failures do no harm: nobody's training shall stop because nobody listens any more."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._failing_quietly():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._failing_quietly():
            self._stream.flush()

    @contextlib.contextmanager
    def _failing_quietly(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            give_up(self._stream)


def give_up(stream: IO[str]) -> None:
    """Lead a stream that cannot be written nowhere, so that what it still holds does not fail again at the exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Screen(Listener):
    """Shows runs on a console, in the way that suits where the console leads.

    Args:
        console: standard error.
        quiet: show warnings alone.
        verbose: leave a line for every epoch.
        monitors: for `teacher` and `student`, the measure that chooses the best epoch.
    """

    def __init__(
        self,
        console: Console,
        quiet: bool = False,
        verbose: bool = False,
        monitors: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.console = console
        self.quiet = quiet
        self.verbose = verbose
        self._live: Live | None = None
        self.monitors = monitors
        self._runs: dict[str, RunState] = {}
        self._noted: set[str] = set()
        self._warned: set[str] = set()
        self._spoke = 0.0
        self._count = _Count()

    def hear(self, event: Event, name: str = "") -> None:
        """Show an event; what happens to one of several runs is shown on a line of its own."""
        match event:
            case Note(text):
                self._note(text)
            case Caution(text):
                self._warn(text)
            case Downloading():
                self._show_download(event)
            case Planned(done, total):
                self._count.planned(done, total)
            case RunStarted():
                self._start(event, name)
            case EpochProgress(share):
                self._runs[name].progress(share)
                self._show_runs()
            case EpochDone(record):
                self._take_epoch(record, name)
            case RunFinished():
                self._finish(event, name)
            case RunFailed(message):
                self._remove(name)
                self._say(f"[red]Failed:[/red] {escape(name)}: {escape(message)}")

    def _note(self, text: str) -> None:
        """Print a sentence once: every process that works for a command may have the same to say."""
        if not self.quiet and text not in self._noted:
            self._noted.add(text)
            self._say(f"[dim]{escape(text)}[/dim]")

    def _warn(self, text: str) -> None:
        """Print a warning once."""
        if text not in self._warned:
            self._warned.add(text)
            self._say(f"[yellow]Warning:[/yellow] {escape(text)}")

    def _show_download(self, file: Downloading) -> None:
        self._show(Text(download_line(file.name, file.received, file.total), no_wrap=True, overflow="ellipsis"))
        if file.total and file.received >= file.total:
            self.close()
            self._note(f"downloaded {file.name} ({file.received / 1e6:.1f} MB)")

    def _start(self, run: RunStarted, name: str) -> None:
        """Open the line of a run."""
        role = "teacher" if run.arm == "teacher" else "student"
        title = name or f"{run.arm} seed {run.seed}"
        self._runs[name] = RunState(title, run.epochs, run.examples, self.monitors.get(role))
        for record in run.history:
            self._runs[name].take(record)
        self._spoke = time.monotonic()
        self._show_runs()

    def _take_epoch(self, record: EpochRecord, name: str) -> None:
        """Take the epoch's figures into the line; away from a terminal, print it now and then."""
        self._runs[name].take(record)
        self._show_runs()
        overdue = time.monotonic() - self._spoke > PLAIN_LINE_EVERY
        if self.verbose or (overdue and not self.console.is_interactive):
            self._spoke = time.monotonic()
            done = self._count.words()
            self._note(self._runs[name].plain_line() + (f"  ({done})" if done else ""))

    def _finish(self, run: RunFinished, name: str) -> None:
        """Replace the live line by one that stays."""
        self._remove(name)
        number = self._count.next()
        if not self.quiet:
            result, own = run.result, f"{run.arm} seed {run.seed}"
            title = f"{run.arm:9} seed {run.seed}" if name in ("", own) else name
            self._say(
                f"{escape(number)}[bold]{escape(title)}[/bold]  "
                f"validation accuracy [bold]{result['validation']['accuracy']:.4f}[/bold]  best epoch "
                f"{result['best_epoch']} of {result['epochs']}  ({result['stopped']}; "
                f"{result['run_info']['seconds']:.1f} s)"
            )

    def close(self) -> None:
        """Take down what is live, whatever happened."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, text: str) -> None:
        """Print a line of markup; only a terminal's own edge may break it."""
        self.console.print(text, soft_wrap=True)

    def _show_runs(self) -> None:
        self._show(View(list(self._runs.values()), self._count.words))

    def _remove(self, name: str) -> None:
        self._runs.pop(name, None)
        if self._runs:
            self._show_runs()
        else:
            self.close()

    def _show(self, what: RenderableType) -> None:
        if self.quiet or not self.console.is_interactive:
            return
        if self._live is None:
            self._live = Live(console=self.console, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.update(what)


class _Count:
    """How many runs of a command are done, of how many, and how long the others may take."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0
        self._began: tuple[float, int] | None = None
        self._last = 0.0

    def planned(self, done: int, total: int) -> None:
        """Take in how many there are in all, and of how many it is known that they are done, or have failed."""
        self.total = total
        self._to(max(done, self.done))

    def next(self) -> str:
        """Count a run that has just ended; return its number in brackets, or nothing where it is the only one."""
        self._to(self.done + 1)
        if self.total < 2:
            return ""
        return f"[{self.done:{len(str(self.total))}}/{self.total}] "

    def words(self) -> str:
        """Return how many are done, and about how long the rest takes: as long, run by run, as those before."""
        if self.total < 2:
            return ""
        text = f"{self.done} of {self.total} runs done"
        began, before = self._began or (0.0, self.done)
        if not before < self.done < self.total:
            return text
        each = (self._last - began) / (self.done - before)
        left = each * (self.total - self.done) - (time.monotonic() - self._last)
        return f"{text}, about {duration(max(left, 1.0))} left"

    def _to(self, done: int) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = (now, done)
        if done > self.done:
            self._last = now
        self.done = done
