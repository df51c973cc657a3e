"""Many runs: what is trained, what is reused, in which order, and how much is loaded for it."""

import json
import subprocess
import sys

import keras
import pytest
from heard import Heard
from printed import text
from small_experiment import SHORT, session

from kdistill import config as configs
from kdistill import datasets
from kdistill.cli.rendering import results
from kdistill.core import backend
from kdistill.core.controls import CONTROLS
from kdistill.core.errors import ConfigError, DivergedError, ModelError, OutputError
from kdistill.core.kinds import Example
from kdistill.core.listener import RunStarted
from kdistill.evaluation import calibration, predict
from kdistill.evaluation.measures import ACCURACY
from kdistill.evaluation.verdict import little_to_teach
from kdistill.experiments import reproduce, task_graph
from kdistill.experiments.workers import Outcomes, Scale, TaskKey
from kdistill.recipes import arms, controls, evaluate
from kdistill.recipes.make import make
from kdistill.recipes.session import Options
from kdistill.recipes.threads import default_threads
from kdistill.report.collect.collector import collect
from kdistill.runs import known_scores, own_scores, record_scores
from kdistill.training import fit


def test_each_run_is_trained_once_and_in_order(tmp_path):
    watch = Heard()
    summary = reproduce.reproduce(session(tmp_path, listener=watch), [3, 1], scale=Scale(workers=1))
    order = [(run.arm, run.seed) for run in watch.of_kind(RunStarted)]
    assert order == [(arm, seed) for seed in (3, 1) for arm in ("teacher", "baseline", "distilled")]
    assert summary["seeds"] == [3, 1]
    reproduce.reproduce(session(tmp_path, listener=watch), [3, 1], scale=Scale(workers=1))
    assert len(watch.of_kind(RunStarted)) == 6


@pytest.mark.parametrize("change", ["distill.T=9", "teacher.hidden=[8]"])
def test_what_is_made_again_is_compared_anew(experiment_copy, tmp_path, change):
    """As if nothing had been there: scores of the old runs, or students of the old teacher, would be wrong."""
    again = reproduce.reproduce(session(experiment_copy, change, overwrite=True), [0])
    fresh = reproduce.reproduce(session(tmp_path / "new", change), [0])
    assert {**again, "run_info": 0} == {**fresh, "run_info": 0}


def test_a_finished_reproduction_needs_no_tensorflow(experiment_copy):
    program = (
        "import sys; from pathlib import Path\n"
        "from kdistill import config\n"
        "from kdistill.experiments import reproduce; from kdistill.runs import Experiment\n"
        "from kdistill.recipes.session import Options, Session\n"
        f"cfg = config.load('quickstart', {SHORT!r})\n"
        f"place = Experiment(Path({str(experiment_copy)!r}) / 'quickstart')\n"
        "session = Session(cfg, place, Options())\n"
        "reproduce.reproduce(session, [0]); reproduce.train(session, 'distilled', 0)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def test_what_is_missing_is_said_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load", None)
    with pytest.raises(ModelError, match="distill needs a finished teacher"):
        make(session(tmp_path), "distilled", 0)


def test_a_batch_must_fit_the_data_before_anything_is_trained(tmp_path):
    with pytest.raises(ConfigError, match=r"^student\.batch_size: expected at most the 1005 examples"):
        make(session(tmp_path, "student.batch_size=1006"), "baseline", 0)
    with pytest.raises(ConfigError, match=r"student\.batch_size"):
        reproduce.reproduce(session(tmp_path, "student.batch_size=1006"), [0])
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_made_again_takes_the_summary_with_it(experiment_copy):
    """The summary was computed from the run that is no more."""
    summary = experiment_copy / "quickstart" / "summary.json"
    make(session(experiment_copy), "baseline", 0)
    make(session(experiment_copy), "baseline", 1)
    assert summary.exists()
    make(session(experiment_copy, "student.epochs=2", overwrite=True), "baseline", 0)
    assert not summary.exists()


def test_another_teacher_is_named_as_what_to_make_first(tmp_path):
    make(session(tmp_path), "teacher", 0)
    with pytest.raises(OutputError, match=r"teacher\.epochs|training\.epochs") as refused:
        make(session(tmp_path, "teacher.epochs=2", overwrite=True), "distilled", 0)
    assert "kdistill train-teacher --overwrite" in refused.value.hint
    assert "--output-dir" in refused.value.hint


