"""Parts of a command: together they make every run once, and what gathers them trains nothing."""

import json
import os
import subprocess
import sys
from functools import partial

import command_line
import killing
import pytest
from small_experiment import SET
from typer.testing import CliRunner

from kdistill.cli import app
from kdistill.experiments.part import Part
from kdistill.runs import Experiment
from kdistill.training import fit

SHORT = [*SET, "--set", "training.epochs=3"]
SHARED = ["reproduce", "--seeds", "3", "--teacher-seeds", "1", *SHORT]
SWEEP = ["sweep", "--seeds", "2", "--grid", "distill.T=1,4", *SHORT]
ENVIRONMENT = {"NO_COLOR": "1", "COLUMNS": "200"}


run = partial(command_line.run, env=ENVIRONMENT)
document = partial(command_line.document, env=ENVIRONMENT)


def without_place(found, *places):
    """Return a document without what depends on the machine and the place."""
    text = json.dumps({key: value for key, value in found.items() if key != "run_info"})
    for place in places:
        text = text.replace(str(place), "")
    return text


@pytest.mark.parametrize(("items", "total"), [(7, 3), (2, 5), (0, 1), (6, 6)])
def test_all_parts_together_have_each_item_once(items, total):
    parts = [Part(number, total).of(range(items)) for number in range(1, total + 1)]
    assert sorted(item for part in parts for item in part) == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("command", [SHARED, SWEEP], ids=["reproduce", "sweep"])
def test_parts_one_after_another_and_then_the_whole(command, tmp_path, monkeypatch):
    whole = document(*command, "--workers", 1, "--output-dir", tmp_path / "whole")
    here = ["--output-dir", tmp_path / "parts", "--workers", 1]
    made = [document(*command, *here, "--part", f"{number}/2") for number in (1, 2)]
    assert [part["part"] for part in made] == ["1/2", "2/2"]
    assert all(row["status"] == "done" for part in made for row in part["runs"])
    home = tmp_path / "parts" / "quickstart"
    assert not (home / "summary.json").exists()
    assert not (home / "sweep.json").exists()
    monkeypatch.setattr(fit, "Fit", None)  # nothing is left to train
    gathered = document(*command, *here)
    assert without_place(gathered, tmp_path / "parts") == without_place(whole, tmp_path / "whole")


def test_a_part_makes_its_own_runs_alone_and_says_which(tmp_path):
    shown = run(*SHARED, "--output-dir", tmp_path, "--workers", 1, "--part", "3/3").stdout
    experiment = Experiment(tmp_path / "quickstart")
    made = [(arm, seed) for seed in range(3) for arm in ("teacher", "baseline") if experiment.run(arm, seed).result]
    assert made == [("teacher", 0), ("baseline", 2)]
    assert "part 3/3" in shown
    assert "distilled seed 2" in shown
    empty = document(*SHARED, "--output-dir", tmp_path, "--workers", 1, "--part", "4/4")
    assert (empty["runs"], empty["failed"]) == ([], [])


@pytest.mark.slow
def test_parts_at_the_same_time_share_a_teacher(tmp_path):
    """Both need it, one makes it, the other waits: neither refuses, and no epoch is trained twice."""
    command = [*SHARED, "--workers", "1", "--output-dir", tmp_path, "--set", "teacher.epochs=200"]
    command += ["--set", "teacher.patience=null"]
    processes = [killing.start([*command, "--part", f"{number}/2", "--json"]) for number in (1, 2)]
    ends = [killing.finish(process) for process in processes]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert len(Experiment(tmp_path / "quickstart").run("teacher", 0).manifest["attempts"]) == 1
    gathered = run(*command, "--json")
    assert "val acc" not in gathered.stderr
    whole = document(*command, "--output-dir", tmp_path / "whole")
    assert without_place(json.loads(gathered.stdout)) == without_place(whole)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "a/b", "1/2/3", "-1/2", "1/1000000000"])
def test_a_part_that_is_none_is_refused(text, tmp_path):
    result = run(*SHARED, "--output-dir", tmp_path, "--part", text, code=2)
    assert "expected I/N, such as 1/4" in " ".join(result.output.split())


@pytest.mark.parametrize("other", [["--part", "1/2"], ["--json"], ["--dry-run"]], ids=lambda other: other[0])
def test_a_script_is_not_printed_along_with_something_else(other, tmp_path):
    result = run(*SHARED, "--output-dir", tmp_path, "--emit", "slurm", *other, code=2)
    assert f"cannot be combined with {other[0]}" in " ".join(result.output.split())


def script(folder, *command):
    result = run(*command, "--output-dir", folder, "--emit", "slurm")
    assert result.stderr == ""
    path = folder.with_suffix(".sh")
    path.write_text(result.stdout)
    subprocess.run(["bash", "-n", path], check=True)
    return path


def test_a_script_trains_nothing_and_has_a_part_for_each_seed_or_worker(tmp_path):
    text = script(tmp_path / "a b", *SHARED).read_text()
    assert text.startswith("#!/bin/bash\n")
    assert "#SBATCH --array=1-3\n" in text
    assert "#SBATCH --cpus-per-task=1\n" in text
    assert f"cd {os.getcwd()}" in text
    assert f"'{tmp_path}/a b'" in text
    assert not (tmp_path / "a b").exists()
    assert "#SBATCH --array=1-4\n" in script(tmp_path / "c", *SWEEP).read_text()
    assert "#SBATCH --array=1-2\n" in script(tmp_path / "d", *SWEEP, "--workers", 2).read_text()


def test_a_script_names_single_seeds_as_lists(tmp_path):
    """`--seeds 1` would be how many."""
    text = script(tmp_path / "a", "reproduce", "--seeds", "1", "--seed", "5", "--set", "distill.T=3").read_text()
    assert "--seeds 5, " in text
    assert "--set distill.T=3" in text


@pytest.mark.slow
def test_the_script_makes_what_the_command_makes(tmp_path):
    """Slurm does no more than to set this variable for every element of the array."""
    path = script(tmp_path / "parts", "reproduce", "--seeds", "2", *SHORT)

    def element(number):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(["bash", path], env=environment, capture_output=True, text=True, check=True)

    assert "seed 0" in element(1).stdout
    assert not (tmp_path / "parts" / "quickstart" / "summary.json").exists()
    assert "seed 1" in element(2).stdout
    gathered = element(0)
    assert "val acc" not in gathered.stderr
    whole = document("reproduce", "--seeds", "2", *SHORT, "--workers", 1, "--output-dir", tmp_path / "whole")
    summary = json.loads((tmp_path / "parts" / "quickstart" / "summary.json").read_text())
    del summary["sha256"]  # of the file
    assert without_place(summary) == without_place(whole)


def test_the_one_batch_system_is_named():
    result = CliRunner().invoke(app, ["reproduce", "--emit", "pbs"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "'pbs' is not one of 'slurm'" in result.output
