"""The recipes: what they write, what they return, and that they print nothing."""

import json

import keras
import numpy as np
import pytest
from heard import Heard

from kdistill import config as configs
from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.core.listener import EpochDone, EpochProgress, RunFinished, RunStarted
from kdistill.evaluation import metrics, predict
from kdistill.recipes import arms, remarks
from kdistill.recipes.session import Options, Session
from kdistill.runs import Experiment, judge
from kdistill.teachers.files import find
from kdistill.training import fit


@pytest.fixture
def own(tmp_path):
    config = configs.load(
        "quickstart", ["training.epochs=3", "teacher.hidden=[16]", "student.patience=9", "training.batch_size=67"]
    )
    experiment = Experiment(tmp_path / "quickstart")
    experiment.create(configs.dump(config))
    own = Session(config, experiment, Options(threads=1), Heard())
    own.start()
    return own


def test_teacher_baseline_and_distilled_from_beginning_to_end(own, capfd):
    experiment = own.experiment
    teacher_result = arms.train_teacher(own, 0)
    baseline_result = arms.baseline(own, 0)
    teacher = own.teacher(find([experiment.run("teacher", 0).model_file]))
    distilled_result = arms.distill(own, 0, teacher)
    assert capfd.readouterr() == ("", "")
    for arm, result in (("teacher", teacher_result), ("baseline", baseline_result), ("distilled", distilled_result)):
        run = experiment.run(arm, 0)
        assert judge(run).counts
        assert run.result == {**result, "identity": run.manifest["identity"]}
        assert len(run.history()) == result["epochs"] == 3
        assert json.loads((run.folder / "classes.json").read_text()) == list("0123456789")
        assert run.manifest["threads"] == 1
        assert run.manifest["versions"]["tensorflow"]
    assert distilled_result["teacher_validation"] == teacher_result["validation"]
    assert experiment.run("distilled", 0).manifest["spec"]["teacher_weights"] == teacher_result["weights_sha256"]
    assert distilled_result["weights_sha256"] != baseline_result["weights_sha256"]
    heard = [event for event, _ in own.listener.events if not isinstance(event, EpochProgress)]
    examples = len(own.splits.train)
    assert heard[0] == RunStarted("teacher", 0, 3, (), examples)
    assert heard[1:4] == [EpochDone(record) for record in experiment.run("teacher", 0).history()]
    assert heard[4:6] == [RunFinished("teacher", 0, teacher_result), RunStarted("baseline", 0, 3, (), examples)]


def test_the_saved_model_is_the_best_epochs_and_scores_as_recorded(own):
    result = arms.baseline(own, 0)
    run = own.experiment.run("baseline", 0)
    model, _ = models.load_classifier(run.model_file, (8, 8), 10)
    assert models.fingerprint(model) == result["weights_sha256"]
    validation = own.splits.validation
    scores = metrics.score(predict.logits(predict.predictor(model), validation), validation.all_labels)
    assert scores.accuracy == result["validation"]["accuracy"]
    best = min(run.history(), key=lambda record: record["val_nll"])
    assert best["epoch"] == result["best_epoch"]
    assert best["val_nll"] == pytest.approx(result["validation"]["nll"], rel=1e-5)


def test_evaluate_compares_a_student_with_its_teacher_on_test(own):
    arms.train_teacher(own, 0)
    arms.baseline(own, 0)
    teacher = own.teacher(find([own.experiment.run("teacher", 0).model_file]))
    path = own.experiment.run("baseline", 0).model_file
    scores, logits = arms.evaluate(own, path, teacher)
    model, _ = models.load_classifier(path, (8, 8), 10)
    test = own.splits.test
    chosen = model(test.images[test.rows]).numpy().argmax(-1)
    assert scores["accuracy"] == (chosen == test.all_labels).mean()
    np.testing.assert_array_equal(logits.argmax(-1), chosen)
    assert logits.dtype == np.float32
    assert scores["agreement"] == (chosen == teacher.test.argmax(-1)).mean()
    assert scores["kl_to_teacher"] > 0
    assert scores["file_bytes"] == path.stat().st_size
    alone, _ = arms.evaluate(own, path)
    assert alone["agreement"] is None
    assert alone["kl_to_teacher"] is None


