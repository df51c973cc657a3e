"""Which arms are scored: those that the config fits, with a word on the others."""

import keras
import numpy as np
import pytest
from heard import Heard
from small_experiment import session

from kdistill.core.errors import ModelError, OutputError
from kdistill.recipes import evaluate
from kdistill.recipes.make import make


def test_arms_of_another_config_are_left_out_with_a_warning(experiment_copy):
    make(session(experiment_copy, "student.epochs=2", overwrite=True), "baseline", 0)
    heard = Heard()
    document = evaluate.evaluate(session(experiment_copy, listener=heard), 0, [])
    assert list(document["arms"]) == ["teacher", "distilled"]
    (warning,) = heard.warnings
    assert "training.epochs: was 2, is now 1" in warning
    assert "baseline" in warning


def test_if_all_are_of_another_config_that_is_an_error(experiment_copy):
    with pytest.raises(OutputError) as refused:
        evaluate.evaluate(session(experiment_copy, "training.epochs=3"), 0, [])
    assert refused.value.message.count("was 1, is now 3") == 3


@pytest.mark.parametrize("file", ["model.keras", "result.json", "manifest.json"])
def test_a_damaged_arm_is_an_error_with_the_command_that_makes_it_again(experiment_copy, file):
    (experiment_copy / "quickstart/seed-0/distilled" / file).write_bytes(b"x")
    with pytest.raises(ModelError, match=file.replace(".", r"\.")) as refused:
        evaluate.evaluate(session(experiment_copy), 0, [])
    assert "kdistill distill" in refused.value.hint


def test_a_model_for_other_data_says_which_data_was_assumed(experiment_copy, monkeypatch):
    def refuse(setting, path):
        raise ModelError(f"{path}: expected one input")

    monkeypatch.setattr("kdistill.recipes.arms.evaluate_file", refuse)
    model = experiment_copy / "quickstart/seed-0/teacher/model.keras"
    with pytest.raises(ModelError, match="expected one input") as refused:
        evaluate.evaluate(session(experiment_copy), 0, [model])
    assert "config `quickstart` (digits)" in refused.value.hint
    assert "-c" in refused.value.hint


