"""Sweeps: every cell is made, the winner is chosen on validation, and it alone is scored on test."""

import json
import re
import shlex
import shutil
from collections import Counter
from pathlib import Path

import keras
import pytest
import yaml
from small_experiment import SET
from typer.testing import CliRunner

from kdistill import config as configs
from kdistill.cli import app
from kdistill.core import backend, files
from kdistill.core.errors import DivergedError
from kdistill.experiments import sweep_grid
from kdistill.recipes import arms
from kdistill.recipes.session import Options, Session
from kdistill.report.collect.collector import collect
from kdistill.runs import Experiment, survey
from kdistill.runs.experiment import CHOSEN_HERE
from kdistill.training import fit

SHORT = [*SET, "--set", "training.epochs=2", "--workers", "1"]
GRID = ["--grid", "distill.T=1,4", "--grid", "distill.alpha=0.1,0.9,1.0"]


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, ["sweep", *map(str, arguments)], env={"NO_COLOR": "1", "COLUMNS": "160"})
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    output = tmp_path_factory.mktemp("swept")
    result = invoke(*GRID, *SHORT, "--seeds", 2, "--output-dir", output, "--json")
    return output, json.loads(result.stdout)


def test_every_cell_is_there_with_its_validation_scores(swept):
    output, document = swept
    assert document["axes"] == {"distill.temperature": [1, 4], "distill.alpha": [0.1, 0.9, 1.0]}
    settings = [(cell["set"]["distill.temperature"], cell["set"]["distill.alpha"]) for cell in document["cells"]]
    assert settings == [(t, alpha) for t in (1, 4) for alpha in (0.1, 0.9, 1.0)]
    for cell in document["cells"]:
        assert cell["status"] == "done"
        assert len(cell["validation"]["accuracy"]["values"]) == 2
    assert files.read_sealed(output / "quickstart/sweep.json") == document


def test_the_winner_is_the_best_on_validation_and_the_only_one_scored_on_test(swept):
    output, document = swept
    ranks = [(c["validation"]["accuracy"]["mean"], -c["validation"]["nll"]["mean"]) for c in document["cells"]]
    best = document["cells"][ranks.index(max(ranks))]
    assert document["winner"] == {"set": best["set"]}
    assert str(output) not in json.dumps({**document, "run_info": None})
    scored = {path.parents[2] for path in (output / "quickstart").rglob("test.json")}
    assert len(scored) == 1
    assert len(document["test"]["arms"]["distilled"]["accuracy"]["values"]) == 2
    assert document["test"]["comparison"]["verdict"] == "inconclusive"
    assert document["leaderboard"] is None  # of two seeds


def test_cells_share_their_teachers(swept):
    output, _ = swept
    home = output / "quickstart"
    made = [path for path in home.rglob("manifest.json") if path.parent.name == "teacher"]
    own = [path for path in made if path.parents[2] == home]
    assert len(own) == 2
    copies = [path for path in made if path not in own]
    assert {json.loads(path.read_text())["attempts"][0]["started"] for path in copies} <= {
        json.loads(path.read_text())["attempts"][0]["started"] for path in own
    }
    weights = {json.loads(path.read_text())["weights_sha256"] for path in home.rglob("teacher/result.json")}
    assert len(weights) == 2
    assert (
        len(list((home / "cache").glob("*.npz"))) == 4
    )  # train and validation, for two teachers: what they say on test is beside them


