"""Writes the folder of a run while it is trained: history, checkpoints, a failure or the result."""

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
    """Writes one run. The caller holds the run's lock.

    A finished run that is to be replaced stays where it is: its replacement is written next to it, and takes its place
    once it has finished too. If the folder is moved or removed meanwhile, nothing more is written.

    Args:
        target: the run; its folder need not exist.
        spec: see `runs.specification`.
        about: what the manifest records besides: `data`, `threads`, `device`, `versions`.
        warn: receives a sentence on each damaged checkpoint and each change of software.

    Attributes:
        run: the run that is written: the target, or its replacement.
        history: the records of the epochs so far.
        checkpoint: the checkpoint that the run is resumed from; None where it starts afresh.

    Raises:
        OutputError: the folder cannot be written, or the run was begun on other data.
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
                self.checkpoint = self.run.checkpoints.latest(self._run_and_data(), warn)
            if self.checkpoint:
                self._restore_history(self.checkpoint)
            else:
                self._start_afresh()
            self._inode = _inode(self.run.folder)
            attempts = before.get("attempts", []) if same else []
            self._manifest["attempts"] = [*attempts, self._attempt()]
            files.write_sealed(self.run.folder / "manifest.json", self._manifest)
            (self.run.folder / FAILURE).unlink(missing_ok=True)
        if self.checkpoint:
            for change in _changes(before, self._manifest):
                warn(f"{self.run.folder}: resuming with other {change}: the last digits may differ")

    def _refuse_other_data(self, before: Mapping[str, Any]) -> None:
        if before.get("data") != self._manifest.get("data") and self.run.checkpoints.exist():
            raise OutputError(
                f"{self.run.folder}: this run was interrupted, and the data has changed since it began",
                hint="Restore the data that it began with, or remove the folder to start the run afresh.",
            )

    def _run_and_data(self) -> str:
        """Return the hash of specification and data that checkpoints belong to."""
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

    def _restore_history(self, checkpoint: Checkpoint) -> None:
        self.run.remove_temporary_files()
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
        """Write a checkpoint.

        Args:
            epochs: how many epochs are done and recorded.
            batches: how many batches of the next epoch are done.
            write_state: writes the state of the training to a path.

        Raises:
            OutputError: the disk is full or read-only, and the earlier checkpoints are still there; or the folder was
                moved or removed.
        """
        self._check_place()
        contents = {STATE: write_state, self.run.history_file.name: lambda path: path.write_text(self._history_text())}
        with files.writing(self.run.folder):
            self.run.checkpoints.write(self._run_and_data(), epochs, batches, contents)

    def fail(self, message: str, epoch: int) -> None:
        """Record why the run failed, in `epoch`, counted from 1; where the folder cannot be written, do nothing."""
        with contextlib.suppress(OutputError):
            self._check_place()
            with files.writing(self.run.folder):
                files.write_sealed(self.run.folder / FAILURE, {"message": message, "epoch": epoch, "at": now()})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Hash the run's files into the manifest, then write `result.json`, which makes the run complete.

        Raises:
            OutputError: the folder cannot be written, or was moved or removed.
        """
        self._check_place()
        folder = self.run.folder
        with files.writing(folder):
            files.write_text(self.run.history_file, self._history_text())
            own = [self.run.model_file, self.run.history_file, *(folder / name for name in names.FILES)]
            hashes = {path.name: files.sha256(path) for path in own if path.exists()}
            manifest = {**self._manifest, "finished": now(), "files": hashes}
            files.write_sealed(folder / "manifest.json", manifest)
            files.write_sealed(folder / "result.json", {**result, "identity": self._manifest["identity"]})
        self._target.settle()
        self._target.checkpoints.clear()

    def _history_text(self) -> str:
        return "".join(map(_line, self.history))

    def _check_place(self) -> None:
        if _inode(self.run.folder) != self._inode:
            raise OutputError(
                f"{self.run.folder}: the folder was moved or removed during the run",
                hint="If it was moved, run the same command with its new --output-dir to resume the run.",
            )


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def _inode(folder: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = os.stat(folder)
        return found.st_dev, found.st_ino
    return None


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the changes of threads, device and versions since the run began, on which last digits depend."""
    kept = [(key, before.get(key), after.get(key)) for key in ("threads", "device")]
    versions = after.get("versions", {})
    kept += [(name, before.get("versions", {}).get(name), version) for name, version in versions.items()]
    return [f"{name} ({was} before, now {value})" for name, was, value in kept if was not in (None, value)]
