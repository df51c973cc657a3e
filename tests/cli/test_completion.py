"""Completion of values, as bash asks for it: the words of the line as they are divided at blanks and at `=`."""

import json
import subprocess
import sys

import pytest
from places import ROOT

from kdistill.cli import completion

HEAVY = ("tensorflow", "keras", "numpy", "kdistill.config")


@pytest.fixture
def complete(tmp_path, monkeypatch):
    """Return a function that gives the answers to a line, the last word of which is being typed."""
    monkeypatch.chdir(tmp_path)

    def ask(*words, environment=()):
        line = {"COMP_WORDS": "\n".join(["kdistill", *words]), "COMP_CWORD": str(len(words))}
        asked = {"_KDISTILL_COMPLETE": "complete_bash", "PYTHONPATH": str(ROOT), **line, **dict(environment)}
        code = "import sys; sys.argv[0] = 'kdistill'; from kdistill.__main__ import main\ntry: main()\nfinally: " + (
            f"print(*(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
        )
        result = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, cwd=tmp_path)
        assert result.stderr.strip() == "", "nothing heavy is loaded"
        return result.stdout.splitlines()

    return ask


def test_a_line_is_completed_without_loading_much(complete, tmp_path):
    assert complete("export", "--format", "") == ["litert", "onnx", "saved-model"]
    assert complete("reproduce", "--set", "distill.soft_loss", "=", "m") == ["mse"]
    (tmp_path / "out" / "photos").mkdir(parents=True)
    (tmp_path / "out" / "photos" / "config.yaml").touch()
    assert complete("report", "--output-dir", "out", "ph") == ["photos"]


def test_configs_are_built_in_or_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.yaml", "notes.txt", ".hidden.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yml").touch()
    assert completion.configs("") == [*completion.known()["configs"], "deep/", "mine.yaml"]
    assert completion.configs("article") == ["article", "article-github"]
    assert completion.configs("deep/") == ["deep/a.yml"]
    assert completion.configs("gone/") == []


def test_keys_and_their_values():
    assert completion.settings("distill.alp") == ["distill.alpha=", "distill.alpha=0.9"]
    assert "data.path=" in completion.settings("data.")
    assert completion.settings("training.optimizer=ad") == ["training.optimizer=adam", "training.optimizer=adamw"]
    assert completion.settings("teacher.batch_norm=") == ["teacher.batch_norm=true", "teacher.batch_norm=false"]
    assert completion.settings("nothing=") == completion.settings("nothing") == []


@pytest.mark.parametrize(
    ("words", "joined", "before"),
    [
        (["reproduce", "--set", "a.b", "=", "x"], ["reproduce", "--set", "a.b=x"], "a.b="),
        (["reproduce", "--set", "a.b", "="], ["reproduce", "--set", "a.b="], "a.b="),
        (["reproduce", "--set", "a.b", "=", "x", "-c", "q"], ["reproduce", "--set", "a.b=x", "-c", "q"], ""),
    ],
)
def test_what_bash_divides_is_put_together(words, joined, before):
    environment = {
        "_KDISTILL_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(["kdistill", *words]),
        "COMP_CWORD": str(len(words)),
    }
    assert completion.rejoin(environment) == before
    assert environment["COMP_WORDS"].split("\n") == ["kdistill", *joined]
    assert environment["COMP_CWORD"] == str(len(joined))


def test_other_shells_are_left_alone():
    environment = {"_KDISTILL_COMPLETE": "complete_zsh", "COMP_WORDS": "a\n=\nb", "COMP_CWORD": "2"}
    before = dict(environment)
    assert completion.rejoin(environment) == ""
    assert environment == before


def test_every_value_to_choose_from_is_text():
    values = [value for of_key in json.loads(completion.FILE.read_text())["keys"].values() for value in of_key]
    assert all(isinstance(value, str) for value in values)
