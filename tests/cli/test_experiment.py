"""Every command through the real CLI: its output, its streams, its exact exit code."""

import json
import shutil
import signal
from pathlib import Path

import keras
import pytest
from command_line import document, run
from interrupting import signal_at
from small_experiment import SET
from typer.testing import CliRunner

from kdistill.cli import app
from kdistill.core import files
from kdistill.core.errors import DivergedError
from kdistill.recipes import arms
from kdistill.training import fit

SHORT = [*SET, "--set", "training.epochs=2"]


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A reproduction of two seeds, in this process: its output folder and its document."""
    output = tmp_path_factory.mktemp("finished")
    here = ["--output-dir", str(output), "--workers", "1"]
    result = CliRunner().invoke(app, ["reproduce", *here, "--seeds", "2", "--json", *SHORT])
    assert result.exit_code == 0, result.output
    return output, json.loads(result.stdout)


@pytest.fixture
def output(finished, tmp_path):
    """A copy of the finished experiment, to change."""
    shutil.copytree(finished[0], tmp_path / "runs")
    return tmp_path / "runs"


def test_reproduce_reports_all_arms_and_their_differences(finished):
    folder, summary = finished
    assert summary["experiment"] == "quickstart"
    assert summary["seeds"] == [0, 1]
    accuracy = {arm: values["accuracy"]["values"] for arm, values in summary["arms"].items()}
    assert {arm: len(values) for arm, values in accuracy.items()} == {"teacher": 2, "baseline": 2, "distilled": 2}
    difference = summary["comparison"]["difference"]
    expected = [a - b for a, b in zip(accuracy["distilled"], accuracy["baseline"], strict=True)]
    assert difference["values"] == pytest.approx(expected)
    assert difference["ci_low"] is None
    assert summary["comparison"]["verdict"] == "inconclusive"
    assert [row["seed"] for row in summary["comparison"]["mcnemar"]] == [0, 1]
    assert files.read_sealed(folder / "quickstart" / "summary.json") == summary


def test_reproducing_again_trains_nothing_and_says_the_same(output, finished, monkeypatch):
    monkeypatch.setattr(fit, "Fit", None)
    again = document("reproduce", "--output-dir", output, "--seeds", 2, *SHORT)
    assert again["run_info"].keys() == finished[1]["run_info"].keys()
    assert {**again, "run_info": 0} == {**finished[1], "run_info": 0}


def test_more_seeds_train_only_what_is_missing(output):
    before = (output / "quickstart/seed-0/teacher/manifest.json").read_bytes()
    summary = document("reproduce", "--output-dir", output, "--seeds", "0,2", "--workers", 1, *SHORT)
    assert summary["seeds"] == [0, 2]
    assert (output / "quickstart/seed-0/teacher/manifest.json").read_bytes() == before


def test_two_reproductions_agree_to_the_bit(finished, tmp_path):
    again = document("reproduce", "--output-dir", tmp_path, "--seeds", "1", "--seed", "1", *SHORT)
    first = json.loads((finished[0] / "quickstart/seed-1/distilled/result.json").read_text())
    second = json.loads((tmp_path / "quickstart/seed-1/distilled/result.json").read_text())
    assert first["weights_sha256"] == second["weights_sha256"]
    assert (
        again["arms"]["distilled"]["accuracy"]["values"][0] == finished[1]["arms"]["distilled"]["accuracy"]["values"][1]
    )


def test_the_table_on_stdout_and_the_story_on_stderr(output):
    result = run("reproduce", "--output-dir", output, "--seeds", 2, *SHORT)
    assert "test accuracy over 2 seeds" in result.stdout
    assert "Inconclusive" in result.stdout
    assert result.stdout.startswith("Student: ")
    assert "(points; seeds 0-1)" not in result.stdout
    assert "(points; seeds 0-1)" in run("reproduce", "-v", "--output-dir", output, "--seeds", 2, *SHORT).stdout
    assert "reused" in result.stderr
    assert "reused" not in result.stdout


def test_quiet_leaves_the_result_alone(output):
    result = run("reproduce", "-q", "--output-dir", output, "--seeds", 2, *SHORT)
    assert "distilled" in result.stdout
    assert "reused" not in result.stderr


def test_the_commands_chain(tmp_path):
    """train-teacher, baseline, distill, evaluate: each finds what the one before left."""
    common = ["--output-dir", tmp_path, *SHORT]
    teacher = document("train-teacher", *common)
    assert Path(teacher["run_info"]["model"]).is_file()
    assert teacher["arm"] == "teacher"
    assert document("baseline", *common)["formula"] == "loss = hard"
    distilled = document("distill", *common)
    assert distilled["teacher_validation"]["accuracy"] == teacher["validation"]["accuracy"]
    assert "0.5 * 4^2 * KL" in distilled["formula"]
    scores = document("evaluate", *common)
    assert scores["split"] == "test"
    assert scores["examples"] == 540
    assert list(scores["arms"]) == ["teacher", "baseline", "distilled"]
    assert scores["arms"]["teacher"]["agreement"] is None
    assert 0 <= scores["arms"]["distilled"]["agreement"] <= 1
    assert scores["arms"]["distilled"]["kl_to_teacher"] >= 0
    assert len(scores["arms"]["baseline"]["class_accuracy"]) == 10


def test_evaluate_scores_named_model_files(output):
    path = output / "quickstart/seed-0/baseline/model.keras"
    scores = document("evaluate", path, "--output-dir", output, *SHORT)
    arms = document("evaluate", "--output-dir", output, *SHORT)["arms"]
    assert scores["arms"] == {}
    assert scores["models"][0]["path"] == str(path)
    assert scores["models"][0]["accuracy"] == arms["baseline"]["accuracy"]


def test_evaluate_prints_what_can_be_scored_before_what_cannot(output, tmp_path):
    good, bad, missing = output / "quickstart/seed-0/baseline/model.keras", tmp_path / "b.keras", tmp_path / "c.keras"
    bad.write_bytes(b"no archive")
    command = ["evaluate", bad, good, missing, "--output-dir", output, *SHORT]
    printed = run(*command, code=4)
    assert str(good) in printed.stdout
    assert f"{bad}: " in printed.stderr
    assert f"{missing}: no such model file" in printed.stderr
    scores = document(*command, code=4)
    assert [model["path"] for model in scores["models"]] == [str(good)]
    assert [failed["path"] for failed in scores["failed"]] == [str(bad), str(missing)]
    assert scores["failed"][1]["message"] == f"{missing}: no such model file"
    assert document("evaluate", good, "--output-dir", output, *SHORT)["failed"] == []
    nothing = run("evaluate", bad, missing, "--output-dir", output, *SHORT, "--json", code=4)
    assert nothing.stdout == ""
    assert str(bad) in nothing.stderr
    assert str(missing) in nothing.stderr


def test_evaluate_with_another_config_says_which_it_needs(output):
    """It trains nothing, so it must not offer to overwrite anything."""
    result = run("evaluate", "--output-dir", output, code=7)
    assert "training.epochs: was 2, is now 400" in result.stderr
    assert "Give the -c and --set that it was made with" in result.stderr
    assert "--overwrite" not in result.stderr


def test_evaluate_without_anything_finished(tmp_path):
    result = run("evaluate", "--output-dir", tmp_path, code=4)
    assert "no finished run" in result.stderr
    assert "kdistill reproduce" in result.stderr


def test_distill_without_a_teacher_says_what_to_run(tmp_path):
    result = run("distill", "--output-dir", tmp_path, code=4)
    assert "kdistill train-teacher" in result.stderr
    assert not list(tmp_path.iterdir())


def test_distill_from_a_model_file(output, tmp_path):
    teacher = output / "quickstart/seed-1/teacher/model.keras"
    place = ["--output-dir", tmp_path / "other", *SHORT]
    result = document("distill", "--teacher", teacher, *place)
    assert result["teacher_validation"]["accuracy"] > 0.1
    assert document("evaluate", *place)["arms"]["distilled"]["agreement"] is not None


def external_teacher(path, *layers):
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), *layers]).save(path)
    return path


def test_a_teacher_with_other_classes_is_refused(tmp_path):
    teacher = external_teacher(tmp_path / "t.keras", keras.layers.Dense(7))
    result = run("distill", "--teacher", teacher, "--output-dir", tmp_path / "o", *SHORT, code=4)
    assert "(10,)" in result.stderr
    assert "(7,)" in result.stderr


def test_a_teacher_with_a_softmax_loses_it_and_this_is_said(tmp_path):
    teacher = external_teacher(tmp_path / "t.keras", keras.layers.Dense(10, activation="softmax"))
    result = run("distill", "--teacher", teacher, "--output-dir", tmp_path / "o", *SHORT)
    assert "softmax, which was taken off" in result.stderr


def test_a_teacher_that_hides_its_softmax_is_refused(tmp_path):
    scaled = [keras.layers.Dense(10, activation="softmax"), keras.layers.Rescaling(1.0)]
    teacher = external_teacher(tmp_path / "t.keras", *scaled)
    result = run("distill", "--teacher", teacher, "--output-dir", tmp_path / "o", *SHORT, code=4)
    assert "these are probabilities" in result.stderr


def test_a_teacher_that_no_longer_does_what_it_did_is_refused(output):
    """Other weights under the same name: the manifest's hash would tell, so the file is taken as one from outside."""
    folder = output / "quickstart/seed-0/teacher"
    result_file = folder / "result.json"
    result = files.read_sealed(result_file)
    result["validation"]["accuracy"] -= 0.2
    files.write_sealed(result_file, result)
    shutil.rmtree(output / "quickstart/seed-0/distilled")
    refused = run("distill", "--output-dir", output, *SHORT, code=4)
    assert "recorded when it was trained" in refused.stderr


