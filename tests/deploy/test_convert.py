"""Each format and quantization, of models of each kind of layer, in its own runtime. Needs the extras."""

import json
import shutil

import keras
import numpy as np
import pytest
from small_experiment import session
from typer.testing import CliRunner

from kdistill import models
from kdistill.cli import app
from kdistill.core.errors import ModelError, ParityError
from kdistill.core.listener import Listener
from kdistill.deploy import benchmark as benchmarks
from kdistill.deploy import convert, formats, parity, runtimes, targets
from kdistill.deploy.exports import ExportRequest, export
from kdistill.deploy.formats import Form
from kdistill.deploy.predict import Predictor
from kdistill.deploy.read_inputs import Reader
from kdistill.deploy.tolerance import TOLERANCES

pytestmark = pytest.mark.export

FORMS = [Form(format, quantize) for format in ("litert", "onnx") for quantize in formats.FORMATS[format].quantizations]
LAYERS = keras.layers


def convolutional(images):
    """Normalization first, convolutions plain, separable and by depth, batch norm, dropout."""
    scaling = LAYERS.Normalization(axis=None)
    scaling.adapt(images)
    return keras.Sequential(
        [
            keras.Input((8, 8)),
            scaling,
            LAYERS.Reshape((8, 8, 1)),
            LAYERS.Conv2D(16, 3, padding="same", use_bias=False),
            LAYERS.BatchNormalization(),
            LAYERS.ReLU(),
            LAYERS.DepthwiseConv2D(3, padding="same"),
            LAYERS.BatchNormalization(),
            LAYERS.ReLU(),
            LAYERS.SeparableConv2D(32, 3, padding="same", activation="relu"),
            LAYERS.MaxPooling2D(),
            LAYERS.Flatten(),
            LAYERS.Dropout(0.2),
            LAYERS.Dense(10),
        ]
    )


def residual(images):
    """A branch that is added, an average over all places, GELU, a softmax at the end."""
    inputs = keras.Input((8, 8))
    first = LAYERS.Rescaling(1 / 16)(inputs)
    first = LAYERS.Conv2D(16, 3, padding="same", activation="gelu")(LAYERS.Reshape((8, 8, 1))(first))
    second = LAYERS.Conv2D(16, 3, padding="same", activation="relu")(first)
    added = LAYERS.Conv2D(32, 3, strides=2, activation="relu")(LAYERS.Add()([first, second]))
    dense = LAYERS.Dense(10, activation="softmax")(LAYERS.GlobalAveragePooling2D()(added))
    return keras.Model(inputs, dense)