def test_the_winners_config_is_reproduced_with_the_same_result(swept, tmp_path):
    _, document = swept
    config = configs.load(document["run_info"]["winner"]["config"])
    assert config.name.startswith("quickstart-winner-")
    assert (config.seed, config.seeds) == (2, 3)  # 0 and 1 chose it
    assert config.distill.temperature == document["winner"]["set"]["distill.temperature"]
    arguments = [
        "reproduce",
        "-c",
        document["run_info"]["winner"]["config"],
        "--seeds",
        "0,1",
        "--workers",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(app, [*arguments, "--output-dir", str(tmp_path)])
    again = json.loads(result.stdout)
    assert again["arms"] == document["test"]["arms"]
    about = f"{again['comparison']['about']} {CHOSEN_HERE}"
    assert {**again["comparison"], "about": about} == document["test"]["comparison"]


def test_a_sweep_again_trains_nothing_and_says_the_same(swept, monkeypatch):
    output, document = swept
    monkeypatch.setattr(fit, "Fit", None)
    again = json.loads(invoke(*GRID, *SHORT, "--seeds", 2, "--output-dir", output, "--json").stdout)
    assert {**again, "run_info": 0} == {**document, "run_info": 0}


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (
            "alpha: 0.1",
            "alpha: 0.2",
            "was made from another config than config.yaml has (distill.alpha: was 0.1, is now 0.2)",
        ),
        ("alpha: 0.1", "alphq: 0.1", "/config.yaml is no config"),
        ("soft_loss: kl", "soft_loss: kh", "/config.yaml is no config"),
        ("distill:", "", "/config.yaml is no config"),
        ("distill:", "sweep: {distill.alpha: &a [*a]}\ndistill:", "/config.yaml is no config"),
    ],
)
def test_a_cell_whose_config_was_changed_is_named(swept, before, after, problem):
    """The cell would be listed with settings that its runs do not have."""
    output, _ = swept
    path = next(path for path in output.glob("*/cells/*/config.yaml") if "alpha: 0.1" in path.read_text())
    sound = path.read_text()
    assert survey.describe(path.parents[2])["problem"] is None
    path.write_text(sound.replace(before, after))
    try:
        found = survey.describe(path.parents[2])["problem"]
    finally:
        path.write_text(sound)
    assert found.startswith(f"cells/{path.parent.name}")
    assert problem in found


def test_what_a_person_sees(swept):
    output, document = swept
    shown = invoke(*GRID, *SHORT, "--seeds", 2, "--output-dir", output).stdout
    assert "distill.temperature \\ distill.alpha" in shown
    assert len(re.findall(r"\d\*", shown)) == 1
    for cell in document["cells"]:
        assert f"{cell['validation']['accuracy']['mean']:.4f}" in shown
    assert "the winner only" in shown
    assert "the darker, the better" not in shown  # nothing is dark here
    assert f"{document['baseline']['validation']['accuracy']['mean']:.4f}, the student alone" in shown
    narrow = CliRunner().invoke(
        app, ["sweep", *GRID, *SHORT, "--seeds", "2", "--output-dir", str(output)], env={"COLUMNS": "40"}
    )
    assert len(re.findall(r"\d\*", narrow.stdout)) == 1
    assert "temperature=" in narrow.stdout
    one_axis = invoke("--grid", "distill.T=1,4", *SHORT, "--seeds", 1, "--output-dir", output / "one").stdout
    assert "distill.temperature=4" in one_axis


def test_an_axis_of_the_teacher_makes_teachers_of_its_own(tmp_path):
    arguments = ["--grid", "teacher.hidden=[16],[8]", *SHORT, "--seeds", 1, "--output-dir", tmp_path, "--json"]
    document = json.loads(invoke(*arguments).stdout)
    assert [cell["set"]["teacher.hidden"] for cell in document["cells"]] == [[16], [8]]
    home = tmp_path / "quickstart"
    assert (home / "seed-0/teacher/result.json").is_file()
    assert len(list(home.glob("cells/*/seed-0/teacher/result.json"))) >= 1


def test_a_cell_that_diverges_is_recorded_and_the_rest_goes_on(tmp_path):
    arguments = ["--grid", "student.learning_rate=0.01,1e30", "--set", "student.optimizer=sgd", *SHORT]
    result = invoke(*arguments, "--seeds", 1, "--output-dir", tmp_path, "--json", code=6)
    document = json.loads(result.stdout)
    assert [cell["status"] for cell in document["cells"]] == ["done", "failed"]
    assert "diverged" in document["cells"][1]["failed"][0]
    assert document["winner"]["set"] == {"student.learning_rate": 0.01}
    assert "Failed: learning_rate=1e+30 seed 0" in result.stderr


