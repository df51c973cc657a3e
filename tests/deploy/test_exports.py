"""Exports that need no extra: kept, reused, refused, and never left half-made."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from heard import Heard
from small_experiment import session

from kdistill import models
from kdistill.core import extras
from kdistill.core.errors import ConfigError, ModelError, OutputError, ParityError
from kdistill.datasets import Split
from kdistill.deploy import convert, export_records, exports, runtimes, targets
from kdistill.deploy.exports import ExportRequest, export
from kdistill.deploy.formats import Form
from kdistill.recipes import evaluate
from kdistill.runs import judge

SAVED = Form("saved-model")


def student(folder):
    return targets.find(folder / "quickstart/seed-0/distilled")


@pytest.fixture(scope="session")
def with_saved_model(finished_experiment, tmp_path_factory):
    """An experiment whose student has been exported, with the document: the one export by all means of the program."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(finished_experiment, folder, dirs_exist_ok=True)
    return folder, export(session(folder), student(folder), ExportRequest(SAVED))


@pytest.fixture
def exported(with_saved_model, tmp_path):
    shutil.copytree(with_saved_model[0], tmp_path / "runs")
    return tmp_path / "runs"


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_export_says_what_it_is_and_agrees_with_its_model(with_saved_model):
    folder, document = with_saved_model
    run = student(folder).run
    place = run.folder / "saved-model"
    assert document["path"] == str(place)
    assert document["run_info"]["reused"] is False
    assert {key: document[key] for key in ("format", "quantize", "outputs", "model", "shape", "parameters")} == {
        "format": "saved-model",
        "quantize": "none",
        "outputs": "logits",
        "model": "model.keras",
        "shape": [8, 8],
        "parameters": 1210,
    }
    assert document["classes"] == [str(digit) for digit in range(10)]
    assert document["largest_input"] == 16  # by which `predict` warns of values on another scale
    assert document["parity"]["examples"] == 540
    assert document["parity"]["agreement"] == 1.0
    scores = evaluate.score(session(folder), run)
    assert document["parity"]["accuracy"] == document["parity"]["model_accuracy"] == scores["accuracy"]
    assert export_records.checked(place)["sha256_of_export"] == export_records.content_sha256(place)
    assert judge(run).damage is None


