"""Which model a command means."""

import json
import shutil
from pathlib import Path

import own_data
import pytest
from small_experiment import session

from kdistill.core.errors import ModelError
from kdistill.deploy import benchmark as benchmarks
from kdistill.deploy import export_records, targets
from kdistill.recipes.make import make


def test_a_run_is_its_model_and_knows_its_config(experiment_copy):
    folder = experiment_copy / "quickstart/seed-0/distilled"
    target = targets.find(folder)
    assert target.path == folder / "model.keras"
    assert (target.run.arm, target.run.seed) == ("distilled", 0)
    assert target.config_file == (experiment_copy / "quickstart/config.yaml").absolute()
    assert targets.find(folder / "model.keras") == target


def test_a_run_is_found_from_inside(experiment_copy, monkeypatch):
    folder = experiment_copy / "quickstart/seed-0/distilled"
    (folder / "inner").mkdir()
    for inside, path in ((folder, Path()), (folder / "inner", Path(".."))):
        monkeypatch.chdir(inside)
        target = targets.find(path)
        assert target.path.resolve() == (folder / "model.keras").resolve()
        assert (target.run.arm, target.run.seed) == ("distilled", 0)
        assert [entry.name for entry in benchmarks._entries(session(experiment_copy), [target])] == [
            "teacher",
            "distilled",
        ]


def test_a_run_of_a_sweep_finds_the_config_of_the_whole(experiment_copy):
    home = experiment_copy / "quickstart"
    cell = home / "cells/abc/seed-0/distilled"
    shutil.copytree(home / "seed-0/distilled", cell)
    assert targets.find(cell).config_file == (home / "config.yaml").absolute()


def test_a_file_from_elsewhere_has_no_config(experiment_copy, tmp_path):
    shutil.copy(experiment_copy / "quickstart/seed-0/teacher/model.keras", tmp_path / "big.keras")
    target = targets.find(tmp_path / "big.keras")
    assert (target.run, target.config_file) == (None, None)


def test_what_is_no_finished_run_is_refused(experiment_copy, tmp_path):
    home = experiment_copy / "quickstart"
    with pytest.raises(ModelError, match="received that of an experiment") as refused:
        targets.find(home)
    assert refused.value.hint == f"The folder of a run is such as {home / 'seed-0/distilled'}."
    with pytest.raises(ModelError, match=r"it has no manifest\.json"):
        targets.find(home / "seed-0")
    with pytest.raises(ModelError, match="no such model"):
        targets.find(tmp_path / "nothing")
    (home / "seed-0/baseline/model.keras").write_bytes(b"something else")
    with pytest.raises(ModelError, match="its SHA-256 differs"):
        targets.find(home / "seed-0/baseline")
    (home / "seed-0/teacher/result.json").unlink()
    with pytest.raises(ModelError, match="missing or not finished"):
        targets.find(home / "seed-0/teacher")


def test_the_models_of_an_experiment(experiment_copy):
    found = targets.of_experiment(session(experiment_copy))
    assert [target.run.arm for target in found] == ["teacher", "baseline", "distilled"]
    shutil.rmtree(experiment_copy / "quickstart/seed-0/distilled")
    assert len(targets.of_experiment(session(experiment_copy))) == 2
    with pytest.raises(ModelError, match="no finished distilled run of seed 0"):
        targets.of_experiment(session(experiment_copy), ["distilled"])


def test_a_model_of_other_data_is_refused(experiment_copy, tmp_path):
    run = targets.find(experiment_copy / "quickstart/seed-0/distilled")
    targets.check_data(run, session(experiment_copy))
    # The same pixels, divided in another way, are the same data.
    targets.check_data(run, session(experiment_copy, "data.split_seed=1"))
    other = session(experiment_copy)
    object.__setattr__(other.splits, "fingerprint", "another")
    with pytest.raises(ModelError, match="trained on other data than that of the config `quickstart`"):
        targets.check_data(run, other)


def test_classes_in_another_order_are_refused(experiment_copy, tmp_path):
    shutil.copy(experiment_copy / "quickstart/seed-0/teacher/model.keras", tmp_path / "big.keras")
    target = targets.find(tmp_path / "big.keras")
    targets.check_data(target, session(experiment_copy))
    (tmp_path / "classes.json").write_text(json.dumps(list("1023456789")))
    with pytest.raises(ModelError, match="received one of 1, 0, 2"):
        targets.check_data(target, session(experiment_copy))


def record(export, **data):
    export.write_bytes(b"an export")
    about = {"format": "litert", "quantize": "none", "outputs": "logits", "model": "a.keras", "model_sha256": "0" * 64}
    export_records.write(export, {**about, "data": data})
    return targets.find(export)


def test_an_export_for_other_data_is_refused(experiment_copy, tmp_path):
    own = session(experiment_copy)
    splits = own.splits
    same = {"fingerprint": splits.fingerprint, "split_fingerprint": splits.split_fingerprint}
    targets.check_data(record(tmp_path / "a.tflite", **same), own)
    with pytest.raises(ModelError, match="was exported for other data than that of the config `quickstart`"):
        targets.check_data(record(tmp_path / "b.tflite", **same | {"fingerprint": "0" * 64}), own)
    # Another part held back for validation leaves the test part of a named data set what it is.
    targets.check_data(record(tmp_path / "c.tflite", **same | {"split_fingerprint": "0" * 64}), own)


def test_a_test_part_that_is_held_back_otherwise_is_refused(tmp_path):
    """What the model was trained on may be in it."""
    path = own_data.write_npz(tmp_path / "a.npz", x_test=None, y_test=None)
    settings = [f"data={{dataset: npz, path: {path}, test: 0.25, validation: 0.2}}", "training.batch_size=4"]
    own = session(tmp_path / "runs", *settings)
    make(own, "baseline", 0)
    target = targets.of_run(own.experiment.run("baseline", 0))
    targets.check_data(target, own)
    with pytest.raises(ModelError, match="its training examples may be in this test split"):
        targets.check_data(target, session(tmp_path / "runs", *settings, "data.split_seed=1"))
