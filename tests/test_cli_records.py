"""`kdistill runs ls` and `kdistill compare` through the real command line."""

import pytest
from command_line import document, run

from kdistill import training
from kdistill.errors import DivergedError


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def test_a_real_experiment_is_listed(experiment_copy):
    (entry,) = document("runs", "ls", "--output-dir", experiment_copy)["experiments"]
    assert entry["experiment"] == "quickstart"
    assert entry["states"] == {"complete": 3}
    assert {found["arm"]: found["epochs"] for found in entry["runs"]} == dict.fromkeys(
        ("teacher", "baseline", "distilled"), 1
    )
    assert all(0 < found["test_accuracy"] < 1 for found in entry["runs"])
    shown = run("runs", "ls", "quickstart", "--output-dir", experiment_copy).stdout
    assert "distilled seed 0  complete" in shown
    assert "3 complete" in run("runs", "ls", env={"KDISTILL_OUTPUT_DIR": str(experiment_copy)}).stdout


def test_nothing_there_is_no_failure_and_an_unknown_name_is(tmp_path):
    assert "No experiments in" in run("runs", "ls", "--output-dir", tmp_path / "none").stdout
    assert document("runs", "ls", "--output-dir", tmp_path)["experiments"] == []
    result = run("runs", "ls", "mine", "--output-dir", tmp_path, code=7)
    assert "mine: expected an experiment's folder, or its name below" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_diverged_is_listed_with_the_reason_until_it_is_made(tmp_path):
    made = ["baseline", "--output-dir", tmp_path, "--set", "training.epochs=1", "--set", "teacher.hidden=[8]"]
    hot = ["--set", "student.optimizer=sgd", "--set", "student.learning_rate=1e30"]
    assert "training diverged" in run(*made, *hot, code=5).stderr
    (entry,) = document("runs", "ls", "quickstart", "--output-dir", tmp_path)["experiments"]
    (found,) = entry["runs"]
    assert (found["state"], found["epoch"]) == ("failed", 1)
    assert found["problem"].startswith("training diverged: ")
    assert (
        "Failed: baseline seed 0: training diverged" in run("runs", "ls", "quickstart", "--output-dir", tmp_path).stdout
    )
    run(*made, "--overwrite")
    assert document("runs", "ls", "--output-dir", tmp_path)["experiments"][0]["states"] == {"complete": 1}


@pytest.mark.parametrize("error", [DivergedError("training diverged"), RuntimeError("out of memory\nmore")])
def test_whatever_ends_a_run_is_recorded(tmp_path, monkeypatch, error):
    def fail(self, between):
        yield from ()
        raise error

    monkeypatch.setattr(training.Fit, "epochs", fail)
    code = error.exit_code if isinstance(error, DivergedError) else 1
    run("baseline", "--output-dir", tmp_path, code=code)
    (found,) = document("runs", "ls", "--output-dir", tmp_path)["experiments"][0]["runs"]
    assert (found["state"], found["problem"]) == ("failed", str(error).splitlines()[0])