def test_the_export_takes_raw_values_in_batches_of_any_size(with_saved_model):
    folder, _ = with_saved_model
    test = session(folder).splits.test
    images, _ = test.take(np.arange(7))
    model, _ = models.load_classifier(student(folder).path)
    runtime = runtimes.open_model(student(folder).run.folder / "saved-model", 1)
    assert (runtime.shape, runtime.classes) == ((8, 8), 10)
    for count in (1, 7):
        expected = keras.ops.convert_to_numpy(model(images[:count], training=False))
        np.testing.assert_allclose(runtime.outputs(images[:count]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("missing", ["largest_share", "largest_input"])
def test_an_export_with_the_record_of_an_earlier_version_is_made_again(exported, in_this_process, missing):
    place = student(exported).run.folder / "saved-model"

    def part_with(record):
        return record["parity"] if missing == "largest_share" else record

    record = export_records.read(place)
    del part_with(record)[missing]
    export_records.write(place, record)
    document = export(session(exported), student(exported), ExportRequest(SAVED))
    assert document["run_info"]["reused"] is False
    assert missing in part_with(export_records.read(place))


def test_the_same_export_again_is_reused(exported, monkeypatch):
    monkeypatch.setattr(convert, "convert", None)
    before = listing(exported)
    document = export(session(exported), student(exported), ExportRequest(SAVED))
    assert document["run_info"]["reused"] is True
    assert listing(exported) == before


def test_what_is_there_is_replaced_only_if_asked(exported, in_this_process):
    place = student(exported).run.folder / "saved-model"
    (place / "saved_model.pb").write_bytes(b"changed")
    with pytest.raises(OutputError, match="was not written by `kdistill export`, or was changed"):
        export(session(exported), student(exported), ExportRequest(SAVED))
    assert (place / "saved_model.pb").read_bytes() == b"changed"
    document = export(session(exported), student(exported), ExportRequest(SAVED, overwrite=True))
    assert export_records.checked(place)
    assert document["parity"]["agreement"] == 1.0


def test_another_model_in_its_place_is_refused(exported, in_this_process):
    place = student(exported).run.folder / "saved-model"
    teacher = targets.find(exported / "quickstart/seed-0/teacher")
    with pytest.raises(OutputError, match="this is another export: its model differs"):
        export(session(exported), teacher, ExportRequest(SAVED, output=place))
    with pytest.raises(OutputError, match="its outputs differs"):
        export(
            session(exported), student(exported), ExportRequest(Form("saved-model", with_softmax=True), output=place)
        )
    export(session(exported), teacher, ExportRequest(SAVED, output=place, overwrite=True))
    assert export_records.origin(place, export_records.checked(place)).resolve() == teacher.path.resolve()


def test_a_folder_of_other_things_is_not_replaced(exported, in_this_process, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    order = ExportRequest(SAVED, output=tmp_path / "mine" / "x", overwrite=True)
    (tmp_path / "mine/x").write_text("a file")
    with pytest.raises(OutputError):
        export(session(exported), student(exported), order)
    assert (tmp_path / "mine/letter.txt").read_text() == "dear"
    assert (tmp_path / "mine/x").read_text() == "a file"
    assert len(listing(tmp_path / "mine")) == 2


def test_an_export_that_does_something_else_is_not_kept(exported, in_this_process, monkeypatch):
    right = convert.convert

    def wrong(model, form, path, rows):
        other = keras.models.clone_model(model)
        other.set_weights([weight[..., ::-1] for weight in model.get_weights()])
        right(other, form, path, rows)

    monkeypatch.setattr(convert, "convert", wrong)
    before = listing(exported)
    order = ExportRequest(Form("saved-model", with_softmax=True))
    with pytest.raises(ParityError, match="does not agree with its model") as caught:
        export(session(exported), student(exported), order)
    assert caught.value.exit_code == 8
    assert listing(exported) == before


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ModelError("no"), OSError(28, "No space left on device")])
def test_nothing_is_left_of_one_that_fails(exported, monkeypatch, failure):
    def fail(model, form, path, rows):
        path.mkdir()
        (path / "saved_model.pb").write_text("half")
        raise failure

    monkeypatch.setattr(convert, "convert", fail)
    before = listing(exported)
    with pytest.raises((KeyboardInterrupt, ModelError, OutputError)):
        export(session(exported), student(exported), ExportRequest(Form("saved-model", with_softmax=True)))
    assert listing(exported) == before


def test_a_softmax_is_put_on_when_asked(exported, in_this_process):
    order = ExportRequest(Form("saved-model", with_softmax=True))
    document = export(session(exported), student(exported), order)
    assert document["outputs"] == "probabilities"
    assert document["path"].endswith("softmax-saved-model")
    images, _ = session(exported).splits.test.take(np.arange(20))
    outputs = runtimes.open_model(student(exported).run.folder / "softmax-saved-model", 1).outputs(images)
    np.testing.assert_allclose(outputs.sum(axis=-1), 1.0, rtol=1e-5)
    assert document["parity"]["largest_output"] <= 1.0


def test_a_softmax_that_is_there_is_taken_off_unless_asked_for(exported, in_this_process, tmp_path):
    model = keras.saving.load_model(student(exported).path, compile=False)
    surer = keras.layers.Rescaling(100.0)(model.outputs[0])
    ends = keras.Model(model.inputs[0], keras.layers.Softmax()(surer))
    ends.save(tmp_path / "soft.keras")
    target = targets.find(tmp_path / "soft.keras")
    logits = export(session(exported), target, ExportRequest(SAVED))
    assert logits["parity"]["largest_output"] > 1.0
    soft = export(session(exported), target, ExportRequest(Form("saved-model", with_softmax=True)))
    assert soft["parity"]["largest_output"] <= 1.0
    assert json.loads((tmp_path / "classes.json").read_text()) == [str(digit) for digit in range(10)]


def test_a_model_that_does_not_fit_the_data_is_refused(exported, tmp_path):
    inputs = keras.Input((8, 8))
    keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs))).save(tmp_path / "three.keras")
    before = listing(tmp_path)
    with pytest.raises(ModelError, match=r"expected one output of shape \(10,\)") as caught:
        export(session(exported), targets.find(tmp_path / "three.keras"), ExportRequest(SAVED))
    assert "with -c" in caught.value.hint
    assert listing(tmp_path) == before


