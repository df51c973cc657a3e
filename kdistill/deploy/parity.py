"""Parity of an export with its model: the outputs of both on the test split, each in its own runtime."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError
from kdistill.core.task import SINGLE, Task, of_labels
from kdistill.datasets import Split
from kdistill.deploy import runtimes
from kdistill.deploy.export_records import Parity
from kdistill.deploy.formats import Form
from kdistill.deploy.tolerance import Tolerance

Floats = NDArray[np.floating]

BATCH_SIZE = 256


def compare(reference: Floats, found: Floats, labels: NDArray[np.integer], tolerance: Tolerance) -> Parity:
    """Return the differences of an export's outputs (n, classes) from its model's, the `reference`.

    The tolerance says what a near-tie is.
    """
    task = of_labels(labels)
    differences = np.abs(found.astype(np.float64) - reference).max(axis=-1)
    finite, of_size = bool(np.isfinite(found).all()), sizes(reference, task)
    margins = task.margins(reference, found)  # 0 where the decisions agree
    shares = np.divide(differences, of_size, out=np.where(differences > 0, np.inf, 0.0), where=of_size > 0)
    return {
        "examples": len(labels),
        "largest_difference": float(differences.max()) if finite else None,
        "largest_share": float(shares.max()) if finite else None,
        "largest_output": float(np.abs(reference).max()),
        "agreement": float(task.same(found, reference).mean()),
        "agreement_but_for_near_ties": float((margins <= tolerance.near_tie * of_size).mean()),
        "accuracy": float(task.correct(found, labels).mean()),
        "model_accuracy": float(task.correct(reference, labels).mean()),
    }


def sizes(reference: Floats, task: Task = SINGLE) -> NDArray[np.float64]:
    """Return the size (n,) of each example's outputs: the largest deviation from their mean, which softmax ignores.

    Of multi-label outputs, each of which has its own sigmoid, it is the largest one.

    Rounding errors do not shrink with an example's outputs, so sizes below the 99th percentile are raised to it; the
    largest hundredth is excluded, since one extreme example would excuse any error of the others.
    """
    largest = np.abs(task.centred(reference)).max(axis=-1)
    return np.maximum(largest, np.quantile(largest, 0.99))


def outputs_of(path: Path, form: Form, split: Split, threads: int) -> Floats:
    """Return an export's outputs on a split, float32 (n, classes), computed in its own runtime.

    A SavedModel runs in a new process that loads only TensorFlow. Raises ModelError if the export cannot be used.
    """
    if form.format == "saved-model":
        return _in_new_process(path, split)
    return outputs_on(split, runtimes.open_model(path, threads))


def outputs_on(split: Split, runtime: runtimes.Runtime) -> Floats:
    """Return an opened model's outputs on a split, float32 (n, classes)."""
    return np.concatenate([runtime.outputs(images) for images, _ in split.chunks(BATCH_SIZE)])


@contextlib.contextmanager
def images_file(split: Split) -> Iterator[Path]:
    """Yield a temporary .npy file of the raw values (n, *shape) of a split, for another process."""
    with tempfile.TemporaryDirectory(prefix="kdistill-") as folder:
        path = Path(folder) / "images.npy"
        shape = (len(split), *split.images.shape[1:])
        images = np.lib.format.open_memmap(path, mode="w+", dtype=split.images.dtype, shape=shape)
        done = 0
        for chunk, _ in split.chunks(BATCH_SIZE):
            images[done : done + len(chunk)] = chunk
            done += len(chunk)
        images.flush()
        del images
        yield path


def _in_new_process(path: Path, split: Split) -> Floats:
    program = Path(__file__).with_name("run_saved_model.py")
    with images_file(split) as images:
        outputs = images.with_name("outputs.npy")
        command = [sys.executable, "-P", program, path, images, outputs, BATCH_SIZE]
        environment = runtimes.quiet_environment()
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ModelError(f"{path}: the SavedModel cannot be used by TensorFlow alone: {reason[:300]}")
        return np.load(outputs, allow_pickle=False)
