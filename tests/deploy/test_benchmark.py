"""Models side by side, measured in processes of their own. Few, since each starts a TensorFlow."""

import resource
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from heard import Heard
from small_experiment import session

from kdistill.core import extras
from kdistill.core.errors import ModelError
from kdistill.deploy import benchmark as benchmarks
from kdistill.deploy import export_records, measure_process, targets
from kdistill.recipes import evaluate


@pytest.fixture(scope="module")
def measured(finished_experiment):
    named = [targets.find(finished_experiment / "quickstart/seed-0/distilled")]
    return benchmarks.benchmark(session(finished_experiment), named, threads=1, least_seconds=0.01)


@pytest.mark.slow
def test_a_run_is_measured_beside_its_teacher(measured, finished_experiment):
    assert (measured["split"], measured["examples"], measured["reference"]) == ("test", 540, "teacher")
    own = session(finished_experiment)
    for row, parameters in zip(measured["rows"], (1210, 1210), strict=True):
        run = own.experiment.run(row["name"], 0)
        assert row["path"] == str(run.model_file)
        assert row["accuracy"] == evaluate.score(own, run)["accuracy"]
        assert row["file_bytes"] == run.model_file.stat().st_size
        assert row["parameters"] == parameters
        assert row["format"] == "keras"
        assert row["largest_difference"] is None
        assert set(row["latency"]) == {"1", "32"}
        for batch, timed in row["latency"].items():
            assert timed["calls"] >= 200
            assert 0 < timed["p50_ms"] <= timed["p90_ms"] <= timed["p99_ms"]
            assert timed["per_second"] == pytest.approx(int(batch) * 1e3 / timed["p50_ms"])
        # TensorFlow alone takes hundreds of MB.
        assert 1e8 < row["peak_memory_bytes"] < 1e10
    assert [row["name"] for row in measured["rows"]] == ["teacher", "distilled"]


@pytest.mark.slow
def test_ratios_are_against_the_first_row(measured):
    teacher, student = measured["rows"]
    assert teacher["ratios"]["throughput"] == {"1": 1.0, "32": 1.0}
    assert teacher["ratios"]["accuracy_points"] == 0.0
    ratios = student["ratios"]
    assert ratios["file_bytes"] == teacher["file_bytes"] / student["file_bytes"]
    assert ratios["throughput"]["1"] == pytest.approx(
        teacher["latency"]["1"]["p50_ms"] / student["latency"]["1"]["p50_ms"]
    )
    assert ratios["accuracy_points"] == pytest.approx(100 * (student["accuracy"] - teacher["accuracy"]))


@pytest.mark.slow
def test_the_machine_and_the_way_are_stated(measured):
    info = measured["run_info"]
    assert info["threads"] == 1
    assert info["machine"]
    assert "in its own process" in info["how"]
    assert info["versions"]["tensorflow"]


def an_export(folder, name, quantize="none", **more):
    export = folder / name
    export.write_bytes(b"an export")
    record = {"format": "litert", "quantize": quantize, "outputs": "logits", "model": "model.keras", "parameters": 1210}
    export_records.write(
        export, {**record, "model_sha256": export_records.content_sha256(folder / "model.keras"), **more}
    )
    return export


def test_rows_are_the_teacher_the_student_and_its_exports(experiment_copy, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "litert", "json")
    folder = experiment_copy / "quickstart/seed-0/distilled"
    for name, quantize in (("model.tflite", "none"), ("model-int8.tflite", "int8")):
        an_export(folder, name, quantize)
    entries = benchmarks._entries(session(experiment_copy), [targets.find(folder)])
    assert [entry.name for entry in entries] == ["teacher", "distilled", "distilled LiteRT", "distilled LiteRT int8"]


def test_an_export_whose_runtime_is_missing_is_left_out_and_said(experiment_copy, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "litert", "no_module_of_this_name")
    folder = experiment_copy / "quickstart/seed-0/distilled"
    an_export(folder, "model.tflite")
    heard = Heard()
    entries = benchmarks._entries(session(experiment_copy, listener=heard), [targets.find(folder)])
    assert [entry.name for entry in entries] == ["teacher", "distilled"]
    assert "pip install 'kdistill[litert]'" in heard.warnings[0]


def test_all_runs_of_an_experiment_with_their_teacher_once(experiment_copy):
    own = session(experiment_copy)
    entries = benchmarks._entries(own, targets.of_experiment(own))
    assert [entry.name for entry in entries] == ["teacher", "baseline", "distilled"]


def test_what_has_the_same_name_is_named_by_its_path(experiment_copy):
    first = experiment_copy / "quickstart/seed-0/baseline"
    second = experiment_copy / "quickstart/seed-1/baseline"
    shutil.copytree(first, second)
    entries = benchmarks._entries(session(experiment_copy), [targets.find(first), targets.find(second)])
    assert [entry.name for entry in entries] == ["teacher", str(first / "model.keras"), str(second / "model.keras")]


