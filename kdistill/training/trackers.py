"""Experiment trackers, such as TensorBoard, which receive the metrics of every epoch and cannot stop a run."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kdistill.core.listener import EpochDone, EpochRecord, Event, Listener
from kdistill.evaluation.measures import monitors

Metrics = Mapping[str, Any]  # an `EpochRecord` with further metrics

FLUSH_EVERY = 1.0  # seconds: some epochs take a few milliseconds


class Tracker(Protocol):
    """Receives the metrics of one run, epoch by epoch."""

    def epoch(self, record: Metrics) -> None:
        """Log the metrics of an epoch; `record["epoch"]` is its number."""

    def close(self) -> None:
        """Flush everything to disk; the run has ended."""


class TensorBoard:
    """Writes the metrics of each epoch as TensorBoard event files into `tensorboard/` in the run's folder.

    Event files of an earlier attempt are removed, since they may go beyond the checkpoint from which the run resumes;
    the epochs before it are logged again. TensorFlow writes the files; the package `tensorboard` is only needed to
    show them.

    Args:
        folder: the run's folder.
    """

    SCALARS = ("loss", "soft", "hard", "hints", *monitors(), "learning_rate", "seconds")

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        place = folder / "tensorboard"
        if place.exists():
            shutil.rmtree(place)
        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(place))
        self._flushed = time.monotonic()

    def epoch(self, record: Metrics) -> None:
        """Write those of `SCALARS` that the record has, at the step `record["epoch"]`."""
        # One summary for all scalars: a call of `tf.summary.scalar` for each takes six times as long.
        value = self._tf.compat.v1.Summary.Value
        values = [value(tag=name, simple_value=record[name]) for name in self.SCALARS if record.get(name) is not None]
        summary = self._tf.compat.v1.Summary(value=values).SerializeToString()
        with self._writer.as_default(step=record["epoch"]):
            self._tf.summary.experimental.write_raw_pb(summary)
        if time.monotonic() - self._flushed > FLUSH_EVERY:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.flush()
        self._writer.close()


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"tensorboard": TensorBoard}


@contextlib.contextmanager
def tracking(
    names: Sequence[str],
    folder: Path,
    history: Sequence[EpochRecord],
    listener: Listener,
    more: Callable[[int], Metrics] = lambda epoch: {},
) -> Iterator[Listener]:
    """Yield a listener that passes events on to `listener`, and the metrics of every epoch to the trackers.

    A tracker that raises is dropped, with one warning; the run continues.

    Args:
        names: keys of `TRACKERS`.
        folder: the run's folder.
        history: records of the epochs before the run was resumed, which are logged to the trackers at once.
        listener: receives all events.
        more: returns further metrics of an epoch, for the trackers.
    """
    logger = _Logger(names, folder, listener, more)
    try:
        for record in history:
            logger.log(record)
        yield logger if names else listener
    finally:
        logger.each(lambda tracker: tracker.close())


class _Logger(Listener):
    def __init__(self, names: Sequence[str], folder: Path, listener: Listener, more: Callable[[int], Metrics]) -> None:
        self._listener, self._more = listener, more
        self._trackers: dict[str, Tracker] = {}
        for name in names:
            with self._dropped_on_failure(name):
                self._trackers[name] = TRACKERS[name](folder)

    def handle(self, event: Event, name: str = "") -> None:
        self._listener.handle(event, name)
        if isinstance(event, EpochDone):
            self.log(event.record)

    def log(self, record: EpochRecord) -> None:
        self.each(lambda tracker: tracker.epoch({**record, **self._more(record["epoch"])}))

    def each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            with self._dropped_on_failure(name):
                call(tracker)

    @contextlib.contextmanager
    def _dropped_on_failure(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._trackers.pop(name, None)
            reason = str(error).partition("\n")[0] or type(error).__name__
            self._listener.warning(f"--track {name}: {reason}; the run continues without it")
