"""The events of a task in a worker process, as lines of JSON."""

import json
from dataclasses import dataclass
from typing import Any, get_args

from kdistill.core import listener
from kdistill.experiments.workers.tasks import Failure, Outcome


@dataclass(frozen=True)
class Done:
    """The task is done; `result` is what `perform` returned."""

    result: Outcome


@dataclass(frozen=True)
class Interrupted:
    """The task was stopped, with a checkpoint."""


@dataclass(frozen=True)
class Lost:
    """The process that performed the task has ended; `how`, in words. The executor creates this event."""

    how: str


Event = listener.Event | Done | Failure | Interrupted | Lost
_KINDS = {kind.__name__: kind for kind in get_args(Event)}


def to_json(event: Event) -> str:
    """Return an event as a line of JSON: its class under `event`, and its fields."""
    return json.dumps({"event": type(event).__name__, **vars(event)})


def from_json(line: bytes) -> Event:
    """Return the event of a line by `to_json`."""
    fields: dict[str, Any] = json.loads(line)
    return _KINDS[fields.pop("event")](**fields)
