"""The folder of one run: what is there, whether it is complete, whom it belongs to."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from kdistill.core import files
from kdistill.core.listener import EpochRecord
from kdistill.runs import lock
from kdistill.runs.checkpoints import Checkpoints

REPLACE = (
    "Use --overwrite to start this run afresh; to keep it, give the experiment a name of its own (--set name=...) or "
    "another --output-dir."
)
FAILURE = "failure.json"
SAME_CONFIG = "Give the -c and --set that it was made with, or another --output-dir."


class SplitScores(TypedDict):
    """How well a model fits the labels of a split: `measures.Scores` as a document."""

    accuracy: float
    nll: float
    ece: float
    class_accuracy: list[float | None]


class ScoresOnTest(SplitScores):
    """The scores of a model, or of several teachers together, on the test split."""

    parameters: int | None  # None where there are only logits
    file_bytes: int | None
    agreement: float | None  # with the teacher; None for a teacher, and where its logits are not known
    kl_to_teacher: float | None  # in nats


class Result(TypedDict, total=False):
    """What a run came to: `result.json`. Of an earlier version, some of it may be missing."""

    arm: str
    seed: int
    epochs: int
    best_epoch: int
    stopped: str  # why
    validation: SplitScores  # of the best weights
    parameters: int
    file_bytes: int
    weights_sha256: str
    teacher_validation: SplitScores | None  # None without a teacher
    formula: str
    augmentation: dict[str, Any]  # of images, where there is any
    soft_targets: str  # where they are from, of a run with a teacher
    warnings: list[str]
    run_info: dict[str, Any]  # `seconds`, `compiled`
    identity: str


@dataclass(frozen=True)
class Run:
    """The folder of one run: one arm trained with one seed. It is written by `writer.RunWriter`.

    Attributes:
        folder: which need not exist.
        arm: `teacher`, `baseline` or `distilled`.
        seed: of initial weights, batch order and whatever layers draw.
    """

    folder: Path
    arm: str
    seed: int

    @property
    def title(self) -> str:
        """What it is called where nothing else has a name for it."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def role(self) -> str:
        """Which of the two models of a config it trains: `teacher` or `student`."""
        return "teacher" if self.arm == "teacher" else "student"

    @property
    def model_file(self) -> Path:
        """Where the trained model is."""
        return self.folder / "model.keras"

    @property
    def history_file(self) -> Path:
        """One JSON record a line, one line an epoch."""
        return self.folder / "history.jsonl"

    @property
    def checkpoints(self) -> Checkpoints:
        """From which an interrupted run goes on."""
        return Checkpoints(self.folder / "checkpoints")

    @property
    def manifest(self) -> dict[str, Any] | None:
        """The manifest, or None where there is none, or it is not what was written."""
        return files.read_sealed(self.folder / "manifest.json")

    @property
    def result(self) -> Result | None:
        """What the run came to, or None where it has not finished."""
        return cast("Result | None", files.read_sealed(self.folder / "result.json"))

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why the last attempt failed: see `RunWriter.fail`; None where none did."""
        return files.read_sealed(self.folder / FAILURE)

    @property
    def taught_by(self) -> str | None:
        """The fingerprint of the teacher of the distilled run that is there, or of several; None where it is not."""
        return ((self.manifest or {}).get("spec") or {}).get("teacher_weights")

    @property
    def weights(self) -> str | None:
        """The fingerprint of the weights of a finished run."""
        return (self.result or {}).get("weights_sha256")

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, sound or damaged since: see `status.judge`."""
        return (self.folder / "result.json").exists()

    def of_arm(self, arm: str) -> "Run":
        """Return the run of another arm, with the same seed, in the same experiment."""
        return Run(self.folder.with_name(arm), arm, self.seed)

    @property
    def next(self) -> "Run":
        """The run that is to replace this finished one, which stays until its replacement has finished too."""
        return Run(self.folder.with_name(f".next-{self.folder.name}"), self.arm, self.seed)

    @property
    def last(self) -> Path:
        """Where the folder of a replaced run is for the moment between two renames."""
        return self.folder.with_name(f".last-{self.folder.name}")

    @property
    def _lock_file(self) -> Path:
        # Beside the folder, which is emptied when a run starts afresh.
        return self.folder.with_name(f".{self.folder.name}.lock")

    @contextlib.contextmanager
    def locked(self, wait: bool = False) -> Iterator[None]:
        """Be the only process that writes to this run.

        Args:
            wait: for another one that is at it, rather than refuse.

        Raises:
            OutputError: another one is at it, or the folder cannot be written.
        """
        with files.writing(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        with lock.locked(self._lock_file, wait):
            self.settle()
            yield

    def check_free(self) -> None:
        """Raise OutputError if another process is at work on this run, naming it."""
        lock.check_free(self._lock_file)

    def at_work(self) -> str | None:
        """Return which process is at work on this run, in words, or None. Writes nothing."""
        return lock.holder(self._lock_file)

    def settle(self) -> None:
        """Put a replacement that has finished in the place of the run that it replaces. Whoever calls holds the lock.

        A process that is killed between the two renames leaves the rest to the next that takes the lock.
        """
        with files.writing(self.folder):
            if self.next.finished:
                files.put(self.next.folder, self.folder, self.last)
        files.remove(self.last)

    @property
    def model_sha256(self) -> str | None:
        """The SHA-256 of the model's file, as it was when it was written; None where there is none."""
        return (self.manifest or {}).get("files", {}).get("model.keras")

    def history(self) -> list[EpochRecord]:
        """Return the records of all epochs so far. The last line may be half written at this very moment."""
        records = list[EpochRecord]()
        with contextlib.suppress(OSError, ValueError):
            for line in self.history_file.read_text(encoding="utf-8").splitlines():
                if isinstance(record := json.loads(line), dict):
                    records.append(record)  # type: ignore[arg-type]
        return records

    def sweep(self) -> None:
        """Remove files that a process which was killed had not finished to write."""
        for left in self.folder.glob(f"{files.TEMPORARY}*"):
            left.unlink(missing_ok=True)


def teacher_files(manifest: dict[str, Any]) -> list[str]:
    """Return the places of a distilled run's teachers, seen from its experiment; before there could be several, one."""
    before = [manifest["teacher_file"]] if manifest.get("teacher_file") else []
    return manifest.get("teacher_files", before)