def test_layers_that_act_in_training_alone_do_not_act_in_an_export(exported, in_this_process, tmp_path):
    """Keras's own `model.export` leaves augmentation on in a SavedModel."""
    model = keras.saving.load_model(student(exported).path, compile=False)
    inputs = keras.Input((8, 8))
    outputs = keras.layers.Reshape((8, 8, 1))(inputs)
    for layer in (keras.layers.RandomFlip(), keras.layers.RandomRotation(0.2), keras.layers.GaussianNoise(1.0)):
        outputs = layer(outputs)
    outputs = model(keras.layers.Dropout(0.5)(keras.layers.Reshape((8, 8))(outputs)))
    keras.Model(inputs, outputs).save(tmp_path / "augmented.keras")
    document = export(session(exported), targets.find(tmp_path / "augmented.keras"), ExportRequest(SAVED))
    assert document["parity"]["agreement"] == 1.0


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_a_model_of_another_precision_is_refused(exported, tmp_path, policy):
    inputs = keras.Input((8, 8))
    outputs = keras.layers.Dense(10, dtype=policy)(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "low.keras")
    with pytest.raises(ModelError, match=f"computes in float32; received one in {policy.removeprefix('mixed_')}"):
        export(session(exported), targets.find(tmp_path / "low.keras"), ExportRequest(SAVED))


def test_probabilities_that_are_no_softmax_layer_are_refused(exported, tmp_path):
    model = keras.saving.load_model(student(exported).path, compile=False)
    exponentials = keras.ops.exp(model.outputs[0] - keras.ops.max(model.outputs[0], axis=-1, keepdims=True))
    shares = exponentials / keras.ops.sum(exponentials, axis=-1, keepdims=True)
    keras.Model(model.inputs[0], shares).save(tmp_path / "shares.keras")
    with pytest.raises(ModelError, match="these are probabilities"):
        export(session(exported), targets.find(tmp_path / "shares.keras"), ExportRequest(SAVED))


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_a_runtime_that_is_not_installed_is_said_first(exported, monkeypatch, format):
    monkeypatch.setitem(extras.MODULES, format, "no_module_of_this_name")
    before = listing(exported)
    with pytest.raises(ConfigError, match=f"needs the extra `{format}`") as caught:
        export(session(exported), student(exported), ExportRequest(Form(format)))
    assert f"kdistill[{format}]" in caught.value.hint
    assert listing(exported) == before


def test_places_that_cannot_be_used(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "litert", "json")
    for output, message in (("model.onnx", r"ends in \.tflite"), ("none/model.tflite", "there is no folder")):
        with pytest.raises(OutputError, match=message):
            export(session(exported), student(exported), ExportRequest(Form("litert"), tmp_path / output))
    (tmp_path / "classes.json").write_text('["a", "b"]')
    with pytest.raises(OutputError, match="names other classes"):
        export(session(exported), student(exported), ExportRequest(Form("litert"), tmp_path / "model.tflite"))
    export_there = student(exported).run.folder / "saved-model"
    with pytest.raises(ModelError, match="received an export"):
        export(session(exported), targets.find(export_there), ExportRequest(SAVED))


def test_a_folder_as_the_output_gets_the_usual_name(exported, tmp_path, monkeypatch):
    (tmp_path / "ship").mkdir()
    place = exports._place(student(exported).path, ExportRequest(Form("litert", "int8"), tmp_path / "ship"))
    assert place == tmp_path / "ship/model-int8.tflite"
    assert exports._place(student(exported).path, ExportRequest(SAVED, tmp_path / "new")) == tmp_path / "new"
    monkeypatch.chdir(tmp_path / "ship")
    assert exports._place(student(exported).path, ExportRequest(SAVED, Path())) == tmp_path / "ship/saved-model"


