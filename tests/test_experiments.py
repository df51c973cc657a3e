"""Many runs: what is trained, what is reused, in which order, and how much is loaded for it."""

import json
import subprocess
import sys

import keras
import pytest
from small_experiment import SHORT, session

from kdistill import backend, datasets, experiments, recipes, sessions
from kdistill import config as configs
from kdistill.errors import ConfigError, DivergedError, ModelError, OutputError
from kdistill.experiments import Scale
from kdistill.listener import Listener


def test_each_run_is_trained_once_and_in_order(tmp_path):
    order = []

    class Watch(Listener):
        def run_started(self, arm, seed, epochs, patience, history=(), examples=0):
            order.append((arm, seed))

    summary = experiments.reproduce(session(tmp_path, listener=Watch()), [3, 1], scale=Scale(workers=1))
    assert order == [(arm, seed) for seed in (3, 1) for arm in ("teacher", "baseline", "distilled")]
    assert summary["seeds"] == [3, 1]
    experiments.reproduce(session(tmp_path, listener=Watch()), [3, 1], scale=Scale(workers=1))
    assert len(order) == 6


@pytest.mark.parametrize("change", ["distill.T=9", "teacher.hidden=[8]"])
def test_what_is_made_again_is_compared_anew(experiment_copy, tmp_path, change):
    """As if nothing had been there: scores of the old runs, or students of the old teacher, would be wrong."""
    again = experiments.reproduce(session(experiment_copy, change, overwrite=True), [0])
    fresh = experiments.reproduce(session(tmp_path / "new", change), [0])
    assert {**again, "run_info": 0} == {**fresh, "run_info": 0}


