"""A trained teacher: opened, checked, and asked once for its logits, which are kept."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kdistill import evaluation, files, models
from kdistill.datasets import Split, Splits
from kdistill.errors import ModelError
from kdistill.evaluation import Floats

# Logits computed in another batch differ in their last bits; a wrong row or another model differs by far more.
SPOT_CHECK_ROWS = 64
SPOT_CHECK_TOLERANCE = 1e-3


class Teacher:
    """A frozen model and the splits that it is asked about.

    Args:
        path: of its `.keras` file.
        splits: the data; its input shape and classes must fit.
        cache: the folder in which its logits are kept.

    Raises:
        ModelError: the file is missing or damaged, or does not fit the data.
    """

    def __init__(self, path: Path, splits: Splits, cache: Path) -> None:
        self.path = path
        self.splits = splits
        self.cache = cache
        self.model, self.notes = models.load_classifier(path, splits.shape, len(splits.classes))
        self.weights = models.fingerprint(self.model)
        self._predict = evaluation.predictor(self.model)

    @cached_property
    def train(self) -> Floats:
        """Its logits on the training split, (n, classes)."""
        return self._logits("train", self.splits.train)

    @cached_property
    def validation(self) -> Floats:
        """Its logits on the validation split, (n, classes)."""
        return self._logits("validation", self.splits.validation)

    @cached_property
    def test(self) -> Floats:
        """Its logits on the test split, (n, classes)."""
        return self._logits("test", self.splits.test)

    @cached_property
    def validation_scores(self) -> evaluation.Scores:
        """Its scores on the validation split."""
        validation = self.splits.validation
        return evaluation.score(self.validation, validation.all_labels)

    def check_accuracy(self, recorded: float) -> None:
        """Refuse a teacher that no longer does what it did when it was trained.

        Args:
            recorded: its accuracy on this very validation split, as written down after its training.

        Raises:
            ModelError: the accuracies differ by more than one example in a thousand.
        """
        found = self.validation_scores.accuracy
        if abs(found - recorded) > 1e-3:
            raise ModelError(
                f"{self.path}: expected the validation accuracy of {recorded:.4f} recorded when it was trained; "
                f"it scores {found:.4f} now",
                hint="The file, the data or the software changed: train the teacher again.",
            )

    def _logits(self, name: str, split: Split) -> Floats:
        file = self.cache / f"teacher-logits-{self._key(name)[:16]}.npz"
        logits = self._cached(file, split)
        if logits is None:
            logits = evaluation.logits(self._predict, split)
            evaluation.check_logits(logits, str(self.path))
            _store(file, logits)
        return logits

    def _key(self, name: str) -> str:
        """Return a hash of all that the logits depend on: weights, layers (scaling among them), data and rows."""
        parts: list[Any] = [
            self.weights,
            models.architecture(self.model),
            self.splits.fingerprint,
            self.splits.split_fingerprint,
            name,
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _cached(self, file: Path, split: Split) -> Floats | None:
        """Return the logits in `file` if they are whole (the archive has a checksum) and still those of this model."""
        try:
            with np.load(file, allow_pickle=False) as archive:
                logits = archive["logits"]
        except Exception:  # whatever a damaged archive makes zipfile and NumPy raise: it is computed again
            return None
        rows = np.unique(np.linspace(0, len(split) - 1, SPOT_CHECK_ROWS, dtype=np.int64))
        if logits.shape != (len(split), len(self.splits.classes)) or logits.dtype != np.float32:
            return None
        expected = self._predict(split.take(rows)[0]).numpy()
        close = np.allclose(logits[rows], expected, rtol=SPOT_CHECK_TOLERANCE, atol=SPOT_CHECK_TOLERANCE)
        return logits if close else None


def _store(file: Path, logits: Floats) -> None:
    with files.writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(file) as temporary:
            np.savez(temporary, logits=logits)