def test_a_sweep_that_would_choose_on_test_is_refused(tmp_path):
    result = invoke(*GRID, "--set", "data.validation=test", "--output-dir", tmp_path, code=3)
    assert "selected on the data that it is scored on" in result.stderr
    invoke("--grid", "data.validation=0.1,test", "--output-dir", tmp_path, code=3)
    whole = "data={dataset: digits, validation: test},{dataset: digits, validation: 0.2}"
    assert (
        "selected on the data that it is scored on" in invoke("--grid", whole, "--output-dir", tmp_path, code=3).stderr
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("axis", ["seed=0,1", "training.checkpoint_every=1,2", "expected.teacher=0.5,0.6"])
def test_a_key_on_which_no_run_depends_is_refused(tmp_path, axis):
    refused = invoke("--grid", axis, "--output-dir", tmp_path, code=3).stderr
    assert f"--grid {axis}: {axis.split('=')[0]}: no run depends on this key" in refused
    assert not list(tmp_path.iterdir())


def test_two_names_of_one_model_are_the_same_runs(tmp_path):
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(tmp_path / "a.keras")
    shutil.copy(tmp_path / "a.keras", tmp_path / "b.keras")
    axis = f"student={{model: {tmp_path}/a.keras}},{{model: {tmp_path}/b.keras}}"
    refused = invoke("--grid", axis, "--output-dir", tmp_path / "o", code=3).stderr
    assert "--grid student={model: " in refused
    assert "expected different runs in every cell" in refused


def test_cells_of_other_data_are_warned_of(tmp_path):
    arguments = ["--grid", "data.split_seed=0,1", *SHORT, "--set", "training.epochs=1", "--seeds", 1]
    result = invoke(*arguments, "--output-dir", tmp_path)
    assert "their validation scores are of different examples" in result.stdout


@pytest.mark.parametrize(
    ("axis", "shares"),
    [
        ("data.labelled=50,100", True),
        ("data.label_seed=0,1", True),
        ("distill.examples=all,labelled", True),
        ("data.split_seed=0,1", False),
        ("data.validation=0.1,0.2", False),
    ],
)
def test_cells_that_keep_other_labels_are_validated_on_the_same_examples(tmp_path, axis, shares):
    session = Session(configs.load("quickstart", ["data.labelled=80"]), Experiment(tmp_path / "quickstart"), Options())
    assert sweep_grid.plan(session, sweep_grid.axes(session.config, [axis])).shares_data == shares


@pytest.mark.slow
def test_a_baseline_that_diverges_is_tried_once_and_the_table_is_kept(tmp_path, monkeypatch):
    tried = []

    def diverging(setting, seed):
        tried.append(seed)
        if seed == 1 or len(seeds) == 1:
            raise DivergedError(f"baseline, seed {seed}: training diverged")
        return baseline(setting, seed)

    baseline = arms.baseline
    monkeypatch.setattr(arms, "baseline", diverging)
    for seeds, folder in (([0, 1], "some"), ([1], "all")):
        listed = ",".join(map(str, seeds)) + ","
        arguments = ["--grid", "distill.T=1,4", *SHORT, "--seeds", listed, "--output-dir", tmp_path / folder]
        document = json.loads(invoke(*arguments, "--json", code=6).stdout)
        assert tried == seeds
        assert "baseline seed 1" in [failure["run"] for failure in document["failed"]]
        assert files.read_sealed(tmp_path / folder / "quickstart/sweep.json") == document
        if folder == "some":
            assert document["test"]["comparison"]["seeds"] == [0]
            assert "1 of 2 seeds are left out" in document["test"]["comparison"]["verdict_text"]
        else:
            assert document["test"] is None
            assert "no seed has a complete run of all three arms" in invoke(*arguments, code=6).stdout
        tried.clear()


@pytest.mark.slow
def test_a_sweep_leaves_the_config_of_what_is_there(tmp_path):
    """And a second one has a winner of its own, whose runs do not conflict with the first one's."""
    home, common = tmp_path / "quickstart", [*SHORT, "--seeds", 1, "--output-dir", tmp_path]
    made = CliRunner().invoke(app, ["reproduce", *SHORT, "--seeds", "1", "--output-dir", str(tmp_path)])
    assert made.exit_code == 0
    before = (home / "config.yaml").read_text()
    names = []
    for grid in ("distill.T=1,2", "distill.T=3,5"):
        invoke("--grid", grid, "--set", "distill.alpha=0.7", *common)
        names.append(configs.load(home / "winner.yaml").name)
    invoke("--grid", "distill.T=1,2", "--set", "teacher.hidden=[8]", "--set", "student.hidden=[4]", *common, code=7)
    assert (home / "config.yaml").read_text() == before
    assert names[0] != names[1]


def test_all_cells_are_made_with_one_number_of_threads(tmp_path):
    session = Session(configs.load("quickstart"), Experiment(tmp_path / "quickstart"), Options())
    wide = ["student.hidden=[16],[20000, 20000]"]
    grid = sweep_grid.plan(session, sweep_grid.axes(session.config, wide))
    numbers = {each.threads for cell in grid.cells for each in (grid.home, cell.session, cell.teacher)}
    assert numbers == {backend.cores()}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([], "expected values to try"),
        (["distill.T"], "expected section.key=value,value"),
        (["distill.T="], "expected section.key=value,value"),
        (
            ["distill.temprature=1,2"],
            "--grid distill.temprature=1,2: distill.temprature: unknown key 'temprature'; did you mean 'temperature'",
        ),
        (
            ["distill.alpha=0,1", "distill.T=1,-2"],
            "--grid distill.T=1,-2: distill.temperature: expected a number above 0; received -2",
        ),
        (["distill.T=1,1"], "--grid distill.T=1,1: distill.temperature: expected different values"),
        (["distill.T=1,2", "distill.temperature=3"], "is given twice"),
        (["distill.T=[1,2"], "--grid distill.T=[1,2"),
        (
            [f"distill.T={','.join(map(str, range(1, 200)))}", f"data.split_seed={','.join(map(str, range(200)))}"],
            "at most 10,000",
        ),
    ],
)
def test_bad_grids_are_refused(tmp_path, grid, message):
    options = [part for text in grid for part in ("--grid", text)]
    assert message in invoke(*options, "--output-dir", tmp_path, code=3).stderr
    assert not list(tmp_path.iterdir())


