"""A number of updates in place of epochs: every arm has as many, the dry run tells them, and a stopped run goes on."""

import json

import pytest
from command_line import run as cli
from small_experiment import session

from kdistill.experiments import dry_run, reproduce
from kdistill.runs import Experiment

# 15 batches of 67 in an epoch of the 1,005 training examples.
STEPS = ["student.steps=20", "teacher.steps=15", "training.patience=null", "controls=[smoothed, continued]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("updates")
    reproduce.reproduce(session(folder, *STEPS), [0])
    return folder


def runs(folder):
    experiment = Experiment(folder / "quickstart")
    return {arm: experiment.run(arm, 0) for arm in ("teacher", "baseline", "distilled", "smoothed", "continued")}


def test_every_arm_has_as_many_updates(made):
    for arm, run in runs(made).items():
        result, of = run.result, (15, 1) if arm == "teacher" else (20, 2)
        assert (result["updates"], result["epochs"]) == of
        assert run.manifest["epochs"] == of[1]
        assert run.manifest["spec"]["training"]["steps"] == of[0]
        assert "epochs" not in run.manifest["spec"]["training"]


def test_the_dry_run_says_which_epochs_they_make_and_that_the_runs_are_complete(made):
    plan = dry_run.training(session(made, *STEPS), ("teacher", "baseline", "distilled"), [0])
    assert {row["state"] for row in plan["runs"]} == {"complete"}
    assert plan["updates"] == {"teacher": "15 updates: 1 epoch", "student": "20 updates: 2 epochs of 15, the last of 5"}
    assert dry_run.training(session(made / "other"), ["baseline"], [0])["updates"] == {}


def test_the_command_line_shows_them(tmp_path):
    chosen = [part for text in STEPS for part in ("--set", text)]
    shown = cli("reproduce", "--dry-run", "--output-dir", tmp_path, "--set", "training.batch_size=67", *chosen)
    assert "student's updates  20 updates: 2 epochs of 15, the last of 5" in shown.stdout
    grid = ["--grid", "training.steps=15,30", "--seeds", "1", "--dry-run", "--json"]
    plan = json.loads(cli("sweep", "--output-dir", tmp_path, "--set", "training.batch_size=67", *grid).stdout)
    assert [cell["set"] for cell in plan["cells"]] == [{"training.steps": 15}, {"training.steps": 30}]
    assert plan["updates"] == {}
    assert sum(run["state"] == "to train" for run in plan["runs"]) == len(plan["runs"])
