"""A benchmark is kept in the experiment that its models are in, and is of these models alone."""

import pytest

from kdistill.runs import Experiment, benchmark


@pytest.fixture
def experiment(tmp_path):
    folder = tmp_path / "runs" / "mine"
    (folder / "seed-0").mkdir(parents=True)
    (folder / "config.yaml").write_text("name: mine\n")
    (folder / "seed-0" / "model.keras").write_bytes(b"weights")
    return Experiment(folder)


def measured(*paths):
    return {"rows": [{"name": path.name, "path": str(path)} for path in paths], "run_info": {"threads": 1}}


def test_it_comes_back_with_when_it_was_made(experiment):
    model = experiment.folder / "seed-0" / "model.keras"
    assert benchmark.kept(experiment) is None
    assert benchmark.keep(experiment, measured(model))
    kept = benchmark.kept(experiment)
    assert kept["rows"][0]["place"] == "seed-0/model.keras"
    assert kept["run_info"] == {"threads": 1}
    assert kept["when"].startswith("20")
    assert benchmark.changed(experiment, kept) == []


def test_models_that_changed_or_went_are_named(experiment, tmp_path):
    model, other = experiment.folder / "seed-0" / "model.keras", tmp_path / "other.keras"
    other.write_bytes(b"other weights")
    benchmark.keep(experiment, measured(model, other))
    model.write_bytes(b"other")
    assert benchmark.changed(experiment, benchmark.kept(experiment)) == ["model.keras"]
    other.unlink()
    assert benchmark.changed(experiment, benchmark.kept(experiment)) == ["model.keras", "other.keras"]


def test_it_may_be_moved_with_its_models(experiment, tmp_path):
    benchmark.keep(experiment, measured(experiment.folder / "seed-0" / "model.keras"))
    experiment.folder.rename(tmp_path / "moved")
    moved = Experiment(tmp_path / "moved")
    assert benchmark.changed(moved, benchmark.kept(moved)) == []


def test_models_from_elsewhere_alone_are_none_of_the_experiments_business(experiment, tmp_path):
    other = tmp_path / "other.keras"
    other.write_bytes(b"weights")
    assert not benchmark.keep(experiment, measured(other))
    assert not benchmark.keep(Experiment(tmp_path / "nowhere"), measured(other))
    assert benchmark.kept(experiment) is None
    assert not (tmp_path / "nowhere").exists()


def test_what_was_changed_by_hand_is_not_taken(experiment):
    benchmark.keep(experiment, measured(experiment.folder / "seed-0" / "model.keras"))
    path = experiment.folder / benchmark.NAME
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 2'))
    assert benchmark.kept(experiment) is None
