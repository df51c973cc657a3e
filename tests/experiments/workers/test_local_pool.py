"""The pool: it does every task once, in the order of their needs, and survives its workers."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import killing
import pytest
import worker_stand_in
from heard import Heard, on_epoch
from small_pool import LONG, SHORT, do, on_epoch_of, outcomes_of, session, without_place

from kdistill.core.errors import KdistillError
from kdistill.core.listener import RunFailed
from kdistill.core.signals import Stopped
from kdistill.experiments import reproduce
from kdistill.experiments.workers import Failure, Outcomes, Scale, Task, TaskKey, local_pool
from kdistill.recipes.session import Options
from kdistill.runs import Experiment, Run, judge


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Workers that train nothing, so that TensorFlow does not start in each."""
    worker_stand_in.installed(monkeypatch, tmp_path)


def children():
    """Return the worker processes of this process."""
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "kdistill.experiments.workers"], capture_output=True, text=True
    )
    return [int(number) for number in found.stdout.split()]


@pytest.mark.slow
def test_results_are_the_same_however_many_workers_there_are(tmp_path):
    here = reproduce.reproduce(session(tmp_path / "1"), [0], scale=Scale(workers=1))
    pool = reproduce.reproduce(session(tmp_path / "2"), [0], scale=Scale(workers=2))
    assert without_place(here) == without_place(pool)
    assert outcomes_of(tmp_path / "1", [0]) == outcomes_of(tmp_path / "2", [0])
    assert (here["run_info"]["workers"], pool["run_info"]["workers"]) == (1, 2)
    assert children() == []


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_run_ends_as_if_nothing_had_happened(tmp_path):
    """With real workers; where one is killed twice, see below."""
    overrides = [*LONG, "student.epochs=150", "training.checkpoint_every=1"]
    run = killed_at_work(tmp_path / "cut", overrides, times=1)
    assert run.manifest["attempts"][1]["from_epoch"] > 0
    whole = session(tmp_path / "whole", overrides)
    do(local_pool.in_process(Heard()), baseline_of(whole), Outcomes(), Heard())
    assert killing.outcome(run) == killing.outcome(whole.experiment.run("baseline", 0))


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_killed_is_replaced_and_its_run_goes_on_once(tmp_path, stand_ins, times):
    """Killed once the run ends; killed twice it is recorded as failed."""
    killed_at_work(tmp_path, [*LONG, "student.epochs=100", "training.checkpoint_every=1"], times)


def baseline_of(at_work):
    return [task for task in reproduce.tasks_of(at_work, {0: 0}) if task.name == "baseline seed 0"]


def killed_at_work(folder, overrides, times):
    """Make a baseline in a pool whose workers are killed in the middle; check what is said and left; return the run."""
    kills = []

    def kill(record):
        if record["epoch"] > 5 + 30 * len(kills) and len(kills) < times:
            kills.append(record["epoch"])
            for number in children():
                os.kill(number, signal.SIGKILL)

    watch, outcomes, key = on_epoch(kill), Outcomes(), TaskKey("baseline", 0)
    do(local_pool.pool(2), baseline_of(session(folder, overrides, watch)), outcomes, watch)
    assert len(kills) == times
    assert "killed (SIGKILL)" in watch.warnings[0]
    run = Experiment(folder / "quickstart").run("baseline", 0)
    if times == 1:
        assert outcomes.done[key]["epochs"] == len(run.history())
        assert run.manifest["attempts"][1]["from_epoch"] > 0
    else:
        assert watch.failures[0] == "baseline seed 0"
        assert "twice" in outcomes.failed[key].message
        assert outcomes.failed[key].exit_code == 6
        assert judge(run).state == "interrupted"
    assert children() == []
    return run


