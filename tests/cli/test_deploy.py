"""`kdistill export`, `benchmark` and `predict` through the real CLI, as far as no extra is needed."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from command_line import document, run
from PIL import Image
from small_experiment import SHORT, session

from kdistill.cli import deploy as commands
from kdistill.core import extras
from kdistill.deploy import benchmark as benchmarks
from kdistill.deploy import convert, parity, runtimes

SETTINGS = [argument for setting in SHORT for argument in ("--set", setting)]


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def student(experiment_copy):
    return experiment_copy / "quickstart/seed-0/distilled"


def test_export_of_a_run_needs_no_config(student, in_this_process):
    document = json.loads(run("export", student, "--format", "saved-model", "--json").stdout)
    assert document["path"] == str(student / "saved-model")
    assert document["parity"]["agreement"] == 1.0
    again = run("export", student, "--format", "saved-model")
    assert "complete, reused" in again.stderr
    assert "100.00 % equal labels" in again.stdout


def test_export_of_an_experiment_takes_its_student(experiment_copy, student, in_this_process):
    common = ["--output-dir", experiment_copy, *SETTINGS, "--format", "saved-model", "--json"]
    document = json.loads(run("export", *common).stdout)
    assert document["path"] == str(student / "saved-model")
    assert "there is no finished distilled run of seed 5" in run("export", *common, "--seed", 5, code=4).stderr


def test_an_export_that_does_not_agree_ends_with_8(student, in_this_process, monkeypatch):
    outputs_on = parity.outputs_on
    monkeypatch.setattr(parity, "outputs_on", lambda split, runtime: outputs_on(split, runtime) + 0.1)
    result = run("export", student, "--format", "saved-model", "--json", code=8)
    assert "does not agree with its model" in result.stderr
    assert "The export was not kept" in result.stderr
    assert result.stdout == ""
    assert not (student / "saved-model").exists()


def test_a_tolerance_takes_the_place_of_the_usual_one_and_is_recorded(student, in_this_process, monkeypatch):
    outputs_on = parity.outputs_on
    monkeypatch.setattr(parity, "outputs_on", lambda split, runtime: outputs_on(split, runtime) + 0.1)
    command = ["export", student, "--format", "saved-model"]
    assert "--tolerance 1" not in run(*command, code=8).stderr
    document = json.loads(run(*command, "--tolerance", "0.5,0.9", "--json").stdout)
    assert document["parity"]["tolerance"] == {"difference": 0.5, "agreement": 0.9}
    assert "complete, reused" in run(*command, "--tolerance", "0.4").stderr
    assert "does not agree with its model" in run(*command, code=8).stderr  # what is there is beyond the usual one
    for wrong in ("", "x", "-1", "0.1,2", "0.1,0.2,0.3", "nan", "inf"):
        assert "expected a share" in run(*command, "--tolerance", wrong, code=2).stderr


def test_wrong_usage_of_export(student, tmp_path):
    assert "--quantize" in run("export", student, "--format", "saved-model", "--quantize", "int8", code=2).stderr
    assert "'tflite' is not one of 'litert'" in run("export", student, "--format", "tflite", code=2).stderr
    assert "--format" in run("export", student, code=2).stderr
    assert "no such model" in run("export", tmp_path / "none", "--format", "onnx", code=4).stderr


@pytest.mark.parametrize("extra", ["litert", "onnx"])
def test_a_missing_extra_is_said_with_the_command_that_installs_it(student, extra, monkeypatch):
    monkeypatch.setitem(extras.MODULES, extra, "no_module_of_this_name")
    result = run("export", student, "--format", extra, code=3)
    assert f"pip install 'kdistill[{extra}]'" in result.stderr
    model = student / f"model{'.tflite' if extra == 'litert' else '.onnx'}"
    assert not model.exists()
    model.write_bytes(b"an export from elsewhere")
    np.savez(student / "x.npz", x=np.zeros((1, 8, 8)))
    assert f"pip install 'kdistill[{extra}]'" in run("predict", model, student / "x.npz", code=3).stderr


def test_a_converter_that_fails_is_a_message(student, monkeypatch):
    def fail(*_):
        raise ValueError("error: 'tf.Erfinv' op is neither a custom op nor a flex op\nand so on")

    monkeypatch.setitem(convert.WRITERS, "saved-model", fail)
    result = run("export", student, "--format", "saved-model", code=4)
    assert "cannot be written as SavedModel: it has no counterpart of tf.Erfinv" in result.stderr
    assert "model.keras" in result.stderr


def test_benchmark_measures_what_was_named(student, monkeypatch):
    seen = []

    def measure(own, named, threads):
        seen.append((own.config.name, [target.path for target in named], threads))
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmarks, "benchmark", measure)
    run("benchmark", student, student / "model.keras", "--threads", 3, code=130)
    run("benchmark", "-c", "article", code=130)
    assert seen == [("quickstart", [student / "model.keras"] * 2, 3), ("article", [], 1)]


def test_benchmark_of_nothing(tmp_path):
    result = run("benchmark", "--output-dir", tmp_path, code=4)
    assert "there is no finished teacher or baseline or distilled run of seed 0" in result.stderr


@pytest.fixture
def digits(student):
    """Three digits of the test split in each form, and what they are for the model."""
    images, _ = session(student.parents[2]).splits.test.take(np.arange(3))
    folder = student.parents[3] / "new"
    folder.mkdir()
    np.savez(folder / "digits.npz", x=images)
    rows = [",".join(map(str, [*image.ravel(), "unknown"])) for image in images]
    (folder / "digits.csv").write_text("\n".join([",".join([*(f"p{n}" for n in range(64)), "label"]), *rows]) + "\n")
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    expected = runtimes.open_model(student / "model.keras", 1).outputs(images).argmax(axis=-1)
    return folder, [str(label) for label in expected]


def table(result):
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_predict_says_the_same_of_arrays_tables_and_images(student, digits):
    folder, expected = digits
    array = table(run("predict", student, folder / "digits.npz"))
    assert [row["class"] for row in array] == expected
    assert [row["name"] for row in array] == ["0", "1", "2"]
    assert all(0 < float(row["probability"]) <= 1 for row in array)
    assert table(run("predict", student, folder / "digits.csv", "--drop", "label")) == array
    stdin = (folder / "digits.csv").read_text()
    assert table(run("predict", student, "-", "--drop", "label", input=stdin)) == array
    images = table(run("predict", student, folder))
    assert [row["name"] for row in images] == ["0.png", "1.png", "2.png"]
    assert [row["class"] for row in images] == expected
    assert table(run("predict", student, folder / "1.png"))[0] == {**array[1], "name": "1.png"}


def test_predict_takes_several_sources(student, digits):
    folder, expected = digits
    rows = table(run("predict", student, folder / "digits.npz", folder, folder / "1.png"))
    assert [row["class"] for row in rows] == [*expected, *expected, expected[1]]
    assert [row["name"] for row in rows[2:4]] == [f"{folder / 'digits.npz'}:2", str(folder / "0.png")]
    assert "no.png: no such file" in run("predict", student, folder, folder / "no.png", code=4).stderr


def test_predict_as_json_lines(student, digits):
    folder, expected = digits
    found = document("predict", student, folder / "digits.npz")
    assert len(found["classes"]) == 10
    assert {row["class"] for row in found["predictions"]} <= set(found["classes"])
    lines = run("predict", student, folder / "digits.npz", "--format", "jsonl", "--top", 3).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["class"] for row in rows] == expected
    for row in rows:
        chances = [choice["probability"] for choice in row["top"]]
        assert chances == sorted(chances, reverse=True)
        assert row["top"][0] == {"class": row["class"], "probability": row["probability"]}
        assert len(chances) == 3


def test_predict_with_more_classes_than_there_are(student, digits):
    (first, *_) = table(run("predict", student, digits[0] / "digits.npz", "--top", 99))
    assert len(first) == 1 + 2 * 10
    assert sum(float(value) for name, value in first.items() if "probability" in name) == pytest.approx(1, abs=1e-5)


def test_bad_images_are_named_or_skipped_and_counted(student, digits):
    folder, expected = digits
    (folder / "0b.png").write_bytes(b"no image")
    assert "0b.png: this image cannot be read" in run("predict", student, folder, code=4).stderr
    result = run("predict", student, folder, "--on-error", "skip")
    assert [row["class"] for row in table(result)] == expected
    assert "Skipped 1 in all" in result.stderr


def test_bad_sources_are_refused_before_the_model_is_opened(student, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "open_model", None)
    assert "no such file or folder" in run("predict", student, tmp_path / "no.png", code=4).stderr
    (tmp_path / "a.pdf").write_bytes(b"")
    assert "received 'a.pdf'" in run("predict", student, tmp_path / "a.pdf", code=4).stderr


def test_a_label_column_that_was_left_in_is_said(student, digits):
    result = run("predict", student, digits[0] / "digits.csv", code=4)
    assert "expected 64 columns of features" in result.stderr
    assert "--drop" in result.stderr


def test_predict_stops_when_nobody_reads(student, digits, monkeypatch):
    """As for `kdistill predict ... - | head`, whose input may never end."""
    header, row, *_ = (digits[0] / "digits.csv").read_text().splitlines()
    read = []

    def for_ever():
        yield header + "\n"
        while True:
            read.append(1)
            yield row + "\n"

    monkeypatch.setattr(sys, "stdin", for_ever())
    monkeypatch.setattr(commands, "write_out", lambda text: False)
    commands.predict(student, ["-"], drop=["label"])
    assert len(read) <= 200