def test_the_axes_may_stand_in_the_config(tmp_path):
    path = tmp_path / "mine.yaml"
    text = configs.builtin_text("quickstart") + "\nsweep: {distill.temperature: [1, 2], student.hidden: [[4], [5]]}\n"
    path.write_text(text)
    plan = json.loads(invoke("-c", path, "--dry-run", "--json", "--seeds", 3, "--output-dir", tmp_path / "o").stdout)
    assert [cell["set"] for cell in plan["cells"]][1] == {"distill.temperature": 1, "student.hidden": [5]}
    assert {cell["runs"] for cell in plan["cells"]} == {3}
    assert plan["teachers"] == 3
    assert not (tmp_path / "o").exists()
    assert "temperature=2 hidden=[5] " in invoke("-c", path, "--dry-run", "--output-dir", tmp_path / "o").stdout
    shown = yaml.safe_load(CliRunner().invoke(app, ["config", "show", str(path)]).stdout)
    assert shown["sweep"]["student.hidden"] == [[4], [5]]


def test_no_cell_left_is_an_error(tmp_path):
    arguments = ["--grid", "student.learning_rate=1e29,1e30", "--set", "student.optimizer=sgd", *SHORT]
    result = invoke(*arguments, "--seeds", 1, "--output-dir", tmp_path, code=5)
    assert result.stdout == ""
    assert result.stderr.count("learning_rate=1e+30 seed 0: training diverged") == 1
    assert (
        "nothing is left to compare: every cell has a failed run; failed: learning_rate=1e+29 seed 0" in result.stderr
    )
    assert "Try smaller values of student.learning_rate." in result.stderr
    assert "--set student.learning_rate" not in result.stderr


