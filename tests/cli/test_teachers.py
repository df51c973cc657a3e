"""Teachers from elsewhere, several of them, logits of other programs, and augmentation: through the real CLI."""

import json
import shutil
import signal
import subprocess

import keras
import numpy as np
import pytest
from command_line import document, run
from interrupting import signal_at
from sklearn.linear_model import LogisticRegression
from small_experiment import SET

from kdistill.deploy import benchmark as benchmarks
from kdistill.deploy import measure_process
from kdistill.evaluation import predict as evaluation
from kdistill.runs import Experiment
from kdistill.training import fit

SHORT = [*SET, "--set", "training.epochs=2"]
MOVED = ["--set", "augmentation={shift: 1, flip: true, crop: 1}"]


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "240")


def distilled(folder, seed=0):
    return Experiment(folder / "quickstart").run("distilled", seed)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """The digits as another program gets them."""
    path = tmp_path_factory.mktemp("arrays") / "digits.npz"
    run("data", "export", path)
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


@pytest.fixture(scope="module")
def teachers(arrays, tmp_path_factory):
    """A CNN that takes values from -1 to 1 and ends in a softmax, and a plain network that takes raw ones."""
    folder = tmp_path_factory.mktemp("teachers")
    x, y = arrays["x_train"].astype(np.float32), arrays["y_train"]
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten()]
    cnn = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, activation="softmax")])
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    plain = keras.Sequential([keras.Input((8, 8)), *layers])
    for model, values, from_logits in ((cnn, x[..., None] / 8 - 1, False), (plain, x, True)):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        model.compile(keras.optimizers.Adam(0.01), loss)
        model.fit(values, y, epochs=4, batch_size=64, verbose=0)
    cnn.save(folder / "cnn.keras")
    plain.save(folder / "plain.keras")
    return folder


def test_a_cnn_from_elsewhere_teaches_once_its_values_are_scaled(teachers, arrays, tmp_path):
    teacher = ["--teacher", teachers / "cnn.keras"]
    raw = run("distill", *teacher, "--output-dir", tmp_path / "raw", *SHORT, "--json")
    signed = ["--set", "teacher.preprocessing=signed", "--output-dir", tmp_path / "signed", *SHORT]
    result = run("distill", *teacher, *signed)
    assert "the images get a channel axis" in result.stderr
    assert "softmax, which was taken off" in result.stderr
    found = distilled(tmp_path / "signed").result["teacher_validation"]
    assert found["accuracy"] > 0.85
    assert f"Teacher: validation accuracy {found['accuracy']:.4f} ({teachers / 'cnn.keras'})" in result.stderr
    assert found["nll"] < json.loads(raw.stdout)["teacher_validation"]["nll"]
    assert distilled(tmp_path / "signed").manifest["spec"]["teacher_weights"].endswith(" signed")
    assert "complete, reused" in run("distill", *teacher, *signed).stderr
    refused = run("distill", *teacher, "--output-dir", tmp_path / "signed", *SHORT, code=7)
    assert "teacher.preprocessing: was signed, is now none" in refused.stderr
    scores = document("evaluate", *signed)["arms"]
    assert 0 < scores["distilled"]["agreement"] <= 1
    chosen = keras.saving.load_model(teachers / "cnn.keras")(arrays["x_test"][..., None] / 8 - 1).numpy().argmax(-1)
    assert scores["teacher"]["accuracy"] == pytest.approx((chosen == arrays["y_test"]).mean())
    assert scores["teacher"]["files"] == [str(teachers / "cnn.keras")]
    assert scores["teacher"]["agreement"] is None


def test_two_teachers_teach_together_in_any_order(teachers, tmp_path):
    first, second = (["--teacher", teachers / name] for name in ("plain.keras", "cnn.keras"))
    place = ["--output-dir", tmp_path, *SHORT, "--set", "teacher.preprocessing=signed"]
    plan = document("distill", *first, *second, *place, "--dry-run")
    assert plan["teacher"]["validation_accuracy"] > 0.7
    result = document("distill", *first, *second, *place)
    assert "mean of 2 softmax(teacher/4)" in result["formula"] == plan["formula"]
    assert result["soft_targets"] == "computed once"
    assert "complete, reused" in run("distill", *second, *first, *place).stderr
    listed = f"distill.teachers=[{teachers / 'plain.keras'}, {teachers / 'cnn.keras'}]"
    assert "complete, reused" in run("distill", *place, "--set", listed).stderr
    refused = run("distill", *first, *place, code=7)
    assert "teachers: were 2, are now 1" in refused.stderr
    assert "given twice" in run("distill", *first, *first, *place, code=4).stderr
    scores = document("evaluate", *place)["arms"]["distilled"]
    assert scores["agreement"] is not None
    assert scores["kl_to_teacher"] > 0