def test_one_process_does_the_follow_up_too_and_asks_for_it_once(tmp_path):
    at_work, outcomes, asked = session(tmp_path, SHORT), Outcomes(), []

    def follow_up():
        asked.append(list(outcomes.done))
        return [task for task in reproduce.tasks_of(at_work, {0: 0}) if task.name == "baseline seed 0"]

    tasks = [task for task in reproduce.tasks_of(at_work, {0: 0}) if task.name == "teacher seed 0"]
    do(local_pool.in_process(Heard()), tasks, outcomes, Heard(), follow_up)
    assert asked == [[TaskKey("teacher", 0)]]
    assert list(outcomes.done) == [TaskKey("teacher", 0), TaskKey("baseline", 0)]


def test_a_worker_goes_on_with_the_arm_whose_step_it_has_compiled(tmp_path):
    tasks = {task.name: task for task in reproduce.tasks_of(session(tmp_path), {0: 0, 1: 1})}
    outcomes, waiting = Outcomes(), list(tasks.values())[1:]  # without teacher seed 0
    assert outcomes.ready(waiting).name == "baseline seed 0"
    assert outcomes.ready(waiting, tasks["teacher seed 0"]).name == "teacher seed 1"
    assert outcomes.ready(waiting, tasks["distilled seed 0"]).name == "baseline seed 0"
    outcomes.done |= {TaskKey("teacher", 0): {}, TaskKey("baseline", 0): {}}
    assert outcomes.ready(waiting, tasks["distilled seed 0"]).name == "distilled seed 0"


WILD = ["student.optimizer=sgd", "student.learning_rate=1e30"]


def test_a_run_that_diverges_is_recorded_and_the_others_go_on(tmp_path, stand_ins):
    """With the second seed as a follow-up, which has to wait for the first."""
    at_work = session(tmp_path, [*SHORT, *WILD])
    outcomes, watch, asked = Outcomes(), Heard(), []

    def follow_up():
        asked.append([key.name for key in (*outcomes.done, *outcomes.failed)])
        return reproduce.tasks_of(at_work, {1: 1})

    do(local_pool.pool(2), reproduce.tasks_of(at_work, {0: 0}), outcomes, watch, follow_up)
    assert [sorted(names) for names in asked] == [
        ["baseline seed 0", "distilled seed 0", "seed 0, scores", "teacher seed 0"]
    ]
    assert sorted(outcomes.done) == [TaskKey("teacher", 0), TaskKey("teacher", 1)]
    assert outcomes.failed[TaskKey("baseline", 0)].exit_code == 5
    assert "not done, since baseline seed 0 failed" in outcomes.failed[TaskKey("distilled", 0)].message
    assert outcomes.failed[TaskKey("", 0)].exit_code == 5
    assert watch.failures == sorted(watch.failures)


def test_where_every_seed_has_a_run_that_diverges_there_is_nothing_to_report(tmp_path):
    with pytest.raises(KdistillError, match="every seed has a failed run; failed: ") as error:
        reproduce.reproduce(session(tmp_path, [*SHORT, *WILD]), [0, 1], scale=Scale(workers=1))
    assert {"baseline seed 0", "baseline seed 1"} == set(error.value.message.partition("failed: ")[2].split(", "))
    assert "--set student.learning_rate=" in error.value.hint
    assert error.value.exit_code == 5


def test_what_the_user_has_to_mend_stops_everything(tmp_path):
    reproduce.reproduce(session(tmp_path), [0], scale=Scale(workers=1))
    changed = session(tmp_path, [*SHORT, "distill.T=9"])
    with pytest.raises(KdistillError, match="made from another config") as error:
        reproduce.reproduce(changed, [0, 1, 2], scale=Scale(workers=2))
    assert error.value.exit_code == 7
    assert children() == []


