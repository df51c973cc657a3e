"""Trackers: every epoch is told once, in files that TensorBoard reads, and none of them ever stops a run."""

import json

import pytest
import tensorflow as tf
from command_line import run
from heard import Heard, on_epoch
from small_experiment import session

from kdistill import config as configs
from kdistill.core import extras
from kdistill.core.listener import EpochDone, EpochProgress
from kdistill.evaluation.measures import MEASURES
from kdistill.experiments import reproduce
from kdistill.experiments.workers import Scale
from kdistill.recipes.make import make
from kdistill.runs import judge
from kdistill.training import optimizers, trackers
from kdistill.training.trackers import TensorBoard, tracking


def record(epoch, **more):
    return {"epoch": epoch, "loss": 0.5 / epoch, "soft": 0.25, "val_accuracy": 0.75, "seconds": 2.0, **more}


def told(folder):
    """Return the values of each scalar by step, from all event files; a step that is there twice fails."""
    found = {}
    for path in sorted((folder / "tensorboard").glob("*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                steps = found.setdefault(value.tag, {})
                assert event.step not in steps
                steps[event.step] = value.simple_value
    return found


def stopping_at(epoch):
    """Return a listener that interrupts at an epoch."""

    def interrupt(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return on_epoch(interrupt)


def test_each_epoch_is_written_with_what_is_known_of_it(tmp_path):
    watch = Heard()
    with tracking(["tensorboard"], tmp_path, [record(1)], watch, lambda epoch: {"learning_rate": 0.1 * epoch}) as all_:
        all_.handle(EpochProgress(0.5))
        all_.handle(EpochDone(record(2, soft=None)))
    assert told(tmp_path) == {
        "loss": {1: 0.5, 2: 0.25},
        "soft": {1: 0.25},
        "val_accuracy": {1: 0.75, 2: 0.75},
        "learning_rate": {1: pytest.approx(0.1), 2: pytest.approx(0.2)},
        "seconds": {1: 2.0, 2: 2.0},
    }
    assert [event for event, _ in watch.events] == [EpochProgress(0.5), EpochDone(record(2, soft=None))]


def test_without_trackers_the_listener_hears_alone(tmp_path):
    watch = Heard()
    with tracking([], tmp_path, [record(1)], watch) as listener:
        assert listener is watch
    assert list(tmp_path.iterdir()) == []


def test_what_an_attempt_before_has_written_is_replaced(tmp_path):
    for epochs in ([1, 2, 3], [1, 2]):
        with tracking(["tensorboard"], tmp_path, [record(epoch) for epoch in epochs], Heard()) as all_:
            all_.handle(EpochDone(record(epochs[-1] + 1)))
    assert list(told(tmp_path)["loss"]) == [1, 2, 3]


def test_epochs_are_on_disk_before_the_run_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "FLUSH_EVERY", 0.0)
    with tracking(["tensorboard"], tmp_path, [], Heard()) as all_:
        all_.handle(EpochDone(record(1)))
        assert list(told(tmp_path)["loss"]) == [1]


@pytest.mark.parametrize("fails_in", ["__init__", "epoch", "close"])
def test_a_tracker_that_fails_is_warned_of_once_and_hears_no_more(tmp_path, monkeypatch, fails_in):
    heard = []

    class Bad:
        def __init__(self, folder):
            self.handle("__init__")

        def epoch(self, record):
            self.handle("epoch")

        def close(self):
            self.handle("close")

        def handle(self, what):
            heard.append(what)
            if what == fails_in:
                raise OSError(28, "No space left on device")

    monkeypatch.setitem(trackers.TRACKERS, "tensorboard", Bad)
    watch = Heard()
    with tracking(["tensorboard"], tmp_path, [], watch) as all_:
        for epoch in (1, 2):
            all_.handle(EpochDone(record(epoch)))
    assert watch.of_kind(EpochDone) == [EpochDone(record(epoch)) for epoch in (1, 2)]
    (warning,) = watch.warnings
    assert warning == "--track tensorboard: [Errno 28] No space left on device; the run continues without it"
    assert heard == {"__init__": ["__init__"], "epoch": ["__init__", "epoch"]}.get(
        fails_in, ["__init__", "epoch", "epoch", "close"]
    )


def test_a_place_that_cannot_be_written_is_warned_of(tmp_path):
    (tmp_path / "tensorboard").write_text("a file")
    watch = Heard()
    with tracking(["tensorboard"], tmp_path, [], watch) as all_:
        all_.handle(EpochDone(record(1)))
    assert watch.of_kind(EpochDone) == [EpochDone(record(1))]
    assert len(watch.warnings) == 1


def test_an_error_of_the_listener_is_not_the_trackers(tmp_path):
    with pytest.raises(KeyboardInterrupt), tracking(["tensorboard"], tmp_path, [], stopping_at(1)) as all_:
        all_.handle(EpochDone(record(1)))


def test_a_run_that_goes_on_has_every_epoch_once_and_is_the_same_run(tmp_path):
    config = ["training.epochs=8", "training.checkpoint_every=2", "training.schedule=cosine"]
    watch = stopping_at(5)
    stopped = session(tmp_path, *config, listener=watch, track=("tensorboard",))
    folder = stopped.experiment.run("baseline", 0).folder
    with pytest.raises(KeyboardInterrupt):
        make(stopped, "baseline", 0)
    assert list(told(folder)["loss"]) == [1, 2, 3, 4]
    result = make(session(tmp_path, *config, track=("tensorboard",)), "baseline", 0)
    run = stopped.experiment.run("baseline", 0)
    assert run.manifest["attempts"][1]["from_epoch"] == 4
    found = told(folder)
    monitored = {f"val_{name}" for name in MEASURES} - {"val_nll", "val_accuracy"}  # where early stopping watches one
    assert set(found) == set(TensorBoard.SCALARS) - {"soft", "hints"} - monitored
    history = run.history()
    for name in ("loss", "hard", "val_loss", "val_nll", "val_accuracy", "seconds"):
        assert found[name] == {one["epoch"]: pytest.approx(one[name]) for one in history}
    assert list(found["loss"]) == list(range(1, 9))
    assert found["learning_rate"][8] == pytest.approx(0, abs=1e-9)
    plain = make(session(tmp_path / "plain", *config), "baseline", 0)
    assert plain["weights_sha256"] == result["weights_sha256"]
    assert not (tmp_path / "plain/quickstart/seed-0/baseline/tensorboard").exists()
    assert judge(run).counts


def test_a_replacement_takes_its_figures_along(tmp_path):
    make(session(tmp_path), "baseline", 0)
    make(session(tmp_path, "student.epochs=2", overwrite=True, track=("tensorboard",)), "baseline", 0)
    assert list(told(tmp_path / "quickstart/seed-0/baseline")["loss"]) == [1, 2]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.campaign)])
