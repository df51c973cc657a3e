"""Benchmark of models and exports: size, latency, memory and accuracy, each model in its own process."""

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core import backend, extras, files
from kdistill.core.errors import ModelError
from kdistill.core.scaling import NONE
from kdistill.core.task import of_labels
from kdistill.deploy import export_records, formats, latency, parity, runtimes, targets
from kdistill.deploy.export_records import Record
from kdistill.deploy.formats import Form
from kdistill.deploy.targets import Target
from kdistill.recipes import evaluate
from kdistill.recipes.session import Session
from kdistill.runs.benchmark import Benchmark, Measured

Floats = NDArray[np.floating]

BATCHES = (1, 32)
HOW = (
    "each model in its own process, on the CPU; float32 arrays of NumPy in (tokens: int32), arrays of NumPy out; "
    f"Keras as a compiled tf.function of the model's call; {latency.WARM_UP} calls to warm up, then at least "
    f"{latency.LEAST_CALLS} for each batch size; memory is the peak of the whole process"
)
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Entry:
    """A model or export to measure."""

    name: str  # such as `teacher` or `distilled LiteRT int8`, or a path
    target: Target
    record: Record | None = None  # of an export that has one


def benchmark(
    session: Session, named: Sequence[Target], threads: int = 1, least_seconds: float = latency.LEAST_SECONDS
) -> Benchmark:
    """Measure models on the test split of a session's data.

    Args:
        named: runs (each with its teacher and its exports) and files; if empty, all runs of the session's experiment.
        threads: within one call.
        least_seconds: how long calls are timed at each batch size.

    Raises:
        ModelError: a model is missing or damaged, or does not fit the data.
        ConfigError: the extra of a named file is not installed.
    """
    chosen = [targets.with_preprocessing(target, session) for target in named or targets.of_experiment(session)]
    entries = _entries(session, chosen)
    for entry in entries:
        targets.check_data(entry.target, session)
    if session.config.teacher.members > 1:
        session.listener.note(
            f"The teacher is an ensemble of {session.config.teacher.members} members: it is no single file, and each "
            "member is measured by itself. The ensemble takes their sizes and times together; `kdistill evaluate` "
            "scores it."
        )
    test, labels = session.splits.test, session.splits.test.all_labels
    with parity.images_file(test) as images:
        bench = _Bench(session, images, threads, least_seconds)
        rows = [bench.row(entry, labels, len(session.splits.classes)) for entry in entries]
    for row in rows:
        row["ratios"] = _ratios(row, rows[0])
    return {
        "experiment": session.config.name,
        "split": "test",
        "examples": len(labels),
        "reference": rows[0]["name"],
        "rows": rows,
        "run_info": _run_info(threads, least_seconds),
    }


def _entries(session: Session, named: Sequence[Target]) -> list[Entry]:
    """Return the models in order, without duplicates: teachers, then students, each followed by its exports."""
    every = [teacher for target in named if target.run for teacher in targets.of_teachers(target.run)]
    teachers = [teacher for teacher in dict.fromkeys(every) if _is_measurable(session, teacher)]
    found: dict[Path, Entry] = {}
    for target in [*teachers, *named]:
        record = None if target.path.suffix == ".keras" else export_records.checked(target.path)
        found.setdefault(target.path.resolve(), Entry(_name(target, record), target, record))
        for export in export_records.of_model(target.path) if target.run or target in teachers else []:
            record = export_records.checked(export)
            if record and _has_runtime(session, export):
                name = f"{_name(target, None)} {_form(record).title}"
                found.setdefault(export.resolve(), Entry(name, Target(export), record))
    names = [entry.name for entry in found.values()]
    return [
        entry if names.count(entry.name) == 1 else Entry(str(entry.target.path), entry.target, entry.record)
        for entry in found.values()
    ]


def _is_measurable(session: Session, teacher: Target) -> bool:
    """Whether a run's teacher is a model that exists; if not, the listener gets the reason."""
    if teacher.path.suffix != ".keras":
        session.listener.note(f"{teacher.path} is left out: a file of logits cannot be measured.")
    elif not teacher.path.is_file():
        session.listener.warning(f"{teacher.path} is left out: the teacher's file is missing.")
    else:
        return True
    return False


def _has_runtime(session: Session, export: Path) -> bool:
    """Whether the runtime of a run's export is installed; if not, the listener gets a warning."""
    kind = formats.format_of(export)
    if kind in extras.MODULES and not extras.installed(kind):
        session.listener.warning(f"{export} is left out: run `pip install 'kdistill[{kind}]'` to measure it.")
        return False
    return True


def _form(record: Record) -> Form:
    return Form(record["format"], record["quantize"], record["outputs"] == "probabilities")


