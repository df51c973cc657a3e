"""Checkpoints: everything a run needs to go on, in one folder that appears whole or not at all.

checkpoints/epoch-00012-batch-00000300/     12 epochs are done, and 300 batches of the next
  state.npz          whatever `Checkpoints.write` was given to write
  history.jsonl      the run's history up to here
  checkpoint.json    whose it is, and the SHA-256 of the other files; sealed with its own

A checkpoint is written under a temporary name and brought to disk; the rename that gives it its name is the one point
at which it comes to be. The last two are kept: one that is damaged is passed over for the one before.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdistill.core import files

FORMAT = 1
KEPT = 2
ABOUT = "checkpoint.json"

Write = Callable[[Path], None]

_NAME = re.compile(r"epoch-(\d+)-batch-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are those that were written.

    Attributes:
        folder: where its files are.
        epochs: how many are done.
        batches: how many of the next epoch are done.
    """

    folder: Path
    epochs: int
    batches: int


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: that they are in; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, belongs_to: str, epochs: int, batches: int, contents: Mapping[str, Write]) -> None:
        """Make a checkpoint, then remove all but the last two.

        Args:
            belongs_to: of what run and data it is.
            epochs: how many are done.
            batches: how many of the next epoch are done.
            contents: the name of each file and what writes it to a path.

        Raises:
            OSError: the disk is full or read-only; the checkpoints before are still there.
        """
        self.folder.mkdir(exist_ok=True)  # not its parents: if they have gone, this run is nobody's any more
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
        """Return the newest sound checkpoint, or None; unsound ones and what was never finished are removed.

        Args:
            belongs_to: one of another run or other data is not taken.
            warn: told of each that is passed over.
        """
        self.sweep()
        for place in reversed(self._places()):
            checkpoint, problem = self._read(place, belongs_to)
            if checkpoint is not None:
                return checkpoint
            warn(f"{place}: {problem}; this checkpoint is passed over")
            self._remove(place)
        return None

    def exist(self) -> bool:
        """Whether there is any, sound or not."""
        return bool(self._places())

    def newest(self) -> tuple[int, int] | None:
        """Return epochs and batches of the newest, sound or not, by its name alone; None where there is none."""
        places = self._places()
        match = _NAME.fullmatch(places[-1].name) if places else None
        return (int(match[1]), int(match[2])) if match else None

    def clear(self) -> None:
        """Remove all of them."""
        files.remove(self.folder)

    def sweep(self) -> None:
        """Remove what a process that was killed had not finished to write or to remove."""
        for path in self.folder.glob(f"{files.TEMPORARY}*"):
            files.remove(path)

    def _places(self) -> list[Path]:
        """Return the folders of all checkpoints, oldest first."""
        found = [(match, path) for path in self.folder.glob("epoch-*") if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found, key=lambda each: tuple(map(int, each[0].groups())))]

    def _remove(self, place: Path) -> None:
        """Remove a checkpoint; whatever happens, no half of it is left under its name."""
        temporary = files.temporary_for(place)
        os.replace(place, temporary)
        files.remove(temporary)

    def _read(self, place: Path, belongs_to: str) -> tuple[Checkpoint | None, str]:
        about = files.read_sealed(place / ABOUT)
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
    """Says when it is time for a checkpoint. When they are made never changes what a run comes to.

    With `auto`, all of them together take at most about a fiftieth of the run's time: one is due at the end of an
    epoch if that holds, and within one if also half a minute has gone by since the last.

    Args:
        every: `auto`, or a number of epochs.
        clock: returns seconds.
    """

    SHARE = 0.02
    LONG = 30.0  # seconds
    FIRST_GUESS = 0.02  # seconds, what one costs before the first has been timed

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
        """Take the time of making one."""
        before = self._clock()
        yield
        self._last = self._clock()
        self._cost = self._last - before
        self._spent += self._cost

    def _is_affordable(self) -> bool:
        return self._spent + self._cost <= self.SHARE * (self._clock() - self._started)
