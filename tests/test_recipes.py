"""The recipes: what they write, what they return, and that they print nothing."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from kdistill import attempts, datasets, evaluation, measures, models, recipes, training
from kdistill import config as configs
from kdistill.errors import ModelError
from kdistill.listener import Listener
from kdistill.runs import Experiment


class Recorder(Listener):
    def __init__(self):
        self.heard = []

    def note(self, text):
        self.heard.append(("note", text))

    def run_started(self, arm, seed, epochs, patience, history=(), examples=0):
        self.heard.append(("started", arm, seed, epochs, patience))

    def epoch(self, record):
        self.heard.append(("epoch", record["epoch"]))

    def run_finished(self, arm, seed, result):
        self.heard.append(("finished", arm, seed))


@pytest.fixture
def setting(tmp_path):
    config = configs.load(
        "quickstart", ["training.epochs=3", "teacher.hidden=[16]", "student.patience=9", "training.batch_size=39"]
    )
    splits = datasets.load(config.data, Listener())
    experiment = Experiment(tmp_path / "quickstart")
    experiment.create(configs.dump(config))
    return recipes.Setting(config, splits, experiment, threads=1, listener=Recorder())


def test_teacher_baseline_and_distilled_from_beginning_to_end(setting, capfd):
    experiment = setting.experiment
    teacher_result = recipes.train_teacher(setting, 0)
    baseline_result = recipes.baseline(setting, 0)
    teacher = recipes.open_teacher(setting, experiment.run("teacher", 0).model_file)
    distilled_result = recipes.distill(setting, 0, teacher)
    assert capfd.readouterr() == ("", "")
    for arm, result in (("teacher", teacher_result), ("baseline", baseline_result), ("distilled", distilled_result)):
        run = experiment.run(arm, 0)
        assert run.is_complete()
        assert run.result == {**result, "identity": run.manifest["identity"]}
        assert len(run.history()) == result["epochs"] == 3
        assert json.loads((run.folder / "classes.json").read_text()) == list("0123456789")
        assert run.manifest["threads"] == 1
        assert run.manifest["versions"]["tensorflow"]
    assert distilled_result["teacher_validation"] == teacher_result["validation"]
    assert experiment.run("distilled", 0).manifest["spec"]["teacher_weights"] == teacher_result["weights_sha256"]
    assert distilled_result["weights_sha256"] != baseline_result["weights_sha256"]
    heard = setting.listener.heard
    assert heard[0] == ("started", "teacher", 0, 3, 30)
    assert heard[1:5] == [("epoch", 1), ("epoch", 2), ("epoch", 3), ("finished", "teacher", 0)]
    assert heard[5] == ("started", "baseline", 0, 3, 9)


def test_the_saved_model_is_the_best_epochs_and_scores_as_recorded(setting):
    result = recipes.baseline(setting, 0)
    run = setting.experiment.run("baseline", 0)
    model, _ = models.load_classifier(run.model_file, (8, 8), 10)
    assert models.fingerprint(model) == result["weights_sha256"]
    validation = setting.splits.validation
    scores = measures.score(evaluation.logits(evaluation.predictor(model), validation), validation.all_labels)
    assert scores.accuracy == result["validation"]["accuracy"]
    best = min(run.history(), key=lambda record: record["val_nll"])
    assert best["epoch"] == result["best_epoch"]
    assert best["val_nll"] == pytest.approx(result["validation"]["nll"], rel=1e-5)


def test_evaluate_compares_a_student_with_its_teacher_on_test(setting):
    recipes.train_teacher(setting, 0)
    recipes.baseline(setting, 0)
    teacher = recipes.open_teacher(setting, setting.experiment.run("teacher", 0).model_file)
    path = setting.experiment.run("baseline", 0).model_file
    scores, logits = recipes.evaluate(setting, path, teacher)
    model, _ = models.load_classifier(path, (8, 8), 10)
    test = setting.splits.test
    chosen = model(test.images[test.rows]).numpy().argmax(-1)
    assert scores["accuracy"] == (chosen == test.all_labels).mean()
    np.testing.assert_array_equal(logits.argmax(-1), chosen)
    assert logits.dtype == np.float32
    assert scores["agreement"] == (chosen == teacher.test.argmax(-1)).mean()
    assert scores["kl_to_teacher"] > 0
    assert scores["file_bytes"] == path.stat().st_size
    alone, _ = recipes.evaluate(setting, path)
    assert alone["agreement"] is None
    assert alone["kl_to_teacher"] is None


def test_warnings_name_a_teacher_that_is_no_better_and_selection_on_test(setting):
    recipes.baseline(setting, 0)
    run = setting.experiment.run("baseline", 0)
    weak = recipes.open_teacher(setting, run.model_file)
    (warning,) = recipes.distill(setting, 0, weak)["warnings"]
    assert "no better than the student trained alone" in warning


def test_baseline_and_distilled_are_paired(setting, monkeypatch):
    """The same initial weights and the same batches in the same order, dropout or not: what comparisons rest on."""
    recipes.train_teacher(setting, 0)
    teacher = recipes.open_teacher(setting, setting.experiment.run("teacher", 0).model_file)
    starts, batches, masks = [], [], []
    begin, block = training.Fit.epochs, training.Fit._block

    def epochs(self, between):
        starts.append([weight.numpy() for weight in self.engine.model.weights])
        masks.append([v.numpy() for v in self.engine.model.non_trainable_variables])
        batches.append([])
        return begin(self, between)

    def watched(self, positions, count):
        batches[-1].append(positions.copy())
        return block(self, positions, count)

    monkeypatch.setattr(training.Fit, "epochs", epochs)
    monkeypatch.setattr(training.Fit, "_block", watched)
    config = configs.load("quickstart", ["training.epochs=2", "student.dropout=0.2", "training.batch_size=39"])
    setting = dataclasses.replace(setting, config=config)
    for seed in (0, 5):
        recipes.baseline(setting, seed)
        recipes.distill(setting, seed, teacher)
    for recorded in (starts, batches, masks):
        for one, other in zip(recorded[0::2], recorded[1::2], strict=True):
            assert len(one) > 0
            for ours, theirs in zip(one, other, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(starts[0][0], starts[2][0])
    assert not np.array_equal(batches[0][0], batches[2][0])


def test_a_teacher_of_other_classes_is_refused_though_their_number_is_right(setting):
    recipes.train_teacher(setting, 0)
    path = setting.experiment.run("teacher", 0).model_file
    names = path.parent / "classes.json"
    names.write_text(json.dumps(list("ABCDEFGHIJ")))
    with pytest.raises(ModelError, match="received one of A, B, C"):
        recipes.open_teacher(setting, path)
    names.write_text("rubbish")
    recipes.open_teacher(setting, path)


def test_a_teacher_that_knows_nothing_is_warned_about(setting, tmp_path):
    constant = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)])
    constant.set_weights([np.zeros_like(weight) for weight in constant.get_weights()])
    constant.save(tmp_path / "constant.keras")
    teacher = recipes.open_teacher(setting, tmp_path / "constant.keras")
    (warning,) = recipes.distill(setting, 0, teacher)["warnings"]
    assert "no better than always naming the commonest class" in warning


def test_a_teacher_whose_probabilities_are_absurd_may_be_used_to_scaled_values(setting, tmp_path):
    """A network of ReLUs names the right classes on values of any scale, and is far too sure of them."""
    recipes.train_teacher(setting, 0)
    model = models.load(setting.experiment.run("teacher", 0).model_file)
    for times, expected in ((1.0, []), (200.0, ["set teacher.preprocessing"])):
        layers = [keras.Input((8, 8)), model, keras.layers.Rescaling(times)]
        keras.Sequential(layers).save(tmp_path / f"{times}.keras")
        teacher = recipes.open_teacher(setting, tmp_path / f"{times}.keras")
        warnings = attempts._warnings(setting, setting.experiment.run("distilled", 0), teacher)
        assert [part for part in expected if part not in str(warnings)] == []
        assert len(warnings) == len(expected)
    assert "probabilities are worse than equal ones" in warnings[0]


def test_a_baseline_of_another_config_is_no_rival(setting):
    recipes.baseline(setting, 0)
    weak = recipes.open_teacher(setting, setting.experiment.run("baseline", 0).model_file)
    other = configs.load("quickstart", ["training.epochs=2", "student.hidden=[5]", "training.batch_size=39"])
    assert recipes.distill(dataclasses.replace(setting, config=other), 0, weak)["warnings"] == []


@pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
def test_a_teacher_of_another_precision_teaches(setting, tmp_path, policy):
    layers = [keras.layers.Flatten(dtype=policy), keras.layers.Dense(10, dtype=policy)]
    keras.Sequential([keras.Input((8, 8)), *layers]).save(tmp_path / "teacher.keras")
    teacher = recipes.open_teacher(setting, tmp_path / "teacher.keras")
    assert teacher.train.dtype == np.float32
    assert recipes.distill(setting, 0, teacher)["epochs"] == 3


def test_history_is_plain_json_numbers(setting):
    recipes.baseline(setting, 0)
    for record in setting.experiment.run("baseline", 0).history():
        assert all(value is None or isinstance(value, int | float) for value in record.values())
        assert np.isfinite(record["loss"])
