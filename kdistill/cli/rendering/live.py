"""The live view of a command: a row of figures for each run in progress, and how many runs are done."""

import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from statistics import median

from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, Task, TaskID, TextColumn
from rich.text import Text

from kdistill.cli.rendering.tables import FittingTable
from kdistill.core.formatting import number
from kdistill.core.listener import Downloading, EpochRecord, RunStarted

LOSSES = ("loss", "soft", "hard")
FIGURES = ("epoch", "val acc", "monitored", "best epoch", "time left", "patience", "examples/s", "monitor", *LOSSES)
"""The columns, the most important first."""
RECENT = 5  # epochs, from whose durations the speed is estimated
KNOWN = ("val_nll", "val_accuracy", "val_loss")  # in the record of every epoch: no figure of their own
SLOW_EPOCH = 2.0  # seconds, from which on the epoch is shown with a decimal


class RunTable(Progress):
    """The runs in progress, one row each. A narrow terminal shows the first columns only.

    Args:
        console: where it is shown, whose clock times the epochs.
        footer: returns the last line; an empty one is left out.
    """

    def __init__(self, console: Console, footer: Callable[[], str] = str) -> None:
        self.footer = footer  # first, since Progress renders itself while it is made
        super().__init__(console=console, auto_refresh=False)

    def add_run(self, title: str, run: RunStarted, monitor: str | None = None) -> TaskID:
        """Add a row for a run that starts or resumes; `monitor` names the measure that selects its best epoch."""
        best = next((record for record in reversed(run.history) if record["best"]), None)
        recent, done = run.history[-RECENT:], len(run.history)
        return self.add_task(
            title, total=run.epochs, completed=done, examples=run.examples, monitor=monitor, recent=recent, best=best
        )

    def add_share(self, row: TaskID, share: float) -> None:
        """Show that a share of the current epoch is done."""
        recent = self._tasks[row].fields["recent"]
        self.update(row, completed=(recent[-1]["epoch"] if recent else 0) + share)

    def add_epoch(self, row: TaskID, record: EpochRecord) -> None:
        """Show the figures of an epoch that has ended."""
        known = self._tasks[row].fields
        recent, best = [*known["recent"], record][-RECENT:], record if record["best"] else known["best"]
        self.update(row, completed=record["epoch"], recent=recent, best=best)

    def plain_line(self, row: TaskID) -> str:
        """Return the figures of a run on a line, each after its name."""
        run = self._tasks[row]
        return "  ".join([run.description, *(f"{name} {figure}" for name, figure in figures(run).items() if figure)])

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the table and the footer."""
        if runs := self.tasks:
            yield FittingTable(None, [(run.description, figures(run)) for run in runs], list_hidden=False)
        if footer := self.footer():
            yield Text(footer, no_wrap=True, overflow="ellipsis")


def figures(run: Task) -> dict[str, str]:
    """Return the figures of a run by their names, the most important first; what is not known is empty."""
    shown = dict.fromkeys(FIGURES, "")
    recent, best, seconds = run.fields["recent"], run.fields["best"], _epoch_seconds(run)
    done = f"{run.completed:.1f}".removesuffix(".0") if seconds > SLOW_EPOCH else str(int(run.completed))
    shown["epoch"] = f"{done}/{run.total}"
    watched = "" if run.fields["monitor"] in KNOWN else run.fields["monitor"]
    if recent:
        record = recent[-1]
        shown |= {"val acc": number(record["val_accuracy"]), "loss": number(record["loss"])}
        if watched in record:
            shown["monitored"] = number(record[watched])
        if record["soft"]:
            shown |= {"soft": number(record["soft"]), "hard": number(record["hard"])}
        if record["patience_left"] is not None:
            shown["patience"] = str(record["patience_left"])
    if best:
        shown["best epoch"] = f"{best['epoch']} ({number(best.get(watched, best['val_accuracy']))})"
        shown["monitor"] = run.fields["monitor"] or ""
    if seconds and (examples := run.fields["examples"]):
        shown["examples/s"] = f"{float(f'{examples / seconds:.2g}'):,.0f}"
    if seconds and run.remaining:  # early stopping may end the run before
        shown["time left"] = f"< {timedelta(seconds=math.ceil(seconds * run.remaining))}"
    return shown


def _epoch_seconds(run: Task) -> float:
    """Return the median duration of the last epochs; during the first one, its duration at the speed so far, or 0."""
    if recent := run.fields["recent"]:
        return median(record["seconds"] for record in recent)
    return (run.elapsed or 0.0) / run.completed if run.completed else 0.0


def download(file: Downloading, console: Console) -> Progress:
    """Return a bar that shows how much of a file has been received."""
    bar = Progress(
        TextColumn("downloading {task.description}", markup=False), BarColumn(16), DownloadColumn(), console=console
    )
    bar.add_task(file.name, total=file.total, completed=file.received)
    return bar