def test_a_finished_reproduction_needs_no_tensorflow(experiment_copy):
    program = (
        "import sys; from pathlib import Path\n"
        "from kdistill import config, experiments; from kdistill.runs import Experiment\n"
        "from kdistill.sessions import Options, Session\n"
        f"cfg = config.load('quickstart', {SHORT!r})\n"
        f"place = Experiment(Path({str(experiment_copy)!r}) / 'quickstart')\n"
        "session = Session(cfg, place, Options())\n"
        "experiments.reproduce(session, [0]); experiments.train(session, 'distilled', 0)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def test_what_is_missing_is_said_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "load", None)
    with pytest.raises(ModelError, match="distill needs a finished teacher"):
        session(tmp_path).train("distilled", 0)


def test_a_batch_must_fit_the_data_before_anything_is_trained(tmp_path):
    with pytest.raises(ConfigError, match=r"^student\.batch_size: expected at most the 1005 examples"):
        session(tmp_path, "student.batch_size=1006").train("baseline", 0)
    with pytest.raises(ConfigError, match=r"student\.batch_size"):
        experiments.reproduce(session(tmp_path, "student.batch_size=1006"), [0])
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_made_again_takes_the_summary_with_it(experiment_copy):
    """The summary was computed from the run that is no more."""
    summary = experiment_copy / "quickstart" / "summary.json"
    session(experiment_copy).train("baseline", 0)
    session(experiment_copy).train("baseline", 1)
    assert summary.exists()
    session(experiment_copy, "student.epochs=2", overwrite=True).train("baseline", 0)
    assert not summary.exists()


def test_another_teacher_is_named_as_what_to_make_first(tmp_path):
    session(tmp_path).train("teacher", 0)
    with pytest.raises(OutputError, match=r"teacher\.epochs|training\.epochs") as refused:
        session(tmp_path, "teacher.epochs=2", overwrite=True).train("distilled", 0)
    assert "kdistill train-teacher --overwrite" in refused.value.hint
    assert "--output-dir" in refused.value.hint


def test_agreement_is_measured_against_the_teacher_that_taught(tmp_path):
    first = session(tmp_path / "a")
    first.train("teacher", 0)
    second = session(tmp_path / "b", "seed=1")
    taught_by = first.experiment.run("teacher", 0).model_file
    second.train("distilled", 0, taught_by)
    assert second._teachers_of(second.experiment.run("distilled", 0)) == [taught_by.resolve()]
    distilled = second.experiment.run("distilled", 0)
    scores = second.evaluate(distilled)
    assert scores["agreement"] is not None
    assert distilled.test_scores(first.experiment.run("teacher", 0).result["weights_sha256"]) == scores


def test_scores_are_computed_again_for_a_new_model(experiment_copy):
    first = session(experiment_copy)
    run = first.experiment.run("baseline", 0)
    before = first.evaluate(run)
    assert first.evaluate(run) == before
    other = session(experiment_copy, "student.hidden=[3]", overwrite=True)
    other.train("baseline", 0)
    assert other.evaluate(run)["parameters"] != before["parameters"]


def test_threads_follow_from_the_larger_model():
    small, example = configs.load("article"), ((28, 28), 10)
    assert sessions.default_threads(small, example) == 1
    large = configs.load("article", ["teacher.hidden=[4096, 4096]"])
    assert sessions.default_threads(large, example) == backend.cores()


def test_threads_follow_from_convolutions_by_their_positions(tmp_path):
    """The same few weights are many multiplications."""
    fashion = ((28, 28), 10)
    teacher = "teacher={conv: [64, 64, 64], pool: 1, global_pool: true}"
    assert sessions.default_threads(configs.load("article", [teacher]), fashion) == backend.cores()
    assert sessions.default_threads(configs.load("quickstart", [teacher]), ((8, 8), 10)) == 1
    layers = [keras.layers.Conv2D(96, 5), keras.layers.Conv2D(96, 5), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential([keras.Input((28, 28, 1)), *layers]).save(tmp_path / "big.keras")
    file = f"teacher={{model: {tmp_path / 'big.keras'}}}"
    assert sessions.default_threads(configs.load("article", [file]), fashion) == backend.cores()


def test_threads_follow_from_a_large_teacher_from_elsewhere_where_asking_it_is_most_of_the_work(tmp_path):
    """It has 184 million multiplications for an image; the student has 0.1 million, three times in each epoch."""
    fashion = ((28, 28), 10)
    layers = [keras.layers.Conv2D(320, 5, strides=1), keras.layers.Conv2D(320, 3, strides=8)]
    layers = [keras.layers.Conv2D(96, 5), keras.layers.Conv2D(96, 5), *layers, keras.layers.Flatten()]
    keras.Sequential([keras.Input((28, 28, 1)), *layers, keras.layers.Dense(10)]).save(tmp_path / "big.keras")
    files = [tmp_path / "big.keras", tmp_path / "logits.npz"]
    short, long = (configs.load("article", [f"training.epochs={epochs}"]) for epochs in (10, 100_000))
    moved = configs.load("article", ["training.epochs=100000", "augmentation.flip=true"])
    assert sessions.default_threads(short, fashion) == 1
    assert sessions.default_threads(short, fashion, files) == backend.cores()
    assert sessions.default_threads(long, fashion, files) == 1
    assert sessions.default_threads(moved, fashion, files) == backend.cores()
    assert sessions.default_threads(moved, fashion, files[1:]) == 1


def test_teachers_named_on_the_command_line_count_for_the_threads_as_those_of_the_config(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sessions, "default_threads", lambda config, example, files: seen.append(list(files)) or 1)
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(tmp_path / "t.keras")
    session(tmp_path / "a").train("distilled", 0, tmp_path / "t.keras")
    session(tmp_path / "b", f"distill.teachers=[{tmp_path / 't.keras'}]").train("distilled", 0)
    assert seen == [[tmp_path / "t.keras"]] * 2


def test_one_teacher_teaches_all_seeds_where_it_is_shared(tmp_path):
    summary = experiments.reproduce(session(tmp_path), [0, 1, 2], [5], Scale(workers=1))
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
    experiments.reproduce(session(tmp_path / "a"), [0, 1], [1], Scale(workers=1))
    (tmp_path / "a").rename(tmp_path / "b")
    moved = session(tmp_path / "b")
    scores = moved.evaluate(moved.experiment.run("distilled", 0), reuse=False)
    assert scores["agreement"] is not None


def test_a_seed_of_which_a_run_failed_is_left_out(tmp_path, monkeypatch):
    """Seed 1 diverges; what is left is compared, and the failure is told."""
    baseline = recipes.baseline

    def diverging(setting, seed):
        if seed == 1:
            raise DivergedError("training diverged")
        return baseline(setting, seed)

    monkeypatch.setattr(recipes, "baseline", diverging)
    summary = experiments.reproduce(session(tmp_path), [0, 1, 2], scale=Scale(workers=1))
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
