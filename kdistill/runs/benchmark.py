"""The last benchmark of an experiment, kept in its folder for its report: `benchmark.json`."""

import contextlib
import json
from pathlib import Path
from typing import Any

from kdistill.core import files
from kdistill.core.errors import OutputError
from kdistill.runs import Experiment
from kdistill.runs.lock import now

Document = dict[str, Any]

NAME = "benchmark.json"


def keep(experiment: Experiment, document: Document) -> bool:
    """Write down a benchmark, if one of its models at least lies in the experiment's folder.

    Args:
        experiment: that the models were measured for.
        document: see `benchmark.benchmark`.

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


def kept(experiment: Experiment) -> Document | None:
    """Return the benchmark of an experiment; None where there is none, or it is not what was written."""
    with contextlib.suppress(OutputError):
        return files.read_sealed(experiment.folder / NAME)
    return None


def changed(experiment: Experiment, document: Document) -> list[str]:
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