def test_ctrl_c_stops_every_worker_with_a_checkpoint(tmp_path, stand_ins):
    """Which is said, as is what was stopped before it had one."""
    started, sent = set(), []

    def interrupt(name, record):
        started.add(name)
        if {"baseline seed 0", "baseline seed 1"} <= started and not sent:
            sent.append(name)
            os.kill(os.getpid(), signal.SIGINT)

    watch = on_epoch_of(interrupt)
    tasks = reproduce.tasks_of(session(tmp_path, [*LONG, "student.epochs=100000"], watch), {0: 0, 1: 1})
    with pytest.raises(Stopped, match=r"with a checkpoint each: baseline seed 0, baseline seed 1$") as stopped:
        do(local_pool.pool(2), [task for task in tasks if task.key.arm == "baseline"], Outcomes(), watch)
    assert stopped.value.signum == signal.SIGINT
    experiment = Experiment(tmp_path / "quickstart")
    assert [judge(experiment.run("baseline", seed)).state for seed in (0, 1)] == ["interrupted"] * 2
    assert children() == []


@pytest.mark.slow
def test_ctrl_c_on_the_command_line_stops_every_worker_with_a_checkpoint(tmp_path):
    arguments = ["reproduce", "--seeds", "2", "--workers", "2", "--output-dir", tmp_path]
    arguments += [part for override in [*LONG, "student.epochs=1500"] for part in ("--set", override)]
    process = killing.start(arguments)
    experiment = Experiment(tmp_path / "quickstart")
    runs = [experiment.run("baseline", seed) for seed in (0, 1)]
    assert killing.wait_for(lambda: all(killing.lines(run) for run in runs), process)
    process.send_signal(signal.SIGINT)
    code, _, stderr = killing.finish(process)
    assert code == 130
    assert "stopped, with a checkpoint each: baseline seed 0, baseline seed 1" in stderr
    assert [judge(run).state for run in runs] == ["interrupted", "interrupted"]
    assert workers_of(process.pid) == []


def test_ctrl_c_ends_a_worker_that_cannot_make_its_checkpoint(tmp_path, monkeypatch, stand_ins):
    """Its failure is told; it used to wait for its next task, and was waited for."""
    monkeypatch.setattr(local_pool, "STOP_TIMEOUT", 100_000)
    pulled = []

    def pull_the_rug(record):
        if not pulled:
            pulled.append(record)
            (tmp_path / "quickstart").rename(tmp_path / "elsewhere")
            (tmp_path / "quickstart").touch()  # so that no worker makes the folder anew
            os.kill(os.getpid(), signal.SIGINT)

    listener = on_epoch(pull_the_rug)
    overrides = [*LONG, "student.epochs=100000"]
    with pytest.raises(Stopped):
        reproduce.reproduce(session(tmp_path, overrides, listener), [0, 1], scale=Scale(workers=2))
    assert listener.failures
    assert children() == []


def test_a_signal_beside_a_failure_that_ends_everything_lets_the_others_make_their_checkpoints(tmp_path, stand_ins):
    """It was taken for a second signal, for which nobody waits."""
    run = Experiment(tmp_path / "quickstart").run("baseline", 0)

    def interrupt(event, _):
        if isinstance(event, RunFailed):
            killing.wait_until(lambda: killing.lines(run))
            os.kill(os.getpid(), signal.SIGINT)

    watch = Heard(interrupt)
    overrides = [*LONG, "student.epochs=100000", "training.checkpoint_every=100000"]
    tasks = reproduce.tasks_of(session(tmp_path, overrides, watch), {0: 0})
    teacher, baseline, distilled = (
        next(task for task in tasks if task.name == f"{arm} seed 0") for arm in ("teacher", "baseline", "distilled")
    )
    distill = {**distilled.config["distill"], "teachers": [str(tmp_path / "nobody.keras")]}
    hopeless = replace(distilled, needs=(teacher.key,), config={**distilled.config, "distill": distill})
    with pytest.raises(Stopped) as stopped:
        do(local_pool.pool(2), [teacher, baseline, hopeless], Outcomes(), watch)
    assert "no such model file" in stopped.value.failure.message
    assert judge(run).state == "interrupted"
    assert next(run.checkpoints.folder.iterdir()).is_dir()
    assert children() == []


