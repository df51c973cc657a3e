"""A teacher: a model, a file of logits, or an ensemble of these, with its logits on the splits of the data."""

import contextlib
from collections.abc import Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import numpy as np

from kdistill import modelfiles, models
from kdistill.core.errors import ModelError, OutputError
from kdistill.core.scaling import NONE
from kdistill.datasets import Split, Splits
from kdistill.datasets.transfer_set import Which
from kdistill.evaluation import metrics
from kdistill.evaluation import predict as evaluation
from kdistill.evaluation.measures import ACCURACY, Measure, recorded
from kdistill.evaluation.metrics import Floats
from kdistill.runs import LogitsCache, Run, joint_identity, teacher_identity
from kdistill.teachers import doubts
from kdistill.teachers.logits_file import LogitsFile

# Logits computed in another batch differ in their last bits; those of another row or model by far more.
SPOT_CHECK_ROWS = 64
SPOT_CHECK_TOLERANCE = 1e-3


class AnyTeacher:
    """What a student is distilled from.

    Attributes:
        paths: the teacher's files.
        runs: for each file the complete run whose model it is; None for a file that no run has made.
        identity: everything but the data that the logits depend on, as a text: see `runs.teacher_identity`.
        notes: how models were changed when they were loaded, as sentences.
        predictors: functions from raw values to logits, one for each model; empty if a file of logits is among them.
        parameters: number of weights of all models; None if a file of logits is among them.
        takes_raw_values: whether a model that no run has made does not scale its inputs, and nothing is put before it.
        splits: the data.
        shares: the weight of each file in the mean, which sum to 1; empty where all weigh the same, as of one.
    """

    shares: tuple[float, ...] = ()
    paths: tuple[Path, ...]
    runs: tuple[Run | None, ...]
    identity: str
    notes: list[str]
    predictors: Sequence[evaluation.Predict]
    parameters: int | None
    takes_raw_values: bool
    splits: Splits

    def logits(self, split: str) -> Floats | None:
        """Return the logits (n, classes), of an ensemble (n, teachers, classes), on the split of this name.

        None only for `test`, if a file of logits has none.
        """
        raise NotImplementedError

    def on(self, which: Which) -> Floats:
        """Return the logits on the training examples that `Splits.examples` returns, in their order."""
        added = None if self.splits.added_to(which) is None else self.added
        return self.splits.of_examples(which, self.train, added)

    @cached_property
    def train(self) -> Floats:
        """The logits on the training split, (n, classes) or (n, teachers, classes)."""
        return np.asarray(self.logits("train"))

    @cached_property
    def added(self) -> Floats:
        """The logits on the examples of `data.unlabelled`, (n, classes) or (n, teachers, classes)."""
        return np.asarray(self.logits("added"))

    @cached_property
    def validation(self) -> Floats:
        """The logits on the validation split, (n, classes) or (n, teachers, classes)."""
        return np.asarray(self.logits("validation"))

    @cached_property
    def test(self) -> Floats | None:
        """The logits on the test split, (n, classes) or (n, teachers, classes); None if a file of logits has none."""
        return self.logits("test")

    @cached_property
    def validation_scores(self) -> metrics.Scores:
        """The metrics on the validation split; of an ensemble, those of its mean probability."""
        return metrics.score(self.together(self.validation), self.splits.validation.all_labels)

    def together(self, logits: Floats) -> Floats:
        """Return the logits (n, classes) of the mean probability, of those of the teachers as `logits` returns them."""
        return metrics.ensemble_logits(logits, self.splits.task, self.shares)

    def judged_by(self, measure: Measure) -> tuple[Measure, float]:
        """Return a measure and its value on the validation split; accuracy and its value if it is undefined there."""
        value = recorded(self.validation_scores.to_json(), measure)
        return (ACCURACY, self.validation_scores.accuracy) if value is None else (measure, value)