def test_agreement_is_measured_against_the_teacher_that_taught(tmp_path):
    first = session(tmp_path / "a")
    make(first, "teacher", 0)
    second = session(tmp_path / "b", "seed=1")
    taught_by = first.experiment.run("teacher", 0).model_file
    make(session(tmp_path / "b", "seed=1", teacher_files=[taught_by]), "distilled", 0)
    found = evaluate._teacher_of(second, second.experiment.run("distilled", 0))
    assert found.paths == (taught_by.resolve(),)
    distilled = second.experiment.run("distilled", 0)
    scores = evaluate.score(second, distilled)
    assert scores["agreement"] is not None
    assert known_scores(distilled, first.experiment.run("teacher", 0).result["weights_sha256"]) == scores


def test_scores_are_computed_again_for_a_new_model(experiment_copy):
    first = session(experiment_copy)
    run = first.experiment.run("baseline", 0)
    before = evaluate.score(first, run)
    assert evaluate.score(first, run) == before
    other = session(experiment_copy, "student.hidden=[3]", overwrite=True)
    make(other, "baseline", 0)
    assert evaluate.score(other, run)["parameters"] != before["parameters"]


def test_threads_follow_from_the_larger_model():
    small, example = configs.load("article"), Example((28, 28), 10, "image")
    assert default_threads(small, example) == 1
    large = configs.load("article", ["teacher.hidden=[4096, 4096]"])
    assert default_threads(large, example) == backend.cores()


