"""Arms that learn from wrong labels: right ones choose nothing, and scores on them stand beside."""

import dataclasses

import pytest
from heard import Heard
from small_experiment import session

from kdistill import datasets
from kdistill.cli.rendering import results as rendering
from kdistill.core.controls import CONTROLS
from kdistill.datasets import catalog
from kdistill.datasets.user import unlabelled
from kdistill.evaluation import metrics, predict
from kdistill.models import load_classifier
from kdistill.recipes import make

NOISE = ("controls=[smoothed, pseudo, shuffled, self, continued]", "data.label_noise=0.4")
ARMS = ("teacher", "baseline", "distilled", *CONTROLS)


def made(own):
    return {arm: make.make(own, arm, 0) for arm in ARMS}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    own = session(tmp_path_factory.mktemp("noisy"), *NOISE, listener=Heard())
    return own, made(own)


def test_scores_are_on_the_noisy_labels_with_those_on_the_right_ones_beside(experiment):
    own, results = experiment
    right = datasets.load(own.config.data.model_copy(update={"label_noise": None})).validation
    for arm in ("teacher", "baseline"):
        model, _ = load_classifier(own.experiment.run(arm, 0).model_file, *own.splits.fitting)
        logits = predict.logits(predict.predictor(model), right)
        assert results[arm]["validation_right"] == metrics.score(logits, right.all_labels).to_json()
        noisy = metrics.score(logits, own.splits.validation.all_labels).to_json()
        assert results[arm]["validation"] == noisy != results[arm]["validation_right"]
    assert any("data.label_noise: 0.4 replaced 402 of the 1,005" in text for text in results["baseline"]["warnings"])


def test_the_right_labels_have_no_influence(experiment, tmp_path, monkeypatch):
    """All that is known of them is poisoned where the data are read: only the scores on them differ."""
    own, results = experiment
    noisy, divide = own.splits, catalog.divide

    def other(split):
        return dataclasses.replace(split, labels=(split.labels + 1) % 10)

    def poisoned(*arguments):
        splits = divide(*arguments)
        return dataclasses.replace(splits, train=other(splits.train), validation=other(splits.validation))

    def as_before(splits, data):
        return dataclasses.replace(
            noisy, right_validation=splits.validation, train=noisy.train, validation=noisy.validation
        )

    monkeypatch.setattr(catalog, "divide", poisoned)
    monkeypatch.setattr(unlabelled, "with_noise", as_before)
    again = session(tmp_path, *NOISE, listener=Heard())
    for arm, result in made(again).items():
        assert result["weights_sha256"] == results[arm]["weights_sha256"], arm
        assert result["validation"] == results[arm]["validation"], arm
        assert result["validation_right"] != results[arm]["validation_right"], arm


def test_noise_is_part_of_a_runs_identity_and_old_runs_keep_theirs(tmp_path):
    plain, noisy = (session(tmp_path, *keys).specification("baseline", 0)["data"] for keys in ((), (NOISE[1],)))
    assert noisy == {**plain, "label_noise": {"share": 0.4, "in": "both", "seed": 0}}
    assert not {"label_noise", "label_noise_in", "label_seed"} & set(plain)


def test_a_result_shows_the_right_score_and_that_nothing_chose_by_it(experiment):
    _, results = experiment
    value = f"{results['baseline']['validation_right']['accuracy']:.4f}"
    assert rendering._on_right_labels(results["baseline"]) == [
        ("accuracy on right labels", f"{value} (validation; nothing chose by it)")
    ]
    assert rendering._on_right_labels({"validation": {}}) == []