def test_a_teacher_that_is_no_better_is_warned_about(tmp_path):
    weak = [*SHORT, "--set", "teacher.learning_rate=1e-9", "--output-dir", tmp_path]
    result = run("reproduce", "--seeds", 1, *weak)
    assert "no better than the student trained alone" in result.stderr
    summary = json.loads((tmp_path / "quickstart/summary.json").read_text())
    assert any("little to teach" in warning for warning in summary["warnings"])


def test_validation_on_test_is_flagged(tmp_path):
    result = document("baseline", *SHORT, "--set", "data.validation=test", "--output-dir", tmp_path)
    assert "on the test split" in result["warnings"][0]


def test_another_config_conflicts_with_the_runs_it_changes_alone(output):
    changed = ["--output-dir", output, *SHORT, "--set", "distill.T=9"]
    refused = run("distill", *changed, code=7)
    assert "distill.temperature: was 4.0, is now 9.0" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert "reused" in run("train-teacher", *changed).stderr
    again = document("distill", *changed, "--overwrite")
    assert "9^2" in again["formula"]


def test_a_finished_run_survives_a_replacement_that_fails(output):
    wild = ["--set", "student.optimizer=sgd", "--set", "student.learning_rate=1e30"]
    before = document("evaluate", "--output-dir", output, *SHORT)["arms"]["baseline"]
    failed = run("baseline", "--output-dir", output, *SHORT, *wild, "--overwrite", code=5)
    assert "the finished run that was to be replaced is still there" in failed.stderr
    assert document("evaluate", "--output-dir", output, *SHORT)["arms"]["baseline"] == before


