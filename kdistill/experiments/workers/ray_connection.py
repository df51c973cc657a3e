"""The connection to Ray: started on this machine or joined, quiet, and checked before anything is trained."""

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
from kdistill.core.errors import ConfigError, OutputError
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
# Ray turns 127.0.0.1 into the address of the machine and listens on all of them, unless it takes itself to be where
# clusters are not supported.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
OBJECT_STORE = 100 * 2**20  # bytes: nothing but results goes through it
ANSWER = 120.0  # seconds that a node has to start a process
REACHABLE = 5.0
MANY = 2**31


@contextlib.contextmanager
def to_ray(threads: int, device: str, workers: int | None, address: str | None, listener: Listener) -> Iterator[Any]:
    """Start Ray on this machine, or join a cluster; yield the module. In the end nothing of it is left here.

    Args:
        threads: of one task, which is a core each.
        device: `auto`, `cpu` or `gpu`.
        workers: how many tasks Ray has to have room for if it is started here; None for as many as there are cores.
        address: of a cluster; None starts Ray here, for this user and this machine alone.
        listener: hears what takes a while.

    Raises:
        ConfigError: Ray is not installed, or does not answer.
    """
    extras.check_installed("ray", "--engine ray")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as stack:
        environment = dict(QUIET)
        if address is None:
            listener.note("Starting Ray on this machine")
            # The paths of its sockets are long, and may have 107 characters: TMPDIR may leave too few.
            folder = tempfile.mkdtemp(prefix="kdistill-ray-", dir="/tmp")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            # Whoever else is on this machine can reach its ports, and whoever Ray answers to can run programs here.
            environment.update(LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _secret()})
            settings |= {"address": "local", "_node_ip_address": "127.0.0.1", "_temp_dir": folder}
            settings |= {"num_cpus": threads * (workers or max(1, backend.cores() // threads))}
            settings |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
            settings |= {"num_gpus": 0} if device == "cpu" else {}
        else:
            _check_reachable(address)
            settings["address"] = address
        stack.enter_context(_environment(environment))
        # Whatever log_to_driver says, Ray prints to standard output what its processes died of.
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        import ray

        stack.callback(ray.shutdown)
        _init(ray, settings)
        yield ray


@functools.cache
def _secret() -> str:
    """Return a token of this process: Ray reads it once, however often it is started."""
    return secrets.token_hex(32)


def _init(ray: Any, settings: Mapping[str, Any]) -> None:
    """Connect; the handler of SIGTERM that Ray sets, which would end this process at once, does not stay."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**settings)
    except SystemExit:
        raise signals.Stopped(signal.SIGTERM) from None
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        joined = settings["address"] != "local"
        raise ConfigError(
            f"--ray-address {settings['address']}: cannot be joined: {first_line(error)}"
            if joined
            else f"--engine ray: Ray cannot be started here: {first_line(error)}",
            hint="Start a cluster with `ray start --head`, with the same versions of Python and Ray as here."
            if joined
            else "Use --engine local, which needs no Ray.",
        ) from error
    finally:
        with contextlib.suppress(ValueError):  # outside of the main thread, where there are no signals
            signal.signal(signal.SIGTERM, before)


def _check_reachable(address: str) -> None:
    """Refuse an address at which nothing listens, for which Ray would wait a minute."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal():
        raise ConfigError(
            f"--ray-address {address}: expected auto, or HOST:PORT of a cluster's head that this machine belongs to"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHABLE).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--ray-address {address}: nothing answers there: {error}",
            hint="Start a cluster with `ray start --head`, and give the address that it prints.",
        ) from error


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a while."""
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
    """What one task takes of a node."""

    threads: int
    gpus: int

    @classmethod
    def of(cls, ray: Any, task: Task) -> "Needs":
        """Return what a task needs: with `auto` a GPU if the cluster has any, as on one machine."""
        device = task.options.device
        wanted = device == "gpu" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
        return cls(task.options.threads or 1, int(wanted))

    def room(self, ray: Any) -> int:
        """Return how many such tasks the cluster has room for at the same time.

        Raises:
            ConfigError: for none, so that it would wait for ever.
        """
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = sum(
            min(int(has.get("CPU", 0)) // self.threads, int(has.get("GPU", 0)) if self.gpus else MANY) for has in nodes
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
        """Return Ray's options of a task."""
        places = ("KDISTILL_DATA_DIR", "KDISTILL_CACHE_DIR")
        variables = {name: os.path.abspath(os.path.expanduser(os.environ[name])) for name in places if _is_set(name)}
        # Has to be there before TensorFlow is imported, and is what tells workers apart: those of a kind are reused.
        variables |= {"TF_NUM_INTRAOP_THREADS": str(self.threads), "TF_NUM_INTEROP_THREADS": "1"}
        if not self.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = "-1"  # else a task without a GPU would see all of them
        return {
            "name": name,
            "num_cpus": self.threads,
            "num_gpus": self.gpus,
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": variables},
        }


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def mailbox(ray: Any) -> Any:
    """Return the handle of a new mailbox, on this node: it lives as long as the driver does."""
    return ray.remote(num_cpus=0)(ray_task.Mailbox).options(scheduling_strategy=_on(ray, _own_node(ray))).remote()


def _own_node(ray: Any) -> str:
    return ray.get_runtime_context().get_node_id()


def _on(ray: Any, node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


@contextlib.contextmanager
def shared_token(tasks: Sequence[Task]) -> Iterator[Path]:
    """Write a file whose name nobody can guess into the folder that all runs are in; remove it in the end.

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
        with contextlib.suppress(OSError):
            token.unlink()


def check_nodes(ray: Any, token: Path) -> None:
    """Refuse a cluster with a node on which runs would be lost, before anything is trained.

    Raises:
        OutputError: a node does not see the folder of the experiment.
        ConfigError: a node has no kdistill, or another version of it.
    """
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
    probe = ray.remote(num_cpus=0, max_retries=1)(ray_task.look)
    probes = {name: probe.options(scheduling_strategy=_on(ray, name)).remote(str(token)) for name in nodes}
    for name, reference in probes.items():
        node = f"{nodes[name]['NodeManagerHostname']} ({nodes[name]['NodeManagerAddress']})"
        same = f"Install kdistill[ray] {kdistill.__version__} and the same Python on every node."
        try:
            found = ray.get(reference, timeout=ANSWER)
        except ray.exceptions.NodeDiedError:
            continue  # it has gone, and does no harm
        except ray.exceptions.RayError as error:
            raise ConfigError(f"--engine ray: node {node} cannot work: {first_line(error)}", hint=same) from error
        if found["version"] != kdistill.__version__:
            raise ConfigError(
                f"--engine ray: expected kdistill {kdistill.__version__} on all nodes; {node} has {found['version']}",
                hint=same,
            )
        if not found["sees"]:
            raise OutputError(
                f"{token.parent}: node {node} does not see this folder, or another one of that name",
                hint="Choose an --output-dir on a file system that all nodes share, by the same path.",
            )


def first_line(error: Exception) -> str:
    """Return what an error says in one line; of one from a worker, the line with the cause."""
    cause = getattr(error, "cause", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[-1 if cause is error else 0][:300]