def test_a_dry_run_says_what_there_is_and_what_there_will_be(swept, tmp_path):
    """Before anything is there, when all of it is, and of a part: as many runs as are made."""
    output, _ = swept
    whole = [*GRID, *SHORT, "--seeds", 2]
    plan = json.loads(invoke(*whole, "--output-dir", tmp_path / "o", "--dry-run", "--json").stdout)
    assert Counter((row["arm"], row["state"]) for row in plan["runs"]) == {
        ("teacher", "to train"): 2,
        ("baseline", "to train"): 2,
        ("distilled", "to train"): 12,
    }
    assert plan["examples"] == {"train": 1005, "validation": 252, "test": 540}
    assert [(cell["runs"], cell["done"]) for cell in plan["cells"]] == [(2, 0)] * 6
    assert not (tmp_path / "o").exists()
    done = json.loads(invoke(*whole, "--output-dir", output, "--dry-run", "--json").stdout)
    assert {row["state"] for row in done["runs"]} == {"complete"}
    assert all(Path(row["folder"]).is_dir() for row in done["runs"])
    assert [(cell["runs"], cell["done"]) for cell in done["cells"]] == [(2, 2)] * 6
    here = ["--output-dir", tmp_path / "parts"]
    part = json.loads(invoke(*whole, *here, "--part", "2/5", "--dry-run", "--json").stdout)
    made = json.loads(invoke(*whole, *here, "--part", "2/5", "--json").stdout)
    assert {row["folder"] for row in part["runs"]} == {row["folder"] for row in made["runs"]}
    shown = invoke(*whole, *here, "--part", "2/5", "--dry-run").stdout
    assert "quickstart, part 2/5: the plan" in shown
    assert len(re.findall(r"(?m)^(temperature=.*|teacher|baseline) +\d +\d +complete ", shown)) == 5


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (["--grid", "training.batch_size=32,5000"], 3, "training.batch_size: expected at most the 1005 examples"),
        (["--grid", "augmentation.shift=1,8"], 3, "augmentation.shift: expected fewer pixels"),
        (["--grid", "distill.T=1,4", "--set", "distill.teachers=[nope.keras]"], 4, "nope.keras: no such model file"),
        (["--grid", "distill.T=1,4", "--device", "gpu"], 3, "sees no GPU"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_trained(tmp_path, monkeypatch, options, code, problem):
    monkeypatch.setattr(fit, "Fit", None)
    for dry in ([], ["--dry-run"]):
        if dry or "--device" not in options:
            refused = invoke(*options, *SHORT, *dry, "--output-dir", tmp_path / "o", code=code)
            assert problem in refused.stderr
            assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("key", ["initial_weights", "model"])
def test_a_file_that_fits_no_student_of_a_cell_is_refused_before_anything_is_trained(swept, tmp_path, monkeypatch, key):
    monkeypatch.setattr(fit, "Fit", None)
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(10)]).save(other)
    files = {"initial_weights": swept[0] / "quickstart/seed-0/teacher/model.keras", "model": other}
    student = f"student={{hidden: [4]}},{{hidden: [4], initial_weights: {files[key]}}}"
    axes = {"initial_weights": student, "model": f"student={{hidden: [4]}},{{model: {other}}}"}
    for dry in ([], ["--dry-run"]):
        refused = invoke("--grid", axes[key], *SHORT, *dry, "--output-dir", tmp_path / "o", code=4)
        assert f"{files[key]}: expected" in refused.stderr
        assert not (tmp_path / "o").exists()


