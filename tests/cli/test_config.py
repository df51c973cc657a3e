"""`kdistill config ...` through the real CLI."""

import json
import os
from functools import partial

import command_line
import pytest

from kdistill import config as configs

BAD = "teacher: {hidden: [8]}\nstudent: {hiden: [4]}\ndistill: {T: -1}\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


run = partial(command_line.run, "config")
document = partial(command_line.document, "config")


def test_built_in_configs_are_listed_and_valid():
    names = {entry["name"] for entry in document("ls")["configs"]}
    assert {"quickstart", "article", "article-github", "fashion-mnist"} <= names
    assert "quickstart" in run("ls").stdout
    assert "valid" in run("check", *names).stdout


def test_the_schema_is_printed():
    assert json.loads(run("schema").stdout)["properties"]["student"]


@pytest.mark.parametrize("name", configs.builtin_names())
def test_show_is_the_same_config_as_text_and_as_json_and_both_load_again(name, tmp_path):
    (tmp_path / "shown.yaml").write_text(run("show", name).stdout)
    (tmp_path / "shown.json").write_text(run("show", name, "--json").stdout)
    shown = configs.load("shown.yaml")
    assert shown == configs.load(name)
    assert configs.load("shown.json") == shown
    assert run("show", "shown.yaml").stdout == run("show", name).stdout


def test_show_as_json_leaves_to_training_what_an_arm_inherits():
    shown = document("show", "article")
    assert shown["teacher"]["patience"] == 10
    assert "epochs" not in shown["teacher"]
    assert shown["training"]["epochs"] == 500


def test_show_and_check_take_the_option_too():
    assert run("show", "-c", "article").stdout == run("show", "article").stdout
    assert "article: valid" in run("check", "-c", "article").stdout
    run("show", "article", "-c", "article", code=2)
    run("check", code=2)


def test_check_looks_at_every_file(tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    result = run("check", "bad.yaml", "article", "nope.yaml", code=3)
    assert result.stdout.splitlines() == ["bad.yaml: 2 problems", "article: valid", "nope.yaml: 1 problem"]
    assert "bad.yaml:2:11: student.hiden: unknown key 'hiden'; did you mean 'hidden'?" in result.stderr
    assert "nope.yaml: no such config file" in result.stderr


def test_check_as_json_is_one_document(tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    bad, good = document("check", "bad.yaml", "article", code=3)["configs"]
    assert (bad["valid"], good["valid"]) == (False, True)
    assert len(bad["problems"]) == 2
    assert good == {"config": "article", "name": "article", "valid": True, "problems": [], "notes": []}


def test_a_folder_is_no_config(tmp_path):
    (tmp_path / "folder").mkdir()
    assert "this is a folder" in run("check", "folder", code=3).stderr
    (tmp_path / "quickstart").mkdir()
    assert "quickstart: valid" in run("check", "quickstart").stdout


def test_check_says_that_a_config_has_no_teacher(tmp_path):
    (tmp_path / "alone.yaml").write_text("student: {hidden: [4]}\n")
    assert "alone.yaml: valid; there is no teacher: `kdistill distill`" in run("check", tmp_path / "alone.yaml").stdout


def test_a_slip_in_a_name_is_recognised():
    assert "did you mean 'article'" in run("show", "artcle", code=3).stderr


def test_init_writes_a_config_named_after_its_file():
    assert "kdistill reproduce -c kdistill.yaml" in run("init").stderr
    assert configs.load("kdistill.yaml").name == "kdistill"
    run("init", "other.yaml", "--from", "article")
    assert configs.load("other.yaml") == configs.load("article").model_copy(update={"name": "other"})


def test_init_on_stdout_is_a_config_without_a_name(tmp_path):
    (tmp_path / "mine.yaml").write_text(run("init", "-").stdout)
    assert configs.load("mine.yaml").name == "mine"


def test_init_replaces_nothing_unasked():
    run("init")
    refused = run("init", code=7).stderr
    assert "this file exists" in refused
    assert "--overwrite" in refused
    run("init", "--overwrite")


@pytest.mark.parametrize(
    ("target", "message"),
    [("no/such/x.yaml", "there is no folder no/such"), ("folder", "this is a folder")],
)
def test_init_where_nothing_can_be_written(target, message, tmp_path):
    (tmp_path / "folder").mkdir()
    refused = run("init", target, code=7).stderr
    assert message in refused
    assert ".new-" not in refused
    assert "run the same command again" not in refused


def test_a_failing_disk_is_told_without_temporary_names(monkeypatch):
    def fail(path, text):
        raise OSError(28, os.strerror(28), ".new-1")

    monkeypatch.setattr("kdistill.core.files.write_text", fail)
    refused = run("init", code=7).stderr
    assert "kdistill.yaml: cannot be written: No space left" in refused
    assert ".new-" not in refused
