"""Sequences, tokens and volumes through the real CLI: from arrays to a verdict, an export and predictions."""

import json

import keras
import numpy as np
import pytest
from command_line import document, run

from kdistill.deploy import runtimes

EPOCHS = "training: {batch_size: 20, epochs: 5, learning_rate: 0.02}\n"


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def sequences(count, seed):
    """Return sequences of two classes that differ in a feature that is a thousandth of the other's size."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    steps = rng.normal(0, 1000, (count, 6, 2))
    steps[..., 1] = (labels[:, None] - 0.5) + rng.normal(0, 0.1, (count, 6))
    return steps.astype(np.float32), labels


def tokens(count, seed):
    """Return tokens of two classes, of which one has the token 3 and the other the token 4."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = rng.integers(5, 30, (count, 8))
    rows[:, 5:] = 3 + labels[:, None]
    rows[0, 0] = 29
    return rows, labels


def volumes(count, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return (rng.integers(0, 100, (count, 4, 4, 4)) + 150 * labels[:, None, None, None]).astype(np.uint8), labels


KINDS = {
    "sequence": (sequences, "", "{hidden: [8]}", "{recurrent: [3], cell: gru, hidden: [3]}"),
    "tokens": (tokens, ", kind: tokens", "{embedding: 8, hidden: [8]}", "{embedding: 4, learning_rate: 0.05}"),
    "volume": (volumes, ", kind: volume", "{hidden: [8]}", "{conv: [3], global_pool: true}"),
}


@pytest.fixture
def written(tmp_path):
    """Write the data and the config of a kind; return the config's path."""

    def write(kind, **changed):
        make, more, teacher, student = KINDS[kind]
        (x_train, y_train), (x_test, y_test) = make(80, 0), make(40, 1)
        np.savez(tmp_path / "mine.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        np.save(tmp_path / "new.npy", x_test[:5])
        config = tmp_path / "mine.yaml"
        models = {"teacher": teacher, "student": student, **changed}
        lines = [f"{role}: {models[role]}\n" for role in ("teacher", "student")]
        config.write_text(f"data: {{dataset: npz, path: mine.npz{more}}}\n{''.join(lines)}{EPOCHS}")
        return config

    return write


@pytest.mark.parametrize("kind", ["sequence", "tokens", pytest.param("volume", marks=pytest.mark.slow)])
def test_from_data_to_predictions(written, tmp_path, kind):
    config, output = written(kind), ["--output-dir", tmp_path / "runs"]
    info = run("data", "info", "-c", config)
    said = " ".join(info.output.split())
    assert ("are taken for sequences of 6 steps with 2 features" in said) == (kind == "sequence")
    assert document("data", "info", "-c", config)["npz"]["kind"] == kind
    run("reproduce", "-c", config, *output, "--dry-run")
    run("reproduce", "-c", config, *output)
    scores = document("evaluate", "-c", config, *output)["arms"]
    assert scores["teacher"]["accuracy"] > 0.9
    assert document("evaluate", "-c", config, *output)["arms"] == scores
    student, x = tmp_path / "runs/mine/seed-0/distilled", np.load(tmp_path / "new.npy")
    rows = run("predict", student, tmp_path / "new.npy").stdout.splitlines()[1:]
    expected = keras.saving.load_model(student / "model.keras").predict(x, verbose=0).argmax(-1)
    assert [int(row.split(",")[1]) for row in rows] == expected.tolist()


def test_features_of_any_size_are_learnt(written, tmp_path):
    """With one mean and variance for both, the one that tells the classes apart would be 0 everywhere."""
    config, output = written("sequence"), ["--output-dir", tmp_path / "runs", "--set", "training.epochs=20"]
    assert document("baseline", "-c", config, *output)["validation"]["accuracy"] > 0.95
    as_image = ["--set", "data.kind=image", "--set", "student={hidden: [3]}"]
    worse = document("baseline", "-c", config, "--output-dir", tmp_path / "other", *output[2:], *as_image)
    assert worse["validation"]["accuracy"] < 0.9


def test_runs_of_another_kind_are_not_mixed(written, tmp_path):
    config, output = written("sequence", student="{hidden: [3]}"), ["--output-dir", tmp_path / "runs"]
    run("baseline", "-c", config, *output)
    refused = run("baseline", "-c", config, *output, "--set", "data.kind=image", code=7).output
    assert "data.kind: was sequence, is now table or image" in " ".join(refused.split())
    assert "complete" in run("baseline", "-c", config, *output, "--set", "data.kind=sequence").stderr


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("sequence", {"student": "{embedding: 3}"}, "student.embedding: expected tokens; received examples of shape"),
        ("tokens", {"student": "{hidden: [3]}"}, "student.embedding: this key is missing"),
        ("volume", {"student": "{recurrent: [3]}"}, "student.recurrent: expected sequences or tokens"),
        ("sequence", {"teacher": "{conv: [3, 3, 3]}"}, "teacher.conv: the sequences are too small for 3 blocks"),
    ],
)
def test_layers_that_do_not_fit_are_refused_before_training(written, tmp_path, kind, changed, message):
    config, output = written(kind, **changed), ["--output-dir", tmp_path / "runs"]
    for more in (["--dry-run"], []):
        assert message in " ".join(run("reproduce", "-c", config, *output, *more, code=3).output.split())
    assert not (tmp_path / "runs").exists()


