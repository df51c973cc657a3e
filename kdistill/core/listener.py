"""What a recipe tells whoever watches it. The recipes print nothing: a listener may."""

from collections.abc import Mapping, Sequence
from typing import Any


class Listener:
    """Hears what happens and does nothing; the screen's listener overrides what it shows."""

    def of(self, name: str) -> "Listener":
        """Return who hears what happens to one of several runs that go on at the same time."""
        return self

    def planned(self, done: int, total: int) -> None:
        """Take in how many of all runs are done."""

    def run_failed(self, name: str, message: str) -> None:
        """Take in that a run could not be made, and why."""

    def note(self, text: str) -> None:
        """Take in a sentence worth telling: what is reused, what takes a while."""

    def warning(self, text: str) -> None:
        """Take in a sentence that the reader of the result must know."""

    def download(self, name: str, received: int, total: int | None) -> None:
        """Take in the bytes received of a file, and how many there will be, if known."""

    def run_started(
        self,
        arm: str,
        seed: int,
        epochs: int,
        patience: int | None,
        history: Sequence[Mapping[str, Any]] = (),
        examples: int = 0,
    ) -> None:
        """Take in that a run begins, of `epochs` at most, or goes on after those whose records are in `history`.

        `examples` is how many an epoch trains on; 0 where that is not said.
        """

    def progress(self, done: float) -> None:
        """Take in the share of the current epoch that is done, from 0 to 1."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Take in the record of an epoch: see `training.Fit.epochs`."""

    def run_finished(self, arm: str, seed: int, result: Mapping[str, Any]) -> None:
        """Take in the result of the run that began last."""
