"""Prints results: a Rich table on a terminal, plain columns in a pipe, JSON in a file."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """Print one table on standard output, then its notes."""
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else PIPE_WIDTH, highlight=False)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD if terminal else None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """Report progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def save(path: Path, document: dict) -> None:
    """Write a result with all its rounds as JSON, with the machine it was measured on."""
    path.write_text(json.dumps({"machine": machine(), **document}, indent=2) + "\n")


def machine() -> dict:
    """Describe the machine and the versions in use."""
    packages = {}
    for name in ("tensorflow", "keras", "numpy"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    return {
        "cpu": _cpu_model(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
        **packages,
    }


def machine_line() -> str:
    """Describe the machine in one line for a table's notes."""
    facts = machine()
    cpus = ",".join(map(str, facts["cpus"]))
    versions = ", ".join(f"{name} {facts[name]}" for name in ("python", "tensorflow", "keras"))
    return f"{facts['cpu']}, CPUs {cpus}; {versions}; load average at the end {facts['load'][0]}"


def spread(values: Sequence[float], digits: int) -> tuple[str, str]:
    """Return the median, and the range as `min - max`, as text."""
    middle = statistics.median(values)
    return f"{middle:.{digits}f}", f"{min(values):.{digits}f} - {max(values):.{digits}f}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((li.split(":")[1].strip() for li in lines if li.startswith("model name")), "CPU")