def test_warnings_name_a_teacher_that_is_no_better_and_selection_on_test(own):
    arms.baseline(own, 0)
    run = own.experiment.run("baseline", 0)
    weak = own.teacher(find([run.model_file]))
    (warning,) = arms.distill(own, 0, weak)["warnings"]
    assert "no better than the student trained alone" in warning


def test_baseline_and_distilled_are_paired(own, monkeypatch):
    """The same initial weights and the same batches in the same order, dropout or not: what comparisons rest on."""
    arms.train_teacher(own, 0)
    teacher = own.teacher(find([own.experiment.run("teacher", 0).model_file]))
    starts, batches, masks = [], [], []
    begin, cut = fit.Fit.epochs, fit.Segments.next

    def epochs(self, after_segment):
        starts.append([weight.numpy() for weight in self.engine.model.weights])
        masks.append([v.numpy() for v in self.engine.model.non_trainable_variables])
        batches.append([])
        return begin(self, after_segment)

    def watched(self, order):
        segment = cut(self, order)
        batches[-1].append(segment.block[0].copy())
        return segment

    monkeypatch.setattr(fit.Fit, "epochs", epochs)
    monkeypatch.setattr(fit.Segments, "next", watched)
    config = configs.load("quickstart", ["training.epochs=2", "student.dropout=0.2", "training.batch_size=67"])
    own = own.sibling(config, own.experiment)
    for seed in (0, 5):
        arms.baseline(own, seed)
        arms.distill(own, seed, teacher)
    for recorded in (starts, batches, masks):
        for one, other in zip(recorded[0::2], recorded[1::2], strict=True):
            assert len(one) > 0
            for ours, theirs in zip(one, other, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(starts[0][0], starts[2][0])
    assert not np.array_equal(batches[0][0], batches[2][0])


def test_a_teacher_of_other_classes_is_refused_though_their_number_is_right(own):
    arms.train_teacher(own, 0)
    path = own.experiment.run("teacher", 0).model_file
    names = path.parent / "classes.json"
    names.write_text(json.dumps(list("ABCDEFGHIJ")))
    with pytest.raises(ModelError, match="received one of A, B, C"):
        own.teacher(find([path]))
    names.write_text("rubbish")
    own.teacher(find([path]))


def test_a_teacher_that_knows_nothing_is_warned_about(own, tmp_path):
    constant = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)])
    constant.set_weights([np.zeros_like(weight) for weight in constant.get_weights()])
    constant.save(tmp_path / "constant.keras")
    teacher = own.teacher(find([tmp_path / "constant.keras"]))
    (warning,) = arms.distill(own, 0, teacher)["warnings"]
    assert "no better than predicting the most frequent class" in warning


def test_a_teacher_whose_probabilities_are_absurd_may_be_used_to_scaled_values(own, tmp_path):
    """A network of ReLUs names the right classes on values of any scale, and is far too sure of them."""
    arms.train_teacher(own, 0)
    model = models.load(own.experiment.run("teacher", 0).model_file)
    network = [layer for layer in model.layers if not isinstance(layer, keras.layers.Rescaling)][1:]
    for times, expected in ((1 / 16, []), (200.0, ["set teacher.preprocessing"])):
        layers = [keras.Input((8, 8)), *network, keras.layers.Rescaling(times)]
        keras.Sequential(layers).save(tmp_path / f"{times}.keras")
        teacher = own.teacher(find([tmp_path / f"{times}.keras"]))
        warnings = remarks.before(own, own.experiment.run("distilled", 0), teacher)
        assert [part for part in expected if part not in str(warnings)] == []
        assert len(warnings) == len(expected)
    assert "probabilities are worse than equal ones" in warnings[0]


def test_a_student_that_learnt_nothing_is_warned_of_with_why_it_was_kept(own):
    """Its weights are those of the best epoch by NLL, which was at chance; a later one was better by accuracy."""
    run, labels = own.experiment.run("baseline", 0), own.splits.validation.all_labels
    chance = np.bincount(labels).max() / len(labels)
    history = [{"epoch": 1, "val_accuracy": chance}, {"epoch": 2, "val_accuracy": chance}]
    result = {"validation": {"accuracy": chance}, "best_epoch": 1}
    (warning,) = remarks._learnt_little(own, run, result, history)
    assert warning == (
        f"The student is no better than predicting the most frequent class ({chance:.4f} on validation). Look at the "
        "labels, or try another student.learning_rate or more student.epochs."
    )
    history[1]["val_accuracy"] = 0.9
    (warning,) = remarks._learnt_little(own, run, result, history)
    assert "those of epoch 1, the best by val_nll; epoch 2 has accuracy 0.9000" in warning
    assert "Set student.monitor: val_accuracy" in warning
    assert remarks._learnt_little(own, run, {"validation": {"accuracy": chance + 0.1}, "best_epoch": 1}, history) == []


