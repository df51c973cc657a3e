"""The events of a command, and the listener that receives them. The recipes print nothing: a listener may."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict


class EpochRecord(TypedDict):
    """The figures of one epoch: a line of `history.jsonl`.

    `loss` to `penalty` are means over the training examples while the weights change; `val_*` are of the validation
    split, after the epoch. Losses are in nats.
    """

    epoch: int  # from 1
    loss: float  # the objective, with the penalty
    soft: float  # the soft term, T^2 included
    hard: float  # the cross-entropy with the labels
    penalty: float  # of regularisation
    hints: NotRequired[float]  # the sum of the hints with their weights, where there are hints
    val_loss: float  # the objective, without the penalty and the hints
    val_nll: float
    val_accuracy: float
    # Another measure has its own key: that which early stopping watches, and of multi-label data the main one.
    best: bool  # the best epoch so far
    patience_left: int | None  # epochs without improvement before training stops; None if it never stops
    seconds: float


@dataclass(frozen=True)
class Note:
    """An informative message, such as which run is reused."""

    text: str


@dataclass(frozen=True)
class Caution:
    """A warning: a message that the reader of the result must know."""

    text: str


@dataclass(frozen=True)
class Downloading:
    """The progress of a download, in bytes; `total` is None if the server does not report it."""

    name: str
    received: int
    total: int | None


@dataclass(frozen=True)
class Planned:
    """The number of finished runs, and of all runs."""

    done: int
    total: int


@dataclass(frozen=True)
class RunStarted:
    """A run begins, or resumes after the epochs in `history`."""

    arm: str
    seed: int
    epochs: int  # the maximum
    history: Sequence[EpochRecord] = ()
    examples: int = 0  # in an epoch; 0 if unknown


@dataclass(frozen=True)
class EpochProgress:
    """The share of the current epoch that has been trained, from 0 to 1."""

    share: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch has ended."""

    record: EpochRecord


@dataclass(frozen=True)
class RunFinished:
    """The run that was started last has ended."""

    arm: str
    seed: int
    result: Mapping[str, Any]  # a `runs.Result`


@dataclass(frozen=True)
class RunFailed:
    """A run has failed."""

    message: str  # the reason


Event = Note | Caution | Downloading | Planned | RunStarted | EpochProgress | EpochDone | RunFinished | RunFailed


class Listener:
    """Receives events and ignores them; the listener in `cli.rendering.screen` shows them."""

    def handle(self, event: Event, name: str = "") -> None:
        """Receive an event; `name` is that of its run, if several run at the same time."""

    def note(self, text: str) -> None:
        """Receive a `Note`."""
        self.handle(Note(text))

    def warning(self, text: str) -> None:
        """Receive a `Caution`."""
        self.handle(Caution(text))

    def of(self, name: str) -> "Listener":
        """Return a listener that passes events on with the name of one of several runs."""
        return _OfRun(self, name)


class _OfRun(Listener):
    def __init__(self, listener: Listener, name: str) -> None:
        self._listener, self._name = listener, name

    def handle(self, event: Event, name: str = "") -> None:
        self._listener.handle(event, self._name)
