"""`kdistill report` through the real command line."""

import os
import shutil

import pytest
from command_line import document, run


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def test_it_says_where_the_page_is_and_what_it_says_first(experiment_copy):
    shown = run("report", "quickstart", "--output-dir", experiment_copy).stdout
    folder = experiment_copy / "quickstart"
    assert f"{folder}/report.html (" in shown
    assert f"{folder}/report.md" in shown
    assert "Inconclusive: " in shown
    assert (folder / "report.html").read_text().lstrip().startswith("<!DOCTYPE html>")


def test_json_tells_all(experiment_copy, few_pictures):
    said = document("report", experiment_copy / "quickstart", "--images", 0)
    assert said["experiment"] == "quickstart"
    assert said["verdict"] == "inconclusive"
    assert said["html"] == str(experiment_copy / "quickstart/report.html")
    assert "--images 0" in said["missing"]["fixed"]
    assert any("1 seed is few" in warning for warning in said["warnings"])
    assert all(os.path.isfile(path) for path in (said["html"], said["markdown"], *said["pictures"]))


def test_without_a_name_it_is_the_experiment_that_was_at_work_last(experiment_copy, few_pictures):
    shutil.copytree(experiment_copy / "quickstart", experiment_copy / "another")
    for name, when in (("quickstart", 2_000_000_000), ("another", 1_900_000_000)):
        for path in (experiment_copy / name).rglob("*"):
            os.utime(path, (when, when))
    (experiment_copy / "no experiment").mkdir()
    assert document("report", "--output-dir", experiment_copy)["folder"] == str(experiment_copy / "quickstart")
    os.utime(experiment_copy / "another/seed-0/baseline/history.jsonl", (2_100_000_000, 2_100_000_000))
    assert document("report", "--output-dir", experiment_copy)["folder"] == str(experiment_copy / "another")


@pytest.mark.parametrize("there", [True, False])
def test_where_there_is_none_that_is_said(tmp_path, there):
    folder = tmp_path if there else tmp_path / "nowhere"
    assert "there is no experiment in this folder" in run("report", "--output-dir", folder, code=7).output
    assert "expected an experiment's folder" in run("report", "quickstart", "--output-dir", folder, code=7).output


@pytest.mark.parametrize("count", ["-1", "101", "many", "1.5"])
def test_a_number_of_images_that_is_none_is_usage(experiment_copy, count):
    said = run("report", "quickstart", "--output-dir", experiment_copy, f"--images={count}", code=2).output
    assert "expected a whole number from 0 to 100" in said


def test_a_folder_that_cannot_be_written_is_said(experiment_copy, few_pictures):
    (experiment_copy / "quickstart/report-files").write_text("in the way")
    assert "cannot write" in run("report", "quickstart", "--output-dir", experiment_copy, code=7).output


def test_a_config_that_is_not_valid_is_said(experiment_copy):
    (experiment_copy / "quickstart/config.yaml").write_text("name: quickstart\nstudnt: {}\n")
    assert "studnt" in run("report", "quickstart", "--output-dir", experiment_copy, code=3).output