def test_a_sweep_beside_an_experiment_of_another_config_is_told_how_to_keep_both(tmp_path):
    common = [*SHORT, "--seeds", 1, "--output-dir", tmp_path]
    made = CliRunner().invoke(app, ["reproduce", *map(str, common), "--set", "training.epochs=3"])
    assert made.exit_code == 0
    for dry in (["--dry-run"], []):
        assert "--set name=..." in invoke("--grid", "distill.T=1,2", *common, *dry, code=7).stderr
    invoke("--grid", "distill.T=1,2", *common, "--set", "name=mine")
    assert (tmp_path / "mine/sweep.json").is_file()


@pytest.mark.slow
def test_narration_names_cells_and_teachers_by_their_settings(tmp_path):
    """In one process as in several, when a run begins and when it is taken up."""
    grid = ["--grid", "distill.T=1,4", "--grid", "teacher.hidden=[16],[8]", *SHORT, "--seeds", 1]
    for place, more in (("whole", []), ("part", ["--part", "1/1"])):
        told = re.sub(r"(?m)^\[\d/\d\] ", "", invoke(*grid, *more, "--output-dir", tmp_path / place).stderr)
        assert told.startswith("teacher   seed 0  val acc")
        assert "\nteacher hidden=[8] seed 0  val acc" in told
        assert "\ntemperature=4 hidden=[8] seed 0  val acc" in told
        assert "distilled" not in told


def test_the_command_that_judges_the_winner_works_as_it_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "my runs"
    shown = invoke("--grid", "distill.T=1,2", *SHORT, "--seeds", 1, "--output-dir", place).stdout
    (command,) = [line.strip() for line in shown.splitlines() if line.strip().startswith("kdistill reproduce")]
    assert f"#   {command}\n" in (place / "quickstart/winner.yaml").read_text()
    _, *arguments = shlex.split(command)
    plan = json.loads(CliRunner().invoke(app, [*arguments, "--dry-run", "--json"]).stdout)
    assert plan["run_info"]["output_dir"].startswith(f"{place}/quickstart-winner-")


def test_three_seeds_have_a_leaderboard_of_the_cells_and_the_baseline(tmp_path):
    """On the screen, in sweep.json and on the page; with controls, which the config in the winner's folder names."""
    grid, common = ["--grid", "distill.soft_loss=kl,mse"], [*SHORT, "--output-dir", tmp_path]
    document = json.loads(invoke(*grid, *common, "--seeds", 3, "--json").stdout)
    board = document["leaderboard"]
    assert {row["name"] for row in board["rows"]} == {"soft_loss=kl", "soft_loss=mse", "baseline"}
    means = [row["validation"]["mean"] for row in board["rows"]]
    assert means == sorted(means, reverse=True)
    of_cells = {row["name"]: row["validation"] for row in board["rows"]}
    for cell in document["cells"]:
        assert of_cells[f"soft_loss={cell['set']['distill.soft_loss']}"] == cell["validation"]["accuracy"]
    assert of_cells["baseline"] == document["baseline"]["validation"]["accuracy"]
    (winner,) = [row for row in board["rows"] if row["against_winner"] is None]
    assert winner["set"] == document["winner"]["set"]
    assert (board["pairs"], len(board["sentences"])) == (3, 2)
    assert collect(tmp_path / "quickstart", Options(), 0).sweep.leaderboard == board
    more = [*grid, *common, "--seeds", 3, "--set", "controls=[smoothed]"]
    shown = invoke(*more).stdout
    assert board["sentences"][0][:50] in " ".join(shown.split())
    assert "What the controls tell" in shown
    assert [arm.name for arm in collect(tmp_path / "quickstart", Options(), 0).controls] == ["smoothed"]
    other_data = invoke("--grid", "data.split_seed=0,1", *common, "--set", "name=other", "--seeds", 3, "--json")
    assert json.loads(other_data.stdout)["leaderboard"] is None
