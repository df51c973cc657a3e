"""`kdistill runs ls` and `kdistill compare` through the real command line."""

import shutil
import subprocess
import sys

import pytest
from command_line import document, run
from small_experiment import SET

from kdistill.core.errors import DivergedError
from kdistill.training import fit


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

    monkeypatch.setattr(fit.Fit, "epochs", fail)
    code = error.exit_code if isinstance(error, DivergedError) else 1
    run("baseline", "--output-dir", tmp_path, code=code)
    (found,) = document("runs", "ls", "--output-dir", tmp_path)["experiments"][0]["runs"]
    assert (found["state"], found["problem"]) == ("failed", str(error).splitlines()[0])


def test_two_real_experiments_are_compared(experiment_copy):
    made = ["--output-dir", experiment_copy, *SET]
    run("reproduce", "--seeds", 1, *made, "--set", "name=warm", "--set", "distill.T=2", "-q")
    found = document("compare", "quickstart", experiment_copy / "warm", "--output-dir", experiment_copy)
    assert [row["key"] for row in found["config"]] == ["distill.temperature"]
    assert [found["arms"][arm]["paired"]["same_models"] for arm in ("teacher", "baseline", "distilled")] == [
        True,
        True,
        False,
    ]
    paired = found["arms"]["distilled"]["paired"]
    (row,) = paired["mcnemar"]
    assert (row["only_b"] - row["only_a"]) / 540 == pytest.approx(paired["difference"]["mean"])
    shown = run("compare", "quickstart", "warm", "--output-dir", experiment_copy, "--arm", "baseline").stdout
    assert "The same models" in shown
    assert "distilled" not in shown.split("test split")[1]
    refused = run("compare", "quickstart", "warm", "--output-dir", experiment_copy, "--arm", "sefl", code=2)
    assert "expected one of teacher, baseline, distilled, smoothed, " in " ".join(refused.stderr.split())


def test_what_cannot_be_compared_is_refused(experiment_copy, tmp_path):
    here = ["--output-dir", experiment_copy]
    assert (
        "expected two experiments" in run("compare", "quickstart", experiment_copy / "quickstart", *here, code=2).output
    )
    assert "expected an experiment's folder" in run("compare", "quickstart", "nothing", *here, code=7).stderr
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.yaml").write_text("stduent: {}\n")
    assert "config.yaml:1:1: stduent" in run("compare", "quickstart", tmp_path / "bad", *here, code=3).stderr


def test_looking_starts_no_tensorflow(experiment_copy):
    """What it does import is what the interval takes."""
    shutil.copytree(experiment_copy / "quickstart", experiment_copy / "copy")
    program = (
        "import sys; from kdistill.cli import app\n"
        f"sys.argv = ['kdistill', *{['compare', 'quickstart', 'copy', '--output-dir', str(experiment_copy)]!r}]\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'sklearn'} & set(sys.modules); assert not heavy, heavy\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=300
    ).stdout
    assert "The same models" in shown


def test_an_output_folder_is_listed_by_its_path(experiment_copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_option = document("runs", "ls", "--output-dir", experiment_copy)
    assert document("runs", "ls", experiment_copy) == by_option
    assert "1 experiment, 3 complete" in run("runs", "ls", experiment_copy).stdout
    assert "distilled seed 0" in run("runs", "ls", experiment_copy / "quickstart").stdout
    (tmp_path / "empty").mkdir()
    run("runs", "ls", "empty", code=7)


def test_a_sweep_is_listed_as_it_counts_and_its_winner_is_compared(experiment_copy):
    made = ["--output-dir", experiment_copy, *SET, "--set", "name=grid", "--workers", 1]
    swept = run("sweep", *made, "--grid", "distill.alpha=0.1,0.7", "--seeds", "0,", "--json")
    (entry,) = document("runs", "ls", "grid", "--output-dir", experiment_copy)["experiments"]
    assert "[4/4]" in swept.stderr
    assert entry["states"] == {"complete": 4}
    assert sorted(len(cell["runs"]) for cell in entry["cells"]) == [1, 1]
    found = document("compare", "quickstart", "grid", "--output-dir", experiment_copy)
    assert "cells" in found["b"]["folder"]
    assert found["warnings"][0].startswith("B is the winner of the sweep in ")
    assert found["arms"]["distilled"]["paired"]
    (experiment_copy / "grid" / "sweep.json").write_text("{}")
    assert document("compare", "quickstart", "grid", "--output-dir", experiment_copy)["b"]["folder"].endswith("grid")
