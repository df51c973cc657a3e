"""Models and exports side by side: what each costs and what it still knows, each in a process of its own."""

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
from scipy.special import softmax

from kdistill.core import backend, extras, files
from kdistill.core.errors import ModelError
from kdistill.datasets import preprocessing
from kdistill.deploy import export_records, latency, parity, runtimes, targets
from kdistill.deploy.export_records import Form, Record
from kdistill.deploy.targets import Target
from kdistill.recipes import evaluate
from kdistill.recipes.session import Session
from kdistill.runs.benchmark import Benchmark, Machine, Measured, Ratios

Document = dict[str, Any]
Floats = NDArray[np.floating]

BATCHES = (1, 32)
HOW = (
    "each model in a process of its own, on the processor; float32 arrays of NumPy in, arrays of NumPy out; Keras as a "
    f"compiled tf.function of the model's call; {latency.WARM_UP} calls to warm up, then at least "
    f"{latency.LEAST_CALLS} for each batch size; memory is the peak of the whole process"
)
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Entry:
    """A row to be.

    Attributes:
        name: `teacher`, `distilled litert int8`, or a path.
        target: the model or export.
        record: of an export, where it has one.
    """

    name: str
    target: Target
    record: Record | None = None


def benchmark(
    session: Session, named: Sequence[Target], threads: int = 1, least_seconds: float = latency.LEAST_SECONDS
) -> Benchmark:
    """Measure models on the test split of a session's data.

    Args:
        named: runs (each with its teacher and its exports) and files; without any, all of the session's experiment.
        threads: within one call.
        least_seconds: for which a call is timed, at each batch size.

    Raises:
        ModelError: a model is missing or damaged, or does not fit the data.
        ConfigError: the extra of a file that was named is not installed.
    """
    chosen = [targets.with_preprocessing(target, session) for target in named or targets.of_experiment(session)]
    entries = _entries(session, chosen)
    for entry in entries:
        targets.check_data(entry.target, session)
    test, labels = session.splits.test, session.splits.test.all_labels
    with parity.handed_over(test) as images:
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
    """Return the rows in order: teachers, students, each followed by its exports. What is named twice is there once."""
    taught = [teacher for target in named if target.run for teacher in targets.teachers_of(target.run)]
    teachers = [teacher for teacher in dict.fromkeys(taught) if _runs(session, teacher)]
    found: dict[Path, Entry] = {}
    for target in [*teachers, *named]:
        record = None if target.path.suffix == ".keras" else export_records.checked(target.path)
        _add(found, Entry(_name(target, record), target, record))
        for export in export_records.of_model(target.path) if target.run or target in teachers else []:
            record = export_records.checked(export)
            if record and _can_run(session, export):
                _add(found, Entry(f"{_name(target, None)} {_form(record).title}", Target(export), record))
    names = [entry.name for entry in found.values()]
    return [
        entry if names.count(entry.name) == 1 else Entry(str(entry.target.path), entry.target, entry.record)
        for entry in found.values()
    ]


def _add(found: dict[Path, Entry], entry: Entry) -> None:
    found.setdefault(entry.target.path.resolve(), entry)


def _runs(session: Session, teacher: Target) -> bool:
    """Whether a teacher that nobody named can be measured; if not, that is said and it is left out."""
    if teacher.path.suffix != ".keras":
        session.listener.note(f"{teacher.path} is left out: of logits alone nothing can be measured.")
    elif not teacher.path.is_file():
        session.listener.warning(f"{teacher.path} is left out: the teacher is not there any more.")
    else:
        return True
    return False


