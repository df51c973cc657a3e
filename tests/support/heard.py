"""A listener that keeps what it hears, for tests."""

from kdistill.core.listener import Caution, EpochDone, Listener, Note, RunFailed


class Heard(Listener):
    """Keeps every event, with the name of the run that it is of.

    Args:
        act: called with each event and that name.
    """

    def __init__(self, act=lambda event, name: None):
        self.events = []
        self._act = act

    def handle(self, event, name=""):
        self.events.append((event, name))
        self._act(event, name)

    def of_kind(self, kind):
        return [event for event, _ in self.events if isinstance(event, kind)]

    @property
    def notes(self):
        return [event.text for event in self.of_kind(Note)]

    @property
    def warnings(self):
        return [event.text for event in self.of_kind(Caution)]

    @property
    def failures(self):
        """The names of the runs that failed."""
        return [name for event, name in self.events if isinstance(event, RunFailed)]


def on_epoch(act):
    """Return a listener that calls `act` with the record of each epoch."""
    return Heard(lambda event, name: act(event.record) if isinstance(event, EpochDone) else None)
