"""The document of a benchmark; the last one of an experiment is stored in its folder, for its report."""

import contextlib
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from kdistill.core import documents, files
from kdistill.core.errors import OutputError
from kdistill.runs import Experiment, shapes
from kdistill.runs.lock import now

NAME = "benchmark.json"


class Latency(TypedDict):
    """How long calls took with one number of examples each."""

    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    per_second: float  # examples, at the median


class Measured(TypedDict):
    """The row of a model or export."""

    name: str  # such as `distilled litert int8`
    path: str
    format: str  # `keras`, `litert`, `onnx` or `saved-model`
    quantize: str | None
    parameters: int | None
    file_bytes: int  # of the file, or of all files of a folder
    accuracy: float  # on the test split, in its own runtime
    largest_difference: float | None  # between the outputs of an export and of its model
    latency: dict[str, Latency]  # by examples in a call
    peak_memory_bytes: int | None  # of the process that measured it
    ratios: NotRequired[dict[str, Any]]  # of the figures to those of the reference: see `deploy.benchmark`
    place: NotRequired[str]  # in a stored document: its path, relative to the experiment if it is in there
    sha256: NotRequired[str | None]  # in a stored document; None for a folder


class Benchmark(TypedDict):
    """Models measured side by side."""

    experiment: str
    split: str
    examples: int
    reference: str  # the name of the row that the ratios are against
    rows: list[Measured]
    run_info: dict[str, Any]  # machine, software, and how latency was measured
    when: NotRequired[str]  # in a stored document


def keep(experiment: Experiment, document: Benchmark) -> bool:
    """Store a benchmark, if at least one of its models lies in the experiment's folder; return whether it was stored.

    Raises:
        OutputError: the folder cannot be written.
    """
    home = experiment.folder.resolve()
    paths = [Path(row["path"]).resolve() for row in document["rows"]]
    if not (home / "config.yaml").is_file() or not any(path.is_relative_to(home) for path in paths):
        return False
    places = [str(path.relative_to(home) if path.is_relative_to(home) else path) for path in paths]
    rows = [
        {**row, "place": place, "sha256": files.sha256(path) if path.is_file() else None}
        for row, place, path in zip(document["rows"], places, paths, strict=True)
    ]
    with files.writing(home):
        files.write_sealed(home / NAME, {**document, "rows": rows, "when": now()})
    return True


def kept(experiment: Experiment) -> Benchmark | None:
    """Return the stored benchmark of an experiment; None where there is none, or the file was changed."""
    with contextlib.suppress(OutputError):
        return cast("Benchmark | None", documents.read_sealed(experiment.folder / NAME, shapes.Benchmark))
    return None


def changed(experiment: Experiment, document: Benchmark) -> list[str]:
    """Return the names of the models that are missing or were changed since they were measured.

    The experiment may have been moved with its models.
    """
    home = experiment.folder
    rows = (row for row in document["rows"] if row["sha256"])
    return [row["name"] for row in rows if not _is_same(home / row["place"], str(row["sha256"]))]


def _is_same(path: Path, sha256: str) -> bool:
    with contextlib.suppress(OSError, OutputError):
        return files.sha256(path) == sha256
    return False