def test_reproduce_compares_students_of_teachers_that_the_config_names(teachers, tmp_path):
    place = ["--output-dir", tmp_path, *SHORT, "--set", f"distill.teachers=[{teachers / 'plain.keras'}]"]
    place += ["--set", "teacher={}"]  # no teacher is trained here, and none needs layers
    plan = document("reproduce", "--seeds", 2, *place, "--dry-run")
    assert [row["arm"] for row in plan["runs"]] == ["baseline", "distilled"] * 2
    summary = document("reproduce", "--seeds", 2, "--workers", 1, *place)
    assert len(summary["arms"]["teacher"]["accuracy"]["values"]) == 1
    assert len(summary["arms"]["distilled"]["accuracy"]["values"]) == 2
    assert summary["teachers"] == [str(teachers / "plain.keras")]
    assert summary["teacher_seeds"] == []
    assert not (tmp_path / "quickstart/seed-0/teacher").exists()
    model = keras.saving.load_model(teachers / "plain.keras")
    assert summary["arms"]["teacher"]["parameters"] == model.count_params() == 650
    assert document("reproduce", "--seeds", 2, "--workers", 1, *place)["arms"] == summary["arms"]
    assert "no teacher is trained here" in run("reproduce", "--teacher-seeds", 1, *place, code=3).stderr
    for dry in ([], ["--dry-run"]):
        assert "teacher.hidden: this key is missing" in run("train-teacher", *place, *dry, code=3).stderr
    missing = ["--set", "distill.teachers=[nope.keras]", *SHORT, "--output-dir", tmp_path / "x"]
    assert "nope.keras: no such model file" in run("reproduce", *missing, code=4).stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_run_that_others_taught_is_found_before_anything_is_trained(teachers, tmp_path, monkeypatch):
    """Where only the opened teacher tells, and where its keys do; of teachers given and of the experiment's own."""
    here, own = tmp_path / "given.keras", ["--seeds", 2, "--workers", 1, "--output-dir", tmp_path, *SHORT]
    shutil.copy(teachers / "plain.keras", here)
    given = [*own, "--set", f"distill.teachers=[{here}]", "--set", "name=given"]
    run("reproduce", *given)
    run("reproduce", *own)
    for name in ("given", "quickstart"):
        for gone in ("baseline", "teacher"):
            shutil.rmtree(tmp_path / name / "seed-0" / gone, ignore_errors=True)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(fit, "Fit", None)
    warmer = ["--set", "distill.T=9"]
    for command in (["reproduce"], ["reproduce", "--part", "1/2"], ["reproduce", "--dry-run"]):
        for line in ([*given, *warmer], [*own, *warmer]):
            refused = run(*command, *line, code=7).stderr
            assert "seed-0/distilled: this distilled run was made from another config" in refused
            assert "distill.temperature: was 4.0, is now 9.0" in refused
    shutil.copy(teachers / "cnn.keras", here)
    for command in (["reproduce"], ["reproduce", "--part", "1/2"], ["reproduce", "--dry-run"]):
        assert "teacher: is another one" in run(*command, *given, code=7).stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sweep_finds_that_its_teacher_is_another_before_anything_is_trained(teachers, tmp_path, monkeypatch):
    here = tmp_path / "given.keras"
    shutil.copy(teachers / "plain.keras", here)
    grid = ["sweep", "--grid", "distill.T=1,4", "--set", f"distill.teachers=[{here}]", "--seeds", 1, *SHORT]
    run(*grid, "--workers", 1, "--output-dir", tmp_path)
    shutil.copy(teachers / "cnn.keras", here)
    monkeypatch.setattr(fit, "Fit", None)
    for more in ([], ["--dry-run"], ["--part", "1/2"]):
        assert "teacher: is another one" in run(*grid, *more, "--output-dir", tmp_path, code=7).stderr


