"""Models of all kinds through the real command line: blocks and files from a config to the scores, and bad input."""

import json
import signal
from functools import partial
from pathlib import Path

import command_line
import keras
import killing
import pytest
from interrupting import signal_at

from kdistill import modelfiles
from kdistill.runs import Experiment

layers = keras.layers
TEACHER = "teacher: {conv: [6, 8], hidden: [16], batch_norm: true, epochs: 2}\n"
# 39 divides the 1,131 training examples.
COMMON = "data: {dataset: digits}\ntraining: {epochs: 2, batch_size: 39}\n"


run = partial(command_line.run, env={"COLUMNS": "200"})


def small(*tail, shape=(8, 8)):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), *(tail or [layers.Dense(10)])])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a config whose student's layers are those of my.keras beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    small(layers.Dense(6, activation="relu"), layers.Dense(10)).save(tmp_path / "mine" / "my.keras")
    (tmp_path / "mine" / "mine.yaml").write_text(COMMON + TEACHER + "student: {model: my.keras}\n")
    return tmp_path / "mine"


@pytest.mark.slow
def test_convolutional_models_from_the_config_to_the_scores(tmp_path):
    path = tmp_path / "mine.yaml"
    student = "student: {conv: [4, 4], separable: true, global_pool: true, dropout: 0.1}\n"
    path.write_text(COMMON + TEACHER + student)
    place = ["-c", path, "--output-dir", tmp_path / "runs"]
    summary = json.loads(run("reproduce", *place, "--workers", 1, "--json").stdout)
    assert set(summary["arms"]) == {"teacher", "baseline", "distilled"}
    assert json.loads(run("reproduce", *place, "--workers", 1, "--json").stdout)["arms"] == summary["arms"]
    scores = json.loads(run("evaluate", *place, "--json").stdout)["arms"]
    # 9 * 4 + 4, 9 * 4 + 4 * 4 + 4, 4 * 10 + 10.
    assert scores["distilled"]["parameters"] == scores["baseline"]["parameters"] == 40 + 56 + 50
    spec = json.loads((tmp_path / "runs/mine/seed-0/baseline/manifest.json").read_text())["spec"]["student"]
    assert spec["conv"] == [4, 4]
    model = keras.saving.load_model(tmp_path / "runs/mine/seed-0/distilled/model.keras", compile=False)
    assert model.input_shape == (None, 8, 8)


def test_a_moved_file_is_the_same_model_and_another_one_a_conflict(folder):
    first = run("baseline", "-c", "mine/mine.yaml")
    assert "my.keras does not scale its inputs: the scaling of the data set is put in front of it" in first.stderr
    (folder / "my.keras").rename(folder / "moved.keras")
    (folder / "mine.yaml").write_text(COMMON + TEACHER + "student: {model: moved.keras}\n")
    assert "baseline, seed 0: complete, reused" in run("baseline", "-c", "mine/mine.yaml").stderr
    small(layers.Dense(7), layers.Dense(10)).save(folder / "moved.keras")
    refused = run("baseline", "-c", "mine/mine.yaml", code=7).stderr
    assert "student.model: is another one" in refused
    run("baseline", "-c", "mine/mine.yaml", "--overwrite")
    parameters = json.loads((folder.parent / "runs/mine/seed-0/baseline/result.json").read_text())["parameters"]
    assert parameters == 65 * 7 + 80


