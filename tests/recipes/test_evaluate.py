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
