"""Class weights against scikit-learn, and names that are none."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from kdistill.core.errors import ConfigError
from kdistill.datasets.class_weights import class_weights

CLASSES = ("cat", "dog", "owl")
LABELS = np.array([0] * 60 + [1] * 30 + [2] * 10)


def weights(chosen, labels=LABELS, classes=CLASSES):
    class Train(SimpleNamespace):
        def __len__(self):
            return len(self.all_labels)

    return class_weights(chosen, Train(all_labels=labels), classes)


def test_balanced_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(weights("balanced"), expected, rtol=1e-15)


def test_a_class_without_examples_in_train_does_not_change_those_of_the_others():
    labels = LABELS[LABELS != 1]
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=labels)
    np.testing.assert_allclose(weights("balanced", labels), [expected[0], 1, expected[1]], rtol=1e-15)


@pytest.mark.parametrize("chosen", ["balanced", {"owl": 5}, {"cat": 0.1, "dog": 3, "owl": 20}])
def test_the_mean_over_train_is_one_so_that_learning_rate_and_alpha_keep_their_meaning(chosen):
    assert weights(chosen)[LABELS].mean() == pytest.approx(1, rel=1e-12)


def test_weights_by_name_keep_their_ratios_and_others_count_one():
    found = weights({"owl": 5})
    np.testing.assert_allclose(found / found[0], [1, 1, 5], rtol=1e-12)


def test_a_name_that_is_no_class_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ConfigError) as refused:
        weights({"owls": 5})
    assert str(refused.value).startswith(
        "data.class_weights: owls is not a class; expected names among cat, dog, owl; did you mean 'owl'?"
    )
