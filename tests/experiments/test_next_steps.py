"""The next steps that a command names: each is a command line that this program takes as it is printed."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from kdistill import config as configs
from kdistill.cli import app
from kdistill.config import dump
from kdistill.experiments import next_steps
from kdistill.recipes.session import Session
from kdistill.runs import Experiment


@pytest.fixture
def session(tmp_path):
    """Return what makes a session in a folder that a shell would take for two words."""

    def make(*overrides, teachers=()):
        config = configs.load("quickstart", overrides)
        made = Session(config, Experiment(tmp_path / "my runs" / config.name), teacher_files=teachers)
        made.experiment.create(dump(config))
        return made

    return make


def words(step):
    program, *arguments = shlex.split(step["command"])
    assert program == "kdistill"
    return arguments


def plan(step):
    result = CliRunner().invoke(app, [*words(step), "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def result(accuracy, nll=0.5):
    return {"validation": {"accuracy": accuracy, "nll": nll}}


def test_after_reproduce_there_are_the_page_a_sweep_and_an_export(session):
    made = session("student.hidden=[5]")
    page, sweep, export = next_steps.after_reproduce(
        made, [3, 4, 5, 6], {3: result(0.8), 4: result(0.9), 5: result(0.9)}
    )
    assert words(page) == ["report", str(made.experiment.folder)]
    planned = plan(sweep)
    assert planned["seeds"] == [3, 4, 5]
    assert len([run for run in planned["runs"] if run["arm"] == "distilled"]) == 4 * 3 * 3
    assert str(made.experiment.folder) in str(planned["runs"])
    assert words(export)[:2] == ["export", str(made.experiment.run("distilled", 4).folder)]  # the best on validation


def test_a_sweep_tries_what_has_an_effect_or_what_the_config_says(session):
    alone = next_steps.after_reproduce(session("distill={soft_loss: mse}"), [0], {0: result(0.8)})[1]
    assert "temperature" not in alone["command"]
    assert plan(alone)["seeds"] == [0]
    own = next_steps.after_reproduce(session("sweep={distill.alpha: [0.2, 0.3]}"), [0, 1], {0: result(0.8)})[1]
    assert "--grid" not in own["command"]
    assert len([run for run in plan(own)["runs"] if run["arm"] == "distilled"]) == 2 * 2


def test_the_best_is_chosen_by_the_measure_of_the_verdict(session):
    made = session("verdict.measure=nll")
    export = next_steps.after_reproduce(made, [0, 1], {0: result(0.8, 0.3), 1: result(0.9, 0.4)})[2]
    assert str(made.experiment.run("distilled", 0).folder) in words(export)


def test_after_one_run_its_rivals_come_next(session):
    made = session()
    (distill,) = next_steps.after_training(made, "teacher", 7)
    assert words(distill)[0] == "distill"
    assert words(distill)[-2:] == ["--seed", "7"]
    assert [words(step)[0] for step in next_steps.after_training(made, "baseline", 7)] == ["evaluate"]
    alone, score = next_steps.after_training(made, "distilled", 7)
    assert [words(alone)[0], words(score)[0]] == ["baseline", "evaluate"]
    assert plan(alone)["runs"][0]["seed"] == 7
    assert next_steps.after_evaluate(made, ["teacher", "baseline"], 7) == []
    steps = next_steps.after_evaluate(made, ["baseline", "distilled"], 7)
    assert [words(step)[0] for step in steps] == ["report", "reproduce", "export"]
    assert len({run["seed"] for run in plan(steps[1])["runs"]}) == 5
    (_, again, _) = next_steps.after_evaluate(session("seeds=1"), ["baseline", "distilled"], 7)
    assert words(again)[-2:] == ["--seeds", "5"]


def test_a_student_that_starts_from_the_baseline_comes_after_it(session):
    steps = next_steps.after_training(session("student.initial_weights=baseline"), "teacher", 7)
    assert [words(step)[0] for step in steps] == ["baseline", "distill"]


def test_teachers_of_the_command_line_stay_in_the_commands_that_need_them(session, tmp_path):
    path = tmp_path / "a teacher.keras"
    reproduce = next_steps.after_evaluate(session(teachers=[path]), ["distilled"], 0)[1]
    assert words(reproduce)[-2:] == ["--set", f'distill.teachers=["{path}"]']


def test_a_student_that_was_still_improving_is_trained_longer_first(session):
    own = session("training.epochs=7")
    result = {"best_epoch": 7, "epochs": 7, "validation": {"accuracy": 0.5, "nll": 1.0}}
    first, *others = next_steps.after_reproduce(own, [0, 1, 2], {0: result, 1: result, 2: result})
    assert first["command"].endswith("--set name=quickstart-longer --set training.epochs=28 --seeds 3")
    assert not any("export" in step["command"] for step in others)
    of_updates = session("training.steps=7000")
    first, *_ = next_steps.after_reproduce(of_updates, [0], {0: result})
    assert first["command"].endswith("--set training.steps=28000 --seeds 1")
    early = {**result, "best_epoch": 3}
    assert any("export" in step["command"] for step in next_steps.after_reproduce(own, [0], {0: early}))
