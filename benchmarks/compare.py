"""`python -m benchmarks epochs`: seconds for an epoch, all competitors side by side.

Every way of running every competitor is a process that loads the data, compiles and runs one epoch unmeasured. Then
each runs one epoch in turn, A B C A B C, while the others wait: whatever else the machine does in those minutes, it
does to all of them.
"""

import argparse
import contextlib
import importlib.util
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from benchmarks import table, workload
from benchmarks.competitors import (
    BOUND,
    COMPETITORS,
    MIXED,
    MIXUP_BOUND,
    OURS,
    TEACHER,
    Competitor,
    Way,
    of_losses,
    of_mixup,
    ours_on,
)
from benchmarks.processes import ChildError, Worker

COLUMNS = ("seconds an epoch", "median", "min - max", "x ours", "CPU", "x ours", "run with", "once, s", "peak MB")


@dataclass
class Entry:
    """One way of running one competitor, its worker, and what has been measured of it."""

    competitor: Competitor
    way: Way
    worker: Worker | None = None
    facts: dict = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    @property
    def name(self) -> str:
        """The row and the way, for messages."""
        return f"{self.competitor.name} ({self.way.label})"

    @property
    def median(self) -> float:
        """The measure that everything is judged by."""
        return statistics.median(self.seconds)

    def as_json(self) -> dict:
        """All there is to know, for the JSON file."""
        return {
            "name": self.competitor.name,
            "way": asdict(self.way),
            "facts": self.facts,
            "seconds": self.seconds,
            "cpu": self.cpu,
            "median": self.median if self.seconds else None,
            "peak_mb": self.peak_mb,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `epochs`."""
    parser.add_argument("--rounds", type=int, default=5, help="epochs measured of each (default 5)")
    parser.add_argument("--images", type=int, default=60_000, help="training images (default all)")
    parser.add_argument("--net", choices=workload.NETS, default="mlp", help="the student (default mlp, the article's)")
    parser.add_argument("--batch", type=int, default=workload.BATCH, help="examples in a step (default 32)")
    parser.add_argument("--our-threads", type=int, help="of kdistill alone (default: what it settles for)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows whose names contain one of these, and ours")
    parser.add_argument("--losses", action="store_true", help="compare our soft losses: kl, and each other one")
    parser.add_argument("--mixup", action="store_true", help="compare an epoch with mixup with what it is made of")
    parser.add_argument("--all-ways", action="store_true", help="show the slower ways of running too")
    parser.add_argument("--torch-python", help="a Python that has PyTorch (default: this one, if it has)")


def run(options: argparse.Namespace) -> int:
    """Measure and show; return the exit code."""
    notes: list[str] = []
    entries = _entries(options, notes)
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        for entry in entries:
            table.say(f"warming up {entry.name}")
            _guarded(entry, failures, lambda entry=entry: _start(entry, options, stack))
        for number in range(1, options.rounds + 1):
            table.say(f"round {number} of {options.rounds}")
            for entry in entries:
                if entry.worker is not None:
                    _guarded(entry, failures, lambda entry=entry: _epoch(entry))
    notes += _share_of_mixup(entries)
    _show(entries, options, notes + failures)
    if options.json:
        rows = [entry.as_json() for entry in entries]
        settings = {key: getattr(options, key) for key in ("rounds", "images", "net", "batch", "our_threads")}
        table.save(options.json, {"epochs": rows, "settings": settings, "notes": notes + failures})
    return 1 if failures else 0


def _entries(options: argparse.Namespace, notes: list[str]) -> list[Entry]:
    rows = of_losses() if options.losses else of_mixup() if options.mixup else COMPETITORS
    wanted = [
        competitor
        for competitor in rows
        if not options.only or competitor.name == OURS or any(word in competitor.name for word in options.only)
    ]
    if options.net != "mlp" or options.batch != workload.BATCH:
        notes.append("Rows that know the article's net at batch 32 alone are left out.")
        wanted = [competitor for competitor in wanted if competitor.any_net]
    if any(competitor.torch for competitor in wanted) and not _torch_python(options):
        notes.append("PyTorch is left out: not installed here; give --torch-python.")
        wanted = [competitor for competitor in wanted if not competitor.torch]
    entries = [Entry(competitor, way) for competitor in wanted for way in competitor.ways]
    if options.our_threads:
        entries[0].way = ours_on(options.our_threads)
    return entries


def _torch_python(options: argparse.Namespace) -> str | None:
    if options.torch_python:
        return options.torch_python
    return sys.executable if importlib.util.find_spec("torch") else None


def _start(entry: Entry, options: argparse.Namespace, stack: contextlib.ExitStack) -> None:
    competitor = entry.competitor
    python = _torch_python(options) if competitor.torch else sys.executable
    module = f"benchmarks.{competitor.module}"
    command = [python, "-m", module, "--images", str(options.images), *entry.way.arguments]
    if competitor.any_net:
        command += ["--net", options.net, "--batch", str(options.batch)]
    worker = Worker(entry.name, command, entry.way.environment, options.timeout)
    stack.enter_context(worker)
    entry.facts = worker.wait_until_warm()
    entry.worker = worker


def _epoch(entry: Entry) -> None:
    reply = entry.worker.epoch()
    entry.seconds.append(reply["seconds"])
    entry.cpu.append(reply["cpu"])
    entry.peak_mb = reply["peak_mb"]


def _guarded(entry: Entry, failures: list[str], action) -> None:  # type: ignore[no-untyped-def]
    """Do one thing with one worker; if that fails, its row goes and the others go on."""
    try:
        action()
    except (ChildError, OSError) as error:
        failures.append(f"FAILED: {error}" if isinstance(error, ChildError) else f"FAILED: {entry.name}: {error}")
        table.say(failures[-1])
        if entry.worker is not None:
            entry.worker.close()
        entry.worker, entry.seconds = None, []


def _share_of_mixup(entries: list[Entry]) -> list[str]:
    """Return how long an epoch with mixup takes beside its parts: the median over the rounds, in clock and CPU time."""
    by_name = {entry.competitor.name: entry for entry in entries if entry.seconds}
    if not {OURS, TEACHER, MIXED} <= set(by_name):
        return []
    ratios = []
    for of in (lambda entry: entry.seconds, lambda entry: entry.cpu):
        parts = zip(*(of(by_name[name]) for name in (MIXED, OURS, TEACHER)), strict=True)
        ratios.append(statistics.median(mixed / (student + teacher) for mixed, student, teacher in parts))
    return [
        f"mixup: {ratios[0]:.2f} times the student's steps and the teacher's forward pass together "
        f"({ratios[1]:.2f} in CPU time); at most {MIXUP_BOUND:g}."
    ]


def _show(entries: list[Entry], options: argparse.Namespace, notes: Sequence[str]) -> None:
    measured = [entry for entry in entries if entry.seconds]
    ours = next((entry for entry in measured if entry.competitor.name == OURS), None)
    shown = measured if options.all_ways else _fastest_ways(measured)
    title = (
        f"Distillation of {options.net} at batch {options.batch}, {options.images:,} images, {options.rounds} rounds"
    )
    about = (
        f"Data: {_data_source(measured)}. "
        "Each row: its fastest way of running, all of them measured in turn (--all-ways shows them).",
        "CPU: seconds of all threads together, which other work on the machine changes less than the clock's.",
        "once: computing the teacher's logits before the first epoch, where they are cached.",
        table.machine_line(),
    )
    table.show(
        title, COLUMNS, [_row(entry, ours) for entry in shown], [*about, *(note.partition("\n")[0] for note in notes)]
    )


def _data_source(measured: list[Entry]) -> str:
    trained = [entry for entry in measured if entry.competitor.name != BOUND]
    return ", ".join(sorted({entry.facts["data"] for entry in trained})) or "random matrices"


def _fastest_ways(measured: list[Entry]) -> list[Entry]:
    best: dict[str, Entry] = {}
    for entry in measured:
        name = entry.competitor.name
        if name not in best or entry.median < best[name].median:
            best[name] = entry
    return list(best.values())


def _row(entry: Entry, ours: Entry | None) -> list[str]:
    cpu = statistics.median(entry.cpu)
    ratio = f"{entry.median / ours.median:.2f}" if ours else "-"
    cpu_ratio = f"{cpu / statistics.median(ours.cpu):.2f}" if ours else "-"
    once = f"{entry.facts['once']:.2f}" if "once" in entry.facts else "-"
    middle, extent = table.spread(entry.seconds, 3)
    label = entry.way.label
    name, peak = entry.competitor.name, f"{entry.peak_mb:.0f}"
    return [name, middle, extent, ratio, f"{cpu:.3f}", cpu_ratio, label, once, peak]
