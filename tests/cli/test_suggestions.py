"""What is said of commands, options, keys and values that there are not."""

import pytest
from command_line import run

from kdistill.cli import app, suggestions


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("trane", "train-teacher"),
        ("train", "train-teacher"),
        ("eval", "evaluate"),
        ("ls", "runs ls"),
        ("convert", "export"),
        ("reproduc", "reproduce"),
    ],
)
def test_commands(word, meant):
    assert f"Did you mean '{meant}'" in run(word, code=2).stderr


def test_a_word_that_is_like_nothing_gets_no_advice():
    assert "Did you mean" not in run("xyzzy", code=2).stderr
    assert "Did you mean" not in run("reproduce", "--xyzzy", code=2).stderr


@pytest.mark.parametrize(
    ("command", "option", "meant"),
    [
        ("reproduce", "--epochs", "--set training.epochs=VALUE"),
        ("reproduce", "--lr", "--set training.learning_rate=VALUE"),
        ("distill", "--temperature", "--set distill.temperature=VALUE"),
        ("distill", "--T", "--set distill.temperature=VALUE"),
        ("sweep", "--batch-size", "--set training.batch_size=VALUE"),
        ("sweep", "--out", "--output-dir"),
        ("reproduce", "--gpu", "--device gpu"),
    ],
)
def test_options(command, option, meant, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert f"Did you mean {meant}?" in run(command, option, "3", code=2).stderr


def test_a_command_without_keys_gets_no_advice_on_them():
    assert suggestions.option("--epochs", {"--json"}) is None
    assert suggestions.option("--out", {"--json"}) is None


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["export", "--format", "tflite"], "litert"),
        (["export", "--format", "onx"], "onnx"),
        (["export", "--format", "onnx", "--quantize", "fp16"], "float16"),
        (["reproduce", "--device", "cuda"], "gpu"),
    ],
)
def test_values(arguments, meant, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert f"Did you mean '{meant}'?" in run(*arguments, code=2).stderr


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("lr", "training.learning_rate"),
        ("bs", "training.batch_size"),
        ("training.wd", "'weight_decay'"),
        ("training.temp", "distill.temperature"),
        ("distill.temp", "'temperature'"),
        ("student.lr", "'learning_rate'"),
        ("teacher.layers", "'hidden'"),
        ("data.target", "'label'"),
    ],
)
def test_keys(key, meant):
    assert f"did you mean {meant}?" in run("reproduce", "--set", f"{key}=1", code=3).stderr


@pytest.mark.parametrize("name", ["model.pt", "model.PTH", "model.onnx", "model.pkl"])
def test_teachers_of_other_frameworks_teach_by_their_logits(name):
    for command in ("distill", "reproduce", "sweep"):
        refused = run(command, "--teacher", name, code=4)
        assert "--teacher-logits" in refused.stderr
        assert "docs/how-to/other-frameworks.md" in refused.stderr


def test_a_file_of_the_older_format_names_both_ways(tmp_path):
    (tmp_path / "model.h5").write_text("x")
    refused = run("reproduce", "--teacher", tmp_path / "model.h5", code=4)
    assert "keras.saving.load_model" in refused.stderr
    assert "--teacher-logits" in refused.stderr


def test_every_command_that_is_meant_exists():
    names = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    for meant in suggestions.COMMANDS.values():
        assert meant.split()[0] in names | groups