def test_where_classes_are_weighted_one_class_for_all_is_chance_and_patience_may_be_why(own):
    config = configs.load("quickstart", ["data.class_weights=balanced", "training.monitor=val_balanced_accuracy"])
    weighted = own.sibling(config, own.experiment)
    run = own.experiment.run("baseline", 0)
    history = [{"epoch": epoch, "val_accuracy": 0.05} for epoch in (1, 2)]
    fair = {"validation": {"accuracy": 0.05, "balanced_accuracy": 0.3}, "best_epoch": 1}
    assert remarks._learnt_little(weighted, run, fair, history) == []
    poor = {"validation": {"accuracy": 0.05, "balanced_accuracy": 0.1}, "best_epoch": 1, "stopped": "all epochs done"}
    (warning,) = remarks._learnt_little(weighted, run, poor, history)
    assert "no better than predicting one class for every example (balanced accuracy 0.1000 on val" in warning
    (warning,) = remarks._learnt_little(weighted, run, {**poor, "stopped": "no improvement"}, history)
    assert "Training stopped after epoch 2, because val_balanced_accuracy did not improve" in warning
    assert "needs a larger student.patience, or student.monitor: val_nll." in warning


def test_a_run_that_learns_nothing_says_so_and_keeps_the_warning(own):
    heard = Heard()
    config = configs.load(
        "quickstart", ["student={hidden: [16], l2: 100, learning_rate: 0.05, epochs: 5, monitor: val_loss}"]
    )
    still = Session(config, Experiment(own.experiment.folder.parent / "still"), listener=heard)
    warnings = arms.baseline(still, 0)["warnings"]
    assert "The student is no better than predicting the most frequent class" in warnings[0]
    assert warnings == heard.warnings


@pytest.mark.parametrize(
    ("keys", "best", "last", "warned"),
    [
        (["training.epochs=10"], 10, 10, "its best epoch is the last, 10. A larger training.epochs"),
        (
            ["training.epochs=10", "student.epochs=12"],
            12,
            12,
            "its best epoch is the last, 12. A larger student.epochs",
        ),
        (["student.steps=500"], 12, 12, "its best epoch is the last, 12. A larger student.steps"),
        (["training.epochs=10"], 9, 10, None),
        (["training.epochs=4"], 4, 4, None),
        (["training.epochs=10", "training.schedule=cosine"], 10, 10, None),
    ],
)
def test_a_model_whose_best_epoch_is_the_last_may_need_more_of_them(own, keys, best, last, warned):
    session = own.sibling(configs.load("quickstart", keys), own.experiment)
    found = remarks._still_improving(session, own.experiment.run("baseline", 0), {"best_epoch": best, "epochs": last})
    assert len(found) == (warned is not None)
    assert (warned or "") in "".join(found)


def test_a_baseline_of_another_config_is_no_rival(own):
    arms.baseline(own, 0)
    weak = own.teacher(find([own.experiment.run("baseline", 0).model_file]))
    other = configs.load("quickstart", ["training.epochs=2", "student.hidden=[5]", "training.batch_size=67"])
    assert arms.distill(own.sibling(other, own.experiment), 0, weak)["warnings"] == []


@pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
def test_a_teacher_of_another_precision_teaches(own, tmp_path, policy):
    layers = [keras.layers.Flatten(dtype=policy), keras.layers.Dense(10, dtype=policy)]
    keras.Sequential([keras.Input((8, 8)), *layers]).save(tmp_path / "teacher.keras")
    teacher = own.teacher(find([tmp_path / "teacher.keras"]))
    assert teacher.train.dtype == np.float32
    assert arms.distill(own, 0, teacher)["epochs"] == 3


def test_history_is_plain_json_numbers(own):
    arms.baseline(own, 0)
    for record in own.experiment.run("baseline", 0).history():
        assert all(value is None or isinstance(value, int | float) for value in record.values())
        assert np.isfinite(record["loss"])
