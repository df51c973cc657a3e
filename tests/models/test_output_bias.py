"""The biases of the logits: found, moved by what was asked, and missed before training."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kdistill.core.errors import ModelError
from kdistill.models import output_bias


def model(*layers):
    return keras.Sequential([keras.Input((4,)), *layers])


DENSE = keras.layers.Dense


@pytest.mark.parametrize(
    "found",
    [model(DENSE(3)), model(DENSE(5, "relu"), DENSE(3)), model(keras.Sequential([keras.Input((4,)), DENSE(3)]))],
    ids=["linear", "hidden", "nested"],
)
def test_logits_move_by_the_offsets(found):
    examples, offsets = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32), np.array([1.0, -2.0, 0.5])
    before = found(examples).numpy()
    output_bias.move(found, offsets)
    np.testing.assert_allclose(found(examples).numpy() - before, np.tile(offsets, (6, 1)), atol=1e-5)


@pytest.mark.parametrize(
    "without",
    [model(DENSE(3, use_bias=False)), model(DENSE(3, "relu")), model(DENSE(3), keras.layers.LayerNormalization())],
    ids=["no bias", "activation", "normalised"],
)
def test_a_model_without_such_biases_is_refused(without):
    assert output_bias.find(without) is None
    with pytest.raises(ModelError, match=r"small\.keras: distill\.adjust_prior moves the biases of the logits"):
        output_bias.check(without, Path("small.keras"))
    with pytest.raises(ValueError, match="no biases"):
        output_bias.move(without, np.zeros(3))