def test_a_students_file_of_tokens_is_trained_and_one_that_knows_too_few_is_refused(written, tmp_path):
    layers = keras.layers
    for known in (30, 29):
        inner = [layers.Embedding(known, 3), layers.Flatten(), layers.Dense(2)]
        keras.Sequential([keras.Input((8,), dtype="int32"), *inner]).save(tmp_path / f"{known}.keras")
    config, output = written("tokens", student="{model: 30.keras}"), ["--output-dir", tmp_path / "runs"]
    run("baseline", "-c", config, *output)
    small = ["--set", f"student.model={tmp_path / '29.keras'}", "--overwrite"]
    refused = run("baseline", "-c", config, *output, *small, code=4).output
    assert "expected an Embedding of the data's 30 tokens, 0 to 29; received one of 29" in " ".join(refused.split())


@pytest.mark.slow
@pytest.mark.export
@pytest.mark.parametrize("form", ["litert", "onnx", "saved-model"])
@pytest.mark.parametrize("kind", ["sequence", "tokens"])
def test_recurrent_models_and_tokens_are_exported_and_checked(written, tmp_path, kind, form):
    student = "{recurrent: [4], hidden: [3]}" if kind == "sequence" else "{embedding: 4, recurrent: [4], cell: gru}"
    config, output = written(kind, student=student), ["--output-dir", tmp_path / "runs"]
    run("baseline", "-c", config, *output)
    folder = tmp_path / "runs/mine/seed-0/baseline"
    made = document("export", folder, "--format", form, "-c", config)
    assert made["parity"]["agreement"] == 1
    model = runtimes.open_model(tmp_path / made["path"], 1)
    assert model.takes_tokens == (kind == "tokens")
    assert made.get("vocabulary") == (30 if kind == "tokens" else None)
    x = np.load(tmp_path / "new.npy").astype(np.int32 if kind == "tokens" else np.float32)
    expected = keras.saving.load_model(folder / "model.keras")(x)
    np.testing.assert_allclose(model.outputs(x), expected, atol=1e-4)
    assert run("predict", made["path"], tmp_path / "new.npy").stdout.count("\n") == 6
    if kind == "tokens":
        np.save(tmp_path / "bad.npy", x + 1)
        assert (
            "expected tokens, whole numbers from 0 to 29"
            in run("predict", made["path"], tmp_path / "bad.npy", code=4).output
        )


@pytest.mark.slow
@pytest.mark.export
def test_a_volume_has_no_pooling_in_litert_and_that_is_said(written, tmp_path):
    config, output = written("volume"), ["--output-dir", tmp_path / "runs"]
    run("baseline", "-c", config, *output)
    folder = tmp_path / "runs/mine/seed-0/baseline"
    refused = " ".join(run("export", folder, "--format", "litert", "-c", config, code=4).output.split())
    assert "cannot be written as LiteRT: it has no counterpart of tf.MaxPool3D" in refused
    assert json.loads((folder / "result.json").read_text())
    assert document("export", folder, "--format", "onnx", "-c", config)["parity"]["agreement"] == 1
