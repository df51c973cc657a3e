"""The folder of one run: its files, its lock, and the replacement that may be under way."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from kdistill.core import documents, files, members
from kdistill.core.listener import EpochRecord
from kdistill.runs import history, lock, shapes
from kdistill.runs.checkpoints import Checkpoints

REPLACE = (
    "Use --overwrite to start this run afresh; to keep it, give the experiment another name (--set name=...) or "
    "another --output-dir."
)
FAILURE = "failure.json"
NEXT = ".next-"
NO_IMPROVEMENT, ALL_DONE = "no improvement", "all epochs done"  # why a run ended


def run_at(folder: Path, name: str, seed: int) -> "Run":
    """Return a run in the folder of a seed: `name` is that of an arm, or of a teacher's member."""
    return Run(folder / name, members.arm_of(name), members.seed_of(seed, members.number(name)))


class SplitScores(TypedDict):
    """The scores of a model on a split: `metrics.Scores` as a document, with all `measures.MEASURES` that suit it.

    One of an earlier version lacks the measures that are not listed here, and the examples of each class.
    """

    accuracy: float
    nll: float
    ece: float
    class_accuracy: list[float | None]
    class_examples: NotRequired[list[int]]


class ScoresOnTest(SplitScores):
    """The scores of a model, or of several teachers by their mean probability, on the test split."""

    parameters: int | None  # None where there are only logits
    file_bytes: int | None
    agreement: float | None  # with the teacher; None for a teacher, and without its logits
    kl_to_teacher: float | None  # in nats
    # Of students of a loss that bounds their logits: with the temperature that is fitted on validation.
    fitted_temperature: NotRequired[float]
    fitted_nll: NotRequired[float]
    fitted_ece: NotRequired[float]
    before_adjustment: NotRequired[SplitScores]  # of a student whose biases were moved to the prior: with its own
    members: NotRequired[list[Any]]  # of a teacher of several: the scores of each, in their order


class Result(TypedDict, total=False):
    """The document of `result.json`. One of an earlier version may lack some keys."""

    arm: str
    seed: int
    epochs: int
    updates: int  # where the config says how many there may be, not how many epochs
    best_epoch: int
    stopped: str  # `NO_IMPROVEMENT` or `ALL_DONE`
    validation: SplitScores  # of the best weights
    validation_right: SplitScores  # on the right labels, where those of validation are noisy
    parameters: int
    file_bytes: int
    weights_sha256: str
    teacher_validation: SplitScores | None  # None without a teacher
    teacher_parameters: int | None  # of several all; None without a teacher, and of one that is a file of logits
    formula: str
    class_weights: dict[str, float]  # of the hard term, by class name, if they are not all the same
    augmentation: dict[str, Any]  # of the images, if any
    trained_on: dict[str, int]  # how many examples, `labelled` and `unlabelled`, where some have no label
    moved_biases: dict[str, float]  # of a student whose biases were moved to the prior: by class name, in logits
    before_adjustment: SplitScores  # of such a student, on validation, with its own biases
    soft_targets: str  # how they were computed, in a run with a teacher
    warnings: list[str]
    run_info: dict[str, Any]  # `seconds`, `compiled`
    identity: str


