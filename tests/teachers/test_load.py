"""Teachers opened for a config: who gets its values scaled, and what is refused before anything is trained."""

import keras
import numpy as np
import pytest
from keras_files import outside

from kdistill import config as configs
from kdistill import datasets, modelfiles, models
from kdistill.core.errors import ModelError
from kdistill.runs import joint_identity, run_of_model, same_teachers, teacher_identity
from kdistill.teachers import load
from kdistill.teachers.files import find


@pytest.fixture(scope="module")
def splits():
    return datasets.load(configs.load("quickstart").data)


def test_only_models_from_elsewhere_are_given_scaled_values(experiment_copy, splits, tmp_path):
    config = configs.load("quickstart", ["teacher.preprocessing=signed"])
    own = experiment_copy / "quickstart/seed-0/teacher/model.keras"
    recorded = run_of_model(own).weights
    assert load.load_teacher(config, splits, tmp_path, find([own])).identity == recorded
    foreign = outside(tmp_path / "t.keras")
    assert run_of_model(foreign) is None
    weights = teacher_identity(models.fingerprint(models.load(foreign)), modelfiles.hashes(foreign)[0], "signed")
    assert load.load_teacher(config, splits, tmp_path, find([foreign])).identity == weights
    assert weights.endswith(" signed")
    both = load.load_teacher(config, splits, tmp_path, find([own, foreign]))
    assert both.identity == joint_identity([weights, recorded])


def test_logits_cannot_be_asked_about_augmented_images(splits, tmp_path):
    part = splits.training_part()
    np.savez(tmp_path / "l.npz", train=np.zeros((len(part), 10), np.float32), labels=part.all_labels)
    plain, augmented = (configs.load("quickstart", o) for o in ([], ["augmentation.flip=true"]))
    load.load_teacher(plain, splits, tmp_path, find([tmp_path / "l.npz"]))
    for paths in ([tmp_path / "l.npz"], [tmp_path / "l.npz", outside(tmp_path / "t.keras")]):
        with pytest.raises(ModelError, match="has no model that computes the logits") as refused:
            load.load_teacher(augmented, splits, tmp_path, find(paths))
        assert "`augmentation`" in refused.value.hint


def test_the_layers_of_a_model_from_elsewhere_are_part_of_what_it_is(splits, tmp_path):
    """A scaling in front, or another activation, changes every logit and no weight."""
    config, inner = configs.load("quickstart"), [keras.layers.Flatten(), keras.layers.Dense(10)]
    plain, scaled = (
        keras.Sequential([keras.Input((8, 8)), *more, *inner]) for more in ([], [keras.layers.Rescaling(1 / 16)])
    )
    plain.save(tmp_path / "plain.keras")
    scaled.save(tmp_path / "scaled.keras")
    found = [
        load.load_teacher(config, splits, tmp_path, find([tmp_path / f"{name}.keras"])).identity
        for name in ("plain", "scaled")
    ]
    assert not same_teachers(*found)
    assert {weights.partition("/")[0] for weights in found} == {models.fingerprint(plain)}


def test_a_refusal_ends_with_the_way_that_always_works(splits, tmp_path):
    keras.Sequential([keras.Input((8, 8)), keras.layers.Lambda(lambda x: x)]).save(tmp_path / "t.keras")
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(10)]).save(tmp_path / "u.keras")
    for path in (tmp_path / "t.keras", tmp_path / "u.keras"):
        with pytest.raises(ModelError) as caught:
            load.load_teacher(configs.load("quickstart"), splits, tmp_path, find([path]))
        assert caught.value.hint.endswith("give that file with --teacher-logits or in distill.teachers.")


def test_a_teacher_of_other_classes_is_not_told_to_teach_by_its_logits(splits, tmp_path):
    """They would be of the other classes, too."""
    keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(5)]).save(tmp_path / "five.keras")
    with pytest.raises(ModelError, match=r"expected one output of shape \(10,\).*received \(5,\)") as refused:
        load.load_teacher(configs.load("quickstart"), splits, tmp_path, find([tmp_path / "five.keras"]))
    assert "logits" not in (refused.value.hint or "")
