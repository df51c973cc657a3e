"""Signals: the first is held back, the second is not, and those that are ignored stay so."""

import os
import signal
import threading

import pytest

from kdistill.core import signals
from kdistill.core.signals import Stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_is_held_back_and_the_second_is_not(number):
    before = signal.getsignal(number)

    def signalled_twice():
        with signals.deferred() as received:
            os.kill(os.getpid(), number)
            assert received.signum == number
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped) as caught:
        signalled_twice()
    assert caught.value.signum == number
    assert signal.getsignal(number) is before


def test_a_failure_after_a_signal_stops_with_both():
    def signalled_and_failed():
        with signals.deferred("baseline, seed 0"):
            os.kill(os.getpid(), signal.SIGTERM)
            raise OSError("disk full")

    with pytest.raises(Stopped, match=r"^baseline, seed 0: stopped$") as caught:
        signalled_and_failed()
    assert caught.value.signum == signal.SIGTERM
    assert isinstance(caught.value.failure, OSError)


def test_a_failure_without_a_signal_is_itself():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OSError, match="disk full"), signals.deferred():
        raise OSError("disk full")
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_is_received_where_nothing_is_sent():
    with signals.deferred() as received:
        assert received.signum is None


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.deferred() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            assert received.signum is None
        signals.raise_on_termination()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_another_thread_holds_nothing_back():
    seen = []

    def work():
        with signals.deferred() as received:
            seen.append(received.signum)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]