def test_a_teacher_that_does_not_fit_is_found_before_the_baselines_are_trained(teachers, tmp_path, monkeypatch):
    three = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(3)])
    three.save(tmp_path / "three.keras")
    np.savez(tmp_path / "data.npz", x_train=np.zeros(3))
    monkeypatch.setattr(fit, "Fit", None)
    common = ["--seeds", 1, *SHORT, "--output-dir", tmp_path / "o"]
    for name, problem in (("three.keras", "expected one output of shape (10,)"), ("data.npz", "an array `train`")):
        given = ["--set", f"distill.teachers=[{tmp_path / name}]"]
        assert problem in run("reproduce", *given, *common, code=4).stderr
        assert problem in run("sweep", "--grid", "distill.T=1,4", *given, *common, code=4).stderr
    assert not (tmp_path / "o").exists()


def test_a_config_without_a_teacher_is_complete_with_one_on_the_command_line(teachers, tmp_path):
    (tmp_path / "alone.yaml").write_text("student: {hidden: [4]}\ntraining: {epochs: 1}\n")
    common = ["-c", tmp_path / "alone.yaml", "--output-dir", tmp_path]
    for command in ("train-teacher", "reproduce", "distill", "sweep"):
        grid = ["--grid", "distill.T=1,2"] if command == "sweep" else []
        for more in ([], ["--dry-run"]):
            refused = run(command, *common, *grid, *more, code=3).stderr
            assert "teacher.hidden: this key is missing: there is no teacher to train" in refused
            assert "kdistill distill --teacher" in refused
    teacher = ["--teacher", teachers / "plain.keras"]
    assert document("distill", *common, *teacher, "--dry-run")["runs"][0]["state"] == "to train"
    assert document("distill", *common, *teacher)["arm"] == "distilled"
    assert document("baseline", *common)["arm"] == "baseline"
    assert document("evaluate", teachers / "plain.keras", *common)["models"][0]["accuracy"] > 0.5


def test_a_dry_run_warns_of_what_the_run_would_warn_of(tmp_path):
    """A teacher that always says the same knows nothing."""
    keras.utils.set_random_seed(0)
    constant = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)])
    constant.layers[-1].set_weights([np.zeros((64, 10)), np.arange(10.0)])
    constant.save(tmp_path / "constant.keras")
    common = ["--output-dir", tmp_path, *SHORT]
    given = ["distill", "--teacher", tmp_path / "constant.keras", *common]
    plan, told = run(*given, "--dry-run", "--json"), "no better than predicting the most frequent class"
    assert told in plan.stderr
    assert any(told in warning for warning in json.loads(plan.stdout)["warnings"])
    known = json.loads(plan.stdout)["warnings"]
    assert document(*given)["warnings"][: len(known)] == known  # what the student learnt is known after its training
    selects = run("baseline", *common, "--set", "data.validation=test", "--dry-run")
    assert "Early stopping chose the epoch on the test split" in selects.stderr
    shrunk = ["--set", "teacher={hidden: [16], l2: 100, learning_rate: 0.05, epochs: 5, monitor: val_loss}"]
    run("train-teacher", *common, *shrunk, "--set", "name=own")
    for more in (["--dry-run"], []):
        assert told in run("distill", *common, *shrunk, "--set", "name=own", *more).stderr


def test_a_sweep_may_try_teachers(teachers, tmp_path):
    tried = f"distill.teachers=[{teachers / 'plain.keras'}],[{teachers / 'cnn.keras'}]"
    summary = document("sweep", "--grid", tried, "--seeds", 1, "--workers", 1, "--output-dir", tmp_path, *SHORT)
    assert [cell["status"] for cell in summary["cells"]] == ["done", "done"]
    assert summary["test"]["arms"]["teacher"]["parameters"] in (650, 2970)
    assert not list(tmp_path.glob("**/teacher"))


