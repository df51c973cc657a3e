"""Trackers: what other programs show of a run while it trains. They hear of every epoch, and none can stop a run."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kdistill.core.listener import EpochDone, EpochRecord, Event, Listener

Figures = Mapping[str, Any]  # an `EpochRecord`, and more

FLUSH_EVERY = 1.0  # seconds: some epochs take a few milliseconds


class Tracker(Protocol):
    """Takes in the figures of one run, epoch by epoch, and closes when the run ends."""

    def epoch(self, record: Figures) -> None:
        """Take in the figures of an epoch, `epoch` among them."""

    def close(self) -> None:
        """Bring all that was taken in to disk."""


class TensorBoard:
    """Writes the figures of each epoch where TensorBoard finds them: in `tensorboard/` of the run's folder.

    What an earlier attempt has written there is removed: it may go further than the checkpoint from which the run goes
    on. The epochs before are told again, so that every epoch is there once. TensorFlow writes the files; the package
    `tensorboard`, which shows them, need not be where the run is made.

    Args:
        folder: of the run.
    """

    SCALARS = ("loss", "soft", "hard", "val_loss", "val_nll", "val_accuracy", "learning_rate", "seconds")

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        place = folder / "tensorboard"
        if place.exists():
            shutil.rmtree(place)
        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(place))
        self._flushed = time.monotonic()

    def epoch(self, record: Figures) -> None:
        """Write those of `SCALARS` that the record has, at the step of its `epoch`."""
        # One record for all of them: `tf.summary.scalar`, called for each, takes six times as long.
        value = self._tf.compat.v1.Summary.Value
        values = [value(tag=name, simple_value=record[name]) for name in self.SCALARS if record.get(name) is not None]
        summary = self._tf.compat.v1.Summary(value=values).SerializeToString()
        with self._writer.as_default(step=record["epoch"]):
            self._tf.summary.experimental.write_raw_pb(summary)
        if time.monotonic() - self._flushed > FLUSH_EVERY:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what is left."""
        self._writer.flush()
        self._writer.close()


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"tensorboard": TensorBoard}


@contextlib.contextmanager
def following(
    names: Sequence[str],
    folder: Path,
    history: Sequence[EpochRecord],
    listener: Listener,
    more: Callable[[int], Figures] = lambda epoch: {},
) -> Iterator[Listener]:
    """Yield who hears how a run goes: a listener, and the trackers named.

    A tracker that fails, whatever it is, is warned of once and hears no more; the run goes on.

    Args:
        names: of trackers, as in `TRACKERS`.
        folder: of the run.
        history: records of the epochs before, which the listener has heard of and the trackers are told now.
        listener: hears of progress and epochs.
        more: returns figures of an epoch that its record does not have, for the trackers.
    """
    everyone = _Everyone(names, folder, listener, more)
    try:
        for record in history:
            everyone.tell(record)
        yield everyone if names else listener
    finally:
        everyone.close()


class _Everyone(Listener):
    """Passes on what a listener and some trackers hear while a run trains."""

    def __init__(self, names: Sequence[str], folder: Path, listener: Listener, more: Callable[[int], Figures]) -> None:
        self._listener, self._more = listener, more
        self._trackers: dict[str, Tracker] = {}
        for name in names:
            with self._harmless(name):
                self._trackers[name] = TRACKERS[name](folder)

    def hear(self, event: Event, name: str = "") -> None:
        self._listener.hear(event, name)
        if isinstance(event, EpochDone):
            self.tell(event.record)

    def tell(self, record: EpochRecord) -> None:
        """Tell the trackers of an epoch."""
        for name, tracker in list(self._trackers.items()):
            with self._harmless(name):
                tracker.epoch({**record, **self._more(record["epoch"])})

    def close(self) -> None:
        """Let the trackers end."""
        for name, tracker in list(self._trackers.items()):
            with self._harmless(name):
                tracker.close()

    @contextlib.contextmanager
    def _harmless(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._trackers.pop(name, None)
            reason = str(error).partition("\n")[0] or type(error).__name__
            self._listener.warning(f"--track {name}: {reason}; the run goes on without it")