def named(stderr, what):
    """Return the runs of which a message says something."""
    found = re.search(rf"{what}: ([^;.]*)[;.]", stderr)
    return set(found[1].split(", ")) if found else set()


@pytest.mark.campaign
@pytest.mark.parametrize("moment", ["workers", "manifest", "epoch"])
def test_ctrl_c_says_what_is_true_of_the_disk_whenever_it_comes(tmp_path, moment):
    """While TensorFlow starts, while the step is compiled, and in the middle; what has a checkpoint goes on from it."""
    arguments = ["reproduce", "--seeds", "2", "--workers", "2", "--output-dir", tmp_path]
    arguments += ["--set", "training.epochs=5000", "--set", "training.patience=null"]
    process = killing.start(arguments)
    runs = [Experiment(tmp_path / "quickstart").run(arm, seed) for seed in (0, 1) for arm in ("teacher", "baseline")]
    come = {
        "workers": lambda: len(workers_of(process.pid)) == 2,
        "manifest": lambda: any(run.manifest for run in runs),
        "epoch": lambda: any(killing.lines(run) for run in runs),
    }
    assert killing.wait_for(come[moment], process)
    process.send_signal(signal.SIGINT)
    code, _, stderr = killing.finish(process)
    assert code == 130
    names = {f"{run.arm} seed {run.seed}": run for run in runs}
    kept = {name for name, run in names.items() if run.checkpoints.exist()}
    assert named(stderr, "stopped, with a checkpoint each") == kept
    begun = named(stderr, "stopped before the first checkpoint")
    assert not begun & kept
    assert {name for name, run in names.items() if run.manifest} <= begun | kept
    if moment == "epoch":
        assert kept
    elif moment == "workers":
        assert begun


def test_a_second_ctrl_c_does_not_wait_and_claims_nothing(tmp_path, monkeypatch, stand_ins):
    """Not for a worker that would never stop."""
    monkeypatch.setattr(local_pool, "STOP_TIMEOUT", 100_000)
    monkeypatch.setattr(local_pool._Pool, "stop", interrupted_first(local_pool._Pool.stop))

    sent = []

    def interrupt(record):
        if not sent:
            sent.append(record)
            for number in children():
                os.kill(number, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGINT)

    watch = on_epoch(interrupt)
    with pytest.raises(Stopped) as stopped:
        do(
            local_pool.pool(2),
            baseline_of(session(tmp_path, [*LONG, "student.epochs=100000"], watch)),
            Outcomes(),
            watch,
        )
    assert stopped.value.where == ""
    assert children() == []


def interrupted_first(stop):
    """Return `stop` with a signal that comes when it is called for the first time."""
    calls = []

    def call(pool):
        calls.append(pool)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return stop(pool)

    return call


