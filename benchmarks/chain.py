"""`python -m benchmarks chain`: the whole experiment from process start to exit, against the article's script.

Both train a teacher, a distilled student and a baseline on all of Fashion-MNIST with the same number of epochs and
validate on the test set after each. Interpreter start, importing TensorFlow, reading the data, compiling and, for
kdistill, writing its results are all in the time. The commands take turns, each in a fresh process and kdistill
in a fresh folder, so that nothing it has cached before helps it.

`import tensorflow` is the floor of both in time and memory; `kdistill --help` is what a user waits for first.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks import table
from benchmarks.processes import ChildError, Usage, measure

OURS = "kdistill reproduce"
FLOOR = "import tensorflow"
COLUMNS = ("start to exit", "wall, s", "min - max", "x ours", "CPU, s", "x ours", "peak MB", "above import")


@dataclass
class Command:
    """One row: a command, made anew for each round because of the temporary folder in it, and its measurements."""

    name: str
    make: Callable[[str], Sequence[str]]
    used: list[Usage] = field(default_factory=list)

    def median(self, measure: str) -> float:
        """Return the median over the rounds of `wall`, `cpu` or `peak_mb`."""
        return statistics.median(getattr(usage, measure) for usage in self.used)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `chain`."""
    parser.add_argument("--epochs", type=int, default=6, help="of each of the three (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command (default 3)")


def run(options: argparse.Namespace) -> int:
    """Measure and show; return the exit code."""
    commands = _commands(options.epochs)
    failures: dict[str, str] = {}
    for number in range(1, options.rounds + 1):
        for command in commands:
            if command.name in failures:
                continue
            table.say(f"round {number} of {options.rounds}: {command.name}")
            try:
                command.used.append(_once(command, options.timeout))
            except ChildError as error:
                failures[command.name] = f"FAILED: {error}"
                table.say(failures[command.name])
    measured = [command for command in commands if command.used and command.name not in failures]
    _show(measured, options, list(failures.values()))
    if options.json:
        rows = [{"name": c.name, "rounds": [asdict(usage) for usage in c.used]} for c in commands]
        settings = {"rounds": options.rounds, "epochs": options.epochs}
        notes = list(failures.values())
        table.save(options.json, {"chain": rows, "settings": settings, "notes": notes})
    return 1 if failures else 0


def _commands(epochs: int) -> list[Command]:
    python = sys.executable
    script = [python, "-m", "benchmarks.article_script", "--epochs", str(epochs)]
    ours = [python, "-m", "kdistill"]
    reproduce = [*ours, "reproduce", "-c", "article", "--seeds", "1"]
    reproduce += ["--set", f"training.epochs={epochs}", "--output-dir"]
    return [
        Command(OURS, lambda folder: [*reproduce, folder]),
        Command("the article's script", lambda folder: script),
        Command(FLOOR, lambda folder: [python, "-c", "import tensorflow"]),
        Command("kdistill --help", lambda folder: [*ours, "--help"]),
    ]


def _once(command: Command, timeout: float) -> Usage:
    with tempfile.TemporaryDirectory(prefix="kdistill-bench-", ignore_cleanup_errors=True) as folder:
        return measure(command.name, command.make(f"{folder}/out"), {}, timeout)


def _show(measured: list[Command], options: argparse.Namespace, failures: list[str]) -> None:
    by_name = {command.name: command for command in measured}
    rows = [_row(command, by_name.get(OURS), by_name.get(FLOOR)) for command in measured]
    title = f"Teacher, distilled student and baseline, {options.epochs} epochs, {options.rounds} rounds"
    about = (
        "Medians. CPU: user and system time. Peak MB: the most resident memory; above import: less that of the import.",
        table.machine_line(),
    )
    table.show(title, COLUMNS, rows, [*about, *(failure.partition("\n")[0] for failure in failures)])


def _row(command: Command, ours: Command | None, floor: Command | None) -> list[str]:
    def ratio(measure: str) -> str:
        return f"{command.median(measure) / ours.median(measure):.2f}" if ours else "-"

    wall, extent = table.spread([usage.wall for usage in command.used], 2)
    above = command.median("peak_mb") - floor.median("peak_mb") if floor else None
    return [
        command.name,
        wall,
        extent,
        ratio("wall"),
        f"{command.median('cpu'):.2f}",
        ratio("cpu"),
        f"{command.median('peak_mb'):.0f}",
        "-" if above is None or above <= 0 else f"{above:.0f}",
    ]
