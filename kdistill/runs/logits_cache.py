"""Logits of a model on the splits of a data set: computed once, then read without TensorFlow.

    seed-0/teacher/outputs.npz   of the model of a run on the test split, in its folder
    cache/logits-<key>.npz       of a teacher on the other splits, or of a teacher from a file
    cache/features-<key>.npz     the outputs of a layer of a teacher, for hints

An archive has `logits` and `key`, a hash of model, layer, data and split. A file that is missing, damaged, or has
another key counts as absent: the logits are computed again.
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
TEST, ADDED = "test", "added"  # the latter: the examples of `data.unlabelled`


class _Fingerprints(Protocol):  # of `datasets.Splits`, which this package may not import
    @property
    def fingerprint(self) -> str: ...

    @property
    def split_fingerprint(self) -> str: ...

    @property
    def added_fingerprint(self) -> str | None: ...


@dataclass(frozen=True)
class LogitsCache:
    """The logits of one model on one data set.

    Attributes:
        folder: the cache of the experiment.
        splits: the data.
        model: the SHA-256 of a run's model file, or the identity of a teacher from a file.
        run: the run whose model it is; None for a teacher from a file.
        layer: the name of the layer whose outputs these are, and how they were changed; empty for the logits.
    """

    folder: Path
    splits: _Fingerprints
    model: str
    run: Run | None = None
    layer: str = ""

    def load(self, split: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """Return the float32 logits of this shape on a split; None where they are not in the cache."""
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
        """Return the hash of model, layer, data and split."""
        parts = [self.model, self.splits.fingerprint, self.splits.split_fingerprint]
        parts += [self.layer] if self.layer else []
        if split == ADDED:
            parts.append(str(self.splits.added_fingerprint))
        return hashlib.sha256("\n".join([*parts, *([] if split == TEST else [split])]).encode()).hexdigest()

    def _places(self, split: str) -> list[Path]:
        """Return the files that may hold the logits on a split."""
        of_run = [self.run.folder / NAME] if self.run and split == TEST else []
        return [*of_run, self.folder / f"{'features' if self.layer else 'logits'}-{self.key(split)[:16]}.npz"]


def _read(place: Path, key: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    try:
        with np.load(place, allow_pickle=False) as archive:
            if str(archive["key"]) != key:
                return None
            logits = archive["logits"]  # the archive has a checksum of it
    except Exception:  # a damaged archive may raise any error of zipfile and NumPy
        return None
    sound = logits.shape == shape and logits.dtype == np.float32 and bool(np.isfinite(logits).all())
    return logits if sound else None
