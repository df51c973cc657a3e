"""Latency of a call: percentiles over many single calls, after a warm-up."""

import time
from collections.abc import Callable

import numpy as np

from kdistill.runs.benchmark import Latency

WARM_UP = 20  # calls
LEAST_CALLS = 200  # the 99th percentile leaves out the two slowest
LEAST_SECONDS = 1.0  # a single pause of the machine must not dominate
MOST_SECONDS = 60.0  # slower models are timed with fewer than `LEAST_CALLS` calls


def measure(call: Callable[[], object], batch: int, least_seconds: float = LEAST_SECONDS) -> Latency:
    """Time a call until it has been made `LEAST_CALLS` times and for `least_seconds`.

    Args:
        call: the function to time.
        batch: examples in one call.
        least_seconds: how long calls are timed at least.
    """
    for _ in range(WARM_UP):
        call()
    took: list[int] = []
    started = now = time.perf_counter_ns()
    while not _enough(len(took), (now - started) / 1e9, least_seconds):
        before = time.perf_counter_ns()
        call()
        now = time.perf_counter_ns()
        took.append(now - before)
    p50, p90, p99 = (float(value) for value in np.percentile(took, (50, 90, 99)) / 1e6)
    return {"calls": len(took), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "per_second": batch / (p50 / 1e3)}


def _enough(calls: int, seconds: float, least_seconds: float) -> bool:
    return (calls >= LEAST_CALLS and seconds >= least_seconds) or (calls > 0 and seconds >= MOST_SECONDS)