def table(images):
    """An MLP with layer normalization and other activations."""
    inner = [LAYERS.Dense(32, activation="silu"), LAYERS.LayerNormalization(), LAYERS.Dense(16, activation="tanh")]
    return keras.Sequential([keras.Input((8, 8)), LAYERS.Rescaling(1 / 16), LAYERS.Flatten(), *inner, LAYERS.Dense(10)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of models trained on the digits by plain Keras: their answers are as sure as those of real ones."""
    folder = tmp_path_factory.mktemp("trained")
    images, labels = session(folder).splits.train.take(np.arange(1000))
    for build in (convolutional, residual, table):
        keras.utils.set_random_seed(0)
        model = build(images)
        logits = build is not residual
        model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=logits))
        model.fit(images, labels, batch_size=50, epochs=8, verbose=0)
        model.save(folder / f"{build.__name__}.keras")
    return folder


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The convolutional model with all its exports, and their documents."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copy(trained / "convolutional.keras", folder / "model.keras")
    target = targets.find(folder / "model.keras")
    documents = {form: export(session(folder), target, ExportRequest(form)) for form in FORMS}
    softmax = Form("litert", with_softmax=True)
    return folder, {**documents, softmax: export(session(folder), target, ExportRequest(softmax))}


# Elsewhere in this file all forms of the convolutional model are there.
FEW = [("residual", Form("litert", "int8")), ("table", Form("onnx"))]
PAIRS = [(name, form) for name in ("convolutional", "residual", "table") for form in FORMS]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param(*pair, id=f"{pair[0]}-{pair[1].title}", marks=[] if pair in FEW else pytest.mark.campaign)
        for pair in PAIRS
    ],
)
def test_every_form_of_every_model_agrees_with_it(name, form, trained, tmp_path):
    shutil.copy(trained / f"{name}.keras", tmp_path / "model.keras")
    document = export(session(tmp_path), targets.find(tmp_path / "model.keras"), ExportRequest(form))
    assert document["parity"]["model_accuracy"] > 0.85
    assert document["parity"]["accuracy"] >= document["parity"]["model_accuracy"] - 0.015
    left = sorted(path.name for path in tmp_path.iterdir())
    place = form.default_name(tmp_path / "model.keras")
    assert left == sorted(["model.keras", "classes.json", place, f"{place}.json"])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.title)
def test_the_figures_of_an_export_are_those_of_its_runtime(form, exported):
    """Measured again by hand, from the files that were left."""
    folder, documents = exported
    document = documents[form]
    test = session(folder).splits.test
    images, labels = test.take(np.arange(len(test)))
    model, _ = models.load_classifier(folder / "model.keras")
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    found = by_hand(document["path"], images.astype(np.float32))
    assert document["parity"]["largest_difference"] == pytest.approx(np.abs(found - expected).max(), rel=0.05, abs=1e-4)
    assert document["parity"]["accuracy"] == pytest.approx((found.argmax(-1) == labels).mean(), abs=2e-3)


def by_hand(path, images):
    if path.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        (taken,) = session.get_inputs()
        assert taken.name == "input"
        # In the batches of the comparison: `dynamic` takes the range of values over the whole batch.
        size = parity.BATCH_SIZE
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return np.concatenate([session.run(["logits"], {"input": part})[0] for part in parts])
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def test_quantization_makes_files_smaller_and_int8_computes_in_8_bits(trained, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    inputs = keras.Input((8, 8))
    hidden = LAYERS.Dense(256, activation="relu")(LAYERS.Flatten()(LAYERS.Rescaling(1 / 16)(inputs)))
    keras.Model(inputs, LAYERS.Dense(10)(hidden)).save(tmp_path / "model.keras")
    target = targets.find(tmp_path / "model.keras")
    size = {}
    for quantize in formats.FORMATS["litert"].quantizations:
        size[quantize] = export(session(tmp_path), target, ExportRequest(Form("litert", quantize)))["file_bytes"]
    weights = 4 * (64 * 256 + 256 * 10)
    assert size["none"] > weights
    assert size["float16"] < 0.6 * size["none"]
    assert max(size["dynamic"], size["int8"]) < 0.35 * size["none"]
    interpreter = Interpreter(str(tmp_path / "model-int8.tflite"))
    interpreter.allocate_tensors()
    types = {detail["dtype"] for detail in interpreter.get_tensor_details() if detail["name"].endswith("Relu")}
    assert types <= {np.int8}


def test_the_names_of_the_classes_and_a_softmax_come_along(exported):
    folder, documents = exported
    assert json.loads((folder / "classes.json").read_text()) == [str(digit) for digit in range(10)]
    document = documents[Form("litert", with_softmax=True)]
    images, _ = session(folder).splits.test.take(np.arange(50))
    outputs = runtimes.open_model(folder / "model-softmax.tflite", 1).outputs(images)
    np.testing.assert_allclose(outputs.sum(axis=-1), 1, atol=1e-5)
    assert document["outputs"] == "probabilities"


def test_predictions_by_every_export_are_those_of_the_model(exported, tmp_path):
    folder, documents = exported
    images, _ = session(folder).splits.test.take(np.arange(540))
    np.savez(tmp_path / "digits.npz", x=images)

    def answers(path):
        model = Predictor(path, 1, "cpu", Listener())
        rows = [
            row["top"][0] for batch in model.rows(Reader((8, 8)), [str(tmp_path / "digits.npz")], 1) for row in batch
        ]
        return np.array([row["class"] for row in rows]), np.array([row["probability"] for row in rows])

    labels, chances = answers(folder / "model.keras")
    for form, document in documents.items():
        found, probabilities = answers(targets.find(folder / document["path"]).path)
        assert (found == labels).mean() == pytest.approx(document["parity"]["agreement"], abs=2e-3)
        if form.quantize == "none":
            np.testing.assert_allclose(probabilities, chances, atol=1e-4)


def test_an_export_from_elsewhere_is_used_without_a_record(exported, tmp_path):
    folder, _ = exported
    for name in ("model.tflite", "model-softmax.tflite"):
        shutil.copy(folder / name, tmp_path / name)
    np.savez(tmp_path / "x.npz", x=session(folder).splits.test.take(np.arange(9))[0])
    rows = []
    for name in ("model.tflite", "model-softmax.tflite"):
        model = Predictor(tmp_path / name, 1, "cpu", Listener())
        rows += [next(model.rows(Reader((8, 8)), [str(tmp_path / "x.npz")], 1))]
    # Whether logits or probabilities come out is seen.
    for logits, softmax in zip(*rows, strict=True):
        assert logits["top"][0]["probability"] == pytest.approx(softmax["top"][0]["probability"], abs=1e-5)


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_a_file_from_elsewhere_that_takes_one_example_at_a_time(format, exported, tmp_path):
    model, _ = models.load_classifier(exported[0] / "model.keras")
    path = tmp_path / f"one{formats.FORMATS[format].suffix}"
    signature = [keras.InputSpec(shape=(1, 8, 8), dtype="float32")]
    one = keras.Sequential([keras.Input((8, 8)), *(layer for layer in model.layers[1:])])
    one.export(path, format=format, verbose=False, input_signature=signature)
    images, _ = session(tmp_path).splits.test.take(np.arange(5))
    runtime = runtimes.open_model(path, 1)
    expected = keras.ops.convert_to_numpy(one(images, training=False))
    np.testing.assert_allclose(runtime.outputs(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_damaged_export_is_a_message(name, keep, exported, tmp_path):
    content = (exported[0] / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ModelError, match="cannot use this model"):
        runtimes.open_model(tmp_path / name, 1)
    shutil.copy(exported[0] / f"{name}.json", tmp_path)
    with pytest.raises(ModelError, match="is not the file that was written"):
        Predictor(tmp_path / name, 1, "cpu", Listener())


def test_an_operation_that_a_format_does_not_have_is_named(tmp_path):
    inputs = keras.Input((8, 8))
    larger = LAYERS.Resizing(12, 12, interpolation="bicubic")(LAYERS.Reshape((8, 8, 1))(inputs))
    keras.Model(inputs, LAYERS.Dense(10)(LAYERS.Flatten()(larger))).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"cannot be written as LiteRT: it has no counterpart of tf\.ResizeBicubic"):
        export(session(tmp_path), targets.find(tmp_path / "model.keras"), ExportRequest(Form("litert")))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_an_int8_export_that_lost_its_way_is_not_kept(exported, tmp_path, monkeypatch):
    """Calibrated on blank images, all that real ones hold is cut off."""
    shutil.copy(exported[0] / "model.keras", tmp_path)
    blank = lambda train: lambda: iter([np.zeros((1, 8, 8), np.float32)] * 10)  # noqa: E731
    monkeypatch.setattr(convert, "calibration", blank)
    with pytest.raises(ParityError, match="does not agree"):
        export(session(tmp_path), targets.find(tmp_path / "model.keras"), ExportRequest(Form("litert", "int8")))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_the_benchmark_measures_exports_in_their_own_runtimes(exported):
    folder, documents = exported
    named = [targets.find(folder / name) for name in ("model.keras", "model-int8.tflite", "model.onnx")]
    document = benchmarks.benchmark(session(folder), named, least_seconds=0.01)
    keras_row, *rows = document["rows"]
    for row, form in zip(rows, (Form("litert", "int8"), Form("onnx")), strict=True):
        expected = documents[form]["parity"]
        assert row["accuracy"] == pytest.approx(expected["accuracy"], abs=2e-3)
        assert row["largest_difference"] == pytest.approx(expected["largest_difference"], rel=0.05, abs=1e-4)
        assert row["parameters"] == keras_row["parameters"]
        # Without TensorFlow in the process.
        assert row["peak_memory_bytes"] < 0.5 * keras_row["peak_memory_bytes"]
        assert row["ratios"]["throughput"]["1"] > 1


def test_the_command_line_from_a_run_to_a_prediction(experiment_copy, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    folder = experiment_copy / "quickstart/seed-0/distilled"
    for arguments in (["litert", "--quantize", "int8"], ["onnx", "--with-softmax"]):
        result = CliRunner().invoke(app, ["export", str(folder), "--format", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["parity"]["agreement"] >= 0.97
    np.savez(experiment_copy / "x.npz", x=session(experiment_copy).splits.test.take(np.arange(5))[0])
    for name in ("model-int8.tflite", "model-softmax.onnx"):
        result = CliRunner().invoke(app, ["predict", str(folder / name), str(experiment_copy / "x.npz")])
        assert result.exit_code == 0, result.output
        assert len(result.stdout.splitlines()) == 6


def test_tolerances_leave_room_but_not_much(exported):
    """What is measured stays well below what is accepted, and what is accepted would not let a broken export pass."""
    for form, document in exported[1].items():
        found, allowed = document["parity"], TOLERANCES[form.quantize]
        assert found["largest_share"] <= 0.8 * allowed.difference
