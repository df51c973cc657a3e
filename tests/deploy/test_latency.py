"""Timing, by a clock that goes as the test says."""

import pytest

from kdistill.deploy import latency


class Clock:
    """A clock that only a call moves on."""

    def __init__(self, monkeypatch, *milliseconds):
        self.now, self.calls, self.takes = 0, 0, milliseconds
        monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: self.now)

    def call(self):
        self.now += int(1e6 * self.takes[self.calls % len(self.takes)])
        self.calls += 1


def test_percentiles_and_throughput_are_those_of_the_calls(monkeypatch):
    clock = Clock(monkeypatch, *[1.0] * 98, 5.0, 9.0)
    found = latency.measure(clock.call, batch=32, least_seconds=0.0)
    assert clock.calls == latency.WARM_UP + found["calls"]
    assert found["calls"] == latency.LEAST_CALLS
    assert found["p50_ms"] == found["p90_ms"] == 1.0
    assert 1.0 < found["p99_ms"] <= 9.0
    assert found["per_second"] == pytest.approx(32_000)


def test_fast_calls_are_repeated_for_long_enough(monkeypatch):
    clock = Clock(monkeypatch, 0.5)
    assert latency.measure(clock.call, batch=1, least_seconds=1.0)["calls"] == 2000


def test_slow_calls_come_to_an_end(monkeypatch):
    clock = Clock(monkeypatch, 20_000.0)
    found = latency.measure(clock.call, batch=1, least_seconds=1.0)
    assert found["calls"] == 3
    assert found["p50_ms"] == 20_000.0
