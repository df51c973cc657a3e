"""Imbalanced data from training to the report: class weights, other measures, and runs of versions without either."""

import json
import shutil

import numpy as np
import pytest
from command_line import document, run
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.utils.class_weight import compute_class_weight

from kdistill.core import files
from kdistill.runs import Experiment

CONFIG = """
data: {dataset: npz, path: rare.npz, validation: 0.25, class_weights: balanced}
teacher: {hidden: [8]}
student: {hidden: [3]}
training: {epochs: 3, monitor: val_balanced_accuracy, learning_rate: 0.02, batch_size: 20}
verdict: {measure: balanced_accuracy}
"""
NAMES = np.array(["common", "rare"])


def write_data(folder):
    """Write two classes that overlap, of which one has a tenth of the examples."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 200), ("test", 100)):
        labels = (np.arange(count) % 10 == 0).astype(int)
        arrays |= {f"x_{part}": rng.normal(0, 1, (count, 4)) + labels[:, None], f"y_{part}": NAMES[labels]}
    np.savez(folder / "rare.npz", **arrays)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imbalanced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDISTILL_CACHE_DIR", str(folder / "cache"))
        write_data(folder)
        (folder / "rare.yaml").write_text(CONFIG)
        found = document("reproduce", *options(folder), *IN_HERE)
    return folder, found


@pytest.fixture
def copied(home, tmp_path, monkeypatch):
    """The folder with the finished experiment, to change."""
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copytree(home[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


IN_HERE = ("--seeds", "3", "--workers", "1")  # in this process, so that what is replaced in it counts


def options(folder, *more):
    return ["-c", folder / "rare.yaml", "--output-dir", folder / "runs", "-q", *more]


def logits_of(folder, arm, seed=0):
    with np.load(folder / f"runs/rare/seed-{seed}/{arm}/outputs.npz") as archive:
        return archive["logits"].astype(np.float64)


LABELS = (np.arange(100) % 10 == 0).astype(int)


def test_the_verdict_is_about_the_measure(home):
    folder, found = home
    comparison = found["comparison"]
    assert comparison["measure"] == "balanced_accuracy"
    assert "points of test balanced accuracy" in comparison["verdict_text"]
    expected = [
        balanced_accuracy_score(LABELS, logits_of(folder, "distilled", seed).argmax(-1))
        - balanced_accuracy_score(LABELS, logits_of(folder, "baseline", seed).argmax(-1))
        for seed in range(3)
    ]
    assert comparison["difference"]["values"] == pytest.approx(expected)
    assert comparison["scope"] == "new_examples"
    assert comparison["new_examples"]["low"] <= comparison["difference"]["ci_low"]
    arm, logits = found["arms"]["baseline"], logits_of(folder, "baseline")
    assert arm["macro_f1"]["values"][0] == pytest.approx(f1_score(LABELS, logits.argmax(-1), average="macro"))
    assert arm["auc"]["values"][0] == pytest.approx(roc_auc_score(LABELS, logits[:, 1] - logits[:, 0]))
    assert "top5_accuracy" not in arm
    assert found["imbalance"] == 9.0


@pytest.mark.parametrize("arm", ["teacher", "baseline", "distilled"])
def test_each_arm_records_its_weights_its_formula_and_the_measure_that_chose_its_epoch(home, arm):
    made = Experiment(home[0] / "runs/rare").run(arm, 0)
    labels = np.repeat([0, 1], [135, 15])  # of train, without the quarter for validation
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert made.result["class_weights"] == pytest.approx(dict(zip(NAMES.tolist(), expected, strict=True)))
    assert made.result["formula"].endswith(", w[c] = n / (k * n[c])")
    values = [record["val_balanced_accuracy"] for record in made.history()]
    assert made.result["best_epoch"] == 1 + int(np.argmax(values))
    assert made.result["validation"]["balanced_accuracy"] == max(values)
    assert made.manifest["spec"]["data"]["class_weights"] == "balanced"


def test_weights_change_what_is_learnt_and_without_them_nothing_is_recorded(copied):
    plain = document("baseline", *options(copied, "--set", "data.class_weights=null", "--set", "name=plain"))
    assert "class_weights" not in plain
    assert plain["formula"] == "loss = hard"
    weighted = Experiment(copied / "runs/rare").run("baseline", 0).result
    assert weighted["weights_sha256"] != plain["weights_sha256"]
    # Weights that are all the same are none, whatever their size: they are divided by their mean.
    same = ["--set", "data.class_weights={common: 3, rare: 3}", "--set", "name=same"]
    assert document("baseline", *options(copied, *same))["weights_sha256"] == plain["weights_sha256"]


def test_what_a_person_sees_fits_eighty_columns_with_the_measure_first(copied):
    for command in (["reproduce", *options(copied, *IN_HERE)], ["evaluate", *options(copied)]):
        shown = run(*command).stdout
        assert max(map(len, shown.partition("\nNext:")[0].splitlines())) <= 80
        heading = next(line for line in shown.splitlines() if "bal. acc." in line)
        assert heading.split()[:2] == ["bal.", "acc."]
        assert [name in heading for name in ("accuracy", "macro F1", "AUC", "NLL")] == [True] * 4
    narration = run("reproduce", "-c", "rare.yaml", "--set", "name=other", "--seeds", "1").stderr
    assert "Class weights in the hard term: common: 0.556, rare: 5 (their mean over train is 1)" in narration
    assert "val bal. acc." in narration


def test_early_stopping_that_counts_examples_says_so(copied):
    more = ["--set", "name=nll", "--set", "training.monitor=val_nll", "--set", "training.epochs=1"]
    shown = run("baseline", "-c", "rare.yaml", "--output-dir", "runs", *more).stderr
    assert "Early stopping watches val_nll, in which every example counts the same" in shown


def test_the_measure_is_no_part_of_the_runs_and_changes_with_the_command(copied, monkeypatch):
    monkeypatch.setattr("kdistill.recipes.arms.baseline", None)  # nothing is trained
    found = document("reproduce", *options(copied, *IN_HERE, "--set", "verdict.measure=nll"))
    assert found["comparison"]["measure"] == "nll"
    assert "nats of test NLL, where lower is better" in found["comparison"]["verdict_text"]
    page = document("report", copied / "runs/rare")
    assert page["verdict_text"] == found["comparison"]["verdict_text"]
    text = (copied / "runs/rare/report.html").read_text()
    assert "nats of NLL" in text
    assert "Left of the line distilled is better" in text


def test_the_report_has_the_measures_and_the_weights(copied):
    page = document("report", copied / "runs/rare")
    assert "points of test balanced accuracy" in page["verdict_text"]
    html, markdown = ((copied / "runs/rare" / name).read_text() for name in ("report.html", "report.md"))
    for text in (html, markdown):
        assert "Balanced accuracy is the mean over the classes" in text
        assert "rare 5" in text
        assert "curves-val-balanced-accuracy" in text or "Validation balanced accuracy" in text
    assert '<th scope="col">macro F1</th><th scope="col">AUC</th>' in html
    assert "| arm | balanced accuracy | accuracy | macro F1 | AUC | NLL (nats) |" in markdown


def make_early(folder):
    """Leave out of every score what version 0.1.0 did not record."""
    early = ("accuracy", "nll", "ece", "class_accuracy", "parameters", "file_bytes", "agreement", "kl_to_teacher")
    for place in (folder / "runs/rare").glob("seed-*/*/test.json"):
        stored = files.read_sealed(place)
        stored["scores"] = {key: value for key, value in stored["scores"].items() if key in early}
        files.write_sealed(place, stored)


def test_scores_of_early_versions_are_completed_from_the_models_outputs(copied, home, monkeypatch):
    make_early(copied)
    monkeypatch.setattr("kdistill.recipes.arms.evaluate", None)  # no model is run
    found = document("reproduce", *options(copied, *IN_HERE, "--set", "verdict.measure=macro_f1"))
    assert found["comparison"]["new_examples"] is not None
    assert found["arms"]["distilled"]["macro_f1"] == home[1]["arms"]["distilled"]["macro_f1"]
    assert found["arms"]["distilled"]["agreement"] == home[1]["arms"]["distilled"]["agreement"]


def test_without_these_outputs_the_models_are_run_again(copied, home):
    make_early(copied)
    for place in (copied / "runs/rare").glob("seed-*/*/outputs.npz"):
        place.unlink()
    found = document("reproduce", *options(copied, *IN_HERE, "--set", "verdict.measure=macro_f1"))
    assert found["arms"]["baseline"]["macro_f1"] == home[1]["arms"]["baseline"]["macro_f1"]


def test_by_accuracy_early_runs_are_compared_as_they_were(copied, monkeypatch):
    make_early(copied)
    monkeypatch.setattr("kdistill.recipes.evaluate._completed", None)
    found = document("reproduce", *options(copied, *IN_HERE, "--set", "verdict.measure=accuracy"))
    assert "macro_f1" not in found["arms"]["baseline"]
    assert found["imbalance"] is None


def test_compare_uses_the_measure_of_both_and_says_what_it_lacks(copied):
    shutil.copytree(copied / "runs/rare", copied / "runs/other")
    config = (copied / "runs/other/config.yaml").read_text()
    (copied / "runs/other/config.yaml").write_text(config.replace("name: rare", "name: other"))
    found = document("compare", "rare", "other", "--output-dir", copied / "runs")
    assert found["measure"] == "balanced_accuracy"
    assert found["arms"]["baseline"]["paired"]["measure"] == "balanced_accuracy"
    summary = json.loads((copied / "runs/rare/summary.json").read_text())
    summary["comparison"]["measure"] = "auc"
    summary.pop(files.SEAL, None)
    (copied / "runs/rare/summary.json").write_text(json.dumps(summary))
    found = document("compare", "rare", "other", "--output-dir", copied / "runs")
    assert found["measure"] == "accuracy"
    assert "The verdict of A is about AUC, that of B about balanced accuracy: here" in found["warnings"][0]
    (copied / "runs/other/summary.json").write_text(json.dumps(summary))
    make_early(copied)
    found = document("compare", "rare", "other", "--arm", "baseline", "--output-dir", copied / "runs")
    assert "scored by an early version, without AUC, and is left out: run `kdistill evaluate" in found["warnings"][0]
    assert found["arms"]["baseline"]["why_not"]
    run("evaluate", *options(copied, "--seed", "0"))  # as the warning says
    again = document("compare", "rare", "other", "--arm", "baseline", "--output-dir", copied / "runs")
    assert "A: baseline seed 0" in found["warnings"][0]
    assert not any("A: baseline seed 0" in warning for warning in again["warnings"])


def test_a_sweep_chooses_by_the_measure_and_cells_may_differ_in_their_weights(copied):
    grid = ["--grid", "data.class_weights=balanced,{rare: 100}", "--set", "training.epochs=6", "--set", "name=sweep"]
    found = document("sweep", *options(copied, *grid, "--seeds", "2", "--workers", "1"))
    assert found["measure"] == "balanced_accuracy"
    assert found["chosen_by"].startswith("mean validation balanced accuracy of the distilled student")
    means = [cell["validation"]["balanced_accuracy"]["mean"] for cell in found["cells"]]
    by_accuracy = [cell["validation"]["accuracy"]["mean"] for cell in found["cells"]]
    assert np.argmax(means) != np.argmax(by_accuracy)
    assert found["winner"]["set"] == found["cells"][int(np.argmax(means))]["set"]
    assert found["test"]["comparison"]["measure"] == "balanced_accuracy"
    assert not found["warnings"]  # the examples are the same
    shown = run("sweep", *options(copied, *grid, "--seeds", "2", "--workers", "1")).stdout
    assert "validation balanced accuracy of the distilled student" in shown


@pytest.mark.parametrize(
    ("command", "override", "problem"),
    [
        ("reproduce", "verdict.measure=top5_accuracy", "verdict.measure: top-5 accuracy is for 20"),
        ("sweep", "verdict.measure=top5_accuracy", "verdict.measure: top-5 accuracy is for 20"),
        (
            "baseline",
            "training.monitor=val_top5_accuracy",
            "training.monitor: top-5 accuracy is for 20",
        ),
        ("baseline", "student.monitor=val_top5_accuracy", "student.monitor: top-5 accuracy is for 20"),
        ("baseline", "data.class_weights={rara: 2}", "data.class_weights: rara is not a class"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(copied, monkeypatch, command, override, problem):
    monkeypatch.setattr("kdistill.recipes.attempt.train", None)
    more = ["--grid", "distill.T=1,2"] if command == "sweep" else []
    result = run(command, *options(copied, "--set", override, "--set", "name=new", *more), code=3)
    assert problem in result.stderr.replace("\n", " ")


def test_rare_classes_are_seen_where_a_teacher_is_called_no_better_than_chance(copied):
    """Its accuracy is below the share of the commonest class; it knows the rare one nevertheless."""
    made = Experiment(copied / "runs/rare").run("teacher", 0)
    scores = made.result["validation"]
    assert scores["balanced_accuracy"] > 0.5
    assert not any("most frequent class" in warning for warning in made.result["warnings"])