def test_a_finished_run_comes_back_when_its_replacement_is_stopped_and_not_wanted(output, monkeypatch):
    other = ["--set", "student.hidden=[5]", "--overwrite"]
    with monkeypatch.context() as patch:
        signal_at(patch, 1, signal.SIGINT)
        run("baseline", "--output-dir", output, *SHORT, *other, code=130)
    assert "resuming at epoch 2" in run("baseline", "--output-dir", output, *SHORT, *other).stderr
    with monkeypatch.context() as patch:
        signal_at(patch, 1, signal.SIGINT)
        run("baseline", "--output-dir", output, *SHORT, "--overwrite", code=130)
    assert "complete, reused" in run("baseline", "--output-dir", output, *SHORT, *other).stderr


def test_a_student_cannot_be_its_own_teacher(output):
    teacher = output / "quickstart/seed-0/distilled/model.keras"
    changed = ["--output-dir", output, *SHORT, "--teacher", teacher, "--overwrite"]
    assert "its own teacher" in run("distill", *changed, code=4).stderr
    assert teacher.is_file()


def test_a_student_is_not_compared_with_a_teacher_that_did_not_teach_it(tmp_path):
    place = ["--output-dir", tmp_path, *SHORT]
    for command in ("train-teacher", "distill"):
        run(command, *place)
    run("train-teacher", *place, "--set", "teacher.hidden=[5]", "--overwrite")
    result = run("evaluate", *place, "--set", "teacher.hidden=[5]", "--json")
    assert "is missing or has changed" in result.stderr
    assert json.loads(result.stdout)["arms"]["distilled"]["agreement"] is None


def test_a_weak_teacher_is_warned_about_whatever_was_trained_first(tmp_path):
    weak = [*SHORT, "--set", "teacher.learning_rate=1e-9", "--output-dir", tmp_path]
    for command in ("train-teacher", "distill", "baseline"):
        run(command, *weak)
    summary = document("reproduce", "--seeds", 1, *weak)
    assert any("little to teach" in warning for warning in summary["warnings"])


def test_conflicts_are_found_before_anything_is_trained(output):
    run("baseline", "--output-dir", output, *SHORT, "--seed", 2, "--set", "student.hidden=[5]")
    refused = run("reproduce", "--output-dir", output, *SHORT, "--seeds", "3,2", code=7)
    assert "seed-2/baseline" in refused.stderr
    assert not (output / "quickstart/seed-3").exists()


