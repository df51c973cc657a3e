"""Mean and variance, against NumPy's in float64, and as Keras's layer applies them."""

import numpy as np
import pytest

from kdistill import models
from kdistill.config import Model
from kdistill.core import kinds
from kdistill.datasets import standardize
from kdistill.datasets.splits import whole


def of(examples):
    split = whole(examples, np.arange(len(examples)) % 2)
    return standardize.standardization(split.chunks, examples.shape[1:], kinds.plain(examples.shape[1:]))


@pytest.mark.parametrize(
    ("shape", "axes"), [((7,), (0,)), ((4, 5), (0, 1, 2)), ((4, 5, 3), (0, 1, 2)), ((4, 5, 1), (0, 1, 2))]
)
def test_mean_and_variance_are_those_of_numpy(shape, axes, monkeypatch):
    monkeypatch.setattr(standardize, "CHUNK_VALUES", 40)  # several chunks
    examples = np.random.default_rng(0).normal(1000, 3, (101, *shape)).astype(np.float32)
    found = of(examples)
    reference = examples.astype(np.float64)
    np.testing.assert_allclose(found.mean, np.atleast_1d(reference.mean(axis=axes)), rtol=1e-12)
    np.testing.assert_allclose(found.variance, np.atleast_1d(reference.var(axis=axes)), rtol=1e-9)


def test_a_constant_column_becomes_zero():
    examples = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    examples[:, 1] = 0.1
    found = of(examples)
    assert found.variance[1] == 1


@pytest.mark.parametrize("shape", [(5,), (4, 3), (4, 3, 2)])
def test_the_first_layer_of_a_model_standardises(shape):
    examples = np.random.default_rng(0).normal(7, 3, (200, *shape)).astype(np.float32)
    if len(shape) == 1:
        examples[:, 0] = -3.0
    model = models.build(Model(hidden=(4,)), "student", shape, 2, of(examples), 0)
    scaled = np.asarray(model.get_layer("scaling")(examples))
    axes = (0,) if len(shape) == 1 else tuple(range(3))
    reference = examples.astype(np.float64)
    if len(shape) == 3:
        expected = (reference - reference.mean(axes)) / reference.std(axes)
    elif len(shape) == 2:
        expected = (reference - reference.mean()) / reference.std()
    else:
        expected = np.concatenate(
            [np.zeros((200, 1)), (reference[:, 1:] - reference[:, 1:].mean(0)) / reference[:, 1:].std(0)], axis=1
        )
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_a_model_that_standardises_is_saved_and_accepted(tmp_path):
    examples = np.random.default_rng(0).normal(7, 3, (20, 5)).astype(np.float32)
    model = models.build(Model(hidden=(4,)), "student", (5,), 2, of(examples), 0)
    models.save(model, tmp_path / "model.keras")
    loaded, _ = models.load_classifier(tmp_path / "model.keras", (5,), 2)
    np.testing.assert_array_equal(model(examples), loaded(examples))
    assert loaded.count_params() == 5 * 4 + 4 + 4 * 2 + 2
