"""Trained teachers: opened, checked, and asked once for their logits, which are kept.

A student is distilled from one model, from the logits that another program has written, or from several of these.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from kdistill import modelfiles, models
from kdistill.core.errors import ModelError
from kdistill.datasets import Split, Splits, preprocessing
from kdistill.evaluation import metrics
from kdistill.evaluation import predict as evaluation
from kdistill.evaluation.metrics import Floats
from kdistill.models import adapt_inputs
from kdistill.runs import LogitsCache, Run, joint_weights, teacher_identity
from kdistill.teachers.logits_file import LogitsFile

# Logits computed in another batch differ in their last bits; a wrong row or another model differs by far more.
SPOT_CHECK_ROWS = 64
SPOT_CHECK_TOLERANCE = 1e-3


class AnyTeacher:
    """What a student is distilled from.

    Attributes:
        paths: of its files.
        runs: for each file the complete run whose model it is; None for a file from elsewhere.
        weights: a fingerprint of all that its logits depend on besides the data.
        notes: what was done to its files to use them.
        predictors: to ask about images that are not in the data; empty where logits are all there is.
        parameters: how many weights all its models have together; None where that is not known.
        splits: the data.
    """

    paths: tuple[Path, ...]
    runs: tuple[Run | None, ...]
    weights: str
    notes: list[str]
    predictors: Sequence[evaluation.Predict]
    parameters: int | None
    splits: Splits

    def logits(self, split: str) -> Floats | None:
        """Return its logits on a split of the data, (n, classes); of several teachers (n, teachers, classes).

        None where they are not known, which those on `train` and `validation` are.
        """
        raise NotImplementedError

    @cached_property
    def train(self) -> Floats:
        """Its logits on the training split: see `logits`."""
        return np.asarray(self.logits("train"))

    @cached_property
    def validation(self) -> Floats:
        """Its logits on the validation split: see `logits`."""
        return np.asarray(self.logits("validation"))

    @cached_property
    def test(self) -> Floats | None:
        """Its logits on the test split: see `logits`."""
        return self.logits("test")

    @cached_property
    def validation_scores(self) -> metrics.Scores:
        """Its scores on the validation split; of several teachers, those of their mean probability."""
        return metrics.score(metrics.ensemble_logits(self.validation), self.splits.validation.all_labels)


class Teacher(AnyTeacher):
    """A frozen model and the splits that it is asked about.

    Args:
        path: of its `.keras` file.
        splits: the data; its input shape and classes must fit.
        cache: the folder in which its logits are kept.
        run: whose model it is; without one it is from elsewhere.
        preprocess: how raw values are scaled for one from elsewhere: see `preprocessing.scaling`.

    Raises:
        ModelError: the file is missing or damaged, or does not fit the data.
    """

    def __init__(
        self, path: Path, splits: Splits, cache: Path, run: Run | None = None, preprocess: str = preprocessing.NONE
    ) -> None:
        self.paths = (path,)
        self.runs = (run,)
        self.splits = splits
        self.model, self.notes = models.load_classifier(path, splits.shape, len(splits.classes))
        self.weights = models.fingerprint(self.model)
        if run is None:  # of which no specification has the layers
            self.weights = teacher_identity(self.weights, modelfiles.hashes(path)[0], preprocess)
            if preprocess != preprocessing.NONE:
                scaled = adapt_inputs.rescaling(*preprocessing.scaling(splits, preprocess))
                self.model = adapt_inputs.in_front(self.model, splits.shape, [scaled])
                self.model.trainable = False
        known_by = run.model_sha256 if run and run.model_sha256 else self.weights
        self.cache = LogitsCache(cache, splits, known_by, run)
        self.parameters = models.parameters(self.model)
        self._predict = evaluation.predictor(self.model)
        self.predictors = [self._predict]

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
                f"{self.paths[0]}: expected the validation accuracy of {recorded:.4f} recorded when it was trained; "
                f"it scores {found:.4f} now",
                hint="The file, the data or the software changed: train the teacher again.",
            )

    def logits(self, split: str) -> Floats:
        """Return its logits (n, classes) on a split of the data, which are computed once and kept.

        Raises:
            ModelError: they are not finite.
            OutputError: they cannot be kept.
        """
        rows = getattr(self.splits, split)
        kept = self.cache.load(split, (len(rows), len(self.splits.classes)))
        if kept is not None and self._agrees(kept, rows):
            return kept
        logits = evaluation.logits(self._predict, rows)
        metrics.check_logits(logits, str(self.paths[0]))
        self.cache.store(split, logits)
        return logits

    def _agrees(self, logits: Floats, split: Split) -> bool:
        """Whether logits that were kept are still those of this model, in a few rows."""
        rows = np.unique(np.linspace(0, len(split) - 1, SPOT_CHECK_ROWS, dtype=np.int64))
        expected = self._predict(split.take(rows)[0]).numpy()
        return np.allclose(logits[rows], expected, rtol=SPOT_CHECK_TOLERANCE, atol=SPOT_CHECK_TOLERANCE)


class Logits(AnyTeacher):
    """A teacher of which there are logits alone, in a file that any program may have written.

    Raises:
        ModelError: see `LogitsFile`.
    """

    def __init__(self, path: Path, splits: Splits) -> None:
        self.paths = (path,)
        self.runs = (None,)
        self.splits = splits
        self.notes = []
        self.predictors = []
        self.parameters = None
        self._file = LogitsFile(path, splits)
        self.weights = self._file.identity

    def logits(self, split: str) -> Floats | None:
        """Return its logits (n, classes) on a split of the data, if the file has them."""
        return self._file.of(split) if split != "test" or self._file.has_test else None


class Teachers(AnyTeacher):
    """Several teachers, which teach the mean of their softened outputs.

    Their order is no part of it: they are put into one that depends on them alone, so that the sums over them are the
    same to the last bit.

    Args:
        several: at least two, of the same data.
    """

    def __init__(self, several: Sequence[AnyTeacher]) -> None:
        self.several = sorted(several, key=lambda teacher: teacher.weights)
        self.splits = several[0].splits
        self.paths = tuple(path for teacher in self.several for path in teacher.paths)
        self.runs = tuple(run for teacher in self.several for run in teacher.runs)
        self.weights = joint_weights(teacher.weights for teacher in several)
        self.notes = [note for teacher in several for note in teacher.notes]
        asked = [teacher.predictors for teacher in self.several]
        self.predictors = [predict for predictors in asked for predict in predictors] if all(asked) else []
        known = [teacher.parameters for teacher in several if teacher.parameters is not None]
        self.parameters = sum(known) if len(known) == len(several) else None

    def logits(self, split: str) -> Floats | None:
        """Return their logits (n, teachers, classes) on a split of the data, if all are known."""
        parts = [getattr(teacher, split) for teacher in self.several]
        return None if any(part is None for part in parts) else np.stack(parts, axis=1)
