"""Imbalanced data through the real CLI: class weights, monitors and verdicts by other measures than accuracy."""

import json

import numpy as np
import pytest
from command_line import document, run
from own_data import write_npz

from kdistill.runs import Experiment

LAYERS = "teacher={hidden: [8]}"


def thinned(rare=6):
    """Return the arrays of two classes, dark and light, with few light ones in train and test."""
    rng = np.random.default_rng(0)
    found = {}
    for part, count in (("train", 80), ("test", 40)):
        labels = (np.arange(count) < rare).astype(int)
        values = rng.integers(0, 160, (count, 6, 5)) + 60 * labels.reshape(-1, 1, 1)
        found |= {f"x_{part}": values.astype(np.uint8), f"y_{part}": labels}
    return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def config(here):
    write_npz(here / "rare.npz", **thinned(), classes=["dark", "light"])
    (here / "rare.yaml").write_text(
        "data: {dataset: npz, path: rare.npz, class_weights: balanced}\n"
        "teacher: {hidden: [8]}\nstudent: {hidden: [4]}\n"
        "training: {epochs: 2, batch_size: 32, monitor: val_balanced_accuracy}\n"
        "verdict: {measure: balanced_accuracy}\n"
    )
    return here / "rare.yaml"


def short(*set_):
    return [part for text in set_ for part in ("--set", text)]


def test_a_reproduction_is_about_the_measure_and_says_the_weights(config, here):
    found = run("reproduce", "-c", config, "--seeds", 3, "--workers", 1)
    shown = found.stdout
    assert max(map(len, shown.partition("\nNext:")[0].splitlines())) <= 80
    assert "rare: test balanced accuracy over 3 seeds" in shown
    heading = next(line for line in shown.splitlines() if "bal. acc." in line)
    assert "macro F1" in heading
    assert "points of test balanced accuracy" in " ".join(shown.split())
    verbose = run("reproduce", "-c", config, "--seeds", 3, "--workers", 1, "-v").stdout
    assert "w[c] = n / (k * n[c])" in " ".join(verbose.split())
    assert "Class weights in the hard term: dark: " in found.stderr
    summary = json.loads((here / "runs/rare/summary.json").read_text())
    assert summary["comparison"]["measure"] == "balanced_accuracy"
    assert summary["imbalance"] > 2
    for arm in summary["arms"].values():
        assert {"accuracy", "nll", "balanced_accuracy", "macro_f1", "auc"} <= set(arm)
        assert "top5_accuracy" not in arm
    differences = np.subtract(
        *(summary["arms"][arm]["balanced_accuracy"]["values"] for arm in ("distilled", "baseline"))
    )
    np.testing.assert_allclose(summary["comparison"]["difference"]["values"], differences, atol=1e-12)
    result = Experiment(here / "runs/rare").run("baseline", 0).result
    assert list(result["class_weights"]) == ["dark", "light"]
    assert result["class_weights"]["light"] > 5 * result["class_weights"]["dark"]
    assert "val_balanced_accuracy" in Experiment(here / "runs/rare").run("baseline", 0).history()[0]

    scored = run("evaluate", "-c", config, "--seed", 0).stdout
    assert max(map(len, scored.partition("\nNext:")[0].splitlines())) <= 80
    assert "bal. acc." in scored
    again = document("reproduce", "-c", config, "--seeds", 3, "--set", "verdict.measure=auc")
    assert again["comparison"]["measure"] == "auc"
    assert again["arms"]["baseline"]["accuracy"] == summary["arms"]["baseline"]["accuracy"]  # nothing is trained again


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "data.class_weights={lihgt: 3}",
            "data.class_weights: lihgt is not a class; expected names among dark, light",
        ),
        ("verdict.measure=top5_accuracy", "verdict.measure: top-5 accuracy is for 20 or more classes; the data have 2"),
        ("student.monitor=val_top5_accuracy", "student.monitor: top-5 accuracy is for 20 or more classes; the data"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_what_does_not_fit_the_classes_is_refused_before_anything_is_trained(config, here, override, problem, more):
    refused = run("reproduce", "-c", config, *short(override), *more, code=3)
    assert problem in " ".join(refused.stderr.split())
    assert not list(here.glob("runs/*/seed-*"))