def _can_run(session: Session, export: Path) -> bool:
    """Whether the runtime of an export that nobody named is there; if not, that is said and it is left out."""
    kind = export_records.kind_of(export)
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
    """Measures one model after another; remembers what Keras models put out, to hold their exports against."""

    def __init__(self, session: Session, images: Path, threads: int, least_seconds: float) -> None:
        self._session, self._images = session, images
        self._threads, self._seconds = threads, least_seconds
        self._logits: dict[tuple[str, str], Floats] = {}  # by the file's SHA-256 and the preprocessing

    def row(self, entry: Entry, labels: NDArray[np.integer], classes: int) -> Measured:
        """Return the row of one model, but for its ratios."""
        path = entry.target.path
        self._session.listener.note(f"Measuring {entry.name}")
        measured, outputs = self._measure(path, BATCHES, entry.target.preprocessing)
        if outputs.shape != (len(labels), classes):
            raise ModelError(
                f"{path}: expected {classes} outputs, one for each class of the data; received {outputs.shape[-1]}",
                evaluate.held_against(self._session.config),
            )
        if path.suffix == ".keras":
            self._logits[files.sha256(path), entry.target.preprocessing] = outputs
        record, parameters = entry.record, measured["parameters"]
        return {
            "name": entry.name,
            "path": str(path),
            "format": export_records.kind_of(path),
            "quantize": record["quantize"] if record else None,
            "parameters": record["parameters"] if record and parameters is None else parameters,
            "file_bytes": export_records.size(path),
            "accuracy": float((outputs.argmax(axis=-1) == labels).mean()),
            "largest_difference": self._difference(path, record, outputs),
            "latency": measured["latency"],
            "peak_memory_bytes": measured["peak_memory_bytes"],
        }

    def _difference(self, path: Path, record: Record | None, outputs: Floats) -> float | None:
        """Return how far an export's outputs are from those of the model that it came from, on the test split."""
        if path.suffix == ".keras":
            return None
        source = export_records.origin(path, record) if record else None
        if record is None or source is None:
            why = "the model that it came from is not there any more" if record else "it has no record"
            self._session.listener.warning(f"{path}: {why}: its difference from that model is left out.")
            return None
        whose = record["model_sha256"], record.get("preprocessing", preprocessing.NONE)
        if whose not in self._logits:
            self._logits[whose] = self._measure(source, (), whose[1])[1]
        expected = self._logits[whose]
        if record["outputs"] == "probabilities":
            expected = softmax(expected.astype(np.float64), axis=-1)
        return float(np.abs(outputs - expected).max())

    def _measure(self, path: Path, batches: Sequence[int], preprocess: str) -> tuple[Document, Floats]:
        found, scaling = self._images.with_name("outputs.npy"), None
        if preprocess != preprocessing.NONE:
            scaling = [array.tolist() for array in preprocessing.scaling(self._session.splits, preprocess)]
        request = {
            "model": str(path),
            "scaling": scaling,
            "images": str(self._images),
            "outputs": str(found),
            "threads": self._threads,
            "batches": list(batches),
            "seconds": self._seconds,
            "rows_at_once": parity.BATCH_SIZE,
        }
        command = [sys.executable, "-m", "kdistill.deploy.measure_process", json.dumps(request)]
        environment = runtimes.quiet_environment()
        home = str(Path(__file__).parents[2])  # a checkout need not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, environment.get("PYTHONPATH")]))
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            raise ModelError(
                f"{path}: measuring it ended with exit code {done.returncode}: {reason[:300]}", runtimes.DAMAGED_HINT
            )
        measured = json.loads(done.stdout.splitlines()[-1])
        if error := measured.get("error"):
            raise ModelError(error["message"], error["hint"] or evaluate.held_against(self._session.config))
        return measured, np.load(found, allow_pickle=False)


def _ratios(row: Measured, reference: Measured) -> Ratios:

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


def _run_info(threads: int, least_seconds: float) -> Machine:
    return {
        "machine": _processor(),
        "cores": backend.cores(),
        "platform": platform.platform(),
        "threads": threads,
        "how": HOW,
        "least_seconds": least_seconds,
        "versions": {
            "python": platform.python_version(),
            **{name: extras.version_of(name) for name in PACKAGES},
        },
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
