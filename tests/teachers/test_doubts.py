"""What is said of a teacher, or of any model from a file, that can be computed and is wrong all the same."""

import dataclasses

import keras
import numpy as np
import pytest
from keras_files import outside

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.scaling import Tokens
from kdistill.teachers import doubts, load
from kdistill.teachers.files import find


@pytest.fixture(scope="module")
def splits():
    return datasets.load(configs.load("quickstart").data)


def test_raw_values_for_a_model_from_elsewhere_are_worth_a_hint(experiment_copy, splits, tmp_path):
    config, scaled = (configs.load("quickstart", o) for o in ([], ["teacher.preprocessing=unit"]))
    own = experiment_copy / "quickstart/seed-0/teacher/model.keras"
    foreign, scales = outside(tmp_path / "t.keras"), tmp_path / "scales.keras"
    keras.Sequential(
        [keras.Input((8, 8)), keras.layers.Rescaling(1 / 16), keras.layers.Flatten(), keras.layers.Dense(10)]
    ).save(scales)

    def cause(config, *paths):
        return doubts.possible_cause(load.load_teacher(config, splits, tmp_path, find(paths)))

    assert cause(config, own) == cause(config, scales) == cause(scaled, foreign) == ""
    assert "set teacher.preprocessing" in cause(config, foreign)
    assert "set teacher.preprocessing" in cause(config, own, foreign)


def test_tokens_need_no_scaling(splits):
    raw = [doubts.gets_raw_values(of, "none", False) for of in (splits, dataclasses.replace(splits, scale=Tokens(17)))]
    assert raw == [True, False]
    assert not doubts.gets_raw_values(splits, "unit", False)
    assert not doubts.gets_raw_values(splits, "none", True)


def test_logits_far_worse_than_equal_probabilities_may_be_of_rows_in_another_order(splits, tmp_path):
    part = splits.training_part()
    labels, shuffled = part.all_labels, np.random.default_rng(0).permutation(part.all_labels)
    for name, of in (("right", labels), ("shuffled", shuffled)):
        np.savez(tmp_path / f"{name}.npz", train=8 * np.eye(10, dtype=np.float32)[of], labels=labels)
        teacher = load.load_teacher(configs.load("quickstart"), splits, tmp_path, find([tmp_path / f"{name}.npz"]))
        found = doubts.of_teacher(configs.load("quickstart"), splits, teacher)
        assert [text for text in found if "Are the rows of the logits in the data's order" in text] == (
            found if name == "shuffled" else []
        )
        assert bool(found) == (name == "shuffled")


def test_a_teacher_that_was_trained_on_another_division_of_the_data_is_warned_of(experiment_copy, splits, tmp_path):
    """It may have seen what is held back here."""
    own = experiment_copy / "quickstart/seed-0/teacher/model.keras"
    other = datasets.load(configs.load("quickstart", ["data.split_seed=5"]).data)
    for divided, warned in ((splits, False), (other, True)):
        config = configs.load("quickstart")
        found = doubts.of_teacher(config, divided, load.load_teacher(config, divided, tmp_path, find([own])))
        assert any(f"{own} was trained on another split" in text for text in found) == warned


def test_a_teacher_from_elsewhere_may_have_been_trained_on_what_is_held_out_for_test(experiment_copy, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8), np.uint8)
    np.savez(tmp_path / "d.npz", x_train=images, y_train=np.arange(200) % 10, x_test=images, y_test=np.arange(200) % 10)
    np.savez(tmp_path / "t.npz", x_train=images, y_train=np.arange(200) % 10)
    other = experiment_copy / "quickstart/seed-0/teacher/model.keras"  # of a run on other data
    for name, test, warned in (("d", "null", False), ("t", "0.5", True)):
        data = f"data={{dataset: npz, path: {tmp_path / name}.npz, test: {test}}}"
        config = configs.load("quickstart", [data])
        split = datasets.load(config.data)
        for path in (outside(tmp_path / "foreign.keras"), other):
            found = doubts.of_teacher(config, split, load.load_teacher(config, split, tmp_path, find([path])))
            assert any("nothing is known of the training data" in text for text in found) == warned
