"""Classes left out of the transfer set, through the command line: the plan, the screen, the page, and a resumed run."""

import json
import signal

import pytest
from command_line import document, run
from interrupting import signal_at
from small_experiment import SET

NO_THREES = [*SET, "--set", "distill.classes={without: [3]}", "--set", "distill.adjust_prior=true"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run("reproduce", "--seeds", "1", "--output-dir", folder, *NO_THREES)
    return folder


def test_the_plan_says_what_the_student_is_distilled_on(folder):
    plan = document("reproduce", "--seeds", "1", "--dry-run", "--output-dir", folder, *NO_THREES)
    assert plan["transfer_set"].startswith("903 of the 1,005 labelled training examples, without the class 3; biases")
    assert "transfer_set" not in document("baseline", "--dry-run", "--output-dir", folder, *NO_THREES)
    shown = run("distill", "--dry-run", "--output-dir", folder, *NO_THREES).stdout
    assert "distilled on" in shown


def test_scores_before_and_after_stand_side_by_side(folder):
    again = run("reproduce", "--seeds", "1", "--output-dir", folder, *NO_THREES)
    assert "Left out of the transfer set: class 3" in again.stdout
    for name in ("baseline ", "distilled, biases as trained ", "distilled, biases moved "):
        assert name in again.stdout
    rows = json.loads((folder / "quickstart" / "summary.json").read_text())["transfer_set"]["rows"]
    assert [(row["arm"], row["biases"]) for row in rows] == [
        ("teacher", ""),
        ("baseline", ""),
        ("distilled", "biases as trained"),
        ("distilled", ""),
    ]
    assert "biases moved" in run("distill", "--output-dir", folder, *NO_THREES).stdout


def test_the_page_has_them_too(folder, few_pictures):
    run("report", folder / "quickstart")
    for page in ("report.md", "report.html"):
        assert "distilled, biases as trained: test accuracy" in (folder / "quickstart" / page).read_text()


def test_an_interrupted_run_ends_with_the_same_weights(folder, tmp_path, monkeypatch):
    teacher = folder / "quickstart" / "seed-0" / "teacher" / "model.keras"
    longer = [*NO_THREES, "--set", "student.epochs=4", "--teacher", teacher]
    whole = document("distill", "--output-dir", tmp_path / "whole", *longer)
    with monkeypatch.context() as patch:
        signal_at(patch, 2, signal.SIGINT)
        run("distill", "--output-dir", tmp_path / "parts", *longer, code=130)
    resumed = document("distill", "--output-dir", tmp_path / "parts", *longer)
    for key in ("weights_sha256", "moved_biases", "before_adjustment", "validation"):
        assert resumed[key] == whole[key], key


def test_another_choice_of_classes_is_another_run(folder):
    other = ["--set", "distill.classes={without: [4]}"]
    result = run("distill", "--output-dir", folder, *NO_THREES, *other, code=7)
    assert "distill.classes.without: was" in result.output


def test_an_unknown_class_is_one_message_before_anything_is_trained(tmp_path):
    wrong = ["--set", "distill.classes={only: [77]}"]
    result = run("reproduce", "--seeds", "1", "--output-dir", tmp_path, *SET, *wrong, code=3)
    assert "distill.classes.only: 77 is not a class; expected names among 0, 1" in " ".join(result.output.split())
    assert not (tmp_path / "quickstart" / "seed-0").exists()
