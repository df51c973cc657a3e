"""The folder of one run: what is there, whether it is complete, how it goes on."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdistill import files
from kdistill.errors import OutputError
from kdistill.runs import lock
from kdistill.runs.checkpoints import Checkpoint, Checkpoints, Write
from kdistill.runs.specification import differences, identity

FORMAT = 1
STATE = "state.npz"

REPLACE = "Use --overwrite to start this run afresh, or another --output-dir or `name`."
SAME_CONFIG = "Give the -c and --set that it was made with, or another --output-dir."


@dataclass(frozen=True)
class Run:
    """The folder of one run: one arm trained with one seed."""

    folder: Path
    arm: str
    seed: int

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
        """The manifest, or None where there is none that can be read."""
        return files.read_sealed(self.folder / "manifest.json")

    @property
    def result(self) -> dict[str, Any] | None:
        """What `finish` was given, or None where the run has not finished."""
        return files.read_sealed(self.folder / "result.json")

    @property
    def _lock_file(self) -> Path:
        # Beside the folder, which is emptied when a run starts afresh.
        return self.folder.with_name(f".{self.folder.name}.lock")

    @property
    def _aside(self) -> Path:
        """Where a finished run waits until the one that is to replace it has finished too."""
        return self.folder.with_name(f".before-{self.folder.name}")

    @contextmanager
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
            yield

    def check_free(self) -> None:
        """Raise OutputError if another process is at work on this run, naming it."""
        lock.check_free(self._lock_file)

    def test_scores(self, teacher_weights: str | None) -> dict[str, Any] | None:
        """Return the scores written by `record_test`, if they are of the model that is there, and of that teacher."""
        stored = files.read_sealed(self.folder / "test.json") or {}
        fits = stored.get("model_sha256") == self._model_sha256 and stored.get("teacher_weights") == teacher_weights
        return stored.get("scores") if fits else None

    def test_correct(self) -> list[bool]:
        """Return for each example of the test split whether the model that is there was right; empty if not known."""
        stored = files.read_sealed(self.folder / "test.json") or {}
        if stored.get("model_sha256") != self._model_sha256:
            return []
        return [answer == "1" for answer in stored.get("correct", "")]

    @property
    def _model_sha256(self) -> str | None:
        return (self.manifest or {}).get("files", {}).get("model.keras")

    def damage(self) -> str | None:
        """Return what is wrong with a finished run, or None if it is sound or not finished."""
        if not (self.folder / "result.json").exists():
            return None
        if self.result is None:
            return "result.json is not what was written"
        written = (self.manifest or {}).get("files")
        if not written:
            return "manifest.json is missing or is not what was written"
        for name, sha256 in written.items():
            path = self.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if files.sha256(path) != sha256:
                return f"{name} is not the file that was written: its SHA-256 differs"
        return None

    def is_complete(self) -> bool:
        """Whether the run has finished and its files are those that were written."""
        return self.result is not None and self.damage() is None

    def state(self) -> str:
        """Return `complete`, `damaged`, `interrupted` (it goes on from a checkpoint) or `to train`."""
        if (self.folder / "result.json").exists():
            return "damaged" if self.damage() else "complete"
        return "interrupted" if self.checkpoints.exist() else "to train"

    def conflict(self, spec: dict[str, Any]) -> list[str]:
        """Return how `spec` differs from that of the run in this folder; empty where they agree or none is there."""
        manifest = self.manifest
        if manifest is None or manifest.get("identity") == identity(spec):
            return []
        return differences(manifest.get("spec", {}), spec)

    def begin(
        self, spec: dict[str, Any], about: dict[str, Any], warn: Callable[[str], None] = lambda text: None
    ) -> Checkpoint | None:
        """Make the folder ready for a run that starts now, or goes on, and write its manifest.

        Args:
            spec: see `specification`.
            about: what else the manifest records: data fingerprints, versions, device, threads.
            warn: told what may keep the run from going on to the very same result.

        Returns:
            The checkpoint from which the run goes on; None where it starts in an emptied folder.

        Raises:
            OutputError: the folder cannot be written.
        """
        before = self.manifest or {}
        same = before.get("identity") == identity(spec)
        attempts = before.get("attempts", []) if same and not (self.folder / "result.json").exists() else []
        manifest = {
            "format": FORMAT,
            "arm": self.arm,
            "seed": self.seed,
            "identity": identity(spec),
            "spec": spec,
            **about,
        }
        with files.writing(self.folder):
            found = self.checkpoints.latest(_owner(manifest), warn) if same or not before else None
            if found is None:
                self._empty()
            else:
                self._take_up(found)
                for change in _changes(before, manifest):
                    warn(f"{self.folder}: goes on with other {change}: the last digits may differ")
            attempt = {
                "started": now(),
                "from_epoch": found.epochs if found else 0,
                "from_batch": found.batches if found else 0,
            }
            files.write_sealed(self.folder / "manifest.json", {**manifest, "attempts": [*attempts, attempt]})
        return found

    def _empty(self) -> None:
        """Leave an empty folder; what is complete is set aside, since what replaces it may never be."""
        if self.is_complete():
            shutil.rmtree(self._aside, ignore_errors=True)
            self.folder.replace(self._aside)
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def put_back(self) -> bool:
        """Give up the run that has begun for the finished one that it was to replace; return whether there is one."""
        if not self._aside.exists():
            return False
        with files.writing(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
            self._aside.replace(self.folder)
        return True

    def was_set_aside(self, spec: dict[str, Any]) -> bool:
        """Whether a finished run of this very specification waits to be replaced."""
        waiting = Run(self._aside, self.arm, self.seed)
        return (waiting.manifest or {}).get("identity") == identity(spec) and waiting.is_complete()

    def _take_up(self, checkpoint: Checkpoint) -> None:
        """Bring the folder to where it was at a checkpoint."""
        self._sweep()
        history = (checkpoint.folder / self.history_file.name).read_text(encoding="utf-8")
        files.write_text(self.history_file, history)

    def _sweep(self) -> None:
        """Remove files that a process which was killed had not finished to write."""
        for left in self.folder.glob(f"{files.TEMPORARY}*"):
            left.unlink(missing_ok=True)

    def is_untidy(self) -> bool:
        """Whether there is something for `tidy` to remove, unless another process is writing it at the moment."""
        left = (self.checkpoints.folder.exists(), self._aside.exists(), *self.folder.glob(f"{files.TEMPORARY}*"))
        return any(left)

    def tidy(self) -> None:
        """Remove what a process that was killed at its very end has left in a complete run."""
        with files.writing(self.folder):
            self._sweep()
        self._discard()

    def _discard(self) -> None:
        """Remove what a complete run has no more use for."""
        self.checkpoints.clear()
        shutil.rmtree(self._aside, ignore_errors=True)

    def record(self, epoch: dict[str, Any]) -> None:
        """Append one epoch's record to the history.

        Raises:
            OutputError: the disk is full or the folder has gone.
        """
        with files.writing(self.folder), self.history_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(epoch) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """Return the records of all epochs so far."""
        if not self.history_file.exists():
            return []
        return [json.loads(line) for line in self.history_file.read_text(encoding="utf-8").splitlines()]

    def write_checkpoint(self, epochs: int, batches: int, write_state: Write) -> None:
        """Make a checkpoint of a run that has begun.

        Args:
            epochs: how many are done and recorded.
            batches: how many of the next epoch are done.
            write_state: writes the state to a path.

        Raises:
            OutputError: the disk is full or read-only; the checkpoints before are still there.
        """
        contents = {STATE: write_state, self.history_file.name: self._copy_history}
        with files.writing(self.folder):
            self.checkpoints.write(_owner(self.manifest or {}), epochs, batches, contents)

    def _copy_history(self, path: Path) -> None:
        path.write_bytes(self.history_file.read_bytes() if self.history_file.exists() else b"")

    def finish(self, result: dict[str, Any]) -> None:
        """Hash the run's files into the manifest, then write `result.json`: from here on the run is complete.

        Raises:
            OutputError: the folder cannot be written.
        """
        with files.writing(self.folder):
            own = sorted(
                path
                for path in self.folder.iterdir()
                if path.is_file() and path.name not in {"manifest.json", "result.json"} and path.name[0] != "."
            )
            manifest = {
                **(self.manifest or {}),
                "finished": now(),
                "files": {path.name: files.sha256(path) for path in own},
            }
            files.write_sealed(self.folder / "manifest.json", manifest)
            files.write_sealed(self.folder / "result.json", result)
        self._discard()

    def record_test(self, scores: dict[str, Any], teacher_weights: str | None, correct: Sequence[bool]) -> None:
        """Keep the model's scores on the test split beside it, with whose scores they are.

        Args:
            scores: see `recipes.evaluate`.
            teacher_weights: fingerprint of the teacher it was compared with, if any.
            correct: for each example of the split, whether it was right.

        Raises:
            OutputError: the folder cannot be written.
        """
        answers = "".join("1" if right else "0" for right in correct)
        whose = {"model_sha256": self._model_sha256, "teacher_weights": teacher_weights}
        with files.writing(self.folder), self.locked(wait=True):
            files.write_sealed(self.folder / "test.json", {**whose, "scores": scores, "correct": answers})


def check_no_conflict(run: Run, spec: dict[str, Any], hint: str = REPLACE) -> None:
    """Refuse to mix two configs in one run's folder.

    Args:
        run: whose folder it is.
        spec: what is wanted of it now.
        hint: what to do, which depends on whether the command trains or only reads.

    Raises:
        OutputError: naming the keys that differ.
    """
    changed = run.conflict(spec)
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise OutputError(
            f"{run.folder}: this {run.arm} run was made from another config:\n{listed}",
            hint=hint,
        )


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _owner(manifest: dict[str, Any]) -> str:
    """Return whose checkpoints those of a run are: of its specification, on this very data."""
    text = json.dumps([manifest.get("identity"), manifest.get("data")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return in what, of all that may change the last digits, a run goes on otherwise than it began."""
    kept = [(key, before.get(key), after.get(key)) for key in ("threads", "device")]
    versions = after.get("versions", {})
    kept += [(name, before.get("versions", {}).get(name), version) for name, version in versions.items()]
    return [f"{name} ({was} before, now {value})" for name, was, value in kept if was not in (None, value)]
