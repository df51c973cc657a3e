"""A run while it is being made: what has been done is kept in memory, and written so that it can go on from there."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdistill.core import files
from kdistill.core.errors import OutputError
from kdistill.core.listener import EpochRecord
from kdistill.modelfiles import names
from kdistill.runs.checkpoints import Checkpoint, Write
from kdistill.runs.lock import now
from kdistill.runs.run import FAILURE, Run
from kdistill.runs.specification import identity

FORMAT = 1
STATE = "state.npz"

Warn = Callable[[str], None]


class RunWriter:
    """One run at work. Whoever makes it holds its lock.

    A finished run that is to be replaced stays where it is: its replacement is made beside it, and takes its place once
    it has finished too. The folder has to stay the one in which it began, whoever moves or removes it.

    Attributes:
        run: where the files are written.
        history: the epochs so far.
        checkpoint: from which the run goes on; None where it starts.
    """

    def __init__(self, target: Run, spec: Mapping[str, Any], about: Mapping[str, Any], warn: Warn) -> None:
        self.run = target.next if target.finished else target
        self.history: list[EpochRecord] = []
        self.checkpoint: Checkpoint | None = None
        self._target = target
        self._manifest: dict[str, Any] = {
            "format": FORMAT,
            "arm": target.arm,
            "seed": target.seed,
            "identity": identity(dict(spec)),
            "spec": dict(spec),
            **about,
        }
        before = self.run.manifest or {}
        same = before.get("identity") == self._manifest["identity"]
        if same:
            self._refuse_other_data(before)
        with files.writing(self.run.folder):
            if same or not before:
                self.checkpoint = self.run.checkpoints.latest(self._owner(), warn)
            if self.checkpoint:
                self._take_up(self.checkpoint)
            else:
                self._start_afresh()
            self._place = _inode(self.run.folder)
            attempts = before.get("attempts", []) if same else []
            self._manifest["attempts"] = [*attempts, self._attempt()]
            files.write_sealed(self.run.folder / "manifest.json", self._manifest)
            (self.run.folder / FAILURE).unlink(missing_ok=True)
        if self.checkpoint:
            for change in _changes(before, self._manifest):
                warn(f"{self.run.folder}: goes on with other {change}: the last digits may differ")

    def _refuse_other_data(self, before: Mapping[str, Any]) -> None:
        if before.get("data") != self._manifest.get("data") and self.run.checkpoints.exist():
            raise OutputError(
                f"{self.run.folder}: this run was interrupted, and the data is no longer that on which it began",
                hint="Put the data back that it began with, or remove the folder to start the run afresh.",
            )

    def _owner(self) -> str:
        """Return whose the checkpoints are: of this specification, on this very data."""
        text = json.dumps([self._manifest["identity"], self._manifest.get("data")], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _attempt(self) -> dict[str, Any]:
        epochs, batches = (self.checkpoint.epochs, self.checkpoint.batches) if self.checkpoint else (0, 0)
        return {"started": now(), "from_epoch": epochs, "from_batch": batches}

    def _start_afresh(self) -> None:
        if self.run.folder.exists():
            shutil.rmtree(self.run.folder)
        self.run.folder.mkdir(parents=True)
        files.sync(self.run.folder.parent)

    def _take_up(self, checkpoint: Checkpoint) -> None:
        """Bring the folder to where it was at a checkpoint."""
        self.run.sweep()
        text = (checkpoint.folder / self.run.history_file.name).read_text(encoding="utf-8")
        self.history = [json.loads(line) for line in text.splitlines()]
        files.write_text(self.run.history_file, text)

    def record(self, epoch: EpochRecord) -> None:
        """Append one epoch's record to the history.

        Raises:
            OutputError: the disk is full, or the folder was moved or removed.
        """
        self._check_place()
        self.history.append(epoch)
        with files.writing(self.run.folder), self.run.history_file.open("a", encoding="utf-8") as file:
            file.write(_line(epoch))

    def write_checkpoint(self, epochs: int, batches: int, write_state: Write) -> None:
        """Make a checkpoint.

        Args:
            epochs: how many are done and recorded.
            batches: how many of the next epoch are done.
            write_state: writes the state to a path.

        Raises:
            OutputError: the disk is full or read-only, and the checkpoints before are still there; or the folder was
                moved or removed.
        """
        self._check_place()
        contents = {STATE: write_state, self.run.history_file.name: lambda path: path.write_text(self._history_text())}
        with files.writing(self.run.folder):
            self.run.checkpoints.write(self._owner(), epochs, batches, contents)

    def fail(self, message: str, epoch: int) -> None:
        """Record why the run ended by itself, until it is tried again. A failure to do so adds nothing to the first.

        Args:
            message: what happened.
            epoch: in which it happened, counted from 1.
        """
        with contextlib.suppress(OutputError):
            self._check_place()
            with files.writing(self.run.folder):
                files.write_sealed(self.run.folder / FAILURE, {"message": message, "epoch": epoch, "at": now()})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Hash the run's files into the manifest, then write `result.json`: from here on the run is complete.

        Raises:
            OutputError: the folder cannot be written, or was moved or removed.
        """
        self._check_place()
        folder = self.run.folder
        with files.writing(folder):
            files.write_text(self.run.history_file, self._history_text())
            own = [self.run.model_file, self.run.history_file, folder / names.CLASSES, folder / names.FEATURES]
            hashes = {path.name: files.sha256(path) for path in own if path.exists()}
            manifest = {**self._manifest, "finished": now(), "files": hashes}
            files.write_sealed(folder / "manifest.json", manifest)
            files.write_sealed(folder / "result.json", {**result, "identity": self._manifest["identity"]})
        self._target.settle()
        self._target.checkpoints.clear()

    def _history_text(self) -> str:
        return "".join(map(_line, self.history))

    def _check_place(self) -> None:
        if _inode(self.run.folder) != self._place:
            raise OutputError(
                f"{self.run.folder}: the folder was moved or removed while the run was at work",
                hint="If it was moved, run the same command with its new --output-dir to go on.",
            )


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def _inode(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in what, of all that may change the last digits, a run goes on otherwise than it began."""
    kept = [(key, before.get(key), after.get(key)) for key in ("threads", "device")]
    versions = after.get("versions", {})
    kept += [(name, before.get("versions", {}).get(name), version) for name, version in versions.items()]
    return [f"{name} ({was} before, now {value})" for name, was, value in kept if was not in (None, value)]