def test_ranges_are_learnt_from_the_training_split_alone(exported, in_this_process, monkeypatch):
    seen = []
    learn = convert.calibration
    monkeypatch.setattr(convert, "calibration", lambda split: seen.append(split.rows) or learn(split))
    export(session(exported), student(exported), ExportRequest(Form("saved-model", with_softmax=True)))
    splits = session(exported).splits
    np.testing.assert_array_equal(seen[0], splits.train.rows)
    assert not set(seen[0]) & (set(splits.test.rows) | set(splits.validation.rows))


def test_calibration_rows_are_spread_over_the_training_split():
    images = np.arange(4000, dtype=np.int16).reshape(2000, 2)
    rows = np.arange(0, 2000, 2)
    taken = list(convert.calibration(Split(images, np.zeros(2000, np.int32), rows))())
    assert len(taken) == convert.CALIBRATION_ROWS
    assert all(row.shape == (1, 2) and row.dtype == np.float32 for row in taken)
    np.testing.assert_array_equal(taken[0], images[[0]])
    np.testing.assert_array_equal(taken[-1], images[[1998]])
    assert len({row[0, 0] for row in taken}) == convert.CALIBRATION_ROWS
    assert len(list(convert.calibration(Split(images, np.zeros(2000, np.int32), rows[:3]))())) == 3


def save_teacher(path, shape=(8, 8, 1)):
    """A model that knows nothing of the data: of images of any size, if need be."""
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    keras.Sequential([keras.Input(shape), *layers]).save(path)
    return targets.find(path)


def test_only_what_is_done_to_a_model_is_said(exported, in_this_process, tmp_path):
    heard = Heard()
    export(session(exported, listener=heard), save_teacher(tmp_path / "t.keras"), ExportRequest(SAVED))
    assert any("the images get a channel axis" in note for note in heard.notes)
    assert not any("softmax" in note for note in heard.notes)


def test_a_model_of_any_size_is_exported_for_that_of_the_data(exported, in_this_process, tmp_path):
    document = export(session(exported), save_teacher(tmp_path / "t.keras", (None, None, 1)), ExportRequest(SAVED))
    assert runtimes.open_model(Path(document["path"]), 1).shape == (8, 8)


def test_a_teacher_that_gets_scaled_values_is_exported_with_the_scaling(exported, in_this_process, tmp_path):
    target = save_teacher(tmp_path / "t.keras")
    images, _ = session(exported).splits.test.take(np.arange(20))
    network = keras.saving.load_model(target.path)
    found = {}
    named = ["teacher.preprocessing=signed", f"distill.teachers=[{target.path}]"]
    for name, settings in (("raw", []), ("signed", named)):
        document = export(session(exported, *settings), target, ExportRequest(SAVED, output=tmp_path / name))
        found[name] = runtimes.open_model(tmp_path / name, 1).outputs(images)
        assert document.get("preprocessing", "raw") == name
    np.testing.assert_allclose(found["raw"], network(images[..., None]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["signed"], network(images[..., None] / 8 - 1), rtol=1e-4, atol=1e-4)
    with pytest.raises(OutputError, match="its preprocessing differs"):
        export(session(exported), target, ExportRequest(SAVED, output=tmp_path / "signed"))
    heard = Heard()
    unnamed = session(exported, "teacher.preprocessing=signed", listener=heard)
    export(unnamed, target, ExportRequest(SAVED, output=tmp_path / "raw"))
    assert any("gets raw values: teacher.preprocessing is for the teachers" in note for note in heard.notes)
    own = student(exported)
    assert targets.with_preprocessing(own, unnamed) == own


@pytest.mark.parametrize("name", ["result", "manifest", "classes"])
def test_a_record_takes_the_place_of_no_other_file(exported, name):
    run = student(exported).run
    before = (run.folder / f"{name}.json").read_bytes()
    with pytest.raises(OutputError, match=rf"{name}\.json: this file exists, and the record of"):
        export(session(exported), student(exported), ExportRequest(SAVED, output=run.folder / name, overwrite=True))
    assert (run.folder / f"{name}.json").read_bytes() == before
