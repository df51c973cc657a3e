"""Predictions: those of evaluate, with the names of the classes."""

import json
import shutil

import keras
import numpy as np
import own_data
import pytest
from command_line import run
from heard import Heard
from scipy.special import expit, softmax
from small_experiment import session

from kdistill.core.errors import ModelError
from kdistill.core.listener import Listener
from kdistill.deploy.predict import Predictor
from kdistill.deploy.read_inputs import Reader
from kdistill.recipes import arms


def student(folder):
    return folder / "quickstart/seed-0/distilled"


def predictor(path, listener=None, **options):
    return Predictor(path, 1, "cpu", listener or Listener(), **options)


@pytest.fixture
def table(tmp_path, finished_experiment):
    """The test split of the digits, as an .npz file."""
    images, _ = session(finished_experiment).splits.test.take(np.arange(540))
    np.savez(tmp_path / "digits.npz", x_test=images)
    return tmp_path / "digits.npz"


def test_the_labels_are_those_of_evaluate(finished_experiment, table):
    own = session(finished_experiment)
    _, logits = arms.evaluate(own, student(finished_experiment) / "model.keras")
    model = predictor(student(finished_experiment))
    rows = [row for batch in model.rows(Reader(model.shape), [str(table)], 1) for row in batch]
    labels = [own.splits.classes.index(row["top"][0]["class"]) for row in rows]
    np.testing.assert_array_equal(labels, logits.argmax(-1))
    assert [row["name"] for row in rows] == [str(number) for number in range(540)]


def test_the_best_classes_come_first_with_their_probabilities(finished_experiment, table):
    model = predictor(student(finished_experiment))
    (row, *_), *_ = model.rows(Reader(model.shape), [str(table)], 20)
    network = keras.saving.load_model(student(finished_experiment) / "model.keras", compile=False)
    images = np.load(table)["x_test"][:1]
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(network(images)))[0]
    assert [choice["class"] for choice in row["top"]] == [str(label) for label in np.argsort(-expected)]
    np.testing.assert_allclose([choice["probability"] for choice in row["top"]], np.sort(expected)[::-1], rtol=1e-4)


@pytest.mark.parametrize(("factor", "warned"), [(1, False), (1 / 16, True), (2 / 16, False), (4, True), (-1, True)])
def test_values_on_another_scale_are_warned_of_once(finished_experiment, table, tmp_path, factor, warned):
    """A model that takes 0 to 16 answers confidently when it is given 0 to 1."""
    scaled = np.load(table)["x_test"] * np.float32(factor)
    np.savez(tmp_path / "scaled.npz", x_test=scaled)
    heard = Heard()
    model = predictor(student(finished_experiment), heard)
    assert len([row for batch in model.rows(Reader(model.shape), [str(tmp_path / "scaled.npz")], 1) for row in batch])
    said = [text for text in heard.warnings if "expects values from 0 to 16" in text]
    assert len(said) == warned
    if warned:
        assert f"from {scaled.min():g} to {scaled.max():g}," in said[0]


def test_without_names_classes_are_numbers_and_that_is_said(finished_experiment, table, tmp_path):
    shutil.copy(student(finished_experiment) / "model.keras", tmp_path / "mine.keras")
    heard = Heard()
    assert predictor(tmp_path / "mine.keras", heard).classes == [str(number) for number in range(10)]
    assert "classes are numbers" in heard.warnings[0]


def test_names_of_another_number_of_classes_are_refused(finished_experiment, tmp_path):
    shutil.copy(student(finished_experiment) / "model.keras", tmp_path / "mine.keras")
    (tmp_path / "classes.json").write_text(json.dumps(["cat", "dog"]))
    with pytest.raises(ModelError, match="in its folder names classes, 2; received 10"):
        predictor(tmp_path / "mine.keras")


def test_models_that_are_no_classifiers_are_refused(tmp_path):
    inputs = [keras.Input((4,)), keras.Input((4,))]
    both = keras.layers.Dense(2)(keras.layers.Add()(inputs))
    keras.Model(inputs, both).save(tmp_path / "two.keras")
    with pytest.raises(ModelError, match=r"expected one input of a fixed shape; received \(4,\), \(4,\)"):
        predictor(tmp_path / "two.keras")
    keras.Model(inputs[0], [keras.layers.Dense(2)(inputs[0])] * 2).save(tmp_path / "out.keras")
    with pytest.raises(ModelError, match="expected one output"):
        predictor(tmp_path / "out.keras")
    anything = keras.Input((None, None, 3))
    keras.Model(anything, keras.layers.GlobalAveragePooling2D()(anything)).save(tmp_path / "any.keras")
    with pytest.raises(ModelError, match="of a fixed shape"):
        predictor(tmp_path / "any.keras")