@dataclass(frozen=True)
class Run:
    """The folder of one run: one arm trained with one seed. A `RunWriter` writes it.

    Attributes:
        folder: need not exist.
        arm: one of `specification.EVERY_ARM`.
        seed: of the initial weights, the batch order and the random layers.
    """

    folder: Path
    arm: str
    seed: int

    @property
    def title(self) -> str:
        """The name of the run: `baseline, seed 0`."""
        return f"{self.name}, seed {self.of_seed}"

    @property
    def member(self) -> int:
        """Which member of a teacher it is; 1 of every other run."""
        name = self.folder.name.removeprefix(NEXT)
        return members.number(name) if self.arm == "teacher" else 1

    @property
    def name(self) -> str:
        """The arm, of a further member of a teacher with its number: `teacher-2`."""
        return self.arm if self.member == 1 else f"{self.arm}-{self.member}"

    @property
    def of_seed(self) -> int:
        """The seed of the experiment that it belongs to: only of a further member of a teacher is it not its own."""
        return members.seed_of_teacher(self.seed, self.member)

    @property
    def role(self) -> str:
        """The section of the config whose model is trained: `teacher` or `student`."""
        return "teacher" if self.arm == "teacher" else "student"

    @property
    def model_file(self) -> Path:
        """The file of the trained model."""
        return self.folder / "model.keras"

    @property
    def history_file(self) -> Path:
        """The file with a JSON record for each epoch, one a line."""
        return self.folder / "history.jsonl"

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints that an interrupted run is resumed from."""
        return Checkpoints(self.folder / "checkpoints")

    @property
    def manifest(self) -> dict[str, Any] | None:
        """The manifest; None where it is missing or damaged."""
        return documents.read_sealed(self.folder / "manifest.json", shapes.Manifest)

    @property
    def result(self) -> Result | None:
        """The result; None where it is missing or damaged."""
        return cast("Result | None", documents.read_sealed(self.folder / "result.json", shapes.Result))

    @property
    def failure(self) -> dict[str, Any] | None:
        """The record of a failed attempt, by `RunWriter.fail`; None where the last attempt did not fail."""
        return documents.read_sealed(self.folder / FAILURE, shapes.Failure)

    @property
    def taught_by(self) -> str | None:
        """The joint identity of the models that the run learns or starts from; None without any, or a manifest."""
        spec = (self.manifest or {}).get("spec") or {}
        return spec.get("teacher_weights") or spec.get("baseline_weights")

    @property
    def started_from(self) -> str | None:
        """The fingerprint of the baseline's weights that the run started from; None where it started from others."""
        return ((self.manifest or {}).get("spec") or {}).get("start_weights")

    @property
    def weights(self) -> str | None:
        """The fingerprint of the weights of a finished run; None of an unfinished one."""
        return (self.result or {}).get("weights_sha256")

    @property
    def finished(self) -> bool:
        """Whether the run has finished; whether its files are sound, `status.judge` says."""
        return (self.folder / "result.json").exists()

    def of_arm(self, arm: str) -> "Run":
        """Return the run of another arm or member, of the same seed, in the same experiment."""
        return run_at(self.folder.parent, arm, self.of_seed)

    @property
    def next(self) -> "Run":
        """The replacement of this finished run, which stays until the replacement has finished too."""
        return Run(self.folder.with_name(f"{NEXT}{self.folder.name}"), self.arm, self.seed)

    @property
    def last(self) -> Path:
        """The folder of a replaced run between the two renames of `settle`."""
        return self.folder.with_name(f".last-{self.folder.name}")

    @property
    def _lock_file(self) -> Path:
        # Not in the folder, which is emptied when a run starts afresh.
        return self.folder.with_name(f".{self.folder.name}.lock")

    @contextlib.contextmanager
    def locked(self, wait: bool = False) -> Iterator[None]:
        """Hold the lock of this run. If another process holds it, `wait` for that, or else raise OutputError."""
        with files.writing(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        with lock.locked(self._lock_file, wait):
            self.settle()
            yield

    def check_free(self) -> None:
        """Raise OutputError, naming the process, if another one holds the lock of this run."""
        lock.check_free(self._lock_file)

    def lock_holder(self) -> str | None:
        """Return the process that holds the lock of this run, in words, or None. Nothing is written."""
        return lock.holder(self._lock_file)

    def settle(self) -> None:
        """Move a finished replacement into the place of this run. The caller holds the lock.

        If the process is killed between the two renames, the next one that takes the lock does the rest.
        """
        with files.writing(self.folder):
            if self.next.finished:
                files.put(self.next.folder, self.folder, self.last)
        files.remove(self.last)

    @property
    def model_sha256(self) -> str | None:
        """The SHA-256 of the model file when it was written; None where there is none."""
        return (self.manifest or {}).get("files", {}).get("model.keras")

    def history(self) -> list[EpochRecord]:
        """Return the records of all epochs so far, up to a line that another process may be writing now."""
        return history.read(self.history_file)[0]

    def remove_temporary_files(self) -> None:
        """Remove files that a killed process had not finished to write."""
        for left in self.folder.glob(f"{files.TEMPORARY}*"):
            left.unlink(missing_ok=True)


def teacher_files(manifest: dict[str, Any]) -> list[str]:
    """Return the paths of a distilled run's teachers, relative to its experiment; early manifests have a single one."""
    single = [manifest["teacher_file"]] if manifest.get("teacher_file") else []
    return manifest.get("teacher_files", single)
