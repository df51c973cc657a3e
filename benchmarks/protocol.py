"""The worker's side of a comparison: prepare, warm up, then run one epoch each time the runner says so.

The runner writes `epoch` and a line feed to standard input; the worker answers with one line of JSON on standard
output. Whatever else the worker prints there goes to standard error, which the runner keeps for the case of a failure.
The end of standard input ends the worker, so none outlives its runner.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable

from benchmarks import workload


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the command line that all workers share."""
    first_line = (description or "").partition("\n")[0]
    result = argparse.ArgumentParser(description=first_line)
    result.add_argument("--images", type=int, default=workload.TRAIN_IMAGES)
    result.add_argument("--net", choices=workload.NETS, default="mlp")
    result.add_argument("--batch", type=int, default=workload.BATCH)
    return result


class Session:
    """One worker's conversation with its runner. Made before anything else can print."""

    def __init__(self) -> None:
        self._replies = os.fdopen(os.dup(1), "w")
        self._cpu = 0.0
        os.dup2(2, 1)

    def ready(self, **facts: object) -> None:
        """Say that the worker is warm, with what the table or the JSON file should know about it."""
        self._reply(facts)

    def wait(self) -> None:
        """Return when the runner asks for an epoch; leave the process when it is gone."""
        if sys.stdin.readline().strip() != "epoch":
            sys.exit(0)
        self._cpu = time.process_time()

    def report(self, seconds: float) -> None:
        """Answer with what the epoch took, all threads together too, and with the most memory the process has had."""
        cpu = time.process_time() - self._cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self._reply({"seconds": seconds, "cpu": cpu, "peak_mb": peak})

    def _reply(self, message: dict) -> None:
        print(json.dumps(message), file=self._replies, flush=True)


def serve(session: Session, run_epoch: Callable[[], object], **facts: object) -> None:
    """Warm up with one whole epoch, compilation included, then run one for each command."""
    run_epoch()
    session.ready(**facts)
    while True:
        session.wait()
        started = time.perf_counter()
        run_epoch()
        session.report(time.perf_counter() - started)
