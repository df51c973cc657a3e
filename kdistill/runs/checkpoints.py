"""Checkpoints: everything that a run needs to be resumed, in one folder that appears whole or not at all.

checkpoints/epoch-00012-batch-00000300/     12 epochs are done, and 300 batches of the next
  state.npz          the state of the training
  history.jsonl      the run's history up to here
  checkpoint.json    its run and data, and the SHA-256 of the other files; sealed with its own

A checkpoint is written under a temporary name and brought to disk; the rename to its name makes it valid. The last two
are kept: where the newest is damaged, the run is resumed from the one before.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdistill.core import documents, files
from kdistill.runs import shapes

FORMAT = 1
KEPT = 2
ABOUT = "checkpoint.json"

Write = Callable[[Path], None]

_NAME = re.compile(r"epoch-(\d+)-batch-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose hashes hold.

    Attributes:
        folder: has its files.
        epochs: how many epochs are done.
        batches: how many batches of the next epoch are done.
    """

    folder: Path
    epochs: int
    batches: int


class Checkpoints:
    """The checkpoints of one run, in a folder that need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, belongs_to: str, epochs: int, batches: int, contents: Mapping[str, Write]) -> None:
        """Write a checkpoint, then remove all but the last two.

        Args:
            belongs_to: a hash of the run and the data.
            epochs: how many epochs are done.
            batches: how many batches of the next epoch are done.
            contents: for each file name, a function that writes the file to a path.

        Raises:
            OSError: the disk is full or read-only; the earlier checkpoints are still there.
        """
        self.folder.mkdir(exist_ok=True)  # not its parents: where they are gone, the run was removed
        place = self.folder / f"epoch-{epochs:05}-batch-{batches:08}"
        temporary = files.temporary_for(place)
        try:
            temporary.mkdir()
            for name, write in contents.items():
                write(temporary / name)
            about = {
                "format": FORMAT,
                "belongs_to": belongs_to,
                "epochs": epochs,
                "batches": batches,
                "files": {name: files.sha256(temporary / name) for name in contents},
            }
            files.write_sealed(temporary / ABOUT, about)
            files.put(temporary, place)
        finally:
            files.remove(temporary)
        for old in self._places()[:-KEPT]:
            self._remove(old)

    def latest(self, belongs_to: str, warn: Callable[[str], None]) -> Checkpoint | None:
        """Return the newest valid checkpoint of the run and data with the hash `belongs_to`, or None.

        Invalid and unfinished checkpoints are removed; `warn` receives a sentence on each invalid one.
        """
        self.sweep()
        for place in reversed(self._places()):
            checkpoint, problem = self._read(place, belongs_to)
            if checkpoint is not None:
                return checkpoint
            warn(f"{place}: {problem}; this checkpoint is skipped")
            self._remove(place)
        return None

    def exist(self) -> bool:
        """Whether there is a checkpoint, valid or not."""
        return bool(self._places())

    def newest_epoch(self) -> int | None:
        """Return how many epochs the newest checkpoint has by its name, valid or not; None where there is none."""
        return next((int(place.name.split("-")[1]) for place in reversed(self._places())), None)

    def clear(self) -> None:
        """Remove all checkpoints."""
        files.remove(self.folder)

    def sweep(self) -> None:
        """Remove what a killed process had not finished to write or to remove."""
        for path in self.folder.glob(f"{files.TEMPORARY}*"):
            files.remove(path)

    def _places(self) -> list[Path]:
        """Return the folders of all checkpoints, oldest first."""
        found = [(match, path) for path in self.folder.glob("epoch-*") if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found, key=lambda each: tuple(map(int, each[0].groups())))]

    def _remove(self, place: Path) -> None:
        """Remove a checkpoint so that no part of it is left under its name, even if this process is killed."""
        temporary = files.temporary_for(place)
        os.replace(place, temporary)
        files.remove(temporary)

    def _read(self, place: Path, belongs_to: str) -> tuple[Checkpoint | None, str]:
        about = documents.read_sealed(place / ABOUT, shapes.Checkpoint)
        if about is None or about.get("format") != FORMAT:
            return None, f"{ABOUT} is missing or damaged"
        if about["belongs_to"] != belongs_to:
            return None, "it was made from other data or another config"
        for name, expected in about["files"].items():
            try:
                found = files.sha256(place / name)
            except FileNotFoundError:
                return None, f"{name} is missing"
            if found != expected:
                return None, f"{name} is not the file that was written: its SHA-256 differs"
        return Checkpoint(place, about["epochs"], about["batches"]), ""


class Cadence:
    """Decides when a checkpoint is due. The times of the checkpoints never change the result of a run.

    With `auto`, all checkpoints together take at most about 2 % of the run's time: one is due at the end of an epoch if
    that holds, and within an epoch if also half a minute has passed since the last.
    Otherwise one is due after each `every` epochs. `clock` returns seconds.
    """

    SHARE = 0.02
    LONG = 30.0  # seconds
    FIRST_GUESS = 0.02  # seconds, assumed before the first checkpoint has been timed

    def __init__(self, every: int | Literal["auto"], clock: Callable[[], float] = time.monotonic) -> None:
        self.every = every
        self._clock = clock
        self._started = self._last = clock()
        self._spent = 0.0
        self._cost = self.FIRST_GUESS

    def due_after(self, epoch: int) -> bool:
        """Whether one is due at the end of `epoch`, counted from 1."""
        return self._is_affordable() if self.every == "auto" else epoch % self.every == 0

    def due_within(self) -> bool:
        """Whether one is due in the middle of an epoch."""
        return self.every == "auto" and self._clock() - self._last >= self.LONG and self._is_affordable()

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Time the writing of a checkpoint."""
        before = self._clock()
        yield
        self._last = self._clock()
        self._cost = self._last - before
        self._spent += self._cost

    def _is_affordable(self) -> bool:
        return self._spent + self._cost <= self.SHARE * (self._clock() - self._started)
