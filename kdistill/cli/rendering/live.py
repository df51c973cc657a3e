"""The live view of a command: a row of figures for each run in progress, and how many runs are done."""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from statistics import median

from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, Task, TaskID, TextColumn
from rich.text import Text

from kdistill.cli.rendering.tables import FittingTable
from kdistill.core.formatting import number
from kdistill.core.listener import Downloading, EpochRecord, RunStarted
from kdistill.evaluation.measures import VALIDATION, main_of, title_of

LOSSES = ("loss", "soft", "hard")
ACCURACY, PRECISION = "val acc", "val mAP"  # of multi-label data the latter
MONITORED, BEST = "monitored", "best"
FIGURES = ("epoch", ACCURACY, PRECISION, MONITORED, BEST, "time left", "patience", "examples/s", *LOSSES)
"""The columns, the most important first. `monitored` and `best` are followed by the name of what is monitored."""
RECENT = 5  # epochs, from whose durations the speed is estimated
KNOWN = ("val_nll", "val_accuracy", "val_loss")  # in the record of every epoch: no figure of their own
LEAST_SHARE = 0.1  # of the first epoch, from which the speed is estimated
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
            title,
            total=run.epochs,
            completed=done,
            examples=run.examples,
            monitor=monitor,
            recent=recent,
            best=best,
            began=None,  # seconds and share of the first epoch, when the first part of it was done
            pace=0.0,  # seconds of an epoch, from the rest of the first one
        )

    def add_share(self, row: TaskID, share: float) -> None:
        """Show that a share of the current epoch is done."""
        run = self._tasks[row]
        recent, began = run.fields["recent"], run.fields["began"]
        # In the first and in the last part of the first epoch steps are compiled: these say nothing of the speed.
        began = began or (None if recent else (run.elapsed or 0.0, share))
        pace = run.fields["pace"]
        if not recent and began and began[1] + LEAST_SHARE <= share < 1:
            pace = ((run.elapsed or 0.0) - began[0]) / (share - began[1])
        self.update(row, completed=(recent[-1]["epoch"] if recent else 0) + share, began=began, pace=pace)

    def add_epoch(self, row: TaskID, record: EpochRecord) -> None:
        """Show the figures of an epoch that has ended."""
        known = self._tasks[row].fields
        recent, best = [*known["recent"], record][-RECENT:], record if record["best"] else known["best"]
        self.update(row, completed=record["epoch"], recent=recent, best=best)

    def plain_line(self, row: TaskID) -> str:
        """Return the figures of a run on a line, each after its name."""
        run = self._tasks[row]
        known = _named(figures(run), _title(run))
        return "  ".join([run.description, *(f"{name} {figure}" for name, figure in known.items() if figure)])

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the table and the footer."""
        if runs := self.tasks:
            titles = list(map(_title, runs))
            one = titles[0] if len(set(titles)) == 1 else None
            rows = [
                (run.description, _named(figures(run), one, title)) for run, title in zip(runs, titles, strict=True)
            ]
            yield FittingTable(None, rows, list_hidden=False)
        if footer := self.footer():
            yield Text(footer, no_wrap=True, overflow="ellipsis")


def _title(run: Task) -> str:
    """Return the name of what a run monitors; empty if it is not known."""
    return title_of(run.fields["monitor"]) if run.fields["monitor"] else ""


def _named(known: Mapping[str, str], heading: str | None, title: str = "") -> dict[str, str]:
    """Return figures whose headings say what is monitored; if the runs have no one `heading`, the figures say it."""
    if heading is None:
        return {name: f"{title} {of}" if of and name in (MONITORED, BEST) else of for name, of in known.items()}
    return {
        {MONITORED: heading or MONITORED, BEST: f"best {heading}".rstrip()}.get(name, name): of
        for name, of in known.items()
        if of or name != MONITORED  # its heading may be that of a column of every run
    }


def figures(run: Task) -> dict[str, str]:
    """Return the figures of a run by their names, the most important first; what is not known is empty."""
    shown = dict.fromkeys(FIGURES, "")
    recent, best, seconds = run.fields["recent"], run.fields["best"], _epoch_seconds(run)
    done = f"{run.completed:.1f}".removesuffix(".0") if seconds > SLOW_EPOCH else str(int(run.completed))
    shown["epoch"] = f"{done}/{run.total}"
    main = f"{VALIDATION}{main_of(recent[-1] if recent else {}, VALIDATION).name}"
    watched = "" if run.fields["monitor"] in (*KNOWN, main) else run.fields["monitor"]
    if recent:
        record = recent[-1]
        title = ACCURACY if main in KNOWN else PRECISION
        shown |= {title: number(record[main]), "loss": number(record["loss"])}
        if watched in record:
            shown[MONITORED] = number(record[watched])
        if record["soft"]:
            shown |= {"soft": number(record["soft"]), "hard": number(record["hard"])}
        if record["patience_left"] is not None:
            shown["patience"] = str(record["patience_left"])
    if best:
        value = best.get(run.fields["monitor"], best.get(main, best["val_accuracy"]))
        shown[BEST] = f"{number(value)} at {best['epoch']}"
    if seconds and (examples := run.fields["examples"]):
        shown["examples/s"] = f"{float(f'{examples / seconds:.2g}'):,.0f}"
    if seconds and run.remaining:  # early stopping may end the run before
        shown["time left"] = f"< {timedelta(seconds=math.ceil(seconds * run.remaining))}"
    return shown


def _epoch_seconds(run: Task) -> float:
    """Return the median duration of the last epochs but the first one, in which steps are compiled.

    Until there are others, the duration of an epoch at the speed of the first one since its first part; 0 if unknown.
    """
    durations = [record["seconds"] for record in run.fields["recent"] if record["epoch"] > 1]
    return median(durations) if durations else run.fields["pace"]


def download(file: Downloading, console: Console) -> Progress:
    """Return a bar that shows how much of a file has been received."""
    bar = Progress(
        TextColumn("downloading {task.description}", markup=False), BarColumn(16), DownloadColumn(), console=console
    )
    bar.add_task(file.name, total=file.total, completed=file.received)
    return bar
