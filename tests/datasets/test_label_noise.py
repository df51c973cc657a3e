"""Wrong labels on purpose: how many, which classes, where, and that nothing else changes."""

import numpy as np
import own_data
import pytest
from scipy.stats import chisquare

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.errors import ConfigError
from kdistill.core.task import NO_LABEL
from kdistill.datasets.label_noise import noisy
from kdistill.datasets.split import Split, whole
from kdistill.datasets.splits import about_data


def digits(**keys):
    return datasets.load(configs.Data(**keys))


def wrong(found, right, part):
    return (getattr(found, part).all_labels != getattr(right, part).all_labels).sum()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.8])
def test_the_share_is_exact_every_label_differs_and_each_other_class_is_as_likely(share):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 8000)
    found = noisy(whole(np.zeros((8000, 1)), labels), [np.arange(8000)], share, 4, [0])
    changed = np.flatnonzero(found != labels)
    assert len(changed) == round(share * 8000)
    assert (found.min(), found.max()) == (0, 3)
    steps = np.bincount((found - labels)[changed] % 4, minlength=4)
    assert steps[0] == 0
    assert chisquare(steps[1:]).pvalue > 0.001
    assert abs(np.bincount(labels[changed], minlength=4) / len(changed) - 0.25).max() < 0.05


def test_groups_have_their_own_share_and_rows_of_no_group_stay():
    split = Split(np.zeros((100, 1)), np.zeros(100, np.int32), np.arange(20, 90))
    found = noisy(split, [np.arange(20, 30), np.arange(30, 90)], 0.5, 2, [0])
    assert [found[rows].sum() for rows in (slice(20, 30), slice(30, 90))] == [5, 30]
    assert found[:20].sum() == found[90:].sum() == 0


def test_a_larger_share_has_the_wrong_labels_of_a_smaller_one_and_another_seed_has_others():
    right, few, many = digits(), digits(label_noise=0.1), digits(label_noise=0.4)
    changed = few.train.all_labels != right.train.all_labels
    np.testing.assert_array_equal(few.train.all_labels[changed], many.train.all_labels[changed])
    other = digits(label_noise=0.1, label_seed=1)
    assert (other.train.all_labels != few.train.all_labels).any()
    assert (other.validation.all_labels != few.validation.all_labels).any()


def test_train_and_validation_are_noisy_and_test_is_not():
    right, found = digits(), digits(label_noise=0.2)
    assert wrong(found, right, "train") == round(0.2 * len(right.train))
    assert wrong(found, right, "validation") == round(0.2 * len(right.validation))
    assert wrong(found, right, "test") == 0
    np.testing.assert_array_equal(found.right_validation.all_labels, right.validation.all_labels)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(found, part).rows, getattr(right, part).rows)
    counts = [(f"{round(0.2 * count)}", f"{count:,}") for count in (len(right.train), len(right.validation))]
    of = [" of the ".join(each) for each in counts]
    assert found.warnings[-1] == (
        f"data.label_noise: 0.2 replaced {of[0]} labels of train and {of[1]} of validation by other classes; those of "
        "test are right. Early stopping and validation scores see the wrong ones."
    )


def test_train_alone_may_be_noisy():
    right, found = digits(), digits(label_noise=0.2, label_noise_in="train")
    assert wrong(found, right, "validation") == 0
    assert found.right_validation is None
    np.testing.assert_array_equal(found.train.all_labels, digits(label_noise=0.2).train.all_labels)
    assert found.warnings[-1].endswith("the labels of validation and test are right.")


def test_a_validation_split_that_is_the_test_split_stays_right():
    found, right = digits(label_noise=0.2, validation="test"), digits(validation="test")
    assert wrong(found, right, "validation") == wrong(found, right, "test") == 0
    assert wrong(found, right, "train") == round(0.2 * len(right.train))


def test_of_the_labels_that_are_kept_the_share_is_wrong_and_of_the_others_too():
    right, found = digits(labelled=100), digits(labelled=100, label_noise=0.3)
    np.testing.assert_array_equal(found.labelled.rows, right.labelled.rows)
    assert wrong(found, right, "labelled") == 30
    assert wrong(found, right, "known") == 30 + round(0.3 * (len(right.known) - 100))
    assert (found.train.all_labels == NO_LABEL).sum() == (right.train.all_labels == NO_LABEL).sum()
    kept = found.positions("labelled")
    np.testing.assert_array_equal(found.known.all_labels[kept], found.train.all_labels[kept])


def test_an_export_has_the_noisy_labels_of_train_and_validation(tmp_path):
    found = digits(label_noise=0.5)
    datasets.export(found, tmp_path / "data.npz")
    part = found.training_part()
    labels = dict(zip(part.rows, np.load(tmp_path / "data.npz")["y_train"], strict=True))
    for split in (found.train, found.validation):
        assert [labels[row] for row in split.rows] == split.all_labels.tolist()


def test_a_validation_part_of_its_own_is_noisy_too(tmp_path):
    path = own_data.write_npz(tmp_path / "own.npz", **own_data.arrays(validation=20))
    keys = {"validation": "given"}
    right, found = (datasets.load(own_data.data("npz", path, **keys, **more)) for more in ({}, {"label_noise": 0.5}))
    assert wrong(found, right, "validation") == 10
    assert wrong(found, right, "train") == 20
    assert found.has_own_validation


def test_what_is_known_of_the_data_differs_with_noise_alone():
    right, found = digits(), digits(label_noise=0.2)
    noise = {"share": 0.2, "seed": 0, "validation": True}
    assert about_data(found) == {**about_data(right), "label_noise": noise}
    assert "label_noise" not in about_data(right)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (["data.label_noise=0.0"], "label_noise: expected a number above 0"),
        (["data.label_noise=1.0"], "label_noise: expected a number below 1"),
        (["data.label_noise_in=train"], "only data.label_noise reads it"),
        (["data.label_seed=3"], "only data.labelled and data.label_noise read it"),
        (["data={dataset: npz, path: x.npz, labels: multi, label_noise: 0.2}"], "it is for labels: single"),
    ],
)
def test_what_makes_no_sense_is_refused(keys, problem):
    with pytest.raises(ConfigError) as error:
        configs.load("quickstart", keys)
    assert problem in error.value.message


@pytest.mark.parametrize(("keys", "most"), [({}, "1,131"), ({"labelled": 100}, "100")])
def test_a_share_that_replaces_no_label_is_refused(keys, most):
    with pytest.raises(ConfigError, match=rf"^data.label_noise: .* one of the {most} labels of train; received 0.0004"):
        digits(label_noise=0.0004, **keys)
