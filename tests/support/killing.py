"""Starts the real command line in processes of its own, and ends them where it hurts."""

import json
import os
import signal
import subprocess
import sys
import time

# Everything that is brought to disk takes its time, so that a kill can be aimed at the middle of a checkpoint.
SLOW_WRITER = (
    "import os, time; fsync = os.fsync\n"
    "def slow(descriptor): time.sleep(0.1); fsync(descriptor)\n"
    "os.fsync = slow\n"
    "from kdistill.cli import main; main()\n"
)
WAIT = 300  # seconds, for what takes a few where nothing else runs


def start(arguments, slow=False):
    """Start `kdistill` with these arguments, in a session of its own."""
    program = ["-c", SLOW_WRITER] if slow else ["-m", "kdistill"]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    """Wait for a process; return its exit code, stdout and stderr."""
    stdout, stderr = process.communicate(timeout=WAIT)
    return process.returncode, stdout, stderr


def wait_for(condition, process):
    """Wait until a condition holds or the process has ended; return whether it holds."""
    held = []

    def is_over():
        held[:] = [condition()]
        return held[0] or process.poll() is not None

    wait_until(is_over)
    return held[0]


def wait_until(condition):
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)


def lines(run):
    """Return how many epochs a run has recorded."""
    return run.history_file.read_bytes().count(b"\n") if run.history_file.exists() else 0


def unfinished(run):
    """Return the checkpoints that are being written, or were when their writer died."""
    return set(run.checkpoints.folder.glob(".new-*"))


def kill_once(run, arguments, random, aimed):
    """Start the run, or let it go on; kill it at a random moment, or in the middle of a checkpoint.

    Returns:
        Whether it was killed; False if it came to its end before.
    """
    recorded, left = lines(run), unfinished(run)

    def moment():
        return unfinished(run) - left if aimed else lines(run) > recorded

    process = start(arguments, slow=aimed)
    if not wait_for(moment, process):
        code, _, stderr = finish(process)
        assert code == 0, stderr
        return False
    time.sleep(random.uniform(0, 0.25))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=WAIT)
    return True


def outcome(run):
    """Return what two runs have to have in common: their weights, their history and their result, times left out."""
    history = [{key: value for key, value in record.items() if key != "seconds"} for record in run.history()]
    result = {key: value for key, value in run.result.items() if key not in {"run_info", "file_bytes"}}
    return json.dumps([result["weights_sha256"], history, result], sort_keys=True)