def test_a_network_from_elsewhere_learns_as_a_student(folder):
    """Residual, with operations of Keras, a model within it, normalisation and dropout."""
    inputs = keras.Input((8, 8))
    first = layers.Conv2D(8, 3, padding="same")(layers.Reshape((8, 8, 1))(inputs / 16))
    block = [keras.Input((8, 8, 8)), layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
    outputs = layers.Flatten()(layers.MaxPooling2D()(keras.Sequential(block)(first) + first))
    outputs = layers.Dense(10, activation="softmax")(layers.Dropout(0.2)(outputs))
    keras.Model(inputs, outputs).save(folder / "my.keras")
    quickly = ["--set", "student.epochs=8", "--set", "student.batch_size=16", "--set", "student.learning_rate=0.01"]
    result = run("baseline", "-c", "mine/mine.yaml", *quickly)
    assert "ends in a softmax, which was taken off" in result.stderr
    assert "scaling" not in result.stderr
    finished = json.loads((folder.parent / "runs/mine/seed-0/baseline/result.json").read_text())
    assert finished["validation"]["accuracy"] > 0.8
    assert finished["parameters"] == keras.saving.load_model(folder / "my.keras").count_params()


def test_it_goes_on_from_the_weights_in_the_file_if_asked(folder):
    config = ["-c", "mine/mine.yaml", "--seed", 3]
    run("baseline", *config, "--set", "student.epochs=30")
    trained = "runs/mine/seed-3/baseline/model.keras"

    def first_epoch(output, *settings):
        run("baseline", *config, "--output-dir", output, "--set", f"student.model={trained}", *settings)
        return Experiment(folder.parent / output / "mine").run("baseline", 3).history()[0]["val_accuracy"]

    assert first_epoch("fresh") < 0.8 < first_epoch("kept", "--set", "student.initial_weights=file")


def test_a_file_of_the_run_itself_is_refused(folder):
    run("baseline", "-c", "mine/mine.yaml")
    own = ["--set", "student.model=runs/mine/seed-0/baseline/model.keras", "--overwrite", "--set", "student.epochs=1"]
    refused = run("baseline", "-c", "mine/mine.yaml", *own, code=4).stderr
    assert "student.model is a file of the run that would be made" in refused
    assert (folder.parent / "runs/mine/seed-0/baseline/model.keras").exists()


def lambda_inside():
    return small(layers.Lambda(lambda x: x), layers.Dense(10))


BAD = {
    "no file": (None, 4, "my.keras: no such model file"),
    "code": (lambda_inside, 4, "Lambda is not accepted"),
    "other images": (lambda: small(shape=(9, 9)), 4, "expected one input of shape (8, 8); received (9, 9)"),
    "other classes": (lambda: small(layers.Dense(3)), 4, "expected one output of shape (10,)"),
}


@pytest.mark.parametrize("command", ["train-teacher", "baseline", "reproduce"])
@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_used_is_told_before_anything_is_trained(folder, name, command):
    model, code, message = BAD[name]
    (folder / "my.keras").unlink()
    if model:
        model().save(folder / "my.keras")
    workers = ["--workers", 1] if command == "reproduce" else []
    refused = run(command, "-c", "mine/mine.yaml", *workers, code=code)
    assert message in " ".join(refused.stderr.split())
    assert not list(folder.parent.glob("runs/mine/seed-0/*/manifest.json"))
    if command != "train-teacher":
        assert message in " ".join(run(command, "-c", "mine/mine.yaml", "--dry-run", code=code).stderr.split())


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize("command", ["train-teacher", "baseline"])
def test_images_that_are_too_small_are_told_before_anything_is_trained(tmp_path, command, dry):
    path = tmp_path / "mine.yaml"
    path.write_text(COMMON + TEACHER + "student: {conv: [4, 4, 4, 4]}\n")
    refused = run(command, "-c", path, "--output-dir", tmp_path / "runs", *dry, code=3).stderr
    assert "student.conv: the images are too small for 4 blocks: of 8 x 8 pixels nothing is left" in refused
    assert not list(tmp_path.glob("runs/mine/seed-0/*/manifest.json"))


def test_an_interrupted_convolutional_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    student = "student: {conv: [4, 4], batch_norm: true, dropout: 0.2, epochs: 5, batch_size: 64}\n"
    path.write_text(COMMON + TEACHER + student)

    def baseline(place, code=0):
        return run("baseline", "-c", path, "--output-dir", tmp_path / place, code=code)

    baseline("whole")
    with monkeypatch.context() as patch:
        signal_at(patch, 2, signal.SIGTERM)
        assert "stopped after epoch 2, with a checkpoint" in baseline("cut", code=143).stderr
    assert "resuming at epoch 3" in baseline("cut").stderr
    outcomes = [killing.outcome(Experiment(tmp_path / place / "mine").run("baseline", 0)) for place in ("whole", "cut")]
    assert outcomes[0] == outcomes[1]


@pytest.mark.slow
def test_a_sweep_may_try_models_from_files(folder):
    small(layers.Dense(10)).save(folder.parent / "b.keras")
    place = ["-c", "mine/mine.yaml", "--seeds", 1, "--workers", 1, "--json"]
    swept = json.loads(run("sweep", *place, "--grid", "student.model=mine/my.keras,b.keras").stdout)
    paths = [str(folder / "my.keras"), str(folder.parent / "b.keras")]
    assert [cell["status"] for cell in swept["cells"]] == ["done", "done"]
    found = {}
    for path in (folder.parent / "runs/mine/cells").glob("*/seed-0/distilled/result.json"):
        manifest = json.loads(path.with_name("manifest.json").read_text())
        found[manifest["spec"]["student"]["model"]] = json.loads(path.read_text())["parameters"]
    assert found == {modelfiles.hashes(Path(path))[0]: size for path, size in zip(paths, (460, 650), strict=True)}
    again = json.loads(run("sweep", *place, "--grid", "student.model=mine/my.keras,b.keras").stdout)
    assert again["winner"] == swept["winner"]
    assert again["run_info"]["workers"] == 0
    missing = run("sweep", *place[:-1], "--grid", "student.model=mine/my.keras,none.keras", code=4).stderr
    assert "none.keras" in missing
    (folder.parent / "c.keras").write_bytes((folder / "my.keras").read_bytes())
    same = run("sweep", *place[:-1], "--grid", "student.model=mine/my.keras,c.keras", code=3).stderr
    assert "expected different runs in every cell" in same