def test_a_damaged_run_is_made_again(output):
    model = output / "quickstart/seed-0/baseline/model.keras"
    model.write_bytes(model.read_bytes()[:-10])
    result = run("baseline", "--output-dir", output, *SHORT)
    assert "SHA-256 differs" in result.stderr
    assert "reused" in run("baseline", "--output-dir", output, *SHORT).stderr


def test_a_folder_that_is_no_experiment_is_refused(tmp_path):
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "quickstart" / "notes.txt").write_text("mine")
    result = run("baseline", "--output-dir", tmp_path, code=7)
    assert "not an experiment" in result.stderr


def test_divergence_names_arm_and_epoch_and_what_to_try(tmp_path):
    wild = ["--set", "student.optimizer=sgd", "--set", "student.learning_rate=1e30"]
    result = run("baseline", "--output-dir", tmp_path, *SHORT, *wild, code=5)
    assert "baseline, seed 0" in result.stderr
    assert "epoch 1" in result.stderr
    assert "--set student.learning_rate=1e+29" in result.stderr
    assert not (tmp_path / "quickstart/seed-0/baseline/result.json").exists()


def test_some_failed_runs_are_6_with_a_result_and_nothing_left_is_5_without(tmp_path, monkeypatch):
    """As the README says. Why a run failed is told once, when it does."""
    why = "training diverged: the loss is not a finite number in epoch 1"
    baseline = arms.baseline

    def diverging(setting, seed):
        if seed in lost:
            raise DivergedError(why, hint=f"Try --set student.learning_rate={seed}")
        return baseline(setting, seed)

    monkeypatch.setattr(arms, "baseline", diverging)
    common = ["reproduce", "--seeds", 2, "--workers", 1, *SHORT, "--output-dir", tmp_path]
    lost = [0, 1]
    for json_ in ([], ["--json"]):
        result = run(*common, *json_, code=5)
        assert result.stdout == ""
        assert result.stderr.count(f"Failed: baseline seed 1: {why}\n") == 1
        assert result.stderr.count(why) == 2
        assert "every seed has a failed run; failed: baseline seed 0, baseline seed 1\n" in result.stderr
        assert "learning_rate=0\nTry --set student.learning_rate=1" in result.stderr
    assert not (tmp_path / "quickstart/summary.json").exists()
    part = json.loads(run(*common, "--part", "1/1", "--json", code=6).stdout)
    assert [row["run"] for row in part["failed"] if not row["since"]] == ["baseline seed 0", "baseline seed 1"]
    lost = [1]
    result = run(*common, code=6)
    assert result.output.count(why) == 1
    assert f"Failed: baseline seed 1 (why: {tmp_path}/quickstart/summary.json)" in result.stdout
    summary = json.loads((tmp_path / "quickstart/summary.json").read_text())
    assert {"run": "baseline seed 1", "message": why, "since": None} in summary["failed"]
    assert {row["since"] for row in summary["failed"][1:]} == {"baseline seed 1"}
    assert summary["comparison"]["seeds"] == [0]


def test_a_part_without_runs_has_an_empty_plan_and_teachers_are_those_of_the_whole(tmp_path):
    common = ["reproduce", "--seeds", 4, "--teacher-seeds", "7,8", *SHORT, "--output-dir", tmp_path, "--dry-run"]
    rows = document(*common, "--part", "2/2")["runs"]
    assert [(row["arm"], row["seed"]) for row in rows] == [
        ("teacher", 8),
        *((arm, seed) for seed in (1, 3) for arm in ("baseline", "distilled")),
    ]
    assert document(*common, "--part", "5/5")["runs"] == []
    assert "quickstart, part 5/5: the plan" in run(*common, "--part", "5/5").stdout


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    result = run("baseline", "--output-dir", tmp_path, "--set", "training.batch_size=5000", code=3)
    assert "batch_size" in result.stderr
    assert "received 5000" in result.stderr


@pytest.mark.parametrize("command", ["train-teacher", "baseline", "reproduce"])
def test_dry_run_checks_and_plans_and_writes_nothing(tmp_path, command):
    plan = document(command, "--dry-run", "--output-dir", tmp_path)
    assert {run["state"] for run in plan["runs"]} == {"to train"}
    assert plan["run_info"]["threads"] == 1
    assert not list(tmp_path.iterdir())
    assert "nothing is trained" in run(command, "--dry-run", "--output-dir", tmp_path).stdout