def test_workers_write_too_and_the_distilled_run_has_its_soft_loss(tmp_path, workers):
    at_work = session(tmp_path, "training.epochs=2", track=("tensorboard",))
    reproduce.reproduce(at_work, [0], scale=Scale(workers=workers))
    for arm in ("teacher", "baseline", "distilled"):
        found = told(tmp_path / "quickstart" / "seed-0" / arm)
        assert list(found["val_nll"]) == [1, 2]
        assert ("soft" in found) == (arm == "distilled")


def test_the_learning_rate_is_that_of_the_optimizer():
    for schedule in ("constant", "cosine", "exponential"):
        plan = configs.load("quickstart", [f"training.schedule={schedule}", "training.epochs=4"]).training_for(
            "student"
        )
        optimizer = optimizers.build(plan, steps_per_epoch=10)
        for epoch in (1, 4):
            optimizer.iterations.assign(10 * epoch)
            assert optimizers.learning_rate_after(plan, 10, epoch) == pytest.approx(float(optimizer.learning_rate))


def test_tensorboard_itself_reads_them(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for epochs in (3, 5):  # a second attempt begins anew
        with tracking(["tensorboard"], tmp_path, [record(epoch) for epoch in range(1, epochs + 1)], Heard()):
            pass
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"] or events.Tags()["tensors"]
    assert set(tags) == {"loss", "soft", "val_accuracy", "seconds"}
    scalars = events.Scalars("loss")
    assert [(event.step, event.value) for event in scalars] == [(n, pytest.approx(0.5 / n)) for n in range(1, 6)]


@pytest.mark.slow
def test_the_command_line_wants_the_extra_and_passes_it_on(tmp_path, monkeypatch):
    made = ["--output-dir", tmp_path, "--set", "training.epochs=1", "--set", "teacher.hidden=[8]"]
    tracked = ["--track", "tensorboard", "--track", "tensorboard"]
    monkeypatch.setitem(extras.MODULES, "tensorboard", "no_module_of_this_name")
    for command in ("train-teacher", "baseline", "distill", "reproduce", "sweep"):
        refused = run(command, *made, *tracked, code=3, env={"COLUMNS": "200", "NO_COLOR": "1"}).stderr
        assert "--track tensorboard: needs the extra `tensorboard`" in refused
        assert "pip install 'kdistill[tensorboard]'" in refused
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(extras.MODULES, "tensorboard", "json")
    run("baseline", *made, *tracked)
    assert list(told(tmp_path / "quickstart/seed-0/baseline")["loss"]) == [1]
    assert "--track tensorboard" in run("reproduce", *made, *tracked, "--emit", "slurm").stdout
    grid = ["--grid", "distill.T=1,2", "--seeds", "1", "--workers", "1", "--json"]
    found = json.loads(run("sweep", *made, *tracked, *grid).stdout)
    assert {cell["status"] for cell in found["cells"]} == {"done"}
    assert len(list(tmp_path.glob("quickstart/cells/*/seed-0/distilled/tensorboard"))) == 2
    refused = run("baseline", *made, "--track", "wandb", code=2).output
    assert "'wandb' is not one of" in refused
    assert "'tensorboard'" in refused
