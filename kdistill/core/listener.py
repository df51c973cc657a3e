"""The events of a command, and the listener that hears them. The recipes print nothing: a listener may."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict


class EpochRecord(TypedDict):
    """The figures of one epoch: a line of `history.jsonl`.

    `loss` to `penalty` are means over the training examples, under changing weights; the others are of the validation
    split. Losses are in nats.
    """

    epoch: int  # from 1
    loss: float  # what is minimised
    soft: float  # the soft term, T^2 included
    hard: float
    penalty: float  # of regularisation
    val_loss: float  # the objective
    val_nll: float
    val_accuracy: float
    best: bool  # the best epoch so far
    patience_left: int | None  # epochs without improvement that are still allowed; None for ever
    seconds: float


@dataclass(frozen=True)
class Note:
    """A sentence worth telling: what is reused, what takes a while."""

    text: str


@dataclass(frozen=True)
class Caution:
    """A sentence that the reader of the result must know."""

    text: str


@dataclass(frozen=True)
class Downloading:
    """How many bytes of a file have been received; `total` is how many there will be, if known."""

    name: str
    received: int
    total: int | None


@dataclass(frozen=True)
class Planned:
    """How many of all runs are done."""

    done: int
    total: int


@dataclass(frozen=True)
class RunStarted:
    """A run begins, or goes on after the epochs in `history`."""

    arm: str
    seed: int
    epochs: int  # at most
    history: Sequence[EpochRecord] = ()
    examples: int = 0  # that an epoch trains on; 0 where that is not known


@dataclass(frozen=True)
class EpochProgress:
    """The share of the current epoch that is done, from 0 to 1."""

    share: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch has ended."""

    record: EpochRecord


@dataclass(frozen=True)
class RunFinished:
    """The run that began last has ended, with this result."""

    arm: str
    seed: int
    result: Mapping[str, Any]  # a `runs.Result`


@dataclass(frozen=True)
class RunFailed:
    """A run could not be made, and why."""

    message: str


Event = Note | Caution | Downloading | Planned | RunStarted | EpochProgress | EpochDone | RunFinished | RunFailed


class Listener:
    """Hears events and does nothing; the screen's listener shows them."""

    def hear(self, event: Event, name: str = "") -> None:
        """Take in an event.

        Args:
            event: what has happened.
            name: of the run that it happened to, where several go on at the same time.
        """

    def note(self, text: str) -> None:
        """Take in a `Note`."""
        self.hear(Note(text))

    def warning(self, text: str) -> None:
        """Take in a `Caution`."""
        self.hear(Caution(text))

    def of(self, name: str) -> "Listener":
        """Return a listener for the events of one of several runs."""
        return _OfRun(self, name)


class _OfRun(Listener):
    def __init__(self, listener: Listener, name: str) -> None:
        self._listener, self._name = listener, name

    def hear(self, event: Event, name: str = "") -> None:
        self._listener.hear(event, self._name)