class ModelTeacher(AnyTeacher):
    """A teacher that is a Keras model, whose logits are cached.

    Args:
        path: the `.keras` file.
        splits: the data; input shape and number of classes must fit the model.
        cache: the folder of cached logits.
        run: the run whose model it is, if a run has made it.
        preprocess: how raw values are scaled for a model that no run has made; see `scaling.affine`.

    Raises:
        ModelError: the file is missing or damaged, or does not fit the data.
    """

    def __init__(self, path: Path, splits: Splits, cache: Path, run: Run | None = None, preprocess: str = NONE) -> None:
        self.paths = (path,)
        self.runs = (run,)
        self.splits = splits
        self.model, self.notes = models.load_classifier(path, *splits.fitting)
        self.identity = models.fingerprint(self.model)
        scales = run is not None or models.scales_inputs(self.model)
        self.takes_raw_values = doubts.gets_raw_values(splits, preprocess, scales)
        if run is None:  # the specification of a run has the layers
            self.identity = teacher_identity(self.identity, modelfiles.hashes(path)[0], preprocess)
            self.model = models.with_scaling(self.model, splits.shape, splits.preprocessing(preprocess))
        known_by = run.model_sha256 if run and run.model_sha256 else self.identity
        self.cache = LogitsCache(cache, splits, known_by, run)
        self.parameters = self.model.count_params()
        self._predict = evaluation.predictor(self.model)
        self.predictors = [self._predict]

    def check_accuracy(self, recorded: float) -> None:
        """Raise ModelError if the accuracy on the validation split differs from the recorded one by over 0.001."""
        found = self.validation_scores.accuracy
        if abs(found - recorded) > 1e-3:
            raise ModelError(
                f"{self.paths[0]}: expected the validation accuracy of {recorded:.4f} recorded when it was trained; "
                f"it scores {found:.4f} now",
                hint="The file, the data or the software changed: train the teacher again.",
            )

    def logits(self, split: str) -> Floats:
        """Return the logits (n, classes) on a split of the data, from the cache or computed and cached.

        Raises ModelError if they are not finite. A cache that cannot be written is none: the logits are returned.
        """
        rows = getattr(self.splits, split)
        kept = self.cache.load(split, (len(rows), len(self.splits.classes)))
        if kept is not None and self._agrees(kept, rows):
            return kept
        logits = evaluation.logits(self._predict, rows)
        metrics.check_logits(logits, str(self.paths[0]), task=self.splits.task)
        with contextlib.suppress(OutputError):  # the folder may be read-only, or another process may be tidying it
            self.cache.store(split, logits)
        return logits

    def _agrees(self, logits: Floats, split: Split) -> bool:
        """Whether a sample of cached logits equals the model's."""
        rows = np.unique(np.linspace(0, len(split) - 1, SPOT_CHECK_ROWS, dtype=np.int64))
        expected = self._predict(split.take(rows)[0]).numpy()
        return np.allclose(logits[rows], expected, rtol=SPOT_CHECK_TOLERANCE, atol=SPOT_CHECK_TOLERANCE)


class LogitsTeacher(AnyTeacher):
    """A teacher that is a file of logits; raises what `LogitsFile` raises."""

    def __init__(self, path: Path, splits: Splits) -> None:
        self.paths = (path,)
        self.runs = (None,)
        self.splits = splits
        self.notes = []
        self.predictors = []
        self.parameters = None
        self.takes_raw_values = False
        self._file = LogitsFile(path, splits)
        self.identity = self._file.identity

    def logits(self, split: str) -> Floats | None:
        """Return the logits (n, classes) on a split of the data; None for `test` if the file has none."""
        return self._file.of(split) if split != "test" or self._file.has_test else None


class TeacherEnsemble(AnyTeacher):
    """Several teachers, whose mean softened output is the soft target.

    They are sorted by their fingerprints, so that sums over them do not depend on the order in which they are given.

    Args:
        several: at least two teachers of the same data.
        shares: the weight of each in the mean, which sum to 1; empty where all weigh the same.
    """

    def __init__(self, several: Sequence[AnyTeacher], shares: Sequence[float] = ()) -> None:
        pairs = sorted(zip_longest(several, shares), key=lambda pair: (pair[0].identity, pair[1]))
        self.several = [teacher for teacher, _ in pairs]
        self.shares = tuple(share for _, share in pairs) if shares else ()
        self.splits = several[0].splits
        self.paths = tuple(path for teacher in self.several for path in teacher.paths)
        self.runs = tuple(run for teacher in self.several for run in teacher.runs)
        self.identity = joint_identity((teacher.identity for teacher in several), shares)
        self.notes = [note for teacher in several for note in teacher.notes]
        self.takes_raw_values = any(teacher.takes_raw_values for teacher in several)
        each = [teacher.predictors for teacher in self.several]
        self.predictors = [predict for predictors in each for predict in predictors] if all(each) else []
        known = [teacher.parameters for teacher in several if teacher.parameters is not None]
        self.parameters = sum(known) if len(known) == len(several) else None

    def logits(self, split: str) -> Floats | None:
        """Return the logits (n, teachers, classes) on a split; None for `test` if one teacher has none."""
        parts = [getattr(teacher, split) for teacher in self.several]
        return None if any(part is None for part in parts) else np.stack(parts, axis=1)
