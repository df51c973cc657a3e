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
    """Time a call with `batch` examples, at least `LEAST_CALLS` times and for `least_seconds`."""
    for _ in range(WARM_UP):
        call()
    took: list[int] = []
    started = now = time.perf_counter_ns()
    while len(took) < LEAST_CALLS or now - started < least_seconds * 1e9:
        if took and now - started >= MOST_SECONDS * 1e9:
            break
        before = time.perf_counter_ns()
        call()
        now = time.perf_counter_ns()
        took.append(now - before)
    p50, p90, p99 = (float(value) for value in np.percentile(took, (50, 90, 99)) / 1e6)
    return {"calls": len(took), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "per_second": batch / (p50 / 1e3)}