@pytest.mark.parametrize(("activation", "asked"), [("sigmoid", False), ("sigmoid", True), (None, True), (None, False)])
def test_several_sigmoids_are_taken_for_multi_label_as_is_what_is_said_to_be(tmp_path, activation, asked):
    """Without either, outputs are the logits of one softmax."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=activation)])
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    heard = Heard()
    opened = predictor(tmp_path / "m.keras", heard, multi_label=asked)
    rows = [row for batch in opened.rows(Reader(opened.shape), [str(tmp_path / "x.npz")], 3) for row in batch]
    outputs = keras.ops.convert_to_numpy(model(x)).astype(np.float64)
    is_multi = bool(activation or asked)
    p = outputs if activation else expit(outputs) if is_multi else softmax(outputs, axis=-1)
    found = [[{of["class"]: of["probability"] for of in row["top"]}[str(i)] for i in range(3)] for row in rows]
    np.testing.assert_allclose(found, p, rtol=1e-5)
    told = [text for text in heard.warnings if "taken for multi-label" in text]
    assert bool(told) == (activation is not None and not asked)
    if is_multi:
        assert [row["labels"] for row in rows] == [[str(i) for i in np.flatnonzero(of >= 0.5)] for of in p]
    else:
        assert all("labels" not in row for row in rows)


def test_a_run_on_single_labels_is_not_taken_for_multi_label(finished_experiment):
    with pytest.raises(ModelError, match="received that of a run on data with one class an example"):
        predictor(student(finished_experiment), multi_label=True)


def test_outputs_that_are_not_finite_are_refused(tmp_path):
    inputs = keras.Input((1,))
    keras.Model(inputs, keras.layers.Concatenate()([keras.ops.exp(inputs)] * 2)).save(tmp_path / "exp.keras")
    np.savez(tmp_path / "x.npz", x=np.array([[1.0], [1000.0]]))
    model = predictor(tmp_path / "exp.keras")
    with pytest.raises(ModelError, match="NaN or infinite"):
        list(model.rows(Reader(model.shape), [str(tmp_path / "x.npz")], 1))


@pytest.mark.slow
def test_a_model_that_was_trained_on_a_table_knows_its_columns(tmp_path, monkeypatch):
    """Through the CLI: columns in another order, the label among them, by the run and by what others made of it."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    found = own_data.arrays(shape=(3,))
    own_data.write_csv(tmp_path / "mine.csv", found["x_train"], found["y_train"])
    config = tmp_path / "mine.yaml"
    config.write_text(
        "data: {dataset: csv, path: mine.csv, label: kind, test: 0.25}\nteacher: {hidden: [4]}\n"
        "student: {hidden: [4]}\ntraining: {batch_size: 4, epochs: 2}\n"
    )
    run("baseline", "-c", config, "--output-dir", tmp_path / "runs")
    folder = tmp_path / "runs/mine/seed-0/baseline"
    assert json.loads((folder / "features.json").read_text()) == ["a", "b", "c"]
    assert "features.json" in json.loads((folder / "manifest.json").read_text())["files"]
    straight = run("predict", folder, tmp_path / "mine.csv")
    assert "ignored, not among the model's features: kind." in straight.stderr
    rows = [line.split(",") for line in (tmp_path / "mine.csv").read_text().splitlines()]
    turned = tmp_path / "turned.csv"
    turned.write_text("\n".join(",".join(reversed(row)) for row in rows))
    assert run("predict", folder, turned).stdout == straight.stdout
    turned.write_text("\n".join(",".join(row[:-1]) for row in rows))
    assert "c is missing" in run("predict", folder, turned, code=4).stderr
    for name in ("model.keras", "classes.json"):  # as of a run that was made before there were names of features
        shutil.copy(folder / name, tmp_path / name)
    alone = tmp_path / "model.keras"
    assert run("predict", alone, tmp_path / "mine.csv", "--drop", "kind").stdout == straight.stdout
    assert "expected 3 columns of features" in run("predict", alone, tmp_path / "mine.csv", code=4).stderr


def test_a_model_from_elsewhere_that_does_not_scale_is_told_what_it_gets(finished_experiment, tmp_path):
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(tmp_path / "raw.keras")
    heard = Heard()
    predictor(tmp_path / "raw.keras", heard)
    assert any("does not scale its inputs, and is given raw values" in warning for warning in heard.warnings)
    heard = Heard()
    predictor(student(finished_experiment), heard)
    assert heard.warnings == []
