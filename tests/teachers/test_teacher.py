"""The teacher's logits: computed once, kept under all they depend on, and checked when they are read again."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from kdistill import config as configs
from kdistill import datasets, models
from kdistill.core.errors import ModelError
from kdistill.core.listener import Listener
from kdistill.evaluation import predict
from kdistill.evaluation.measures import MEASURES
from kdistill.teachers.teacher import LogitsTeacher, ModelTeacher, TeacherEnsemble


@pytest.fixture(scope="module")
def splits():
    return datasets.load(configs.load("quickstart").data, Listener())


@pytest.fixture
def saved(tmp_path, splits):
    arm = configs.load("quickstart", ["teacher.hidden=[12]", "teacher.dropout=0.5"]).teacher
    model = models.build(arm, "teacher", splits.shape, 10, splits.scale, seed=0)
    models.save(model, tmp_path / "teacher.keras")
    return tmp_path / "teacher.keras", model


def test_logits_are_those_of_the_model_in_inference_mode(saved, splits, tmp_path):
    path, model = saved
    teacher = ModelTeacher(path, splits, tmp_path / "cache")
    images = splits.validation.images[splits.validation.rows]
    np.testing.assert_allclose(teacher.validation, model(images, training=False), rtol=1e-5, atol=1e-6)
    assert len(teacher.train) == len(splits.train)
    assert len(teacher.test) == len(splits.test)
    assert teacher.identity.partition("/")[0] == models.fingerprint(model)


def test_logits_are_computed_once(saved, splits, tmp_path, monkeypatch):
    first = ModelTeacher(saved[0], splits, tmp_path / "cache").train
    monkeypatch.setattr(predict, "logits", None)
    np.testing.assert_array_equal(ModelTeacher(saved[0], splits, tmp_path / "cache").train, first)


def keys(teacher):
    return {teacher.cache.key(name) for name in ("train", "validation", "test")}


def test_the_cache_is_keyed_by_weights_layers_data_and_rows(saved, splits, tmp_path):
    path, model = saved
    original = ModelTeacher(path, splits, tmp_path)
    other_data = dataclasses.replace(splits, fingerprint="other")
    other_rows = dataclasses.replace(splits, split_fingerprint="other")
    model.weights[0].assign(model.weights[0] + 1e-3)
    models.save(model, tmp_path / "weights.keras")
    arm = configs.load("quickstart", ["teacher.hidden=[12]", "teacher.activation=tanh"]).teacher
    rescaled = models.build(arm, "teacher", splits.shape, 10, 1.0, seed=0)
    models.save(rescaled, tmp_path / "scaling.keras")
    teachers = [
        original,
        ModelTeacher(path, other_data, tmp_path),
        ModelTeacher(path, other_rows, tmp_path),
        ModelTeacher(tmp_path / "weights.keras", splits, tmp_path),
        ModelTeacher(tmp_path / "scaling.keras", splits, tmp_path),
    ]
    assert len(set.union(*map(keys, teachers))) == 3 * len(teachers)
    assert keys(original) == keys(ModelTeacher(path, splits, tmp_path / "elsewhere"))


@pytest.mark.parametrize("damage", ["truncate", "flip", "rows", "type", "shape", "missing"])
def test_a_cache_that_is_not_right_is_computed_again(saved, splits, tmp_path, damage):
    cache = tmp_path / "cache"
    good = ModelTeacher(saved[0], splits, cache).validation
    (file,) = cache.iterdir()
    key = np.array(ModelTeacher(saved[0], splits, cache).cache.key("validation"))
    whole = bytearray(file.read_bytes())
    match damage:
        case "truncate":
            file.write_bytes(whole[:-100])
        case "flip":
            whole[len(whole) // 2] ^= 1
            file.write_bytes(whole)
        case "rows":
            np.savez(file, logits=good[::-1], key=key)
        case "type":
            np.savez(file, logits=good.astype(np.float64), key=key)
        case "shape":
            np.savez(file, logits=good[1:], key=key)
        case _:
            np.savez(file, other=good, key=key)
    np.testing.assert_array_equal(ModelTeacher(saved[0], splits, cache).validation, good)


def test_accuracy_is_compared_with_what_was_recorded(saved, splits, tmp_path):
    teacher = ModelTeacher(saved[0], splits, tmp_path)
    accuracy = teacher.validation_scores.accuracy
    teacher.check_accuracy(accuracy)
    teacher.check_accuracy(accuracy + 0.0005)
    with pytest.raises(ModelError, match="recorded when it was trained"):
        teacher.check_accuracy(accuracy + 0.01)


def test_it_is_judged_by_a_measure_or_where_that_is_undefined_by_accuracy(saved, splits, tmp_path):
    teacher, f1 = ModelTeacher(saved[0], splits, tmp_path), MEASURES["macro_f1"]
    assert teacher.judged_by(f1) == (f1, f1.compute(teacher.validation, splits.validation.all_labels))
    right = (teacher.validation.argmax(-1) == splits.validation.all_labels).mean()
    assert teacher.judged_by(MEASURES["auc"]) == (MEASURES["accuracy"], right)


def test_a_teacher_that_overflows_is_refused(splits, tmp_path):
    model = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.weights[0].assign(np.full((64, 10), 3e38))  # finite, as in every model file that is accepted
    model.save(tmp_path / "large.keras")
    with pytest.raises(ModelError, match="finite"):
        _ = ModelTeacher(tmp_path / "large.keras", splits, tmp_path / "cache").train
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("preprocessing", ["unit", "signed", "standardize"])
def test_preprocessing_gives_a_teacher_from_elsewhere_the_values_it_takes(splits, tmp_path, preprocessing):
    plain = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)])
    plain.save(tmp_path / "t.keras")
    raw, _ = splits.validation.take(np.arange(20))
    seen = splits.train.images[splits.train.rows].astype(np.float64)
    expected = {
        "unit": raw / 16.0,
        "signed": raw / 8.0 - 1.0,
        "standardize": (raw - seen.mean()) / seen.std(),
    }[preprocessing]
    teacher = ModelTeacher(tmp_path / "t.keras", splits, tmp_path, preprocess=preprocessing)
    np.testing.assert_allclose(teacher.validation[:20], plain(expected), rtol=1e-4, atol=1e-4)
    bare = ModelTeacher(tmp_path / "t.keras", splits, tmp_path)
    assert teacher.identity == f"{bare.identity} {preprocessing}"
    assert not keys(teacher) & keys(bare)
    np.testing.assert_allclose(bare.validation[:20], plain(raw), rtol=1e-4, atol=1e-4)


def test_several_teachers_are_the_same_in_any_order(saved, splits, tmp_path):
    other = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)])
    other.save(tmp_path / "other.keras")
    first, second = (ModelTeacher(path, splits, tmp_path / "cache") for path in (saved[0], tmp_path / "other.keras"))
    both, again = TeacherEnsemble([first, second]), TeacherEnsemble([second, first])
    assert both.identity == again.identity
    assert both.identity not in (first.identity, second.identity)
    np.testing.assert_array_equal(both.train, again.train)
    assert both.train.shape == (len(splits.train), 2, 10)
    order = [both.several.index(first), both.several.index(second)]
    np.testing.assert_array_equal(both.test[:, order[0]], first.test)
    np.testing.assert_array_equal(both.validation[:, order[1]], second.validation)
    assert both.parameters == first.parameters + second.parameters
    mean = (np.exp(log_softmax(first.validation, -1)) + np.exp(log_softmax(second.validation, -1))) / 2
    assert both.validation_scores.accuracy == (mean.argmax(-1) == splits.validation.all_labels).mean()
    assert both.predictors == [teacher._predict for teacher in both.several]


def test_a_file_of_logits_teaches_beside_a_model(saved, splits, tmp_path):
    part = splits.training_part()
    rng = np.random.default_rng(0)
    logits = {"train": rng.normal(size=(len(part), 10)).astype(np.float32)}
    np.savez(tmp_path / "l.npz", labels=part.all_labels, **logits)
    file = LogitsTeacher(tmp_path / "l.npz", splits)
    both = TeacherEnsemble([file, ModelTeacher(saved[0], splits, tmp_path / "cache")])
    assert both.train.shape == (len(splits.train), 2, 10)
    assert both.test is None  # one of them has none
    assert both.predictors == []  # one of them cannot be asked
    assert file.parameters is None
    np.savez(tmp_path / "l.npz", labels=part.all_labels, test=rng.normal(size=(540, 10)), **logits)
    assert LogitsTeacher(tmp_path / "l.npz", splits).identity == file.identity
    np.savez(tmp_path / "l.npz", labels=part.all_labels, train=logits["train"] + 1)
    assert LogitsTeacher(tmp_path / "l.npz", splits).identity != file.identity
