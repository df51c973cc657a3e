"""Whether an export does what its model does: both are asked about every test example, each in its own runtime."""

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
from kdistill.deploy.export_records import Form, Parity

Floats = NDArray[np.floating]

BATCH_SIZE = 256


@dataclass(frozen=True)
class Tolerance:
    """How far an export may be from its model.

    Attributes:
        difference: the largest difference of two outputs, as a share of their size: see `_sizes`.
        agreement: the least share of examples for which both choose the same class. It bounds the loss of accuracy.
    """

    difference: float
    agreement: float


TOLERANCES = {
    # The same float32 numbers, added in another order: a few units in the last of 24 bits for each layer.
    "none": Tolerance(1e-4, 0.998),
    # Weights of 11 bits: each is off by at most 2^-11 of itself, in every layer.
    "float16": Tolerance(1e-2, 0.99),
    # Weights of 8 bits: each is off by up to 1/254 of the largest in its channel or layer, which small ones feel.
    "dynamic": Tolerance(0.1, 0.98),
    # Values between the layers have 8 bits too, over ranges seen on a few hundred training examples; an example beyond
    # them is cut off, so that a single output may be far off, where the class seldom is.
    "int8": Tolerance(0.4, 0.97),
}


def compare(reference: Floats, found: Floats, labels: NDArray[np.integer]) -> Parity:
    """Return how far outputs (n, classes) of an export are from those of its model, the `reference`."""
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
    """Return the size of each example's outputs: how far the largest is from their mean, which a softmax ignores.

    What is computed for all examples with one precision is as far off for those of small outputs. So an example counts
    at least as much as all but the largest hundredth do; those would otherwise allow the others anything.
    """
    centred = reference.astype(np.float64) - reference.mean(axis=-1, keepdims=True, dtype=np.float64)
    own = np.abs(centred).max(axis=-1)
    return np.maximum(own, np.quantile(own, 0.99))


def check(parity: Parity, form: Form, export: str) -> None:
    """Refuse an export that is further from its model than its quantization explains.

    Args:
        parity: see `compare`.
        form: what the export is.
        export: what to call it.

    Raises:
        ParityError: saying what was measured and what is accepted.
    """
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
        + ("This is a fault of the converter." if form.quantize == "none" else "Try --quantize float16 or none."),
    )


def outputs_of(path: Path, form: Form, split: Split, threads: int) -> Floats:
    """Return what an export makes of every example of a split, in its own runtime: float32 (n, classes).

    A SavedModel is asked in a fresh process that knows nothing but TensorFlow.

    Raises:
        ModelError: it cannot be opened, or asked.
    """
    if form.format == "saved-model":
        return _in_fresh_process(path, split)
    runtime = runtimes.open_model(path, threads)
    return through(runtime, split)


def through(runtime: runtimes.Runtime, split: Split) -> Floats:
    """Return what an open model makes of every example of a split: float32 (n, classes)."""
    return np.concatenate([runtime.outputs(images) for images, _ in split.chunks(BATCH_SIZE)])


@contextlib.contextmanager
def handed_over(split: Split) -> Iterator[Path]:
    """Yield a file of the raw values (n, *shape) of a split, for another process; it is gone afterwards."""
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


def _in_fresh_process(path: Path, split: Split) -> Floats:
    program = Path(__file__).with_name("run_saved_model.py")
    with handed_over(split) as images:
        outputs = images.with_name("outputs.npy")
        command = [sys.executable, "-P", program, path, images, outputs, BATCH_SIZE]
        environment = runtimes.quiet_environment()
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ModelError(f"{path}: the SavedModel cannot be used in a process of its own: {reason[:300]}")
        return np.load(outputs, allow_pickle=False)
