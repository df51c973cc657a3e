"""`python -m benchmarks checkpoints`: what being able to go on costs.

The baseline of `article` is trained by its recipe, folder and all, with checkpoints as they are made by default, after
every epoch, and never, in turn and in one process. `share` is the time spent in making them, as a part of the run's:
it is measured directly, since the difference between two runs is smaller than what the machine adds to either.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import table

COLUMNS = ("checkpoints", "made", "run, s", "min - max", "x never", "each, ms", "share, %")
NEVER = 10**6
CADENCES = {"by default (auto)": "auto", "after every epoch": 1, "never": NEVER}


@dataclass
class Entry:
    """One cadence, and what was measured of it."""

    name: str
    every: int | str
    seconds: list[float] = field(default_factory=list)
    spent: list[list[float]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Median over the rounds of the part of a run that went into checkpoints."""
        return statistics.median(sum(spent) / seconds for spent, seconds in zip(self.spent, self.seconds, strict=True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `checkpoints`."""
    parser.add_argument("--epochs", type=int, default=20, help="of each run (default 20)")
    parser.add_argument("--rounds", type=int, default=5, help="runs with each cadence (default 5)")


def run(options: argparse.Namespace) -> int:
    """Measure and show; return the exit code."""
    from kdistill import config
    from kdistill.core import backend
    from kdistill.recipes.shared_data import SharedData

    article = config.load("article", [f"training.epochs={options.epochs}", "training.patience=null"])
    shared = SharedData()
    backend.start(threads=1, device="cpu")
    entries = [Entry(name, every) for name, every in CADENCES.items()]
    _train(article, shared, NEVER)  # compiles
    for number in range(1, options.rounds + 1):
        table.say(f"round {number} of {options.rounds}")
        for entry in entries:
            seconds, spent = _train(article, shared, entry.every)
            entry.seconds.append(seconds)
            entry.spent.append(spent)
    _show(entries, options)
    if options.json:
        rows = [{"name": e.name, "seconds": e.seconds, "spent": e.spent} for e in entries]
        table.save(options.json, {"checkpoints": rows, "settings": {"epochs": options.epochs}})
    return 0


def _train(article, shared, every):  # type: ignore[no-untyped-def]
    """Return the seconds of one run, and those of each of its checkpoints."""
    from kdistill import runs
    from kdistill.recipes import arms, attempt
    from kdistill.recipes.session import Options, Session

    spent: list[float] = []

    class Timed(runs.Cadence):
        @contextlib.contextmanager
        def timed(self):  # type: ignore[no-untyped-def]
            started = time.perf_counter()
            with super().timed():
                yield
            spent.append(time.perf_counter() - started)

    attempt.Cadence = Timed  # type: ignore[misc]
    config = article.model_copy(update={"training": article.training.model_copy(update={"checkpoint_every": every})})
    with tempfile.TemporaryDirectory(prefix="kdistill-bench-") as folder:
        session = Session(config, runs.Experiment(Path(folder)), Options(threads=1), shared=shared)
        session.start()
        started = time.perf_counter()
        arms.baseline(session, 0)
        return time.perf_counter() - started, spent


def _show(entries: list[Entry], options: argparse.Namespace) -> None:
    never = statistics.median(next(entry for entry in entries if entry.every == NEVER).seconds)
    rows = []
    for entry in entries:
        middle, extent = table.spread(entry.seconds, 2)
        costs = [1000 * seconds for spent in entry.spent for seconds in spent]
        rows.append(
            [
                entry.name,
                f"{len(costs) / options.rounds:.0f}",
                middle,
                extent,
                f"{statistics.median(entry.seconds) / never:.3f}",
                f"{statistics.median(costs):.1f}" if costs else "-",
                f"{100 * entry.share:.2f}",
            ]
        )
    title = f"The baseline of article, {options.epochs} epochs, {options.rounds} rounds"
    table.show(title, COLUMNS, rows, [table.machine_line()])