@pytest.mark.slow
def test_a_teacher_of_scikit_learn_teaches_by_its_logits(arrays, tmp_path):
    x = {part: arrays[f"x_{part}"].reshape(-1, 64) / 16 for part in ("train", "test")}
    model = LogisticRegression(max_iter=200).fit(x["train"], arrays["y_train"])
    logits = {part: model.predict_log_proba(values) for part, values in x.items()}
    path = tmp_path / "logits.npz"
    told = {"labels": arrays["y_train"], "classes": model.classes_, "fingerprint": arrays["fingerprint"]}
    np.savez(path, **logits, **told)
    place = ["--output-dir", tmp_path / "o", *SHORT]
    result = document("distill", "--teacher-logits", path, *place)
    assert result["teacher_validation"]["accuracy"] > 0.94
    chosen = keras.saving.load_model(distilled(tmp_path / "o").model_file)(arrays["x_test"]).numpy().argmax(-1)
    arms = document("evaluate", *place)["arms"]
    assert arms["distilled"]["agreement"] == pytest.approx((chosen == logits["test"].argmax(-1)).mean())
    assert arms["teacher"]["accuracy"] == pytest.approx((logits["test"].argmax(-1) == arrays["y_test"]).mean())
    assert arms["teacher"]["parameters"] is arms["teacher"]["file_bytes"] is None
    assert "complete, reused" in run("distill", "--teacher-logits", path, *place).stderr
    np.savez(path, train=logits["train"], **told)
    assert "complete, reused" in run("distill", "--teacher-logits", path, *place).stderr
    without = run("evaluate", *place, "--json")
    assert "has no logits for the test split: the teacher is not scored" in without.stderr
    assert list(json.loads(without.stdout)["arms"]) == ["distilled"]
    assert json.loads(without.stdout)["arms"]["distilled"]["agreement"] is None
    named = ["--set", f"distill.teachers=[{path}]", "--output-dir", tmp_path / "p", *SHORT]
    assert "expected logits for the test split" in run("reproduce", "--seeds", 1, *named, code=4).stderr
    assert not (tmp_path / "p").exists()
    np.savez(path, **logits, **told)
    table = run("reproduce", "--seeds", 1, "--workers", 1, *named).stdout
    assert f"{(logits['test'].argmax(-1) == arrays['y_test']).mean():.4f}" in table
    np.savez(path, train=np.exp(logits["train"]), **told)
    refused = run("distill", "--teacher-logits", path, "--output-dir", tmp_path / "q", *SHORT, code=4)
    assert "these are probabilities" in refused.stderr
    assert "np.log" in refused.stderr
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--teacher-logits", "logits.csv"], 2, "expected the path of a .npz file; received 'logits.csv'"),
        (["--teacher-logits", "nope.npz"], 4, "nope.npz: no such file of logits"),
        (["--teacher", "nope.keras"], 4, "nope.keras: no such model file"),
    ],
)
def test_teachers_that_are_not_there(arguments, code, message, tmp_path):
    assert message in run("distill", *arguments, "--output-dir", tmp_path / "o", *SHORT, code=code).stderr
    assert not (tmp_path / "o").exists()


def test_what_cannot_be_augmented_is_refused_before_anything_is_trained(arrays, tmp_path):
    rows = np.zeros((len(arrays["y_train"]), 10), np.float32)
    np.savez(tmp_path / "l.npz", train=rows, labels=arrays["y_train"])
    place = ["--output-dir", tmp_path / "o", *SHORT]
    refused = run("distill", "--teacher-logits", tmp_path / "l.npz", *MOVED, *place, code=4)
    assert "has no model that computes the logits" in refused.stderr
    too_far = ["--set", "augmentation.shift=8"]
    for command in (["baseline"], ["reproduce"], ["baseline", "--dry-run"]):
        assert "expected fewer pixels than the images have" in run(*command, *too_far, *place, code=3).stderr
    assert not (tmp_path / "o/quickstart/seed-0/distilled").exists()


def test_an_augmented_experiment_says_so_and_its_teacher_sees_the_same_images(teachers, tmp_path, monkeypatch):
    asked = []
    original = evaluation.logits
    monkeypatch.setattr(
        evaluation, "logits", lambda predict, split: asked.append(len(split)) or original(predict, split)
    )
    place = ["--output-dir", tmp_path, *SHORT, *MOVED]
    summary = run("distill", "--teacher", teachers / "plain.keras", *place)
    assert "the teacher's logits are computed for every image" in summary.stderr
    result = distilled(tmp_path).result
    assert result["augmentation"] == {"shift": 1, "flip": True, "crop": 1}
    assert result["soft_targets"] == "computed for every augmented image"
    assert 1131 not in asked  # the logits of the training split are of other images
    refused = run("distill", "--teacher", teachers / "plain.keras", "--output-dir", tmp_path, *SHORT, code=7)
    assert 'augmentation: was {"shift": 1' in refused.stderr
    baseline = document("baseline", *place)
    assert "soft_targets" not in baseline
    assert baseline["augmentation"] == result["augmentation"]


