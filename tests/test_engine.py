"""Engines: compiled once for runs of one shape, and each run's own while it lasts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_task import CLASSES, SHAPE, SOFT, fit, student, train

from kdistill import engine, losses


def test_runs_that_differ_in_numbers_share_an_engine():
    engine._engines.clear()
    for seed, (alpha, temperature) in enumerate([(0.9, 2.0), (0.1, 20.0), (1.0, 1.0)]):
        rate = keras.optimizers.Adam(10.0 ** -(seed + 2))
        train(student(seed=seed), losses.distillation_objective(alpha, temperature), SOFT, rate, seed=seed, epochs=1)
    assert len(engine._engines) == 1
    shared = next(iter(engine._engines.values()))
    assert shared._segment.experimental_get_tracing_count() == 2  # a full batch, a short one


def test_a_learning_rate_of_a_shared_engine_is_its_own():
    _, slow = train(student(), optimizer=keras.optimizers.SGD(1e-6), epochs=1)
    _, fast = train(student(), optimizer=keras.optimizers.SGD(1e-1), epochs=1)
    start = student().get_weights()
    assert np.abs(slow[0] - start[0]).max() < 1e-4 < np.abs(fast[0] - start[0]).max()


def test_engines_kept_are_limited():
    engine._engines.clear()
    for units in range(1, engine.ENGINES_KEPT + 3):
        fit(student(hidden=[units]))
    assert len(engine._engines) == engine.ENGINES_KEPT


def test_a_layer_that_xla_cannot_compile_falls_back():
    class Unsupported(keras.layers.Layer):
        def call(self, inputs):
            shape = inputs.shape
            outputs = tf.numpy_function(lambda values: values, [inputs], tf.float32)
            return tf.ensure_shape(outputs, shape)

    inputs = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(Unsupported()(inputs))
    dropped = keras.layers.Dropout(0.1)(flat)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(dropped))
    run = fit(model, epochs=2)
    records = list(run.epochs())
    assert not run.engine.compiled
    assert records[1]["loss"] < records[0]["loss"]


def test_dropout_keeps_keras_layer_state_and_scale():
    ours = engine.FastDropout(0.25, seed=3)
    ones = tf.ones((200, 200))
    compiled = tf.function(lambda values: ours(values, training=True), jit_compile=True)
    dropped = compiled(ones).numpy()
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert not np.array_equal(dropped, compiled(ones).numpy())
    np.testing.assert_array_equal(ours(ones, training=False), ones)
    theirs = keras.layers.Dropout(0.25, seed=3)
    assert len(theirs.variables) == len(ours.variables)
