"""Engines: compiled once for runs of one shape, and each run's own while it lasts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_task import (
    CLASSES,
    SHAPE,
    SOFT,
    TEACHER_VALIDATION,
    TRAIN,
    VALIDATION,
    assert_same,
    big,
    fit,
    student,
    train,
)

from kdistill.core import backend
from kdistill.evaluation import predict
from kdistill.training import compiled_loop, losses
from kdistill.training.augmentation import Augmentation
from kdistill.training.fit import Data


def test_runs_that_differ_in_numbers_share_an_engine():
    compiled_loop._engines.clear()
    for seed, (alpha, temperature) in enumerate([(0.9, 2.0), (0.1, 20.0), (1.0, 1.0)]):
        rate = keras.optimizers.Adam(10.0 ** -(seed + 2))
        train(
            student(seed=seed),
            losses.distillation_objective(alpha, temperature),
            SOFT,
            rate,
            seed=seed,
            epochs=1,
            batch_size=32,
        )
    assert len(compiled_loop._engines) == 1
    shared = next(iter(compiled_loop._engines.values()))
    assert shared._xla_segment.experimental_get_tracing_count() == 2  # a full batch, a short one


def test_a_learning_rate_of_a_shared_engine_is_its_own():
    _, slow = train(student(), optimizer=keras.optimizers.SGD(1e-6), epochs=1)
    _, fast = train(student(), optimizer=keras.optimizers.SGD(1e-1), epochs=1)
    start = student().get_weights()
    assert np.abs(slow[0] - start[0]).max() < 1e-4 < np.abs(fast[0] - start[0]).max()


def test_engines_kept_are_limited(monkeypatch):
    monkeypatch.setattr(compiled_loop, "ENGINES_KEPT", 3)
    compiled_loop._engines.clear()
    for units in range(1, compiled_loop.ENGINES_KEPT + 3):
        fit(student(hidden=[units]))
    assert len(compiled_loop._engines) == compiled_loop.ENGINES_KEPT


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


@pytest.mark.parametrize(
    ("changes", "compiled"),
    [
        ({}, True),
        ({"batch_norm": "true"}, True),
        ({"recurrent": "[3]"}, True),
        ({"conv": "[3]"}, False),
        ({"conv": "[3,3]", "separable": "true"}, False),
    ],
)
def test_convolutions_are_left_to_the_kernels_of_tensorflow_on_a_cpu(changes, compiled, monkeypatch):
    monkeypatch.setattr(backend, "gpus", list)
    compiled_loop._engines.clear()
    assert fit(student(**changes)).engine.compiled == compiled
    monkeypatch.setattr(backend, "gpus", lambda: ["GPU:0"])
    compiled_loop._engines.clear()
    assert fit(student(**changes)).engine.compiled
    compiled_loop._engines.clear()


def test_xla_takes_every_block_too():
    """As on a GPU, where it is used for all: with the same result."""
    changes = {"conv": "[3,4]", "separable": "true", "batch_norm": "true", "hidden": "[6]"}
    ends = []
    for compiled in (False, True):
        compiled_loop._engines.clear()
        run = fit(student(**changes), optimizer=keras.optimizers.SGD(0.05), epochs=1)
        run.engine.compiled = compiled
        list(run.epochs())
        assert run.engine.compiled == compiled
        ends.append(run.model.get_weights())
    compiled_loop._engines.clear()
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_runs_of_one_convolutional_shape_share_an_engine():
    compiled_loop._engines.clear()
    changes = {"conv": "[3]", "batch_norm": "true", "dropout": 0.2}
    short = {"epochs": 1, "batch_size": 32}
    first = train(student(**changes), **short)[1]
    train(student(seed=1, **changes), seed=1, **short)
    again = train(student(**changes), **short)[1]
    assert len(compiled_loop._engines) == 1
    shared = next(iter(compiled_loop._engines.values()))
    assert shared._plain_segment.experimental_get_tracing_count() == 2
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_within_a_model_gets_the_fast_dropout_too():
    inner = keras.Sequential([keras.Input((25,)), keras.layers.Dropout(0.5), keras.layers.Dense(CLASSES)])
    inputs = keras.Input(SHAPE)
    run = fit(keras.Model(inputs, inner(keras.layers.Flatten()(inputs))))
    kinds = {type(layer) for layer in run.engine.model._flatten_layers()}
    assert compiled_loop.FastDropout in kinds
    assert keras.layers.Dropout not in kinds
    assert len(list(run.epochs())) == 3


def test_dropout_keeps_keras_layer_state_and_scale():
    ours = compiled_loop.FastDropout(0.25, seed=3)
    ones = tf.ones((200, 200))
    compiled = tf.function(lambda values: ours(values, training=True), jit_compile=True)
    dropped = compiled(ones).numpy()
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert not np.array_equal(dropped, compiled(ones).numpy())
    np.testing.assert_array_equal(ours(ones, training=False), ones)
    theirs = keras.layers.Dropout(0.25, seed=3)
    assert len(theirs.variables) == len(ours.variables)


def asking(model, augmentation=None):
    return Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, (predict.predictor(model),), augmentation)


def test_runs_with_other_teachers_share_an_engine():
    """A sweep with a teacher for each seed compiles once, and memory does not grow."""
    compiled_loop._engines.clear()
    objective, ends = losses.distillation_objective(1.0, 2.0), []
    augmentation = Augmentation(flip=True)
    for seed in (0, 1, 0):
        ends.append(train(student(), objective, asking(big(seed), augmentation), epochs=1)[1])
    (shared,) = compiled_loop._engines.values()
    assert shared._xla_segment.experimental_get_tracing_count() == 1
    assert_same(ends[0], ends[2])
    assert not np.array_equal(ends[0][0], ends[1][0])
    fit(student(), objective, asking(big(), Augmentation(shift=1)))
    fit(student(), objective, asking(big()))
    assert len(compiled_loop._engines) == 3


def test_a_teacher_that_is_asked_is_never_trained():
    model = big()
    before = [weight.numpy() for weight in model.variables]
    run = fit(student(), losses.distillation_objective(0.9, 2.0), asking(model), optimizer=keras.optimizers.SGD(0.5))
    list(run.epochs())
    assert_same(before, [weight.numpy() for weight in model.variables])
    assert len(run.engine.model.weights) == len(student().weights)