def test_a_teacher_from_elsewhere_that_has_gone_is_left_out(experiment_copy):
    shutil.rmtree(experiment_copy / "quickstart/seed-0/teacher")
    entries = benchmarks._entries(
        session(experiment_copy), [targets.find(experiment_copy / "quickstart/seed-0/distilled")]
    )
    assert [entry.name for entry in entries] == ["distilled"]


class Bench(benchmarks._Bench):
    """Measures nothing: what a model puts out is given."""

    def __init__(self, own, outputs):
        super().__init__(own, own.experiment.folder / "images.npy", 1, 0.0)
        self.given, self.asked = outputs, []

    def _measure(self, path, batches, preprocess="none"):
        self.asked.append((path.name, tuple(batches)))
        return {"parameters": None, "latency": {}, "peak_memory_bytes": None}, self.given[path.name]


def test_an_export_is_held_against_the_model_that_it_came_from(experiment_copy):
    folder = experiment_copy / "quickstart/seed-0/distilled"
    logits = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)
    softened = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    an_export(folder, "model.tflite")
    an_export(folder, "soft.tflite", outputs="probabilities")
    outputs = {
        "model.keras": logits,
        "model.tflite": logits + np.array([[0, 0], [0, 0.5]]),
        "soft.tflite": softened - 0.01,
    }
    heard = Heard()
    bench = Bench(session(experiment_copy, listener=heard), outputs)

    def row(name):
        target = targets.Target(folder / name)
        return bench.row(benchmarks.Entry(name, target, export_records.read(folder / name)), np.array([1, 1]), 2)

    first = row("model.tflite")
    assert first["largest_difference"] == pytest.approx(0.5)
    assert first["accuracy"] == 0.5
    assert first["parameters"] == 1210
    # The model was not among the rows: it is asked for its logits, once, and not timed.
    assert bench.asked == [("model.tflite", (1, 32)), ("model.keras", ())]
    assert row("soft.tflite")["largest_difference"] == pytest.approx(0.01, abs=1e-6)
    assert len(bench.asked) == 3
    (folder / "model.keras").unlink()
    assert row("model.tflite")["largest_difference"] is None
    assert "its model is missing or was changed" in heard.warnings[0]


def test_outputs_of_another_number_of_classes_are_refused(experiment_copy):
    bench = Bench(session(experiment_copy), {"model.keras": np.zeros((2, 3), np.float32)})
    entry = benchmarks.Entry("x", targets.find(experiment_copy / "quickstart/seed-0/teacher"))
    with pytest.raises(ModelError, match="expected 10 outputs, one for each class of the data; received 3"):
        bench.row(entry, np.array([1, 1]), 10)


def request(tmp_path, model, images):
    np.save(tmp_path / "images.npy", images)
    return {
        "model": str(model),
        "scaling": None,
        "task": "single",
        "images": str(tmp_path / "images.npy"),
        "outputs": str(tmp_path / "outputs.npy"),
        "threads": 1,
        "batches": [2],
        "seconds": 0.0,
        "rows_at_once": 3,
    }


def test_a_measurement_writes_what_the_model_puts_out(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, inputs * 2).save(tmp_path / "double.keras")
    images = np.arange(21, dtype=np.uint8).reshape(7, 3)
    found = measure_process.main(request(tmp_path, tmp_path / "double.keras", images))
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), images * 2.0)
    assert found["parameters"] == 0
    assert set(found["latency"]) == {"2"}


def test_a_measurement_that_fails_says_why(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, inputs * 2).save(tmp_path / "double.keras")
    images = np.zeros((2, 4), np.uint8)
    found = measure_process.main(request(tmp_path, tmp_path / "double.keras", images))
    assert "expected one input of shape (4,); received (3,)" in found["error"]["message"]
    assert "no such model" in measure_process.main(request(tmp_path, tmp_path / "no.keras", images))["error"]["message"]


def test_a_process_that_dies_is_a_message(experiment_copy, monkeypatch):
    died = subprocess.CompletedProcess([], -11, "", "some noise\nSegmentation fault\n")
    monkeypatch.setattr(benchmarks.subprocess, "run", lambda *_, **__: died)
    named = [targets.find(experiment_copy / "quickstart/seed-0/teacher")]
    with pytest.raises(ModelError, match="ended with exit code -11: Segmentation fault"):
        benchmarks.benchmark(session(experiment_copy), named)


def test_peak_memory_grows_with_what_is_held():
    before = measure_process.peak_memory()
    held_now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    assert before >= held_now
    more = np.ones(before - held_now + 50_000_000, np.uint8)
    assert measure_process.peak_memory() >= before + 40_000_000
    del more
    assert measure_process.peak_memory() >= before + 40_000_000