def test_a_teachers_file_is_scored_on_the_values_that_it_teaches_with(experiment_copy, tmp_path):
    path = tmp_path / "t.keras"
    layers = [keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save(path)
    network = keras.saving.load_model(path)
    scaled = ["teacher.preprocessing=standardize", f"distill.teachers=[{path}]"]
    elsewhere = session(tmp_path / "other", *scaled)
    images, labels = elsewhere.splits.test.take(np.arange(len(elsewhere.splits.test)))
    train = elsewhere.splits.train.take(np.arange(len(elsewhere.splits.train)))[0].astype(np.float64)
    values = (images - train.mean()) / train.std()
    expected = (np.asarray(network(values.astype(np.float32))).argmax(-1) == labels).mean()
    (scores,) = evaluate.evaluate(elsewhere, 0, [path])["models"]
    assert scores["accuracy"] == pytest.approx(expected, abs=1e-3)
    make(elsewhere, "distilled", 0)  # whose manifest then knows the teacher, without the config
    (known,) = evaluate.evaluate(session(tmp_path / "other"), 0, [path])["models"]
    assert known["nll"] == scores["nll"]
    (raw,) = evaluate.evaluate(session(experiment_copy), 0, [path])["models"]
    assert raw["nll"] != pytest.approx(scores["nll"], abs=0.01)


def test_what_explains_the_score_of_a_file_is_said_again(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (120, 8, 8)).astype(np.float32)
    labels = np.arange(120) % 10
    parts = {"x_train": images[:80], "x_test": images[80:] / 255, "y_train": labels[:80], "y_test": labels[80:]}
    np.savez(tmp_path / "d.npz", **parts)
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(tmp_path / "m.keras")
    heard = Heard()
    own = session(tmp_path / "o", f"data={{dataset: npz, path: {tmp_path / 'd.npz'}, validation: 0.5}}", listener=heard)
    evaluate.evaluate(own, 0, [tmp_path / "m.keras"])
    assert any("of test are on another scale" in warning for warning in heard.warnings)


def test_a_student_that_teaches_elsewhere_does_not_agree_with_itself(experiment_copy, tmp_path):
    """Its scores are kept beside it, in an experiment that is not the one at work."""
    student = session(experiment_copy).experiment.run("distilled", 0)
    (student.folder / "test.json").unlink()
    elsewhere = session(tmp_path / "other", teacher_files=[student.model_file])
    make(elsewhere, "distilled", 0)
    scores = evaluate.score(elsewhere, student)
    assert (scores["agreement"], scores["kl_to_teacher"]) == (None, None)


def test_a_file_whose_outputs_are_in_another_order_is_told_so(tmp_path):
    """By its answers on validation; where classes.json says it, the file is refused."""
    labels = np.arange(240) % 4
    np.savez(tmp_path / "d.npz", x_train=np.eye(4)[labels], y_train=labels, x_test=np.eye(4)[labels], y_test=labels)
    heard = Heard()
    own = session(tmp_path / "o", f"data={{dataset: npz, path: {tmp_path / 'd.npz'}, validation: 0.5}}", listener=heard)
    for name, order in (("right", [0, 1, 2, 3]), ("moved", [1, 2, 3, 0])):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        model.set_weights([9 * np.eye(4)[order], np.zeros(4)])
        model.save(tmp_path / f"{name}.keras")
    scores = evaluate.evaluate(own, 0, [tmp_path / "right.keras", tmp_path / "moved.keras"])["models"]
    assert [of["accuracy"] for of in scores] == [1.0, 0.0]
    (said,) = [text for text in heard.warnings if "another order of classes" in text]
    assert said.startswith(f"{tmp_path / 'moved.keras'}: The model's outputs seem to be in another order of classes")
    assert "output 1 for 0" in said
    (tmp_path / "classes.json").write_text('["1", "2", "3", "0"]')
    with pytest.raises(ModelError, match="expected a model of the classes 0, 1, 2, 3; received one of 1, 2, 3, 0"):
        evaluate.evaluate(own, 0, [tmp_path / "moved.keras"])


def test_a_file_that_gets_raw_values_and_answers_badly_is_told_what_to_set(experiment_copy, tmp_path):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save(tmp_path / "t.keras")
    heard = Heard()
    evaluate.evaluate(session(experiment_copy, listener=heard), 0, [tmp_path / "t.keras"])
    assert any(
        "set teacher.preprocessing, such as unit for 0 to 1, and name the file in distill.teachers" in text
        for text in heard.warnings
    )
    heard = Heard()
    run_model = experiment_copy / "quickstart/seed-0/teacher/model.keras"
    evaluate.evaluate(session(experiment_copy, listener=heard), 0, [run_model])
    assert heard.warnings == []


def test_a_teacher_by_its_logits_has_a_row_where_it_has_logits_for_test(tmp_path):
    heard = Heard()
    own = session(tmp_path / "o", listener=heard, teacher_files=[tmp_path / "l.npz"])
    train, test = own.splits.training_part().all_labels, own.splits.test.all_labels
    arrays = {"train": 4 * np.eye(10, dtype=np.float32)[train], "labels": train}
    wrong = np.where(np.arange(len(test)) % 4 == 0, (test + 1) % 10, test)
    np.savez(tmp_path / "l.npz", **arrays, test=4 * np.eye(10, dtype=np.float32)[wrong])
    make(own, "distilled", 0)
    assert f"Teacher: validation accuracy 1.0000 ({tmp_path / 'l.npz'})" in heard.notes
    found = evaluate.evaluate(session(tmp_path / "o", listener=heard), 0, [])["arms"]
    assert list(found) == ["teacher", "distilled"]
    assert found["teacher"]["accuracy"] == 0.75
    assert (found["teacher"]["parameters"], found["teacher"]["seed"]) == (None, None)
    np.savez(tmp_path / "l.npz", **arrays)
    assert list(evaluate.evaluate(session(tmp_path / "o", listener=heard), 0, [])["arms"]) == ["distilled"]
    assert any("has no logits for the test split" in note for note in heard.notes)
