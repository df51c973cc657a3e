"""The README: its commands run, its config is valid, its three lines of Keras work."""

import json
import re
import shlex

import keras
import numpy as np
import pages
import pytest
from places import ROOT
from typer.testing import CliRunner

from kdistill import config as configs
from kdistill.cli import app

README = (ROOT / "README.md").read_text()
TRAINS = {"reproduce", "sweep", "train-teacher", "baseline", "distill", "evaluate"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    """Return the arguments of every kdistill command in a bash block or a table of results, without redirection."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    lines += re.findall(r"^\|.*`(kdistill [^`]+)`", README, re.MULTILINE)
    found = [line.split("kdistill", 1)[1].split(">")[0] for line in lines if "kdistill " in line]
    return [shlex.split(arguments) for arguments in found]


@pytest.mark.parametrize(
    "rest", ["install . && .venv/bin/kdistill reproduce -c few-labels", "install -e '.[dev]' && .venv/bin/pytest -n 2"]
)
def test_from_nothing_it_takes_one_line(rest):
    assert README.splitlines().count(f"python3 -m venv .venv && .venv/bin/pip {rest}") == 1


def test_there_are_commands_to_test():
    assert len(commands()) >= 6
    assert {arguments[0] for arguments in commands()} >= TRAINS


def needs_files(arguments):
    return bool({"article", "article-github", "fashion-mnist"} & set(arguments))


@pytest.mark.parametrize("arguments", [a for a in commands() if not needs_files(a)], ids=" ".join)
def test_commands_are_accepted(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    accepted(arguments)


@pytest.mark.slow
def test_commands_on_fashion_mnist_are_accepted(tmp_path, monkeypatch, fashion_mnist_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDISTILL_DATA_DIR", str(fashion_mnist_dir))
    for arguments in filter(needs_files, commands()):
        accepted(arguments)


def accepted(arguments):
    if arguments[0] in TRAINS:
        arguments = [*arguments, "--dry-run"]
    result = CliRunner().invoke(app, arguments)
    # Dry or not, there is nothing to evaluate or to distil from yet, and that is said.
    nothing = dict.fromkeys(("evaluate", "distill", "export", "benchmark", "predict"), 4) | {"report": 7}
    expected = nothing.get(arguments[0], 0)
    assert result.exit_code == expected, result.output


@pytest.mark.campaign
@pytest.mark.parametrize("name", configs.builtin_names())
def test_every_built_in_config_trains(name, tmp_path, monkeypatch, fashion_mnist_dir):
    monkeypatch.setenv("KDISTILL_DATA_DIR", str(fashion_mnist_dir))
    short = ["--set", "training.epochs=1", "--set", "teacher.epochs=1", "--set", "student.epochs=1", "--seeds", "1"]
    result = CliRunner().invoke(app, ["reproduce", "-c", name, "--output-dir", str(tmp_path), "--json", *short])
    assert result.exit_code == 0, result.output
    accuracy = {arm: scores["accuracy"]["mean"] for arm, scores in json.loads(result.stdout)["arms"].items()}
    # One epoch of the tiny student on the digits does not teach it much.
    assert min(accuracy.values()) > (0.1 if name in ("quickstart", "few-labels") else 0.6)


@pytest.mark.slow
def test_the_four_commands_chain_and_the_student_is_used(tmp_path, monkeypatch, fashion_mnist_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDISTILL_DATA_DIR", str(fashion_mnist_dir))
    (script,) = [block for block in blocks("bash") if "kdistill train-teacher" in block]
    for line in script.splitlines():
        arguments = shlex.split(line.split(">")[0])[1:]
        result = CliRunner().invoke(app, [*arguments, "--set", "training.epochs=1", "--set", "teacher.epochs=1"])
        assert result.exit_code == 0, result.output
    (program,) = [block for block in blocks("python") if "images" in block]
    names = {"images": np.zeros((2, 28, 28), np.uint8)}
    exec(program, names)
    np.testing.assert_allclose(keras.ops.sum(names["probabilities"], axis=-1), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_the_program_that_writes_logits_makes_a_teacher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = pages.DOCS / "how-to" / "other-frameworks.md"
    (program,) = [
        block.text for block in pages.blocks(page) if "logits.npz" in block.text and block.language == "python"
    ]
    assert CliRunner().invoke(app, shlex.split(re.search(r"# kdistill (.*)", program)[1])).exit_code == 0
    exec(program, {})
    result = CliRunner().invoke(app, ["distill", "--teacher-logits", "logits.npz", "--dry-run", "--json"])
    assert json.loads(result.stdout)["teacher"]["validation_accuracy"] > 0.95


def test_the_config_shown_is_valid(tmp_path):
    (text,) = blocks("yaml")
    path = tmp_path / "shown.yaml"
    path.write_text(text)
    assert configs.load(path).name == "mine"


def test_every_built_in_config_is_listed():
    for name in configs.builtin_names():
        assert f"| `{name}` |" in README


def test_the_front_page_is_short():
    assert README.count("\n") < 250


def test_nothing_is_left_to_fill_in():
    shipped = [
        *(page.read_text() for page in pages.PAGES),
        *(configs.builtin_text(name) for name in configs.builtin_names()),
    ]
    for text in shipped:
        assert not re.search(r"TO-FILL|-TABLE\b|-TRANSCRIPT\b", text)
