"""The connection to Ray, on this machine or a cluster, and the checks of its nodes before anything is trained."""

import contextlib
import functools
import io
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kdistill
from kdistill.core import backend, extras, files, signals
from kdistill.core.errors import ConfigError
from kdistill.core.listener import Listener
from kdistill.experiments.workers import ray_task
from kdistill.experiments.workers.tasks import Task

# Read when Ray is imported: no telemetry, no `uv` on the workers, no notices, messages as they come.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_SCHEDULER_EVENTS": "0",
}
# Without it Ray replaces 127.0.0.1 by the address of the machine, and listens on all interfaces.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
OBJECT_STORE = 100 * 2**20  # bytes: it holds results alone
NODE_TIMEOUT = 120.0  # seconds for a node to start a process
CONNECT_TIMEOUT = 5.0  # seconds
UNLIMITED = 2**31


@contextlib.contextmanager
def connect(threads: int, device: str, workers: int | None, address: str | None, listener: Listener) -> Iterator[Any]:
    """Start Ray on this machine, or join a cluster; yield its module, and shut it down at the end.

    Args:
        threads: of one task; each takes a core.
        device: `auto`, `cpu` or `gpu`.
        workers: how many tasks Ray has room for if it is started here; None for as many as the cores allow.
        address: of a cluster; None starts Ray here, for this user and this machine alone.
        listener: receives a note that Ray is started.

    Raises:
        ConfigError: Ray is not installed, or does not answer.
    """
    extras.check_installed("ray", "--engine ray")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as stack:
        environment = dict(QUIET)
        if address is None:
            listener.note("Starting Ray on this machine")
            # Not in TMPDIR: the paths of Ray's sockets are long, and may have 107 characters at most.
            folder = tempfile.mkdtemp(prefix="kdistill-ray-", dir="/tmp")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            # Other users of this machine can reach Ray's ports and run programs through them, without the token.
            environment.update(LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _secret()})
            settings |= {"address": "local", "_node_ip_address": "127.0.0.1", "_temp_dir": folder}
            settings |= {"num_cpus": threads * (workers or max(1, backend.cores() // threads))}
            settings |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
            settings |= {"num_gpus": 0} if device == "cpu" else {}
        else:
            _check_reachable(address)
            settings["address"] = address
        stack.enter_context(_environment(environment))
        # Ray prints to standard output why its processes died, even without log_to_driver.
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        import ray

        stack.callback(ray.shutdown)
        _init(ray, settings)
        yield ray


@functools.cache
def _secret() -> str:
    """Return the token of this process, which Ray reads only once."""
    return secrets.token_hex(32)


def _init(ray: Any, settings: Mapping[str, Any]) -> None:
    """Connect, and restore the SIGTERM handler that Ray replaces by one that ends this process at once."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**settings)
    except SystemExit:
        raise signals.Stopped(signal.SIGTERM) from None
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        message, hint = "--engine ray: Ray cannot be started here", "Use --engine local, which needs no Ray."
        if settings["address"] != "local":
            message = f"--ray-address {settings['address']}: cannot be joined"
            hint = "Start a cluster with `ray start --head`, with the same versions of Python and Ray as here."
        raise ConfigError(f"{message}: {first_line(error)}", hint=hint) from error
    finally:
        with contextlib.suppress(ValueError):  # outside the main thread, where there are no signals
            signal.signal(signal.SIGTERM, before)


def _check_reachable(address: str) -> None:
    """Refuse an address at which nothing listens: Ray would wait a minute for it."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal():
        raise ConfigError(
            f"--ray-address {address}: expected auto, or HOST:PORT of a cluster's head that this machine belongs to"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--ray-address {address}: nothing answers there: {error}",
            hint="Start a cluster with `ray start --head`, and give the address that it prints.",
        ) from error


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the time of a `with`."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class Needs:
    """The resources of one task on a node: threads, each of which takes a core, and GPUs."""

    threads: int
    gpus: int

    @classmethod
    def of(cls, ray: Any, task: Task) -> "Needs":
        """Return what a task needs; with the device `auto` a GPU if the cluster has one."""
        device = task.options.device
        wanted = device == "gpu" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
        return cls(task.options.threads or 1, int(wanted))

    def room(self, ray: Any) -> int:
        """Return how many such tasks the cluster has room for at the same time.

        Raises:
            ConfigError: for none: Ray would wait for ever.
        """
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = sum(
            min(int(has.get("CPU", 0)) // self.threads, int(has.get("GPU", 0)) if self.gpus else UNLIMITED)
            for has in nodes
        )
        if not room:
            gpu = " and a GPU" if self.gpus else ""
            largest = max((int(has.get("CPU", 0)) for has in nodes), default=0)
            raise ConfigError(
                f"--engine ray: a run takes {self.threads} cores{gpu} of one node; the largest has {largest} cores",
                hint="Set --threads, --device cpu, or add a larger node.",
            )
        return room

    def options(self, name: str) -> dict[str, Any]:
        """Return Ray's options for a task."""
        places = ("KDISTILL_DATA_DIR", "KDISTILL_CACHE_DIR")
        values = {name: os.environ.get(name, "").strip() for name in places}
        variables = {name: os.path.abspath(os.path.expanduser(value)) for name, value in values.items() if value}
        # Set before TensorFlow is imported. Ray reuses a worker for tasks with the same variables only.
        variables |= {"TF_NUM_INTRAOP_THREADS": str(self.threads), "TF_NUM_INTEROP_THREADS": "1"}
        if not self.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = "-1"  # else a task without a GPU would see all GPUs
        return {
            "name": name,
            "num_cpus": self.threads,
            "num_gpus": self.gpus,
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": variables},
        }


def mailbox(ray: Any) -> Any:
    """Return the handle of a new mailbox on this node, which lives as long as the driver does."""
    here = _on(ray.get_runtime_context().get_node_id())
    return ray.remote(num_cpus=0)(ray_task.Mailbox).options(scheduling_strategy=here).remote()


def _on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


@contextlib.contextmanager
def shared_token(tasks: Sequence[Task]) -> Iterator[Path]:
    """Write a file with a random name into the folder of all runs, by which nodes recognise it; remove it at the end.

    Raises:
        OutputError: it cannot be written.
    """
    place = Path(os.path.commonpath([task.folder for task in tasks]))
    token = files.temporary_for(place / "shared")
    with files.writing(place):
        place.mkdir(parents=True, exist_ok=True)
        files.write_text(token, token.name)
    try:
        yield token
    finally:
        files.remove(token)


def check_nodes(ray: Any, token: Path) -> None:
    """Refuse a cluster with a node on which runs would be lost.

    Raises:
        OutputError: a node does not see the folder of the experiment.
        ConfigError: a node has no kdistill, or another version of it.
    """
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
    probe = ray.remote(num_cpus=0, max_retries=1)(ray_task.describe_node)
    probes = {name: probe.options(scheduling_strategy=_on(name)).remote(str(token)) for name in nodes}
    for name, reference in probes.items():
        node = f"{nodes[name]['NodeManagerHostname']} ({nodes[name]['NodeManagerAddress']})"
        same = f"Install kdistill[ray] {kdistill.__version__} and the same Python on every node."
        try:
            found = ray.get(reference, timeout=NODE_TIMEOUT)
        except ray.exceptions.NodeDiedError:
            continue  # the node has left the cluster
        except ray.exceptions.RayError as error:
            raise ConfigError(f"--engine ray: node {node} cannot work: {first_line(error)}", hint=same) from error
        if found["version"] != kdistill.__version__:
            raise ConfigError(
                f"--engine ray: expected kdistill {kdistill.__version__} on all nodes; {node} has {found['version']}",
                hint=same,
            )
        if not found["sees"]:
            raise ray_task.not_shared(token.parent, node)


def first_line(error: Exception) -> str:
    """Return the message of an error in one line; of an error in a worker, the line with the cause."""
    cause = getattr(error, "cause", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[-1 if cause is error else 0][:300]
