"""Plans: the state of every run, every check of the command itself, and nothing written, scored or downloaded."""

import pytest
from small_experiment import session

from kdistill import datasets
from kdistill.core import backend
from kdistill.core.errors import ConfigError, ModelError, OutputError
from kdistill.datasets.named import idx_datasets
from kdistill.experiments import dry_run
from kdistill.runs import ARMS


def rows(document):
    return {row["arm"]: (row["state"], row["changes"]) for row in document["runs"]}


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_complete_is_said_to_be(experiment_copy):
    before = content(experiment_copy)
    assert rows(dry_run.training(session(experiment_copy), ARMS, [0])) == dict.fromkeys(ARMS, ("complete", []))
    assert content(experiment_copy) == before


def test_runs_of_another_config_are_said_to_be_made_again(experiment_copy):
    changed = session(experiment_copy, "training.epochs=4", overwrite=True)
    epochs = "training.epochs: was 1, is now 4"
    assert rows(dry_run.training(changed, ARMS, [0])) == {
        "teacher": ("to make again", [epochs]),
        "baseline": ("to make again", [epochs]),
        "distilled": ("to make again", [epochs, "teacher: is made again"]),
    }
    with pytest.raises(OutputError, match=epochs):
        dry_run.training(session(experiment_copy, "training.epochs=4"), ARMS, [0])


def test_a_distilled_run_is_made_again_where_its_teacher_is(experiment_copy):
    changed = session(experiment_copy, "teacher.epochs=2", overwrite=True)
    states = rows(dry_run.training(changed, ARMS, [0]))
    assert states["baseline"] == ("complete", [])
    assert states["distilled"] == ("to make again", ["teacher: is made again"])


def test_a_distilled_run_is_held_against_the_teacher_that_would_be_used(experiment_copy):
    teacher = experiment_copy / "quickstart/seed-0/teacher/model.keras"
    other = experiment_copy / "quickstart/seed-0/baseline/model.keras"
    before = content(experiment_copy)
    same = dry_run.training(session(experiment_copy, teacher_files=[teacher]), ["distilled"], [0])
    assert rows(same)["distilled"] == ("complete", [])
    assert 0 < same["teacher"]["validation_accuracy"] < 1
    again = dry_run.training(session(experiment_copy, overwrite=True, teacher_files=[other]), ["distilled"], [0])
    assert rows(again)["distilled"] == ("to make again", ["teacher: is another one"])
    with pytest.raises(OutputError):
        dry_run.training(session(experiment_copy, teacher_files=[other]), ["distilled"], [0])
    assert content(experiment_copy) == before


def test_a_damaged_run_is_said_to_be(experiment_copy):
    (experiment_copy / "quickstart/seed-0/baseline/model.keras").unlink()
    assert rows(dry_run.training(session(experiment_copy), ["baseline"], [0]))["baseline"][0] == "damaged"


def test_a_bad_teacher_is_refused(experiment_copy, tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        dry_run.training(session(experiment_copy, teacher_files=[tmp_path / "nope.keras"]), ["distilled"], [0])
    bad = tmp_path / "bad.keras"
    bad.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"bad\.keras"):
        dry_run.training(session(experiment_copy, teacher_files=[bad]), ["distilled"], [0])


def test_without_a_teacher_there_is_nothing_to_distil_from(tmp_path):
    with pytest.raises(ModelError, match="finished teacher"):
        dry_run.training(session(tmp_path), ["distilled"], [0])


def test_a_gpu_that_is_not_there_is_refused(tmp_path):
    if backend.gpus():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="sees no GPU"):
        dry_run.training(session(tmp_path, device="gpu"), ["teacher"], [0])


def test_a_batch_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^training\.batch_size"):
        dry_run.training(session(tmp_path, "training.batch_size=5000"), ["teacher"], [0])


def test_the_objective_is_that_of_the_arms(tmp_path):
    assert dry_run.training(session(tmp_path), ["teacher"], [0])["formula"] == "loss = hard"
    assert "4^2" in dry_run.training(session(tmp_path), ARMS, [0])["formula"]


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(idx_datasets, "download", None)
    monkeypatch.setattr(datasets.catalog.idx_datasets, "fetch", None)
    plan = dry_run.training(session(tmp_path, source="article"), ARMS, [0])
    assert plan["data"] == {"dataset": "fashion_mnist", "state": "to download"}
    assert plan["examples"] is None
    assert not list(tmp_path.iterdir())


def test_scoring_names_what_would_be_scored_and_scores_nothing(experiment_copy, monkeypatch):
    monkeypatch.setattr("kdistill.recipes.arms.evaluate", None)
    before = content(experiment_copy)
    document = dry_run.scoring(session(experiment_copy), 0, [])
    assert [arm["arm"] for arm in document["arms"]] == list(ARMS)
    assert document["examples"]["test"] == 540
    model = experiment_copy / "quickstart/seed-0/baseline/model.keras"
    assert dry_run.scoring(session(experiment_copy), 0, [model])["models"] == [{"path": str(model)}]
    assert content(experiment_copy) == before


def test_a_model_for_other_data_is_refused_with_what_was_assumed(experiment_copy):
    model = experiment_copy / "quickstart/seed-0/baseline/model.keras"
    with pytest.raises(ModelError, match=r"expected one input of shape \(28, 28\)") as refused:
        dry_run.scoring(session(experiment_copy, source="article"), 0, [model])
    assert "config `article` (fashion_mnist)" in refused.value.hint


def test_a_shared_teacher_is_listed_once(tmp_path):
    rows = dry_run.training(session(tmp_path), ARMS, [0, 1, 2], teacher_seeds=[7])["runs"]
    assert [(row["arm"], row["seed"]) for row in rows if row["arm"] == "teacher"] == [("teacher", 7)]
    assert len(rows) == 7
