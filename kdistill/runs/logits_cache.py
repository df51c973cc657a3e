"""Logits of a model on the splits of a data set: computed once, and kept so that they are read without TensorFlow.

    seed-0/teacher/outputs.npz   of the model of a run, on the test split, beside it
    cache/logits-<key>.npz       of a teacher: on the other splits, or of one that is no run of the experiment

An archive has `logits` and `key`, what they are known by. They can be computed again at any time: what is missing,
damaged, or of another model or other data is as good as not there.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kdistill.core import files
from kdistill.runs.run import Run

NAME = "outputs.npz"
TEST = "test"


class Fingerprinted(Protocol):
    """Data that is known by its examples, and by what they are used for: `datasets.Splits`."""

    @property
    def fingerprint(self) -> str:
        """Of the examples."""

    @property
    def split_fingerprint(self) -> str:
        """Of what they are used for."""


@dataclass(frozen=True)
class LogitsCache:
    """The logits of one model on one data set.

    Attributes:
        folder: the cache of the experiment that they are for.
        splits: the data.
        model: what the model is known by: the SHA-256 of a run's file, or the identity of a teacher that is no run.
        run: which the model is the result of, if it is.
    """

    folder: Path
    splits: Fingerprinted
    model: str
    run: Run | None = None

    def load(self, split: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """Return the float32 logits of this shape on a split; None where there are none."""
        found = (_read(place, self.key(split), shape) for place in self._places(split))
        return next((logits for logits in found if logits is not None), None)

    def store(self, split: str, logits: NDArray[np.float32]) -> None:
        """Write the logits on a split, whole or not at all.

        Raises:
            OutputError: the folder cannot be written.
        """
        places = self._places(split)
        own = [place for place in places if place.parent.resolve().is_relative_to(self.folder.parent.resolve())]
        with files.writing(own[0]):
            if own[0].parent == self.folder:
                self.folder.mkdir(parents=True, exist_ok=True)
            with files.replacing(own[0]) as temporary:
                np.savez(temporary, logits=logits.astype(np.float32), key=np.array(self.key(split)))

    def key(self, split: str) -> str:
        """Return what the logits on a split are known by."""
        parts = [self.model, self.splits.fingerprint, self.splits.split_fingerprint]
        return hashlib.sha256("\n".join([*parts, *([] if split == TEST else [split])]).encode()).hexdigest()

    def _places(self, split: str) -> list[Path]:
        """Return where the logits on a split may be."""
        beside = [self.run.folder / NAME] if self.run and split == TEST else []
        return [*beside, self.folder / f"logits-{self.key(split)[:16]}.npz"]


def _read(place: Path, key: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    try:
        with np.load(place, allow_pickle=False) as archive:
            if str(archive["key"]) != key:
                return None
            logits = archive["logits"]  # the archive has a checksum of it
    except Exception:  # whatever a damaged archive makes zipfile and NumPy raise
        return None
    sound = logits.shape == shape and logits.dtype == np.float32 and bool(np.isfinite(logits).all())
    return logits if sound else None
