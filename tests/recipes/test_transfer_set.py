"""Arms whose transfer set lacks classes, and whose biases are moved to the prior afterwards."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from heard import Heard
from scipy.special import softmax
from small_experiment import session

from kdistill import models
from kdistill.core.controls import CONTROLS
from kdistill.core.errors import ConfigError, ModelError
from kdistill.datasets import catalog
from kdistill.evaluation import metrics, predict
from kdistill.recipes import evaluate, make, transfer_set

EVERY = "controls=[smoothed, pseudo, shuffled, self, continued]"
TAUGHT = ("distilled", "pseudo", "shuffled", "self")
NO_THREES = ("distill.classes={without: [3]}", "distill.adjust_prior=true")


def made(own, *arms):
    return {arm: make.make(own, arm, 0) for arm in arms}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    own = session(tmp_path_factory.mktemp("no-threes"), EVERY, *NO_THREES, listener=Heard())
    return own, made(own, "teacher", "baseline", "distilled", *CONTROLS)


def test_what_learns_from_a_model_never_sees_the_class(experiment):
    own, results = experiment
    labels = own.splits.train.all_labels
    without = len(labels) - int((labels == 3).sum())
    for arm, result in results.items():
        seen = own.examples_of(arm).all_labels
        assert (3 in seen) == (arm not in TAUGHT), arm
        assert result.get("trained_on") == ({"labelled": without, "unlabelled": 0} if arm in TAUGHT else None), arm
    first = f"distilled: {without} labelled examples, without the class 3; an epoch has 15 updates in every arm"
    notes = [note for note in own.listener.notes if note.startswith("distilled")]
    assert notes[0].startswith(first)
    assert notes[1].startswith("distilled, seed 0: biases moved to the prior (")


def test_mean_probabilities_of_the_saved_model_are_the_prior(experiment):
    own, results = experiment
    counts = np.bincount(own.splits.train.all_labels)
    for arm in TAUGHT:
        model, _ = models.load_classifier(own.experiment.run(arm, 0).model_file)
        logits = predict.logits(predict.predictor(model), own.splits.validation)
        found = softmax(logits.astype(np.float64), axis=1).mean(axis=0)
        np.testing.assert_allclose(found, counts / counts.sum(), atol=1e-6)
        scores = metrics.score(logits, own.splits.validation.all_labels)
        assert results[arm]["validation"]["nll"] == pytest.approx(scores.nll, rel=1e-5)
        record = own.experiment.run(arm, 0).history()[-1]
        assert record["val_nll"] == pytest.approx(scores.nll, rel=1e-4)  # what early stopping watches


def test_scores_before_are_those_of_the_biases_as_they_were_trained(experiment):
    own, results = experiment
    for arm, result in results.items():
        assert ("before_adjustment" in result) == ("moved_biases" in result) == (arm in TAUGHT), arm
    run, scores = own.experiment.run("distilled", 0), evaluate.score(own, own.experiment.run("distilled", 0))
    model, _ = models.load_classifier(run.model_file)
    moved = np.array(list(results["distilled"]["moved_biases"].values()))
    for split, found in (("validation", results["distilled"]), ("test", scores)):
        logits = predict.logits(predict.predictor(model), getattr(own.splits, split)) - moved
        before = metrics.score(logits, getattr(own.splits, split).all_labels)
        assert found["before_adjustment"]["accuracy"] == before.accuracy
        assert found["before_adjustment"]["nll"] == pytest.approx(before.nll, rel=1e-5)
    kept = json.loads((run.folder / "test.json").read_text())
    assert kept["scores"]["before_adjustment"] == scores["before_adjustment"]


def test_arms_without_a_teacher_are_those_of_any_other_config(experiment, tmp_path):
    plain = session(tmp_path, EVERY)
    for arm in ("teacher", "baseline"):
        assert made(plain, arm)[arm]["weights_sha256"] == experiment[1][arm]["weights_sha256"]


def changed_where_read(monkeypatch, part, change):
    """Change the labels of a split where the data are read."""
    divide = catalog.divide

    def poisoned(*arguments):
        splits = divide(*arguments)
        split = getattr(splits, part)
        labels = split.labels.copy()
        labels[split.rows] = change(labels[split.rows])
        return dataclasses.replace(splits, **{part: dataclasses.replace(split, labels=labels)})

    monkeypatch.setattr(catalog, "divide", poisoned)


def test_no_label_of_validation_moves_a_bias(experiment, tmp_path, monkeypatch):
    """Of one epoch there is nothing to choose; all labels of validation are others."""
    own, results = experiment
    file = shutil.copy(own.experiment.run("teacher", 0).model_file, tmp_path / "big.keras")
    changed_where_read(monkeypatch, "validation", lambda labels: (labels + 1) % 10)
    other = session(tmp_path, *NO_THREES, teacher_files=[file])
    result = made(other, "distilled")["distilled"]
    assert result["validation"]["accuracy"] < 0.5 * results["distilled"]["validation"]["accuracy"] + 0.2
    assert result["moved_biases"] == results["distilled"]["moved_biases"]
    assert result["weights_sha256"] == results["distilled"]["weights_sha256"]


def test_no_hidden_label_chooses_an_example(experiment):
    """The labels that `data.labelled` sets aside: classes are left out of the labelled examples alone."""
    own, _ = experiment
    few = session(
        own.experiment.folder.parent / "few", "data.labelled=60", "distill.examples=labelled", *NO_THREES, EVERY
    )
    seen = few.examples_of("distilled")
    assert set(seen.rows) < set(few.splits.labelled.rows)
    assert sorted(set(seen.all_labels)) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    counts = np.bincount(few.splits.labelled.all_labels, minlength=10)
    np.testing.assert_allclose(transfer_set.prior_of(few, "distilled"), counts / 60)
    assert transfer_set.prior_of(few, "smoothed") is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["distill.classes={without: [three]}"], "distill.classes.without: three is not a class; expected names"),
        (["distill.classes={without: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}"], "no labelled training example is left"),
        (["distill.classes={only: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}"], "these are all 1,005 labelled training examples"),
        (["distill.adjust_prior=true", "data.class_weights=balanced"], "data.class_weights takes them away"),
    ],
)
def test_what_the_data_do_not_allow_is_refused_before_anything_is_trained(overrides, message, tmp_path):
    with pytest.raises(ConfigError) as refused:
        make.make(session(tmp_path, *overrides), "baseline", 0)
    assert message in refused.value.message


def test_a_student_without_biases_is_refused_before_its_teacher_is_trained(tmp_path):
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, use_bias=False)]
    keras.Sequential([keras.Input((8, 8)), *layers]).save(tmp_path / "small.keras")
    own = session(tmp_path, "distill.adjust_prior=true", "student.hidden=[]", f"student.model={tmp_path}/small.keras")
    for arm in ("teacher", "baseline"):
        with pytest.raises(ModelError, match="moves the biases of the logits"):
            make.make(own, arm, 0)


def test_class_weights_are_counted_over_the_classes_that_are_there(tmp_path):
    own = session(tmp_path, "distill.classes={only: [7, 8]}", "data.class_weights=balanced")
    counts = np.bincount(own.splits.train.all_labels)
    weights = own.class_weights_of("distilled")
    assert weights["7"] == pytest.approx((counts[7] + counts[8]) / (2 * counts[7]))
    assert own.class_weights_of("baseline")["7"] == pytest.approx(counts.sum() / (10 * counts[7]))
