"""Parity of an export with its model: the outputs of both on the test split, each in its own runtime."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError, ParityError
from kdistill.datasets import Split
from kdistill.deploy import runtimes
from kdistill.deploy.export_records import Parity
from kdistill.deploy.formats import Form

Floats = NDArray[np.floating]

BATCH_SIZE = 256


@dataclass(frozen=True)
class Tolerance:
    """The accepted differences between an export and its model."""

    difference: float  # the largest of an output, relative to the size of the example's outputs (`_sizes`)
    agreement: float  # the smallest share of examples with the same predicted class: bounds the loss of accuracy


TOLERANCES = {
    # Sums of the same float32 numbers in another order: a few units in the last of 24 bits for each layer.
    "none": Tolerance(1e-4, 0.998),
    # Weights of 11 bits: each has a relative error of at most 2^-11, in every layer.
    "float16": Tolerance(1e-2, 0.99),
    # Weights of 8 bits: each has an error of up to 1/254 of the largest in its channel or layer.
    "dynamic": Tolerance(0.1, 0.98),
    # Activations have 8 bits too, over the ranges of a few hundred training examples; values beyond are clipped: then
    # a single output may differ much, while the predicted class seldom does.
    "int8": Tolerance(0.4, 0.97),
}


def compare(reference: Floats, found: Floats, labels: NDArray[np.integer]) -> Parity:
    """Return the differences of an export's outputs (n, classes) from its model's, the `reference`."""
    classes, expected = found.argmax(axis=-1), reference.argmax(axis=-1)
    differences = np.abs(found.astype(np.float64) - reference).max(axis=-1)
    finite, sizes = bool(np.isfinite(found).all()), _sizes(reference)
    shares = np.divide(differences, sizes, out=np.where(differences > 0, np.inf, 0.0), where=sizes > 0)
    return {
        "examples": len(labels),
        "largest_difference": float(differences.max()) if finite else None,
        "largest_share": float(shares.max()) if finite else None,
        "largest_output": float(np.abs(reference).max()),
        "agreement": float((classes == expected).mean()),
        "accuracy": float((classes == labels).mean()),
        "model_accuracy": float((expected == labels).mean()),
    }


def _sizes(reference: Floats) -> NDArray[np.float64]:
    """Return the size (n,) of each example's outputs: the largest deviation from their mean, which softmax ignores.

    Rounding errors do not shrink with an example's outputs, so sizes below the 99th percentile are raised to it; the
    largest hundredth is excluded, since one extreme example would excuse any error of the others.
    """
    centred = reference.astype(np.float64) - reference.mean(axis=-1, keepdims=True, dtype=np.float64)
    sizes = np.abs(centred).max(axis=-1)
    return np.maximum(sizes, np.quantile(sizes, 0.99))


def check(parity: Parity, form: Form, export: str) -> None:
    """Raise ParityError if an export, called `export` in the message, differs more than its quantization explains."""
    tolerance = TOLERANCES[form.quantize]
    share = parity["largest_share"]
    if share is not None and share <= tolerance.difference and parity["agreement"] >= tolerance.agreement:
        return
    apart = "outputs that are not finite" if share is None else f"outputs up to {100 * share:.3g} % apart"
    raise ParityError(
        f"{export}: the {form.title} export does not agree with its model: expected outputs at most "
        f"{100 * tolerance.difference:g} % of their size apart and {100 * tolerance.agreement:g} % equal labels; "
        f"received {apart} and {100 * parity['agreement']:.2f} % equal labels on {parity['examples']:,} test examples "
        f"(accuracy {parity['accuracy']:.4f}; the model's {parity['model_accuracy']:.4f})",
        hint="The export was not kept. "
        + ("This is an error of the converter." if form.quantize == "none" else "Try --quantize float16 or none."),
    )


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
