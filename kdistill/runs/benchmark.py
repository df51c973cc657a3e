"""The document of a benchmark, and the last one of an experiment, kept in its folder for its report."""

import contextlib
import json
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from kdistill.core import files
from kdistill.core.errors import OutputError
from kdistill.runs import Experiment
from kdistill.runs.lock import now

NAME = "benchmark.json"


class Latency(TypedDict):
    """How long calls took with one number of examples each."""

    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    per_second: float  # examples, at the median


class Ratios(TypedDict):
    """How many times smaller, faster and leaner a model is than the reference; None where one of the two is unknown."""

    parameters: float | None
    file_bytes: float | None
    peak_memory_bytes: float | None
    throughput: dict[str, float | None]  # by examples in a call
    accuracy_points: float  # more than the reference


class Measured(TypedDict):
    """A model or export that was measured."""

    name: str  # such as `distilled litert int8`
    path: str
    format: str  # `keras`, `litert`, `onnx` or `saved-model`
    quantize: str | None
    parameters: int | None
    file_bytes: int  # of the file, or of all files of a folder
    accuracy: float  # on the test split, in its own runtime
    largest_difference: float | None  # of outputs, from those of the model that it came from
    latency: dict[str, Latency]  # by examples in a call
    peak_memory_bytes: int | None  # of the whole process
    ratios: NotRequired[Ratios]
    place: NotRequired[str]  # of one that is kept: relative to the experiment, where it is in there
    sha256: NotRequired[str | None]  # None for a folder


class Machine(TypedDict):
    """Where and how it was measured."""

    machine: str
    cores: int
    platform: str
    threads: int
    how: str
    least_seconds: float
    versions: dict[str, str | None]


class Benchmark(TypedDict):
    """Models measured side by side."""

    experiment: str
    split: str
    examples: int
    reference: str  # the name of the row that the ratios are against
    rows: list[Measured]
    run_info: Machine
    when: NotRequired[str]  # of one that is kept


def keep(experiment: Experiment, document: Benchmark) -> bool:
    """Write down a benchmark, if one of its models at least lies in the experiment's folder.

    Args:
        experiment: that the models were measured for.
        document: of the benchmark.

    Returns:
        Whether it was written.

    Raises:
        OutputError: the folder cannot be written.
    """
    home = experiment.folder.resolve()
    paths = [Path(row["path"]).resolve() for row in document["rows"]]
    if not (home / "config.yaml").is_file() or not any(path.is_relative_to(home) for path in paths):
        return False
    hashes = [files.sha256(path) if path.is_file() else None for path in paths]
    places = [str(path.relative_to(home) if path.is_relative_to(home) else path) for path in paths]
    rows = [
        {**row, "place": place, "sha256": sha256}
        for row, place, sha256 in zip(document["rows"], places, hashes, strict=True)
    ]
    with files.writing(home):
        files.write_sealed(home / NAME, json.loads(json.dumps({**document, "rows": rows, "when": now()})))
    return True


def kept(experiment: Experiment) -> Benchmark | None:
    """Return the benchmark of an experiment; None where there is none, or it is not what was written."""
    with contextlib.suppress(OutputError):
        return cast("Benchmark | None", files.read_sealed(experiment.folder / NAME))
    return None


def changed(experiment: Experiment, document: Benchmark) -> list[str]:
    """Return the names of those models that are no longer what was measured, or are not where they were.

    Args:
        experiment: in which the benchmark was found; it may have been moved with its models.
        document: see `kept`.
    """
    home = experiment.folder
    return [
        row["name"] for row in document["rows"] if row["sha256"] and not _is_same(home / row["place"], row["sha256"])
    ]


def _is_same(path: Path, sha256: str) -> bool:
    with contextlib.suppress(OSError, OutputError):
        return files.sha256(path) == sha256
    return False
