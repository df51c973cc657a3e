"""What a person sees while it trains: a live line in a terminal, a few plain lines anywhere else. All on stderr."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import IO, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from kdistill.listener import Listener

BAR_WIDTH = 16
PLAIN_LINE_EVERY = 30.0  # seconds


def console(stderr: bool = False) -> Console:
    """Return a console on stdout or stderr. Where there is no terminal, tables are given room and keep their shape."""
    file = sys.stderr if stderr else sys.stdout
    wide = None if file.isatty() or "COLUMNS" in os.environ else 140
    return Console(file=_Narration(file) if stderr else file, width=wide, highlight=False)  # type: ignore[arg-type]


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
        self._runs: dict[str, _RunState] = {}
        self._warned: set[str] = set()
        self._spoke = 0.0
        self._done, self._total = 0, 0

    def of(self, name: str) -> Listener:
        """Return who shows one of several runs that go on at the same time, each on a line of its own."""
        return _OneOf(self, name)

    def planned(self, done: int, total: int) -> None:
        """Show how many of all runs are done."""
        self._done, self._total = done, total

    def run_failed(self, name: str, message: str) -> None:
        """Print why a run could not be made."""
        self._remove(name)
        self._say(f"[red]Failed:[/red] {escape(name)}: {escape(message)}")

    def note(self, text: str) -> None:
        """Print a sentence."""
        if not self.quiet:
            self._say(f"[dim]{escape(text)}[/dim]")

    def warning(self, text: str) -> None:
        """Print a warning once."""
        if text not in self._warned:
            self._warned.add(text)
            self._say(f"[yellow]Warning:[/yellow] {escape(text)}")

    def download(self, name: str, received: int, total: int | None) -> None:
        """Show how much of a file has arrived."""
        share = received / total if total else 0.0
        line = f"downloading {name}  {_bar(share)} {received / 1e6:.1f} MB"
        self._show(line)
        if total and received >= total:
            self._close()
            self.note(f"downloaded {name} ({received / 1e6:.1f} MB)")

    def run_started(
        self,
        arm: str,
        seed: int,
        epochs: int,
        patience: int | None,
        history: Sequence[Mapping[str, Any]] = (),
        name: str = "",
    ) -> None:
        """Open the line of a run."""
        role = "teacher" if arm == "teacher" else "student"
        self._runs[name] = _RunState(name or f"{arm} seed {seed}", epochs, self.monitors.get(role), whole=bool(name))
        for record in history:
            self._runs[name].take(record)
        self._spoke = time.monotonic()
        self._show_runs()

    def progress(self, done: float, name: str = "") -> None:
        """Move the bar within an epoch."""
        self._runs[name].share = done
        self._show_runs()

    def epoch(self, record: Mapping[str, Any], name: str = "") -> None:
        """Take the epoch's figures into the line; away from a terminal, print it now and then."""
        self._runs[name].take(record)
        self._show_runs()
        overdue = time.monotonic() - self._spoke > PLAIN_LINE_EVERY
        if self.verbose or (overdue and not self.console.is_terminal):
            self._spoke = time.monotonic()
            self.note(self._runs[name].plain_line())

    def run_finished(self, arm: str, seed: int, result: Mapping[str, Any], name: str = "") -> None:
        """Replace the live line by one that stays."""
        self._remove(name)
        if not self.quiet:
            accuracy = result["validation"]["accuracy"]
            seconds = result["run_info"]["seconds"]
            title = f"{arm:9} seed {seed}" if name in ("", f"{arm} seed {seed}") else name
            self._say(
                f"[bold]{escape(title)}[/bold]  validation accuracy [bold]{accuracy:.4f}[/bold]  "
                f"best epoch {result['best_epoch']} of {result['epochs']}  ({result['stopped']}; {seconds:.1f} s)"
            )

    def close(self) -> None:
        """Take down what is live, whatever happened."""
        self._close()

    def _say(self, text: str) -> None:
        """Print a line of markup; only a terminal's own edge may break it."""
        self.console.print(text, soft_wrap=True)

    def _show_runs(self) -> None:
        if self.quiet or not self.console.is_terminal:
            return
        lines = [state.line(self.console.width) for state in self._runs.values()]
        if self._total > 1:
            lines.append(f"{self._done} of {self._total} done")
        self._show("\n".join(lines))

    def _remove(self, name: str) -> None:
        self._runs.pop(name, None)
        if self._runs:
            self._show_runs()
        else:
            self._close()

    def _show(self, line: str) -> None:
        if self.quiet or not self.console.is_terminal:
            return
        if self._live is None:
            self._live = Live(console=self.console, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.update(Text(line, no_wrap=True, overflow="ellipsis"))

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class _OneOf(Listener):
    """Hears one of several runs, and shows it on the screen of all."""

    def __init__(self, screen: Screen, name: str) -> None:
        self._screen, self._name = screen, name

    def note(self, text: str) -> None:
        self._screen.note(text)

    def warning(self, text: str) -> None:
        self._screen.warning(text)

    def download(self, name: str, received: int, total: int | None) -> None:
        self._screen.download(name, received, total)

    def run_started(
        self, arm: str, seed: int, epochs: int, patience: int | None, history: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._screen.run_started(arm, seed, epochs, patience, history, self._name)

    def progress(self, done: float) -> None:
        self._screen.progress(done, self._name)

    def epoch(self, record: Mapping[str, Any]) -> None:
        self._screen.epoch(record, self._name)

    def run_finished(self, arm: str, seed: int, result: Mapping[str, Any]) -> None:
        self._screen.run_finished(arm, seed, result, self._name)


class _RunState:
    """The figures of a run that is on.

    Args:
        title: of the run.
        epochs: how many at most.
        monitor: the measure that chooses the best epoch.
        whole: the bar is of the whole run.
    """

    def __init__(self, title: str, epochs: int, monitor: str | None = None, whole: bool = False) -> None:
        self.title, self.epochs, self.monitor, self.whole = title, epochs, monitor, whole
        self.share = 0.0
        self.best, self.best_epoch = 0.0, 0
        self.record: Mapping[str, Any] | None = None
        self.seconds: list[float] = []

    def take(self, record: Mapping[str, Any]) -> None:
        self.record, self.share = record, 0.0
        self.seconds.append(record["seconds"])
        if record["best"]:
            self.best, self.best_epoch = record["val_accuracy"], record["epoch"]

    def plain_line(self) -> str:
        """Return the figures after an epoch."""
        parts = [self.title, f"epoch {self._done}/{self.epochs}", *self._figures().values()]
        return "  ".join(part for part in parts if part)

    def line(self, width: int) -> str:
        """Return the figures within an epoch, without those that find no room: first the least of them go."""
        now = f"epoch {min(self._done + 1, self.epochs)}/{self.epochs}"
        parts = {
            "title": self.title,
            "bar": _bar((self._done + self.share) / self.epochs if self.whole else self.share),
            "epoch": now,
            **self._figures(),
        }
        parts = {name: part for name, part in parts.items() if part}
        for least in ("best", "loss", "patience", "bar"):
            if len("  ".join(parts.values())) <= width:
                break
            parts.pop(least, None)
        line = "  ".join(parts.values())
        if len(line) <= width:
            return line
        return line.replace("val accuracy", "val").replace("at most ", "≤ ").removesuffix(" left")

    @property
    def _done(self) -> int:
        return self.record["epoch"] if self.record else 0

    def _figures(self) -> dict[str, str]:
        if not self.record:
            return {}
        by = f" by {self.monitor}" if self.monitor else ""
        patience = self.record["patience_left"]
        return {
            "loss": _losses(self.record),
            "accuracy": f"val accuracy {self.record['val_accuracy']:.4f}",
            "best": f"best epoch{by}: {self.best_epoch} ({self.best:.4f})",
            "patience": "" if patience is None else f"patience {patience}",
            "left": self._time_left(),
        }

    def _time_left(self) -> str:
        """Return the time to the last epoch: early stopping may well end the run before."""
        if self._done >= self.epochs:
            return ""
        recent = sorted(self.seconds[-5:])
        left = recent[len(recent) // 2] * (self.epochs - self._done)
        return f"at most {_duration(max(left, 1.0))} left"


def _losses(record: Mapping[str, Any]) -> str:
    if record["soft"]:
        return f"loss {record['loss']:.4f} (soft {record['soft']:.4f}, hard {record['hard']:.4f})"
    return f"loss {record['loss']:.4f}"


def _bar(share: float) -> str:
    full = round(share * BAR_WIDTH)
    return "━" * full + "╌" * (BAR_WIDTH - full)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
