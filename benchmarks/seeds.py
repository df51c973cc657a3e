"""`python -m benchmarks seeds`: many runs side by side, from process start to exit.

`reproduce -c article` with several seeds, by two workers and by one in turn, against the article's script run as often
as there are seeds. Then a sweep, whose time is held against that of its own training, and what short runs cost as they
get more. Every command starts in a fresh process and a fresh folder.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import table
from benchmarks.processes import Usage, measure

GRID = ["--grid", "distill.temperature=1,2,4,8,20", "--grid", "distill.alpha=0.1,0.5,0.9,1.0"]
SHORT_RUNS = (1, 4, 16, 64)
COLUMNS = ("start to exit", "wall, s", "min - max", "x two workers", "CPU, s")


@dataclass
class Row:
    """A command, and what it has used in each round."""

    name: str
    arguments: Sequence[str]
    used: list[Usage] = field(default_factory=list)

    def wall(self) -> float:
        """Return the median over the rounds."""
        return statistics.median(usage.wall for usage in self.used)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `seeds`."""
    parser.add_argument("--seeds", type=int, default=4, help="of article (default 4)")
    parser.add_argument("--epochs", type=int, default=6, help="of each of its runs (default 6)")
    parser.add_argument("--sweep-epochs", type=int, default=6, help="of each run of the sweep (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="of each command (default 3)")


def run(options: argparse.Namespace) -> int:
    """Measure and show; return the exit code."""
    rows = _reproductions(options)
    sweep = _sweep(options)
    short = _short_runs(options)
    if options.json:
        measured = {row.name: [asdict(usage) for usage in row.used] for row in rows}
        table.save(options.json, {"seeds": measured, "sweep": sweep, "short_runs": short})
    return 0


def _reproductions(options: argparse.Namespace) -> list[Row]:
    ours = ["-m", "kdistill", "reproduce", "-c", "article", "--seeds", str(options.seeds)]
    ours += ["--set", f"training.epochs={options.epochs}"]
    script = ["-m", "benchmarks.article_script", "--epochs", str(options.epochs)]
    rows = [Row(f"kdistill, {count} worker{'s' * (count > 1)}", [*ours, "--workers", str(count)]) for count in (2, 1)]
    theirs = Row(f"the article's script, once, times {options.seeds}", script)
    for number in range(1, options.rounds + 1):
        table.say(f"reproduce and the article's script: round {number} of {options.rounds}")
        for row in rows:
            with _folder() as folder:
                row.used.append(_measure(row.name, [*row.arguments, "--output-dir", folder], options))
        once = _measure(theirs.name, theirs.arguments, options)
        theirs.used.append(Usage(options.seeds * once.wall, options.seeds * once.cpu, once.peak_mb))
    rows.append(theirs)
    two = rows[0].wall()
    lines = []
    for row in rows:
        middle, extent = table.spread([usage.wall for usage in row.used], 1)
        cpu = statistics.median(usage.cpu for usage in row.used)
        lines.append([row.name, middle, extent, f"{row.wall() / two:.2f}", f"{cpu:.1f}"])
    title = f"article, {options.seeds} seeds of teacher, baseline and distilled, {options.epochs} epochs each"
    table.show(title, COLUMNS, lines, [table.machine_line()])
    return rows


def _sweep(options: argparse.Namespace) -> dict:
    """Return how long a sweep of 20 cells takes, and how long its runs trained."""
    arguments = ["-m", "kdistill", "sweep", "-c", "article", *GRID, "--seeds", "3", "--workers", "2"]
    arguments += ["--set", f"training.epochs={options.sweep_epochs}", "--set", "data.validation=0.1"]
    rounds = []
    for number in range(1, options.rounds + 1):
        table.say(f"sweep: round {number} of {options.rounds}")
        with _folder() as folder:
            used = _measure("sweep", [*arguments, "--output-dir", folder], options)
            results = [json.loads(path.read_text()) for path in Path(folder).rglob("result.json")]
            copied = {result["weights_sha256"]: result["run_info"]["seconds"] for result in results}
            rounds.append({"wall": used.wall, "runs": len(copied), "training": sum(copied.values())})
    ratio = statistics.median(each["wall"] / (each["training"] / 2) for each in rounds)
    wall, training = (statistics.median(each[name] for each in rounds) for name in ("wall", "training"))
    title = f"A sweep of 20 cells, 3 seeds, {options.sweep_epochs} epochs, two workers"
    columns = ("runs", "wall, s", "training of all runs, s", "wall / (training / 2)")
    table.show(title, columns, [[str(rounds[0]["runs"]), f"{wall:.1f}", f"{training:.1f}", f"{ratio:.2f}"]], [])
    return {"rounds": rounds, "ratio": ratio}


def _short_runs(options: argparse.Namespace) -> list[dict]:
    """Return what ever more short runs take: quickstart's three arms, ten epochs each."""
    rows = []
    for seeds in SHORT_RUNS:
        arguments = ["-m", "kdistill", "reproduce", "--seeds", str(seeds), "--workers", "1"]
        arguments += ["--set", "training.epochs=10", "--set", "training.patience=null"]
        walls = []
        for number in range(1, options.rounds + 1):
            table.say(f"{3 * seeds} short runs: round {number} of {options.rounds}")
            with _folder() as folder:
                used = _measure("short", [*arguments, "--output-dir", folder], options)
                walls.append((used.wall, used.peak_mb))
        wall, peak = (statistics.median(values) for values in zip(*walls, strict=True))
        rows.append({"runs": 3 * seeds, "wall": wall, "peak_mb": peak})
    first = rows[0]
    lines = [
        [
            str(row["runs"]),
            f"{row['wall']:.1f}",
            "-" if row is first else f"{(row['wall'] - first['wall']) / (row['runs'] - first['runs']):.2f}",
            f"{row['peak_mb']:.0f}",
        ]
        for row in rows
    ]
    columns = ("runs", "wall, s", "each run after the first three, s", "peak MB")
    table.show("Short runs in one process (quickstart, 10 epochs)", columns, lines, [])
    return rows


def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="kdistill-bench-", ignore_cleanup_errors=True)


def _measure(name: str, arguments: Sequence[str], options: argparse.Namespace) -> Usage:
    return measure(name, [sys.executable, *arguments], {}, options.timeout)
