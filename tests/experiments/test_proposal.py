"""Names of experiments that are made of data, and paths that are no data."""

from pathlib import Path

import own_data
import pytest

from kdistill import config as configs
from kdistill.core.errors import ConfigError, DataError, ModelError
from kdistill.core.listener import Listener
from kdistill.experiments.proposal import Proposal, as_text, check_data, propose, stem_of, told
from kdistill.recipes.shared_data import SharedData


def proposed(path, *overrides, root=None):
    return propose(path, overrides, root, SharedData(), Listener())


def experiment(root, name, path, teachers=()):
    """Write the config of an experiment as if it had been run."""
    (root / name).mkdir(parents=True)
    config = configs.from_values(
        {"name": name, "data": {"dataset": "npz", "path": str(path)}, "student": {"hidden": [2]}},
        "test",
        [f"distill.teachers={[str(file) for file in teachers]}"],
    )
    (root / name / "config.yaml").write_text(configs.dump(config))


@pytest.mark.parametrize(
    ("path", "stem"),
    [("a/photos.npz", "photos"), ("a/train.csv", "a"), ("a/b c/Test_Set.npz", "b c"), ("a/x.tar.npz", "x.tar")],
)
def test_data_are_called_by_what_is_theirs_alone(tmp_path, path, stem):
    assert stem_of(tmp_path / path) == stem


def test_a_folder_is_called_by_its_whole_name(tmp_path, monkeypatch):
    (tmp_path / "v1.2").mkdir()
    assert stem_of(tmp_path / "v1.2") == "v1.2"
    monkeypatch.chdir(tmp_path / "v1.2")
    assert stem_of(Path()) == "v1.2"


def test_a_name_is_taken_only_by_other_data_or_teachers(tmp_path):
    path, root = own_data.write_npz(tmp_path / "mine (1).npz"), tmp_path / "runs"
    name = "mine-1"
    assert proposed(path, root=root).values["name"] == name
    experiment(root, name, path)
    again = proposed(path, root=root)
    assert again.values["name"] == name
    assert not any("the name" in reason for reason in again.reasons)
    other = own_data.write_npz(tmp_path / "mine_1.npz").rename(tmp_path / "mine-1.npz")
    found = proposed(other, root=root)
    assert found.values["name"] == f"{name}-2"
    assert any(str(path) in reason and f"{name}-2" in reason for reason in found.reasons)
    experiment(root, f"{name}-2", path, ["big.npz"])
    (root / f"{name}-3").mkdir()
    (root / f"{name}-3" / "notes.txt").touch()
    assert proposed(other, root=root).values["name"] == f"{name}-4"
    assert proposed(path, root=root).values["name"] == name
    assert proposed(other, f"name={name}", root=root).values["name"] == name, "one that is given is taken as it is"


def test_a_teacher_of_the_same_data_has_a_name_of_its_own(tmp_path):
    path, root = own_data.write_npz(tmp_path / "mine.npz"), tmp_path / "runs"
    logits = tmp_path / "logits.npz"
    logits.touch()
    experiment(root, "mine", path)
    found = proposed(path, f"distill.teachers=[{logits}]", root=root)
    assert found.values["name"] == "mine-2"
    assert any("a teacher that it trains" in reason for reason in found.reasons)
    experiment(root, "mine-2", path, [logits])
    assert proposed(path, f"distill.teachers=[{logits}]", root=root).values["name"] == "mine-2"


def test_what_is_set_is_not_proposed(tmp_path):
    path = own_data.write_npz(tmp_path / "mine.npz")
    found = proposed(path, "data.validation=0.4", "student.model=small.keras", "teacher.model=large.keras")
    assert "validation" not in found.values["data"]
    assert not {"teacher", "student"} & set(found.values)
    assert "conv" not in proposed(path).values["teacher"], "of 6 x 5 pixels"


def test_the_config_is_told_with_what_is_set(tmp_path):
    made = Proposal({"name": "x", "training": {"epochs": 3}}, ["because."])
    lines = told(made, ["training.epochs=5", "distill.T=2"], "x.npz", Path("runs/x/config.yaml")).splitlines()
    assert lines[:3] == ["Config for x.npz:", "  name: x", "  training: {epochs: 5}"]
    assert "- because." in lines
    assert "runs/x/config.yaml" in lines[-1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fashion-mnist", "write -c fashion-mnist"),
        ("fashion_mnist", "write -c fashion-mnist"),
        ("quikstart", "write -c quickstart"),
        ("mine.yaml", "-c mine.yaml"),
    ],
)
def test_a_config_in_the_place_of_data_is_told(tmp_path, monkeypatch, name, hint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        check_data(Path(name))
    assert hint in refused.value.hint


def test_other_paths_that_hold_no_data(tmp_path):
    experiment(tmp_path, "photos", tmp_path)
    with pytest.raises(ConfigError) as refused:
        check_data(tmp_path / "photos")
    assert f"-c {tmp_path / 'photos' / 'config.yaml'}" in refused.value.hint
    with pytest.raises(DataError, match="no such file or folder"):
        check_data(tmp_path / "elsewhere")
    path = own_data.write_npz(tmp_path / "mine.npz")
    with pytest.raises(ModelError, match="no such model file"):
        proposed(path, f"distill.teachers=[{tmp_path / 'big.keras'}]")


def test_text_for_a_file_names_data_and_teachers_relative_to_it(tmp_path):
    path = own_data.write_npz(tmp_path / "mine.npz")
    (tmp_path / "teacher logits.npz").touch()
    overrides = [f"distill.teachers=['{tmp_path}/teacher logits.npz']"]
    text = as_text(path, overrides, str(tmp_path / "given name.yaml"), Listener())
    assert "  path: mine.npz " in text
    assert '["teacher logits.npz"]' in text
    assert "# - student: " in text
    (tmp_path / "given name.yaml").write_text(text)
    config = configs.load(tmp_path / "given name.yaml")
    made = configs.from_values(proposed(path, *overrides).values, "made", overrides)
    assert config.model_copy(update={"name": made.name}) == made
    elsewhere = as_text(path, overrides, str(tmp_path / "a" / "b.yaml"), Listener())
    assert f"  path: {path} " in elsewhere
    assert f"  path: {path} " in as_text(path, [], None, Listener())
