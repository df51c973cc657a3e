"""A warm start: students that begin with the weights of the baseline, or of a file, through the command line too."""

import json
import os
import shutil

import keras
import numpy as np
import pytest
from command_line import document, run
from heard import Heard
from small_experiment import SET, session

from kdistill import config as configs
from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.recipes import make
from kdistill.runs import Experiment, differences, judge, specification

FROM_BASELINE = "student.initial_weights=baseline"
STILL = ["student.learning_rate=1e-30", "student.optimizer=sgd"]  # nothing is learnt: a run ends where it starts
ALL = "controls=[smoothed, pseudo, shuffled, self, continued]"
STARTS_THERE = ["distilled", "pseudo", "self", "shuffled", "smoothed"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A teacher and a baseline."""
    own = session(tmp_path_factory.mktemp("warm"), ALL, listener=Heard())
    for arm in ("teacher", "baseline"):
        make.make(own, arm, 0)
    return own


@pytest.fixture
def still(trained, tmp_path, monkeypatch):
    """Return a session that learns nothing, in which the trained baseline and teacher are there."""
    monkeypatch.setattr(make, "check_start", lambda *_: None)  # it would refuse a baseline that was trained otherwise

    def open_session(*overrides, heard=None):
        own = session(tmp_path, ALL, *STILL, *overrides, listener=heard or Heard())
        own.baselines = trained.experiment
        return own

    return open_session


def taught_by(own, trained, arm):
    """Make a run of an arm whose baseline and teacher are those of another session's folder."""
    teacher = trained.experiment.run("teacher", 0)
    return make.make(own, arm, 0, teacher)["weights_sha256"]


@pytest.mark.parametrize("arm", [arm for arm in STARTS_THERE if arm != "self"])
def test_students_but_the_baseline_start_from_the_weights_of_the_baseline(trained, still, arm):
    baseline = trained.experiment.run("baseline", 0)
    assert taught_by(still(FROM_BASELINE), trained, arm) == baseline.weights
    fresh = still("name=fresh")
    assert taught_by(fresh, trained, arm) != baseline.weights


def test_the_baseline_is_that_of_a_fresh_start(trained, tmp_path):
    own = session(tmp_path, FROM_BASELINE, listener=Heard())
    made = make.make(own, "baseline", 0)
    assert made["weights_sha256"] == trained.experiment.run("baseline", 0).weights
    assert specification(own.config, "baseline", 0) == specification(trained.config, "baseline", 0)


def test_a_distilled_student_goes_on_from_the_baseline_to_the_bit(trained, tmp_path):
    """It is what the student of a file with the baseline's layers and weights becomes."""
    baseline = trained.experiment.run("baseline", 0).model_file
    teacher = trained.experiment.run("teacher", 0)
    warm = session(tmp_path, FROM_BASELINE, listener=Heard())
    warm.baselines = trained.experiment
    layers = f"student={{model: {baseline}, initial_weights: file}}"
    of_file = session(tmp_path, "name=file", layers, listener=Heard())
    assert (
        make.make(warm, "distilled", 0, teacher)["weights_sha256"]
        == make.make(of_file, "distilled", 0, teacher)["weights_sha256"]
    )


def test_the_comparison_is_said_to_be_unfair_without_the_control(trained, tmp_path):
    heard = Heard()
    own = session(tmp_path, FROM_BASELINE, listener=heard)
    own.baselines = trained.experiment
    result = make.make(own, "distilled", 0, trained.experiment.run("teacher", 0))
    assert any("the control `continued`" in warning for warning in heard.warnings)
    assert any("the control `continued`" in warning for warning in result["warnings"])
    assert result["formula"].endswith(", from the weights of the baseline")
    told = Heard()
    fair = session(tmp_path, "name=fair", FROM_BASELINE, "controls=[continued]", listener=told)
    fair.baselines = trained.experiment
    make.make(fair, "distilled", 0, trained.experiment.run("teacher", 0))
    assert not any("continued" in warning for warning in told.warnings)


def test_the_identity_has_the_weights_of_the_baseline(trained, tmp_path):
    plain, warm = configs.load("quickstart", [ALL]), configs.load("quickstart", [ALL, FROM_BASELINE])
    for arm in ("teacher", "baseline", "continued"):
        assert specification(plain, arm, 0, "t") == specification(warm, arm, 0, "t", start_weights="b")
    for arm in STARTS_THERE:
        fresh, started, other = (
            specification(plain, arm, 0, "t"),
            specification(warm, arm, 0, "t", start_weights="b"),
            specification(warm, arm, 0, "t", start_weights="c"),
        )
        assert started == fresh | {"start_weights": "b"}
        assert differences(fresh, started) == ["student.initial_weights: was fresh, is now baseline"]
        assert differences(started, fresh) == ["student.initial_weights: was baseline, is now fresh"]
        assert differences(started, other) == ["student.initial_weights: the baseline is another one"]
        unknown = specification(warm, arm, 0, "t")
        assert differences(fresh, unknown) == ["student.initial_weights: was fresh, is now baseline"]


def test_a_run_from_a_fresh_start_is_not_taken_for_a_warm_one(trained, tmp_path):
    place = ["--output-dir", tmp_path]
    for command in ("train-teacher", "baseline", "distill"):
        run(command, *SET, *place)
    found = run("distill", *SET, "--set", FROM_BASELINE, *place, code=7)
    assert "student.initial_weights: was fresh, is now baseline" in found.stderr


def test_reproduce_trains_the_baseline_first_and_reuses_all(tmp_path):
    command = ["reproduce", *SET, "--set", FROM_BASELINE, "--set", "controls=[smoothed, continued]", "--seeds", 1]
    found = document(*command, "--workers", 1, "--output-dir", tmp_path)
    assert found["formula"].endswith(", from the weights of the baseline")
    assert found["failed"] == []
    experiment = Experiment(tmp_path / "quickstart")
    assert experiment.run("distilled", 0).started_from == experiment.run("baseline", 0).weights
    before = {path: path.stat().st_mtime_ns for path in experiment.folder.rglob("model.keras")}
    again = document(*command, "--workers", 1, "--output-dir", tmp_path)
    assert again["arms"] == found["arms"]
    assert {path: path.stat().st_mtime_ns for path in experiment.folder.rglob("model.keras")} == before
    scored = document("evaluate", *command[1:-2], "--output-dir", tmp_path)
    assert set(scored["arms"]) == {"teacher", "baseline", "distilled", "smoothed", "continued"}
    planned = document(*command, "--output-dir", tmp_path, "--dry-run")
    assert {row["state"] for row in planned["runs"]} == {"complete"}
    assert all(
        row["state"] == "complete" for row in document("runs", "ls", "--output-dir", tmp_path)["experiments"][0]["runs"]
    )


def test_distill_without_the_baseline_says_how_to_make_it(tmp_path):
    place = [*SET, "--set", FROM_BASELINE, "--output-dir", tmp_path]
    run("train-teacher", *place)
    for more in ([], ["--dry-run"]):
        found = run("distill", *place, *more, code=4)
        assert "starts from the weights of a finished baseline" in found.stderr
        assert "kdistill baseline" in found.stderr


def test_a_baseline_of_another_config_is_no_start(trained, tmp_path):
    shutil.copytree(trained.experiment.folder, tmp_path / "quickstart")
    options = [*SET, "--set", FROM_BASELINE, "--set", "student.l2=0.1", "--output-dir", tmp_path]
    for dry in ([], ["--dry-run"]):
        refused = run("distill", *options, *dry, code=7).stderr
        assert "this baseline run was made from another config" in refused
        assert "student.l2: was 0.0, is now 0.1" in refused
        assert "kdistill baseline --overwrite" in refused
    assert not (tmp_path / "quickstart/seed-0/distilled").exists()


@pytest.mark.parametrize("axis", ["distill.temperature=1,4", "student.hidden=[16],[8]"])
def test_a_sweep_starts_from_baselines_of_the_same_student(tmp_path, axis):
    grid = ["--grid", axis, "--seeds", 1, "--workers", 1, "--set", FROM_BASELINE]
    found = document("sweep", *SET, *grid, "--output-dir", tmp_path)
    assert found["failed"] == []
    shared = "temperature" in axis
    for cell in (tmp_path / "quickstart" / "cells").iterdir():
        own, home = Experiment(cell), Experiment(tmp_path / "quickstart")
        config = configs.load(cell / "config.yaml")
        source = home if shared or config.student.hidden == (16,) else own
        assert own.run("distilled", 0).started_from == source.run("baseline", 0).weights
    planned = document("sweep", *SET, *grid, "--output-dir", tmp_path, "--dry-run")
    assert {row["state"] for row in planned["runs"]} == {"complete"}
    again = document("sweep", *SET, *grid, "--output-dir", tmp_path)
    assert again["cells"] == found["cells"]


def test_from_a_file_every_student_starts_there(trained, still):
    file = trained.experiment.run("baseline", 0).model_file
    heard = Heard()
    own = still(f"student.initial_weights={file}", heard=heard)
    expected = trained.experiment.run("baseline", 0).weights
    for arm in ("baseline", "distilled", "smoothed"):
        assert taught_by(own, trained, arm) == expected
    assert any("Every student starts from the weights in" in note for note in heard.notes)
    spec = own.experiment.run("baseline", 0).manifest["spec"]
    assert len(spec["student"]["initial_weights"]) == 64
    assert "start_weights" not in spec


def test_where_the_file_lies_does_not_matter_and_what_is_in_it_does(trained, tmp_path):
    first, copy, other = (tmp_path / name for name in ("first.keras", "copy.keras", "other.keras"))
    first.write_bytes(trained.experiment.run("baseline", 0).model_file.read_bytes())
    os.link(first, copy)
    model = models.load(first)
    model.set_weights([weight + np.float32(1) for weight in model.get_weights()])
    models.save(model, other)
    specs = [
        specification(configs.load("quickstart", [f"student.initial_weights={path}"]), "baseline", 0)
        for path in (first, copy, other)
    ]
    assert specs[0] == specs[1]
    assert differences(specs[0], specs[2]) == ["student.initial_weights: is another one"]


def test_a_relative_file_starts_from_the_folder_of_the_config(trained, tmp_path):
    (tmp_path / "first.keras").write_bytes(trained.experiment.run("baseline", 0).model_file.read_bytes())
    text = "data: {dataset: digits}\nteacher: {hidden: [16]}\nstudent: {hidden: [16], initial_weights: first.keras}\n"
    (tmp_path / "mine.yaml").write_text(text)
    assert configs.load(tmp_path / "mine.yaml").student.weights_file == str(tmp_path / "first.keras")
    (tmp_path / "mine.yaml").write_text(text.replace("first", "second"))
    found = run("config", "check", tmp_path / "mine.yaml", code=3)
    assert "student.initial_weights: there is no such file or folder" in found.stderr


def saved(path, *layers):
    keras.Sequential([keras.Input((8, 8)), keras.layers.Rescaling(1 / 16), keras.layers.Flatten(), *layers]).save(path)
    return path


DENSE = keras.layers.Dense


@pytest.mark.parametrize(
    ("layers", "what"),
    [
        (lambda: [DENSE(32, "relu"), DENSE(10)], "layer 1 is Dense(units 32, activation relu; weights 64 x 32, 32)"),
        (lambda: [DENSE(16, "tanh"), DENSE(10)], "layer 1 is Dense(units 16, activation tanh"),
        (lambda: [DENSE(16, "relu"), DENSE(16, "relu"), DENSE(10)], "layer 2 is Dense(units 16, activation relu"),
        (lambda: [DENSE(10)], "layer 1 is Dense(units 10, activation linear"),
    ],
    ids=["wider", "other activation", "deeper", "no hidden layer"],
)
def test_another_architecture_is_refused_before_anything_is_trained(tmp_path, layers, what):
    file = saved(tmp_path / "other.keras", *layers())
    for more in ([], ["--dry-run"]):
        place = ["--set", f"student.initial_weights={file}", "--output-dir", tmp_path / "runs"]
        found = run("reproduce", *SET, *place, "--workers", 1, *more, code=4)
        assert what in " ".join(found.stderr.split())
        assert "in the student" in " ".join(found.stderr.split())
        assert not list((tmp_path / "runs").rglob("history.jsonl"))


def test_a_file_of_the_same_layers_from_elsewhere_is_taken(tmp_path):
    file = saved(tmp_path / "same.keras", DENSE(16, "relu"), keras.layers.Dropout(0.5), DENSE(10))
    own = session(tmp_path, f"student.initial_weights={file}", *STILL, listener=Heard())
    make.make(own, "baseline", 0)
    made = models.load(own.experiment.run("baseline", 0).model_file)
    for before, after in zip(models.load(file).get_weights()[-4:], made.get_weights()[-4:], strict=True):
        np.testing.assert_allclose(before, after, atol=1e-20)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.initial_weights=basline", "received basline; did you mean 'baseline'?"),
        (
            "student.initial_weights=weights.h5",
            "expected fresh, file, baseline or a `.keras` file; received weights.h5",
        ),
        ("student.initial_weights=3", "expected fresh, file, baseline or a `.keras` file; received 3"),
        ("teacher.initial_weights=baseline", "only a student has a warm start"),
        ("teacher.initial_weights=a.keras", "only a student has a warm start"),
    ],
)
def test_other_starts_are_refused(tmp_path, override, message):
    found = run("reproduce", "--set", override, "--output-dir", tmp_path / "runs", code=3)
    assert message in " ".join(found.stderr.split())


def test_a_missing_file_is_named_before_anything_is_trained(tmp_path):
    place = ["--set", f"student.initial_weights={tmp_path / 'no.keras'}", "--output-dir", tmp_path / "runs"]
    found = run("reproduce", *SET, *place, code=4)
    assert "no.keras: no such model file" in found.stderr


def test_a_damaged_baseline_is_no_start(trained, tmp_path):
    own = session(tmp_path, FROM_BASELINE, listener=Heard())
    make.make(own, "teacher", 0)
    make.make(own, "baseline", 0)
    file = own.experiment.run("baseline", 0).model_file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match="starts from the weights of a finished baseline"):
        make.make(own, "distilled", 0)
    assert not judge(own.experiment.run("distilled", 0)).counts


def test_a_config_keeps_its_start(tmp_path):
    warm = configs.load("quickstart", [FROM_BASELINE])
    assert configs.resolved(warm)["student"]["initial_weights"] == "baseline"
    assert json.loads(json.dumps(configs.resolved(warm))) == configs.resolved(warm)
    assert "initial_weights" not in configs.resolved(configs.load("quickstart"))["student"]
