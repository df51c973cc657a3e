"""Epochs or updates: a section has one of them, which a model, an option or an axis replaces."""

import pytest
import yaml

from kdistill import config as configs
from kdistill.config import axes
from kdistill.core.errors import ConfigError
from kdistill.runs.specification import specification


def load(*overrides):
    return configs.load("quickstart", overrides)


def from_text(folder, **training):
    values = {"student": {"hidden": [4]}, "teacher": {"hidden": [4]}, "training": training}
    (folder / "mine.yaml").write_text(yaml.safe_dump(values))
    return folder / "mine.yaml"


def test_both_in_one_section_are_refused_at_their_place(tmp_path):
    with pytest.raises(ConfigError) as error:
        configs.load(str(from_text(tmp_path, epochs=3, steps=40)))
    assert error.value.message.endswith(
        "mine.yaml:9:3: training.steps: epochs says it too: expected training.steps or training.epochs"
    )
    with pytest.raises(ConfigError, match=r"student\.steps or student\.epochs"):
        load("student={hidden: [4], epochs: 3, steps: 40}")
    with pytest.raises(ConfigError, match=r"--set training\.steps=5: training\.steps: epochs says it too"):
        load("training.epochs=3", "training.steps=5")


@pytest.mark.parametrize("value", ["0", "1.5", "true", "many"])
def test_other_numbers_of_updates_are_refused(value):
    with pytest.raises(ConfigError, match=r"training\.steps"):
        load(f"training.steps={value}")


@pytest.mark.parametrize("key", ["epochs", "steps", "decay_steps"])
def test_a_length_that_no_schedule_can_hold_is_refused(key):
    with pytest.raises(ConfigError, match=f"training.{key}: expected a number of at most 1,000,000,000; received 99"):
        load(f"training.{key}={'9' * 32}")


def test_null_is_no_number_of_updates(tmp_path):
    path = from_text(tmp_path, epochs=3, steps=None)
    assert configs.load(str(path)).training_for("student").budget(5).updates == 15


@pytest.mark.parametrize(
    ("overrides", "teacher", "student"),
    [
        (["training.epochs=3"], 30, 30),
        (["training.steps=7"], 7, 7),
        (["training.steps=7", "student.epochs=2"], 7, 20),
        (["training.epochs=3", "teacher.steps=8"], 8, 30),
        (["student.epochs=2", "training.steps=7", "teacher.steps=9"], 9, 20),
    ],
)
def test_a_models_own_key_comes_first_whichever_it_is(overrides, teacher, student):
    config = load(*overrides)
    found = [config.training_for(role).budget(10).updates for role in ("teacher", "student")]
    assert found == [teacher, student]


def test_an_option_replaces_the_other_key_of_the_file(tmp_path):
    assert load("training.steps=7").training.length_key == "steps"
    of_updates = str(from_text(tmp_path, steps=40))
    assert configs.load(of_updates, ["training.epochs=3"]).training.length_key == "epochs"
    assert configs.load(of_updates, ["training.steps=null"]).training.length_key == "epochs"


def test_a_dumped_config_has_one_of_them_and_loads_to_the_same(tmp_path):
    for overrides, has in ((["training.steps=7"], "steps"), ([], "epochs")):
        config = load(*overrides)
        (tmp_path / "again.yaml").write_text(configs.dump(config))
        again = configs.load(str(tmp_path / "again.yaml"))
        assert configs.resolved(again) == configs.resolved(config)
        assert {"steps", "epochs"} & set(configs.resolved(again)["training"]) == {has}


def test_identity_has_the_key_that_decides_alone():
    def trained(*overrides):
        return specification(load(*overrides), "baseline", 0)["training"]

    assert {"steps", "epochs"} & set(trained()) == {"epochs"}
    assert {"steps", "epochs"} & set(trained("training.steps=7")) == {"steps"}
    assert trained("student.epochs=9", "training.steps=7") == trained("training.epochs=9")


def test_cells_of_updates_and_of_epochs(tmp_path):
    def cells(config, *grid):
        return [cell.training_for("student") for _, cell in configs.cells(config, axes.of_options(grid))]

    assert [plan.steps for plan in cells(load(), "training.steps=10,20")] == [10, 20]
    assert [plan.budget(5).updates for plan in cells(load("training.steps=10"), "training.epochs=1,2")] == [5, 10]
    with pytest.raises(ConfigError, match="epochs says it too"):
        cells(load(), "training.steps=10,20", "training.epochs=1,2")
    with pytest.raises(ConfigError, match="since teacher and student both override steps"):
        cells(load("teacher.epochs=3", "student.steps=4"), "training.steps=10,20")


def test_an_option_that_does_not_reach_a_model_is_told():
    config = load("training.steps=7", "student.epochs=3")
    (sentence,) = configs.unreached(config, ["training.steps=7"])
    assert sentence.startswith("--set training.steps does not reach the student: the config sets student.epochs to 3")