def _name(target: Target, record: Record | None) -> str:
    folder = target.path.parent
    is_run = target.path.suffix == ".keras" and (target.run or (folder / "manifest.json").exists())
    if is_run or (record and (folder / "manifest.json").exists()):
        return folder.absolute().name + (f" {_form(record).title}" if record else "")
    return str(target.path)


class _Bench:
    """Measures one model after another, and keeps the logits of Keras models to compare their exports with."""

    def __init__(self, session: Session, images: Path, threads: int, least_seconds: float) -> None:
        self._session, self._images = session, images
        self._threads, self._seconds = threads, least_seconds
        self._logits: dict[tuple[str, str], Floats] = {}  # by the file's SHA-256 and the preprocessing

    def row(self, entry: Entry, labels: NDArray[np.integer], classes: int) -> Measured:
        """Return the measurements of one model, without the ratios."""
        path = entry.target.path
        self._session.listener.note(f"Measuring {entry.name}")
        measured, outputs = self._measure(path, BATCHES, entry.target.preprocessing)
        if outputs.shape != (len(labels), classes):
            raise ModelError(
                f"{path}: expected {classes} outputs, one for each class of the data; received {outputs.shape[-1]}",
                evaluate.data_hint(self._session.config),
            )
        if path.suffix == ".keras":
            self._logits[files.sha256(path), entry.target.preprocessing] = outputs
        record, parameters = entry.record, measured["parameters"]
        return {
            "name": entry.name,
            "path": str(path),
            "format": formats.format_of(path),
            "quantize": record["quantize"] if record else None,
            "parameters": record["parameters"] if record and parameters is None else parameters,
            "file_bytes": export_records.size(path),
            "accuracy": float(of_labels(labels).correct(outputs, labels).mean()),
            "largest_difference": self._difference(path, record, outputs),
            "latency": measured["latency"],
            "peak_memory_bytes": measured["peak_memory_bytes"],
        }

    def _difference(self, path: Path, record: Record | None, outputs: Floats) -> float | None:
        """Return the largest difference of an export's outputs from its model's, on the test split."""
        if path.suffix == ".keras":
            return None
        source = export_records.origin(path, record) if record else None
        if record is None or source is None:
            why = "its model is missing or was changed" if record else "it has no record"
            self._session.listener.warning(f"{path}: {why}: the difference from its model is left out.")
            return None
        whose = record["model_sha256"], record.get("preprocessing", NONE)
        if whose not in self._logits:
            self._logits[whose] = self._measure(source, (), whose[1])[1]
        expected = self._logits[whose]
        if record["outputs"] == "probabilities":
            expected = self._session.splits.task.probabilities(expected)
        return float(np.abs(outputs - expected).max())

    def _measure(self, path: Path, batches: Sequence[int], preprocess: str) -> tuple[dict[str, Any], Floats]:
        found, scaled = self._images.with_name("outputs.npy"), self._session.splits.preprocessing(preprocess)
        request = {
            "model": str(path),
            "scaling": None if scaled is None else [array.tolist() for array in scaled],
            "task": self._session.splits.task.name,
            "images": str(self._images),
            "outputs": str(found),
            "threads": self._threads,
            "batches": list(batches),
            "seconds": self._seconds,
            "rows_at_once": parity.BATCH_SIZE,
        }
        command = [sys.executable, "-m", "kdistill.deploy.measure_process", json.dumps(request)]
        environment = runtimes.quiet_environment()
        home = str(Path(__file__).parents[2])  # for a checkout that is not installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, environment.get("PYTHONPATH")]))
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(
                f"{path}: measuring it ended with exit code {done.returncode}: {reason[:300]}", runtimes.DAMAGED_HINT
            )
        measured = json.loads(done.stdout.splitlines()[-1])
        if error := measured.get("error"):
            raise ModelError(error["message"], error["hint"] or evaluate.data_hint(self._session.config))
        return measured, np.load(found, allow_pickle=False)


def _ratios(row: Measured, reference: Measured) -> dict[str, Any]:
    def times(larger: float | None, smaller: float | None) -> float | None:
        return larger / smaller if larger and smaller else None

    return {
        "parameters": times(reference["parameters"], row["parameters"]),
        "file_bytes": times(reference["file_bytes"], row["file_bytes"]),
        "peak_memory_bytes": times(reference["peak_memory_bytes"], row["peak_memory_bytes"]),
        "throughput": {
            batch: times(timed["per_second"], reference["latency"][batch]["per_second"])
            for batch, timed in row["latency"].items()
        },
        "accuracy_points": 100 * (row["accuracy"] - reference["accuracy"]),
    }


def _run_info(threads: int, least_seconds: float) -> dict[str, Any]:
    return {
        "machine": _processor(),
        "cores": backend.cores(),
        "platform": platform.platform(),
        "threads": threads,
        "how": HOW,
        "least_seconds": least_seconds,
        "versions": {"python": platform.python_version(), **{name: extras.version_of(name) for name in PACKAGES}},
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
