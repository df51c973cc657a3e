"""A model is asked about every example once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdistill.datasets import Split
from kdistill.evaluation import predict as evaluation


@pytest.mark.parametrize("batch_size", [1, 7, 10, 23, 1000])
def test_every_example_is_scored_once_in_order_whatever_the_batch(batch_size):
    images = np.arange(23 * 4, dtype=np.uint8).reshape(23, 2, 2)
    rows = np.random.default_rng(0).permutation(23)
    split = Split(images, np.zeros(23, np.int32), rows)
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten()])
    seen = evaluation.logits(evaluation.predictor(model), split, batch_size)
    np.testing.assert_array_equal(seen, images[rows].reshape(23, 4))


def test_large_examples_are_taken_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH_VALUES", 9)
    split = Split(np.zeros((5, 2, 2), np.uint8), np.zeros(5, np.int32), np.arange(5))
    sizes = []

    def predict(images):
        sizes.append(len(images))
        return tf.zeros((len(images), 3))

    assert evaluation.logits(predict, split).shape == (5, 3)
    assert sizes == [2, 2, 1]