def test_dry_run_shows_what_would_be_made_again(output):
    changed = ["--dry-run", "--output-dir", output, *SHORT, "--set", "training.epochs=4"]
    shown = run("reproduce", "--overwrite", *changed).stdout
    assert "to make again" in shown
    assert "training.epochs: was 2, is now 4" in shown
    assert "was 2, is now 4" in run("reproduce", *changed, code=7).stderr
    assert "cross-entropy of the labels" in run("baseline", "--overwrite", *changed).stdout


def test_dry_run_refuses_a_teacher_that_is_no_model(output, tmp_path):
    bad = tmp_path / "bad.keras"
    bad.write_bytes(b"no model")
    place = ["--dry-run", "--output-dir", output, *SHORT]
    assert "bad.keras" in run("distill", "--teacher", bad, *place, code=4).stderr
    assert "no such model file" in run("distill", "--teacher", tmp_path / "nope.keras", *place, code=4).stderr
    good = output / "quickstart/seed-0/teacher/model.keras"
    assert "validation accuracy" in run("distill", "--teacher", good, *place).stdout


def test_dry_run_of_evaluate_scores_nothing(output, tmp_path, monkeypatch):
    monkeypatch.setattr("kdistill.recipes.arms.evaluate", None)
    plan = document("evaluate", "--dry-run", "--output-dir", output, *SHORT)
    assert [arm["arm"] for arm in plan["arms"]] == ["teacher", "baseline", "distilled"]
    model = output / "quickstart/seed-0/teacher/model.keras"
    shown = run("evaluate", model, "--dry-run", "--output-dir", output, *SHORT).stdout
    assert "nothing is scored" in shown
    assert str(model) in shown
    run("evaluate", "--dry-run", "--output-dir", tmp_path / "fresh", code=4)


def test_dry_run_downloads_nothing(tmp_path):
    shown = run("reproduce", "--dry-run", "-c", "article", "--output-dir", tmp_path).stdout
    assert "fashion_mnist: to download" in shown


def test_dry_run_knows_what_is_complete(output):
    plan = document("reproduce", "--dry-run", "--output-dir", output, "--seeds", 3, *SHORT)
    states = {(entry["arm"], entry["seed"]): entry["state"] for entry in plan["runs"]}
    assert states[("teacher", 1)] == "complete"
    assert states[("teacher", 2)] == "to train"


@pytest.mark.parametrize("seeds", ["0", "x", "1,1", ",", "-3", "1.5", "100000", "1,2147483648", "9" * 5000])
def test_bad_seeds_are_a_usage_error(seeds, tmp_path):
    run("reproduce", "--seeds", seeds, "--output-dir", tmp_path, code=2)


def test_an_empty_config_is_not_the_default():
    assert "received ''" in run("baseline", "--dry-run", "-c", "", code=3).stderr


def test_seeds_count_up_to_the_largest_one(tmp_path):
    run("reproduce", "--dry-run", "--seed", 2**31 - 1, "--seeds", 1, "--output-dir", tmp_path)
    run("reproduce", "--dry-run", "--seed", 2**31 - 1, "--seeds", 2, "--output-dir", tmp_path, code=2)


def test_an_output_dir_that_is_a_file_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "inside"):
        shown = run("baseline", "--output-dir", folder, *SHORT, code=7).stderr
        assert f"expected a folder; {file} is a file" in shown


def test_fashion_mnist_that_is_nowhere_says_how_to_get_it(tmp_path):
    missing = tmp_path / "nowhere"
    result = run(
        "train-teacher", "-c", "fashion-mnist", "--set", f"data.dir={missing}", "--output-dir", tmp_path, code=4
    )
    assert str(missing) in result.stderr
    assert "KDISTILL_DATA_DIR" in result.stderr


def test_doctor_prints_what_a_report_needs():
    facts = document("doctor")
    assert facts["versions"]["tensorflow"].startswith("2.")
    assert facts["cores"] >= 1
    assert "tensorflow" in run("doctor").stdout


def test_environment_gives_defaults_that_flags_override(output, monkeypatch):
    monkeypatch.setenv("KDISTILL_OUTPUT_DIR", str(output))
    assert "reused" in run("baseline", *SHORT).stderr
    monkeypatch.setenv("KDISTILL_THREADS", "")
    assert document("baseline", "--dry-run", *SHORT)["run_info"]["threads"] == 1
    monkeypatch.setenv("KDISTILL_THREADS", "3")
    assert document("baseline", "--dry-run", *SHORT)["run_info"]["threads"] == 3
    assert document("baseline", "--dry-run", "--threads", 2, *SHORT)["run_info"]["threads"] == 2
