"""Multi-label data through the real CLI: from arrays to predictions, teachers from elsewhere, and what is refused."""

import csv
import io
import json
import re

import keras
import numpy as np
import own_data
import pytest
from command_line import document, run
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score

CONFIG = """\
data: {dataset: npz, path: tags.npz, labels: multi}
teacher: {hidden: [16], epochs: 3}
student: {hidden: [4], epochs: 2}
training: {batch_size: 16}
distill: {temperature: 2}
seeds: 2
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("tags.npz", **own_data.tags())
    (tmp_path / "tags.yaml").write_text(CONFIG)
    return tmp_path / "tags.yaml"


def logits(path, values):
    return keras.ops.convert_to_numpy(keras.saving.load_model(path, compile=False)(values))


def test_from_arrays_to_predictions(config, tmp_path):
    info = document("data", "info", "-c", config)["npz"]
    assert info["classes"] == list(own_data.TAGS)
    assert document("reproduce", "-c", config, "--dry-run")["formula"].endswith("summed over the classes")
    summary = document("reproduce", "-c", config, "--workers", 1)
    assert "Bernoulli(sigmoid(teacher/2))" in summary["formula"]
    assert summary["comparison"]["seeds"] == [0, 1]
    student = tmp_path / "runs/tags/seed-0/distilled"
    found = document("runs", "ls", "tags")["experiments"][0]["runs"]
    (of,) = [row for row in found if (row["arm"], row["seed"]) == ("distilled", 0)]
    assert of["measure"] == "mean_average_precision"
    assert of["test"] == summary["arms"]["distilled"]["mean_average_precision"]["values"][0]
    epochs = map(json.loads, (student / "history.jsonl").read_text().splitlines())
    assert of["validation"] in [record["val_mean_average_precision"] for record in epochs]

    arrays = own_data.tags()
    z = logits(student / "model.keras", arrays["x_test"])
    scores = document("evaluate", "-c", config)["arms"]["distilled"]
    assert scores["accuracy"] == pytest.approx(((z >= 0) == arrays["y_test"]).all(axis=1).mean())
    p = expit(z.astype(np.float64))
    nll = -np.where(arrays["y_test"], np.log(p), np.log(1 - p)).sum(axis=1).mean()
    assert scores["nll"] == pytest.approx(nll, rel=1e-5)
    expected = average_precision_score(arrays["y_test"], z, average="macro")
    assert scores["mean_average_precision"] == pytest.approx(expected)
    assert scores["macro_f1"] == pytest.approx(f1_score(arrays["y_test"], z >= 0, average="macro"))
    assert scores["class_examples"] == arrays["y_test"].sum(axis=0).tolist()
    means = [summary["arms"][arm]["mean_average_precision"]["values"] for arm in ("distilled", "baseline")]
    assert summary["comparison"]["measure"] == "mean_average_precision"
    assert summary["comparison"]["difference"]["values"] == pytest.approx(np.subtract(*means))

    lines = run("predict", student, "tags.npz", "--format", "jsonl", "--top", "3").stdout.splitlines()
    rows = list(map(json.loads, lines))
    assert [row["labels"] for row in rows] == [[own_data.TAGS[i] for i in np.flatnonzero(of >= 0)] for of in z]
    best = {choice["class"]: choice["probability"] for choice in rows[0]["top"]}
    assert best == pytest.approx(dict(zip(own_data.TAGS, p[0].tolist(), strict=True)), rel=1e-4)
    table = list(csv.DictReader(io.StringIO(run("predict", student, "tags.npz").stdout)))
    assert [row["labels"] for row in table] == [";".join(row["labels"]) for row in rows]

    page = run("report", "runs/tags") and (tmp_path / "runs/tags/report.md").read_text()
    assert "the data are multi-label" in page
    assert "Bernoulli" in page


def test_each_arm_can_be_made_alone_and_swept(config):
    for command in ("train-teacher", "baseline", "distill"):
        document(command, "-c", config)
    watched = document(
        "baseline", "-c", config, "--set", "training.monitor=val_mean_average_precision", "--output-dir", "watched"
    )
    assert watched["validation"]["mean_average_precision"] > 0
    swept = document("sweep", "-c", config, "--grid", "distill.alpha=0.1,0.9", "--seeds", "1", "--workers", 1)
    assert len(swept["cells"]) == 2
    assert swept["measure"] == "mean_average_precision"


def test_teachers_from_elsewhere(config, tmp_path):
    arrays = own_data.tags()
    teacher = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="sigmoid")])
    teacher.compile("adam", "binary_crossentropy")
    teacher.fit(arrays["x_train"], arrays["y_train"], epochs=2, verbose=0)
    teacher.save("tags.keras")
    plan = run("distill", "-c", config, "--teacher", "tags.keras", "--output-dir", "of-model", "--dry-run").stdout
    assert "tags.keras (validation mean average precision 0." in plan
    told = run("distill", "-c", config, "--teacher", "tags.keras", "--output-dir", "of-model")
    assert "ends in sigmoids, which were taken off" in told.output
    assert re.search(r"Teacher: validation mean average precision 0\.\d{4} \(tags\.keras\)", told.stderr)
    assert re.search(r"distilled seed 0  val mAP 0\.\d{4}  best ", told.stderr)
    p = {part: np.clip(teacher.predict(arrays[f"x_{part}"], verbose=0), 1e-7, 1 - 1e-7) for part in ("train", "test")}
    z = {part: np.log(of / (1 - of)).astype(np.float32) for part, of in p.items()}
    np.savez("logits.npz", **z, labels=arrays["y_train"], test_labels=arrays["y_test"])
    of_logits = document("distill", "-c", config, "--teacher-logits", "logits.npz", "--output-dir", "of-logits")
    of_both = document(
        "distill", "-c", config, "--teacher", "tags.keras", "--teacher", "logits.npz", "--output-dir", "both"
    )
    assert of_logits["teacher_validation"]["nll"] == pytest.approx(of_both["teacher_validation"]["nll"], rel=1e-3)


def test_what_cannot_be_used_is_named_before_training(config):
    arrays = own_data.tags()
    np.savez("p.npz", train=np.full((120, 3), 0.3, np.float32), labels=arrays["y_train"])
    refused = run("distill", "-c", config, "--teacher-logits", "p.npz", code=4)
    assert "these are probabilities" in refused.output
    assert "np.log(p / (1 - p))" in refused.output
    np.savez("other.npz", train=np.full((120, 3), 3, np.float32), labels=1 - arrays["y_train"])
    assert "in another order" in run("distill", "-c", config, "--teacher-logits", "other.npz", code=4).output
    softmax = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    softmax.save("softmax.keras")
    assert "received a softmax" in run("distill", "-c", config, "--teacher", "softmax.keras", code=4).output


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data={dataset: digits, labels: multi}", "multi is for dataset npz"),
        ("data={dataset: csv, path: a.csv, label: x, labels: multi}", "dataset is csv"),
        ("data={dataset: image_folder, path: tags, labels: multi}", "dataset is image_folder"),
        ("data.labels=several", "data.labels"),
        ("data.class_weights=balanced", "they are for labels: single"),
        ("student.monitor=val_auc", "student.monitor: AUC is for data.labels: single"),
    ],
)
def test_a_config_of_other_data_is_refused(config, override, message):
    assert message in run("baseline", "-c", config, "--set", override, code=3).output


def test_a_verdict_by_a_measure_of_single_labels_is_refused(config):
    told = run("reproduce", "-c", config, "--set", "verdict.measure=balanced_accuracy", "--workers", 1, code=3)
    assert "verdict.measure: balanced accuracy is for data.labels: single; the data have multi" in told.output


def test_a_model_of_one_kind_of_labels_is_no_model_of_the_other(config, tmp_path):
    document("train-teacher", "-c", config)
    one = own_data.tags()
    for part in ("train", "test"):
        one[f"y_{part}"] = one[f"x_{part}"][:, :3].argmax(axis=1)
    np.savez("one.npz", **one)
    (tmp_path / "one.yaml").write_text(CONFIG.replace("tags.npz, labels: multi", "one.npz"))
    teacher = "runs/tags/seed-0/teacher/model.keras"
    message = "expected a teacher of data with data.labels: single; received one of multi"
    assert message in run("distill", "-c", "one.yaml", "--teacher", teacher, code=4).output


def test_exports_return_logits_and_are_compared_decision_by_decision(config, tmp_path):
    document("baseline", "-c", config)
    folder = tmp_path / "runs/tags/seed-0/baseline"
    refused = run("export", folder, "--format", "saved-model", "--with-softmax", code=3)
    assert "--with-softmax: the data are multi-label" in refused.output
    found = document("export", folder, "--format", "saved-model", "--output", tmp_path / "served")
    arrays = own_data.tags()
    z = logits(folder / "model.keras", arrays["x_test"])
    assert found["parity"]["agreement"] == 1.0
    assert found["parity"]["accuracy"] == pytest.approx(((z >= 0) == arrays["y_test"]).all(axis=1).mean())
    of_export, of_run = (run("predict", path, "tags.npz").stdout for path in (tmp_path / "served", folder))
    assert [line.split(",")[:2] for line in of_export.splitlines()] == [
        line.split(",")[:2] for line in of_run.splitlines()
    ]
