"""What models put out on the test split, kept beside them, so that it can be looked at without TensorFlow.

They can be computed again at any time: what is missing, damaged or of other weights or data is as good as not there.
"""

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.runs.run import Run

NAME = "outputs.npz"


class Fingerprinted(Protocol):
    """Data that is known by its examples, and by what they are used for: `datasets.Splits`."""

    @property
    def fingerprint(self) -> str:
        """Of the examples."""

    @property
    def split_fingerprint(self) -> str:
        """Of what they are used for."""


def place_of(run: Run) -> Path:
    """Return where the outputs of a run's model are kept."""
    return run.folder / NAME


def place_in(cache: Path, key: str) -> Path:
    """Return where the outputs of teachers that are no runs are kept."""
    return cache / f"outputs-{key[:16]}.npz"


def key(model: str | None, splits: Fingerprinted) -> str:
    """Return what outputs are known by.

    Args:
        model: the SHA-256 of the model's file, or the identity of a teacher.
        splits: the data that they are of.
    """
    parts = [str(model), splits.fingerprint, splits.split_fingerprint]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def keep(place: Path, logits: NDArray[np.float32], key: str) -> None:
    """Write outputs, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    with files.writing(place), files.replacing(place) as temporary:
        np.savez(temporary, logits=logits.astype(np.float32), key=np.array(key))


def kept(place: Path, key: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return the float32 outputs of this shape and key; None where there are none."""
    try:
        with np.load(place, allow_pickle=False) as archive:
            if str(archive["key"]) != key:
                return None
            logits = archive["logits"]  # the archive has a checksum of it
    except Exception:  # whatever a damaged archive makes zipfile and NumPy raise
        return None
    sound = logits.shape == shape and logits.dtype == np.float32 and bool(np.isfinite(logits).all())
    return logits if sound else None
