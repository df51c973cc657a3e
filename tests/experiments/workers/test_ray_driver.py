"""Ray: the same runs as without it, and nothing lost when workers, nodes or the driver die.

One Ray session at a time: each test starts and ends its own. What Ray needs of a machine is little, but not nothing:
some seconds and 100 MB a process.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import keras
import killing
import numpy as np
import own_data
import pytest
from heard import Heard
from small_pool import LONG, SHORT, do, outcomes_of, session, without_place

from kdistill.core.errors import ConfigError, OutputError
from kdistill.core.listener import EpochDone
from kdistill.core.signals import Stopped
from kdistill.experiments import reproduce
from kdistill.experiments.workers import Outcomes, Scale, ray_connection, ray_task
from kdistill.experiments.workers.ray_driver import on_ray
from kdistill.recipes.session import Options
from kdistill.runs import Experiment, judge

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the ray extra is not installed"),
]
ON_RAY = ["--engine", "ray", "--workers", "2"]
# Long enough to be hit in the middle: every epoch takes as long as its checkpoint.
SLOW = ["student.epochs=100", "student.patience=null", "teacher.epochs=2", "teacher.hidden=[16]"]
SLOW += ["training.checkpoint_every=1"]
MIDDLE = [*LONG, "student.epochs=150"]


# The numbers of the process sessions that these tests started: Ray's processes stay in that of their driver.
SESSIONS = {os.getsid(0)}


def start(arguments):
    """Start `kdistill`, and count what it leaves behind as ours."""
    process = killing.start(arguments)
    SESSIONS.add(process.pid)
    return process


def processes():
    """Return number and name of the processes of Ray that these tests started, those to be reaped left out.

    Others may use Ray on this machine at the same time.
    """
    rows = subprocess.run(["ps", "-eo", "pid,sid,stat,args"], capture_output=True, text=True).stdout.splitlines()
    found = [row.split(None, 3) for row in rows[1:]]
    names = ("ray::", "/raylet/raylet ", "gcs_server ", "ray/dashboard/", "ray/_private/", "ray/autoscaler/")
    return {
        int(pid): args
        for pid, sid, stat, args in found
        if int(sid) in SESSIONS and stat[0] != "Z" and any(name in args for name in names)
    }


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """Whatever a test does, no process of Ray outlives it; two agents do so for a minute where a driver was killed."""
    before = set(processes())
    yield
    deadline = time.monotonic() + 75
    while (left := {pid: args for pid, args in processes().items() if pid not in before}) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.2)
    assert left == {}


@pytest.fixture
def cluster():
    """Two nodes of one core on this machine, and a head that does no work; those that are left end with the test."""
    # Read when Ray is imported, which is here: the nodes listen on loopback alone.
    with ray_connection._environment(ray_connection.QUIET | ray_connection.LOOPBACK):
        from ray.cluster_utils import Cluster

        small = {"object_store_memory": ray_connection.OBJECT_STORE}
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
        found.workers = [found.add_node(num_cpus=1, **small) for _ in range(2)]
        try:
            yield found
        finally:
            found.shutdown()


def at_work():
    """Return the workers that are at a run: Ray names a process after what it does."""
    return [pid for pid, args in processes().items() if re.match(r"ray::(teacher|baseline|distilled) seed", args)]


def node_of(pid, cluster):
    """Return the node of a worker: its parent is the raylet there."""
    parent = int(subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True).stdout)
    return next(node for node in cluster.workers if node.all_processes["raylet"][0].process.pid == parent)


def arguments(folder, overrides, *more):
    return ["reproduce", *more, "--output-dir", folder, *(part for text in overrides for part in ("--set", text))]


def test_workers_and_nodes_that_go_take_no_run_with_them_and_failures_are_not_repeated(tmp_path, cluster):
    """A worker is killed, then a node removed, each in the middle of runs; one run diverges, whoever makes it."""
    lost = {}

    def lose(name, record):
        """Hit the very run that has just reported: it has a checkpoint, which one that has only begun has not."""
        pids = [pid for pid, args in processes().items() if args.startswith(f"ray::{name}")]
        if record["epoch"] <= 5 or len(lost) == 2 or name in lost or not pids:
            return
        if lost:
            cluster.remove_node(node_of(pids[0], cluster), allow_graceful=False)
            lost[name] = "its node died"
        else:
            os.kill(pids[0], signal.SIGKILL)
            lost[name] = "its process died"

    watch = Heard(lambda event, name: lose(name, event.record) if isinstance(event, EpochDone) else None)
    tasks = reproduce.tasks_of(session(tmp_path, SLOW, watch), {0: 0, 1: 1})
    wild = [*SHORT, "student.optimizer=sgd", "student.learning_rate=1e30"]
    diverging = reproduce.tasks_of(session(tmp_path / "wild", wild), {2: 2})[1]
    outcomes, both = Outcomes(), [diverging, *tasks]
    assert do(on_ray(both, None, cluster.address, watch), both, outcomes, watch) == 2
    assert list(lost.values()) == ["its process died", "its node died"]
    for name, how in lost.items():
        assert any(
            text.startswith(f"{name}: {how}") and text.endswith("the task is repeated") for text in watch.warnings
        )
        arm, _, seed = name.split()
        first, *later = Experiment(tmp_path / "quickstart").run(arm, int(seed)).manifest["attempts"]
        assert first["from_epoch"] == 0
        assert later[0]["from_epoch"] >= 5
    assert list(outcomes.failed) == [diverging.key]
    assert outcomes.failed[diverging.key].exit_code == 5
    assert len(Experiment(tmp_path / "wild" / "quickstart").run("baseline", 2).manifest["attempts"]) == 1
    assert sorted(outcomes.done) == sorted(task.key for task in tasks)


@pytest.mark.campaign
def test_a_sweep_with_a_run_that_diverges_goes_on_without_it(tmp_path):
    grid = ["sweep", "--grid", "student.learning_rate=1e-2,1e30", "--set", "student.optimizer=sgd"]
    common = arguments(tmp_path, SHORT, "--seeds", "1", "--json", *ON_RAY)[1:]
    code, stdout, stderr = killing.finish(start([*grid, *common]))
    assert code == 6, stderr
    document = json.loads(stdout)
    assert [cell["status"] for cell in document["cells"]] == ["done", "failed"]
    assert "diverged" in document["failed"][0]["message"]


@pytest.mark.campaign
def test_a_driver_that_is_killed_and_started_again_ends_as_if_nothing_had_happened(tmp_path):
    """Its workers end with it, only what is missing is made, and the results are those of one worker here."""
    line = arguments(tmp_path, MIDDLE, "--seeds", "2", *ON_RAY)
    process = start(line)
    experiment = Experiment(tmp_path / "quickstart")
    assert killing.wait_for(lambda: killing.lines(experiment.run("distilled", 0)), process)
    assert at_work() != []
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = [experiment.run(arm, 0) for arm in ("teacher", "baseline")]
    before = [(run.folder / "manifest.json").read_bytes() for run in done]
    deadline = time.monotonic() + 30
    while at_work() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert at_work() == []
    code, stdout, stderr = killing.finish(start([*line, "--json"]))
    assert code == 0, stderr
    document = json.loads(stdout)
    assert (document["run_info"]["engine"], document["run_info"]["workers"]) == ("ray", 2)
    assert [(run.folder / "manifest.json").read_bytes() for run in done] == before
    ours = re.compile(r"Starting|teacher|baseline|distilled|Warning: Seed|[2-5] of 6 runs|\[[1-4]/[1-4]\] ")
    assert [line for line in stderr.splitlines() if not ours.match(line)] == []
    whole = reproduce.reproduce(session(tmp_path / "whole", MIDDLE), [0, 1], scale=Scale(workers=1))
    assert without_place(document) == without_place(whole)
    assert outcomes_of(tmp_path, [0, 1]) == outcomes_of(tmp_path / "whole", [0, 1])
    again = reproduce.reproduce(session(tmp_path, MIDDLE), [0, 1], scale=Scale(engine="ray"))
    assert again["run_info"]["workers"] == 0  # nothing was left to do, and Ray was not started


@pytest.mark.parametrize(
    ("signum", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="ctrl-c"),
        pytest.param(signal.SIGTERM, 143, id="sigterm", marks=pytest.mark.campaign),
    ],
)
def test_a_signal_stops_every_task_with_a_checkpoint(tmp_path, signum, code):
    """As a terminal does it, to all processes of the group."""
    process = start(
        arguments(tmp_path, [*LONG, "student.epochs=3000", "training.checkpoint_every=3000"], "--seeds", "2", *ON_RAY)
    )
    runs = [Experiment(tmp_path / "quickstart").run("baseline", seed) for seed in (0, 1)]
    assert killing.wait_for(lambda: all(killing.lines(run) for run in runs), process)
    (os.killpg if signum == signal.SIGINT else os.kill)(process.pid, signum)
    received, stdout, stderr = killing.finish(process)
    assert received == code, stderr
    assert "stopped, with a checkpoint each: baseline seed 0, baseline seed 1" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert [judge(run).state for run in runs] == ["interrupted", "interrupted"]
    for run in runs:
        assert next(run.checkpoints.folder.iterdir()).is_dir()


def test_a_cluster_that_will_not_do_is_refused(tmp_path, cluster, monkeypatch):
    """Too small for a run, which would wait for ever; or without the folder, so that runs would be lost."""
    large = [
        dataclasses.replace(task, options=Options(threads=2)) for task in reproduce.tasks_of(session(tmp_path), {0: 0})
    ]
    with pytest.raises(ConfigError, match="takes 2 cores of one node; the largest has 1 cores"):
        do(on_ray(large, None, cluster.address, Heard()), large, Outcomes(), Heard())
    shared_token = ray_connection.shared_token

    @contextlib.contextmanager
    def only_here(tasks):
        """To the nodes, a folder from which the token has just been removed is another folder."""
        with shared_token(tasks) as token:
            token.unlink()
            yield token

    monkeypatch.setattr(ray_connection, "shared_token", only_here)
    with pytest.raises(
        OutputError, match=r"quickstart: node \S+ \(\d+\.\d+\.\d+\.\d+\) does not see this folder"
    ) as error:
        reproduce.reproduce(session(tmp_path), [0], scale=Scale(engine="ray", address=cluster.address))
    assert error.value.exit_code == 7
    assert not (tmp_path / "quickstart" / "seed-0").exists()


def test_an_address_at_which_nothing_answers_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"--ray-address 127\.0\.0\.1:9: nothing answers there"):
        reproduce.reproduce(session(tmp_path), [0], scale=Scale(engine="ray", address="127.0.0.1:9"))
    with pytest.raises(ConfigError, match="expected auto, or HOST:PORT"):
        reproduce.reproduce(session(tmp_path), [0], scale=Scale(engine="ray", address="ray://127.0.0.1:9"))


def test_ray_that_is_started_here_listens_on_loopback_alone(tmp_path):
    """Whoever can reach its ports could run programs on this machine; it wants a token besides."""
    program = (
        "import subprocess; from kdistill.core.listener import Listener; "
        "from kdistill.experiments.workers import ray_connection\n"
        "with ray_connection.connect(1, 'cpu', 1, None, Listener()) as ray:\n"
        "    ray.get(ray_connection.mailbox(ray).flush.remote())\n"
        "    found = subprocess.run(['ss', '-ltnpH'], capture_output=True, text=True).stdout\n"
        "print(found)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [row.split() for row in done.stdout.splitlines() if "ray" in row or "gcs_server" in row]
    assert len(rows) >= 4
    assert {row[3].rpartition(":")[0] for row in rows} <= {"127.0.0.1", "[::ffff:127.0.0.1]"}


def test_own_data_and_named_teachers_give_the_results_of_one_worker_here(tmp_path):
    """Converted once for all workers, the teachers a model that gets scaled values and a file of logits."""
    found = own_data.arrays(train=60)
    own_data.write_npz(tmp_path / "mine.npz", **found)
    network = [keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential([keras.Input((6, 5, 1)), *network]).save(tmp_path / "big.keras")
    logits = {part: np.eye(2)[found[f"y_{part}"]] * 3 - 1 for part in ("train", "test")}
    np.savez(tmp_path / "logits.npz", **logits, labels=found["y_train"])
    config = tmp_path / "mine.yaml"
    config.write_text(
        "data: {dataset: npz, path: mine.npz, validation: 0.2}\ndistill: {teachers: [big.keras, logits.npz]}\n"
        "teacher: {hidden: [4], preprocessing: signed}\nstudent: {hidden: [4]}\ntraining: {batch_size: 4, epochs: 3}\n"
    )
    documents = []
    for name, more in (("ray", ON_RAY), ("here", ["--workers", "1"])):
        line = ["reproduce", "-c", config, "--seeds", "2", "--json", "--output-dir", tmp_path / name, *more]
        code, stdout, stderr = killing.finish(start(line))
        assert code == 0, stderr
        documents.append(json.loads(stdout))
    assert documents[0]["run_info"]["engine"] == "ray"
    assert without_place(documents[0]) == without_place(documents[1])
    for seed in (0, 1):
        for arm in ("baseline", "distilled"):
            there, here = (Experiment(tmp_path / name / "mine").run(arm, seed) for name in ("ray", "here"))
            assert killing.outcome(there) == killing.outcome(here)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_failure_while_it_is_stopped_is_no_death(monkeypatch, tmp_path, signum):
    """A checkpoint that cannot be written as a node is drained would fail elsewhere too."""

    def fail(task, listener):
        raise Stopped(signum, "baseline seed 0: stopped", failure=OutputError("no space left"))

    monkeypatch.setattr("kdistill.experiments.workers.perform.perform", fail)
    monkeypatch.setattr(ray_task, "_deliver", lambda mailbox: None)
    monkeypatch.setattr(ray_task, "check_shared", lambda token: None)
    task = reproduce.tasks_of(session(tmp_path, MIDDLE), {0: 0})[0]
    answer = ray_task.do_task(task.to_json(), "token", None)
    assert answer.message == "no space left"
