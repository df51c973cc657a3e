"""Signals that reach a command of this process at a given moment of its work."""

import os

from kdistill.cli.rendering.screen import Screen
from kdistill.core.listener import EpochDone


def after(monkeypatch, kind, act):
    """Let `act` be called with each event of a kind, once the screen has shown it."""
    original = Screen.handle

    def handle(self, event, name=""):
        original(self, event, name)
        if isinstance(event, kind):
            act(event)

    monkeypatch.setattr(Screen, "handle", handle)


def signal_at(monkeypatch, epoch, *numbers):
    """Send this process signals once it has recorded an epoch."""

    def send(event):
        if event.record["epoch"] == epoch:
            for number in numbers:
                os.kill(os.getpid(), number)

    after(monkeypatch, EpochDone, send)
