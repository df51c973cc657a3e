"""Which arms are scored: those that the config fits, with a word on the others."""

import shutil

import pytest

from kdistill import config as configs
from kdistill import experiments, scoring
from kdistill.errors import ModelError, OutputError
from kdistill.listener import Listener
from kdistill.runs import Experiment
from kdistill.sessions import Options, Session

SHORT = ["training.epochs=1", "teacher.hidden=[16]"]


class Hearing(Listener):
    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


def session(folder, *overrides, **options):
    config = configs.load("quickstart", [*SHORT, *overrides])
    return Session(config, Experiment(folder / config.name), Options(**options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    experiments.reproduce(session(folder), [0])
    return folder


@pytest.fixture
def output(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


def test_arms_of_another_config_are_left_out_with_a_warning(output):
    session(output, "student.epochs=2", overwrite=True).train("baseline", 0)
    heard = Hearing()
    document = scoring.evaluate(session(output, listener=heard), 0, [])
    assert list(document["arms"]) == ["teacher", "distilled"]
    (warning,) = heard.warnings
    assert "training.epochs: was 2, is now 1" in warning
    assert "baseline" in warning


def test_if_all_are_of_another_config_that_is_an_error(output):
    with pytest.raises(OutputError) as refused:
        scoring.evaluate(session(output, "training.epochs=3"), 0, [])
    assert refused.value.message.count("was 1, is now 3") == 3


@pytest.mark.parametrize("file", ["model.keras", "result.json", "manifest.json"])
def test_a_damaged_arm_is_an_error_with_the_command_that_makes_it_again(output, file):
    (output / "quickstart/seed-0/distilled" / file).write_bytes(b"x")
    with pytest.raises(ModelError, match=file.replace(".", r"\.")) as refused:
        scoring.evaluate(session(output), 0, [])
    assert "kdistill distill" in refused.value.hint


def test_a_model_for_other_data_says_which_data_was_assumed(output, monkeypatch):
    def refuse(setting, path):
        raise ModelError(f"{path}: expected one input")

    monkeypatch.setattr("kdistill.recipes.evaluate", refuse)
    model = output / "quickstart/seed-0/teacher/model.keras"
    with pytest.raises(ModelError, match="expected one input") as refused:
        scoring.evaluate(session(output), 0, [model])
    assert "config `quickstart` (digits)" in refused.value.hint
    assert "-c" in refused.value.hint