@pytest.mark.campaign
def test_cells_that_were_stopped_are_named_when_they_go_on(tmp_path):
    """All of them, though every run has the same arm and seed."""
    arguments = ["sweep", "--grid", "distill.T=1,4", "--seeds", "1", "--workers", "2", "--output-dir", tmp_path]
    arguments += [part for override in LONG for part in ("--set", override)]
    slow = [*arguments, "--set", "student.epochs=4000", "--set", "name=q"]
    process = killing.start(slow)

    def cells():
        return [Run(path, "distilled", 0) for path in (tmp_path / "q").glob("cells/*/seed-0/distilled")]

    assert killing.wait_for(lambda: len(cells()) == 2 and all(map(killing.lines, cells())), process)
    process.send_signal(signal.SIGINT)
    _, _, stderr = killing.finish(process)
    assert named(stderr, "stopped, with a checkpoint each") >= {"temperature=1 seed 0", "temperature=4 seed 0"}
    process = killing.start(slow)
    before = {run.folder: len(run.manifest["attempts"]) for run in cells()}
    assert killing.wait_for(
        lambda: all(run.manifest and len(run.manifest["attempts"]) > before[run.folder] for run in cells()), process
    )
    process.send_signal(signal.SIGINT)
    _, _, stderr = killing.finish(process)
    for cell in ("temperature=1", "temperature=4"):
        assert f"{cell} seed 0: resuming at epoch" in stderr


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent_and_only_what_is_missing_is_made(tmp_path):
    arguments = ["reproduce", "--seeds", "1", "--workers", "2", "--output-dir", tmp_path]
    arguments += [part for override in LONG for part in ("--set", override)]
    process = killing.start(arguments)
    experiment = Experiment(tmp_path / "quickstart")
    assert killing.wait_for(lambda: killing.lines(experiment.run("distilled", 0)), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    killing.wait_until(lambda: workers_of(process.pid) == [])
    done = experiment.run("baseline", 0)
    assert judge(done).counts
    before = (done.folder / "manifest.json").read_bytes()
    code, _, stderr = killing.finish(killing.start(arguments))
    assert code == 0, stderr
    assert (done.folder / "manifest.json").read_bytes() == before
    reproduce.reproduce(session(tmp_path / "whole", LONG), [0], scale=Scale(workers=1))
    assert outcomes_of(tmp_path, [0]) == outcomes_of(tmp_path / "whole", [0])


def workers_of(parent):
    """Return the worker processes that a process has, or had: they are named in no other way once it is gone."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout.splitlines()
    rows = [line.split(None, 2) for line in found if "kdistill.experiments.workers.worker_process" in line]
    return [pid for pid, ppid, _ in rows if int(ppid) in (parent, 1)]


@pytest.mark.campaign
def test_a_worker_does_not_grow_with_the_runs_it_does(tmp_path):
    """A hundred short runs of one shape share the compiled step."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from kdistill import config\n"
        "from kdistill.experiments.task_graph import tasks_of\n"
        "from kdistill.runs import Experiment\n"
        "from kdistill.recipes.session import Options, Session\n"
        "from kdistill.experiments.workers import Scale, run\n"
        f"cfg = config.load('quickstart', {SHORT!r})\n"
        "session = Session(cfg, Experiment(Path(sys.argv[1]) / 'q'), Options(threads=1))\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "def do(seeds):\n"
        "    tasks = tasks_of(session, {s: s for s in seeds})\n"
        "    outcomes, _ = run(session, tasks, Scale(workers=1))\n"
        "    assert len(outcomes.done) == len(tasks)\n"
        "do(range(8)); early = peak(); do(range(8, 40)); print(early, peak())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    early, late = map(float, done.stdout.split())
    assert late < early + 15  # 32 seeds at half a megabyte for each run, as it once was, are 48


def test_the_name_of_a_task_is_told_by_its_key_which_survives_a_trip_to_another_process():
    names = {
        TaskKey("teacher", 0): "teacher seed 0",
        TaskKey("", 3): "seed 3, scores",
        TaskKey("baseline", 1, "winner"): "winner baseline seed 1",
        TaskKey("", 1, "winner"): "winner seed 1, scores",
        TaskKey("distilled", 2, "temperature=4 alpha=0.5"): "temperature=4 alpha=0.5 seed 2",
        TaskKey("teacher", 2, "hidden=[16]"): "teacher hidden=[16] seed 2",
    }
    assert [key.name for key in names] == list(names.values())
    first, *needs = names
    task = Task(first, {"name": "n"}, "folder", "cache", Options(1, track=("t",)), "teacher", 1, needs=tuple(needs))
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


def test_a_failure_keeps_the_exit_code_and_the_words_of_its_error():
    error = KdistillError("message", "hint")
    error.exit_code = 5
    assert Failure.of(error) == Failure("message", "hint", 5)
    assert Failure.of(error).error().exit_code == 5
    bug = Failure.of(ZeroDivisionError("oops\nmore"), "Traceback ...")
    assert (bug.exit_code, bug.message) == (1, "this is a bug in kdistill: ZeroDivisionError: oops")