def test_threads_follow_from_convolutions_by_their_positions(tmp_path):
    """The same few weights are many multiplications."""
    fashion = Example((28, 28), 10, "image")
    teacher = "teacher={conv: [64, 64, 64], pool: 1, global_pool: true}"
    assert default_threads(configs.load("article", [teacher]), fashion) == backend.cores()
    assert default_threads(configs.load("quickstart", [teacher]), Example((8, 8), 10, "image")) == 1
    layers = [keras.layers.Conv2D(96, 5), keras.layers.Conv2D(96, 5), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential([keras.Input((28, 28, 1)), *layers]).save(tmp_path / "big.keras")
    file = f"teacher={{model: {tmp_path / 'big.keras'}}}"
    assert default_threads(configs.load("article", [file]), fashion) == backend.cores()


def test_threads_follow_from_a_large_teacher_from_elsewhere_where_asking_it_is_most_of_the_work(tmp_path):
    """It has 184 million multiplications for an image; the student has 0.1 million, three times in each epoch."""
    fashion = Example((28, 28), 10, "image")
    layers = [keras.layers.Conv2D(320, 5, strides=1), keras.layers.Conv2D(320, 3, strides=8)]
    layers = [keras.layers.Conv2D(96, 5), keras.layers.Conv2D(96, 5), *layers, keras.layers.Flatten()]
    keras.Sequential([keras.Input((28, 28, 1)), *layers, keras.layers.Dense(10)]).save(tmp_path / "big.keras")
    files = [tmp_path / "big.keras", tmp_path / "logits.npz"]
    short, long = (configs.load("article", [f"training.epochs={epochs}"]) for epochs in (10, 100_000))
    moved = configs.load("article", ["training.epochs=100000", "augmentation.flip=true"])
    assert default_threads(short, fashion) == 1
    assert default_threads(short, fashion, files) == backend.cores()
    assert default_threads(long, fashion, files) == 1
    assert default_threads(moved, fashion, files) == backend.cores()
    assert default_threads(moved, fashion, files[1:]) == 1


def test_teachers_named_on_the_command_line_count_for_the_threads_as_those_of_the_config(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "kdistill.recipes.session.default_threads", lambda config, example, files: seen.append(list(files)) or 1
    )
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(tmp_path / "t.keras")
    make(session(tmp_path / "a", teacher_files=[tmp_path / "t.keras"]), "distilled", 0)
    make(session(tmp_path / "b", f"distill.teachers=[{tmp_path / 't.keras'}]"), "distilled", 0)
    assert seen == [[tmp_path / "t.keras"]] * 2


def test_one_teacher_teaches_all_seeds_where_it_is_shared(tmp_path):
    summary = reproduce.reproduce(session(tmp_path), [0, 1, 2], [5], Scale(workers=1))
    assert summary["teacher_seeds"] == [5, 5, 5]
    assert len(summary["arms"]["teacher"]["accuracy"]["values"]) == 1
    assert len(summary["arms"]["distilled"]["accuracy"]["values"]) == 3
    assert "this one teacher" in summary["comparison"]["about"]
    experiment = session(tmp_path).experiment
    weights = {experiment.run("distilled", seed).manifest["spec"]["teacher_weights"] for seed in (0, 1, 2)}
    assert weights == {experiment.run("teacher", 5).result["weights_sha256"]}
    assert not experiment.run("teacher", 0).folder.exists()
    assert all(value is not None for value in summary["arms"]["baseline"]["agreement"]["values"])


def test_an_experiment_that_was_moved_still_knows_its_teachers(tmp_path):
    reproduce.reproduce(session(tmp_path / "a"), [0, 1], [1], Scale(workers=1))
    (tmp_path / "a").rename(tmp_path / "b")
    moved = session(tmp_path / "b")
    scores = evaluate.score(moved, moved.experiment.run("distilled", 0), reuse=False)
    assert scores["agreement"] is not None


def test_a_seed_of_which_a_run_failed_is_left_out(tmp_path, monkeypatch):
    """Seed 1 diverges; what is left is compared, and the failure is told."""
    baseline = arms.baseline

    def diverging(setting, seed):
        if seed == 1:
            raise DivergedError("training diverged")
        return baseline(setting, seed)

    monkeypatch.setattr(arms, "baseline", diverging)
    summary = reproduce.reproduce(session(tmp_path), [0, 1, 2], scale=Scale(workers=1))
    assert [failure["run"] for failure in summary["failed"]] == [
        "baseline seed 1",
        "distilled seed 1",
        "seed 1, scores",
    ]
    assert summary["seeds"] == [0, 1, 2]
    assert len(summary["comparison"]["difference"]["values"]) == 2
    assert [row["seed"] for row in summary["comparison"]["mcnemar"]] == [0, 2]


def test_mcnemar_counts_the_examples_that_one_of_two_got_right(finished_experiment):
    summary = json.loads((finished_experiment / "quickstart" / "summary.json").read_text())
    (row,) = summary["comparison"]["mcnemar"]
    difference = summary["comparison"]["difference"]["values"][0]
    assert (row["only_distilled"] - row["only_baseline"]) / 540 == pytest.approx(difference)


def test_a_control_that_fails_leaves_the_verdict_on_distillation_as_it_is(tmp_path, monkeypatch):
    alone = reproduce.reproduce(session(tmp_path), [0, 1], scale=Scale(workers=1))
    smoothed = controls.TRAINED["smoothed"]

    def failing(own, run, needed):
        if (run.arm, run.seed) == ("smoothed", 0):
            return smoothed(own, run, needed)
        raise DivergedError("diverged")

    for arm in ("smoothed", "continued"):
        monkeypatch.setitem(controls.TRAINED, arm, failing)
    found = reproduce.reproduce(session(tmp_path, "controls=[smoothed, continued]"), [0, 1], scale=Scale(workers=1))
    assert found["comparison"] == alone["comparison"]
    assert found["arms"].keys() - alone["arms"].keys() == {"smoothed"}
    assert [of["difference"]["values"] for of in found["causes"]["comparisons"]] == [[pytest.approx(0, abs=1)]] * 2
    assert [failed["run"] for failed in found["failed"]] == ["continued seed 0", "smoothed seed 1", "continued seed 1"]
    assert found["warnings"][-2:] == [
        "The control smoothed is compared without seed 1: its run failed.",
        "The control continued is not compared: all its runs failed.",
    ]


EVERY_CONTROL = "controls=[smoothed, pseudo, shuffled, self, continued]"


def test_an_experiment_is_extended_by_controls_and_rid_of_them(experiment_copy, monkeypatch):
    """What is there stays, the controls are trained; the config in the folder is that of the last comparison."""
    home = experiment_copy / "quickstart"
    before = json.loads((home / "summary.json").read_text())
    made = {path: path.stat().st_mtime_ns for path in home.glob("seed-0/*/result.json")}
    found = reproduce.reproduce(session(experiment_copy, EVERY_CONTROL), [0], scale=Scale(workers=1))
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert found["comparison"] == before["comparison"]
    assert list(found["arms"]) == ["teacher", "baseline", "distilled", *CONTROLS]
    assert list(found["causes"]["sentences"]) == list(CONTROLS)
    page = collect(home, Options(), 0)
    assert page.causes == found["causes"]
    assert [(arm.name, arm.nll, arm.shown["accuracy"]) for arm in page.controls] == [
        (arm, found["arms"][arm]["nll"], found["arms"][arm]["accuracy"]) for arm in CONTROLS
    ]
    assert [of.arm for of in page.curves] == list(found["arms"])
    monkeypatch.setattr(fit, "Fit", None)
    again = reproduce.reproduce(session(experiment_copy), [0], scale=Scale(workers=1))
    left_out = {"run_info", "sha256"}
    assert {key: again[key] for key in again.keys() - left_out} == {
        key: before[key] for key in before.keys() - left_out
    }
    assert not configs.load(home / "config.yaml").controls
    assert not collect(home, Options(), 0).controls


def test_controls_that_a_teacher_teaches_do_not_wait_for_the_baseline(tmp_path):
    own = session(tmp_path, EVERY_CONTROL)
    needs = {
        task.key.arm: {need.arm for need in task.needs} for task in task_graph.tasks_of(own, {0: 0}) if task.trains
    }
    assert needs == {
        "teacher": set(),
        "baseline": set(),
        "distilled": {"teacher", "baseline"},
        "smoothed": set(),
        "pseudo": {"teacher"},
        "shuffled": {"teacher"},
        "self": {"baseline"},
        "continued": {"baseline"},
    }


def test_standardised_students_have_scores_with_a_fitted_temperature(tmp_path):
    """In test.json, in the summary and in the table; not for other losses, and scores without them are reused."""
    own = session(tmp_path, "distill.standardize=true")
    found = reproduce.reproduce(own, [0])
    arm = found["arms"]["distilled"]
    assert arm["fitted_nll"]["mean"] < arm["nll"]["mean"]
    run = own.experiment.run("distilled", 0)
    scores = own_scores(run)
    assert scores["fitted_temperature"] == arm["fitted_temperature"]["values"][0]
    validation = predict.logits(predict.predictor(keras.models.load_model(run.model_file)), own.splits.validation)
    expected = calibration.fit_temperature(validation, own.splits.validation.all_labels)
    assert scores["fitted_temperature"] == pytest.approx(expected, rel=1e-4)
    assert "fitted NLL" in text(results.arms_table("a", found), 160)
    stored = json.loads((run.folder / "test.json").read_text())
    kept = {key: value for key, value in stored["scores"].items() if not key.startswith("fitted")}
    plain = {key: stored[key] for key in ("teacher_weights", "model_sha256")}
    record_scores(run, kept, plain["teacher_weights"], [True] * 540, plain["model_sha256"])
    again = reproduce.reproduce(own, [0])
    assert "fitted_nll" not in again["arms"]["distilled"]
    assert again["arms"]["distilled"]["nll"] == arm["nll"]


def test_a_seed_whose_teacher_scored_low_is_named_at_the_end_only_if_the_mean_over_seeds_is_low_too():
    config = configs.load("quickstart", ["seeds=2"])

    def outcomes(*scores):
        """Return two seeds' results, of which the distilled run warns of its teacher; `scores` are theirs and alone."""
        done = {}
        for seed, (taught, alone) in enumerate(scores):
            teacher, baseline = {"accuracy": taught}, {"accuracy": alone}
            of_run = ["The labels are noisy.", *little_to_teach(seed, teacher, baseline)]
            done[TaskKey("teacher", seed, "")] = {"warnings": []}
            done[TaskKey("baseline", seed, "")] = {"warnings": [], "validation": baseline}
            done[TaskKey("distilled", seed, "")] = {"warnings": of_run, "teacher_validation": teacher}
        return Outcomes(done)

    def warned(*scores):
        return reproduce._warnings(config, [0, 1], {0: 0, 1: 1}, outcomes(*scores), "", ACCURACY)

    assert warned((0.9, 0.8), (0.8, 0.85)) == ["The labels are noisy."]
    assert warned((0.8, 0.79), (0.8, 0.85))[1:] == little_to_teach(1, {"accuracy": 0.8}, {"accuracy": 0.85})