@pytest.mark.slow
def test_an_interrupted_augmented_run_ends_as_if_nothing_had_happened(teachers, tmp_path, monkeypatch):
    long = ["--set", "training.epochs=6", "--set", "student.dropout=0.2", *MOVED, "--teacher", teachers / "plain.keras"]
    run("distill", *long, "--output-dir", tmp_path / "whole")
    with monkeypatch.context() as patch:
        signal_at(patch, 3, signal.SIGINT)
        run("distill", *long, "--output-dir", tmp_path / "parts", code=130)
    assert "resuming at epoch 4" in run("distill", *long, "--output-dir", tmp_path / "parts").stderr
    whole, parts = (distilled(tmp_path / name) for name in ("whole", "parts"))
    assert whole.result["weights_sha256"] == parts.result["weights_sha256"]
    assert [{**r, "seconds": 0} for r in whole.history()] == [{**r, "seconds": 0} for r in parts.history()]


def test_a_teacher_of_the_same_weights_and_other_layers_is_another_one(teachers, tmp_path):
    """As where somebody puts the missing scaling in front of it, and saves it under the same name."""
    plain = keras.saving.load_model(teachers / "plain.keras")
    place = ["--teacher", tmp_path / "t.keras", "--output-dir", tmp_path / "o", *SHORT]
    plain.save(tmp_path / "t.keras")
    run("distill", *place)
    assert "complete, reused" in run("distill", *place).stderr
    keras.Sequential([keras.Input((8, 8)), keras.layers.Rescaling(2.0), *plain.layers]).save(tmp_path / "t.keras")
    assert "its layers are others" in run("distill", *place, code=7).stderr
    assert "its layers are others" in run("distill", *place, "--dry-run", code=7).stderr
    run("distill", *place, "--overwrite")


def measured_here(command, **_):
    """What a process of its own would print: a fresh TensorFlow takes seconds."""
    found = measure_process.main({**json.loads(command[-1]), "seconds": 0.0})
    return subprocess.CompletedProcess(command, 0, json.dumps(found), "")


@pytest.mark.slow
def test_benchmark_shows_the_teachers_from_elsewhere_as_they_taught(teachers, tmp_path, monkeypatch):
    """The CNN takes images with a channel axis and values from -1 to 1; its accuracy is that of its logits."""
    both = [argument for name in ("cnn", "plain") for argument in ("--teacher", teachers / f"{name}.keras")]
    place = ["--output-dir", tmp_path, *SHORT, "--set", "teacher.preprocessing=signed"]
    run("distill", *both, *place)
    monkeypatch.setattr(benchmarks.subprocess, "run", measured_here)
    found = document("benchmark", tmp_path / "quickstart/seed-0/distilled")
    rows = {row["name"]: row for row in found["rows"]}
    assert set(rows) == {str(teachers / "cnn.keras"), str(teachers / "plain.keras"), "distilled"}
    assert found["reference"] in (str(teachers / "cnn.keras"), str(teachers / "plain.keras"))
    assert rows[str(teachers / "cnn.keras")]["accuracy"] > 0.85
    for name in ("cnn", "plain"):
        row = rows[str(teachers / f"{name}.keras")]
        assert row["file_bytes"] == (teachers / f"{name}.keras").stat().st_size
        assert row["parameters"] == keras.saving.load_model(teachers / f"{name}.keras").count_params()
    alone = document("benchmark", teachers / "cnn.keras", *place[:2], "--set", "teacher.preprocessing=signed")
    assert alone["rows"][0]["accuracy"] == rows[str(teachers / "cnn.keras")]["accuracy"]  # known from the run
    (moved := tmp_path / "moved.keras").write_bytes((teachers / "plain.keras").read_bytes())
    run("distill", "--teacher", moved, *place, "--overwrite")
    moved.unlink()
    left = run("benchmark", tmp_path / "quickstart/seed-0/distilled", "--json")
    assert "the teacher's file is missing" in left.stderr
    assert [row["name"] for row in json.loads(left.stdout)["rows"]] == ["distilled"]
