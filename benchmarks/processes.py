"""Child processes that cannot outlive the benchmark: workers that are asked for epochs, commands that are measured.

Each child leads its own process group, so that Ctrl-C reaches the benchmark alone, and the whole group is killed on the
way out. Standard error goes to a temporary file, of which a failure shows the last lines.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
TAIL_LINES = 12
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # looked up here: little is safe between fork and exec
# What may decide threads, device or backend in a child. None is inherited, so that a shell's settings cannot favour
# a competitor; a competitor's own are added.
SCRUBBED = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS"),
)
FIXED = {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}


class ChildError(Exception):
    """A child died, said nothing for too long, or exited with a failure; the message shows its last words."""


@dataclass(frozen=True)
class Usage:
    """What a process and the children it waited for have used, from its start to its exit."""

    wall: float
    cpu: float
    peak_mb: float


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: the caller's without thread settings, CPU only, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in SCRUBBED}
    return {**kept, **FIXED, **extra}


@contextlib.contextmanager
def signals_end_the_benchmark() -> Iterator[None]:
    """Make a request to terminate unwind like Ctrl-C does, so that children are stopped then as well."""

    def stop(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    kept = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


class Worker:
    """A competitor's process: warm once made, then one epoch at a time. A context manager that ends it.

    Args:
        name: how it is called in messages.
        command: what to run.
        extra: environment variables of its own.
        timeout: seconds of silence after which it counts as dead.
    """

    def __init__(self, name: str, command: Sequence[str], extra: Mapping[str, str], timeout: float) -> None:
        self.name = name
        self._timeout = timeout
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            env=environment(extra),
            start_new_session=True,
            preexec_fn=_die_with_the_benchmark,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def wait_until_warm(self) -> dict:
        """Return what the worker has to say once it is warm."""
        return self._reply()

    def epoch(self) -> dict:
        """Have it run one epoch; return its `seconds` and `peak_mb`."""
        with contextlib.suppress(BrokenPipeError):  # a dead worker shows in its missing reply
            self._child.stdin.write(b"epoch\n")
            self._child.stdin.flush()
        return self._reply()

    def close(self) -> None:
        """End the process and whatever it has started. May be called again."""
        kill_group(self._child.pid)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._log):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _reply(self) -> dict:
        # One line answers one command, so nothing can be left in the stream's own buffer.
        readable, _, _ = select.select([self._child.stdout], [], [], self._timeout)
        line = self._child.stdout.readline() if readable else b""
        if line.endswith(b"\n"):
            return json.loads(line)
        if not readable:
            raise ChildError(f"{self.name} said nothing for {self._timeout:g} s{tail(self._log)}")
        raise ChildError(f"{self.name} died, {ending(self._child.wait())}{tail(self._log)}")


def measure(name: str, command: Sequence[str], extra: Mapping[str, str], timeout: float) -> Usage:
    """Run a command from start to exit; return what it has used. Its output is thrown away.

    `ru_maxrss` of a child starts from what its parent occupied when it was forked, so the benchmark itself stays small:
    it imports neither NumPy nor TensorFlow.
    """
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=ROOT,
            env=environment(extra),
            start_new_session=True,
            preexec_fn=_die_with_the_benchmark,
        )
        watchdog = threading.Timer(timeout, kill_group, [child.pid])
        watchdog.start()
        try:
            _, status, used = os.wait4(child.pid, 0)
            wall = time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            watchdog.cancel()
            kill_group(child.pid)
            if child.returncode is None:
                child.wait()
        if child.returncode != 0:
            late = f" (killed after {timeout:g} s)" if wall >= timeout else ""
            raise ChildError(f"{name} failed, {ending(child.returncode)}{late}{tail(log)}")
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _die_with_the_benchmark() -> None:
    """Ask Linux to kill this child when the benchmark is killed in a way that it cannot react to. Run in the child."""
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_group(leader: int) -> None:
    """Kill a child's process group, if there is still anyone in it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def ending(code: int) -> str:
    """Describe an exit code as `subprocess` gives it."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def tail(log: IO[bytes]) -> str:
    """Return the last lines of a child's standard error, indented, or a remark that there are none."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    return "".join(f"\n    {line}" for line in lines) or " (nothing on standard error)"
