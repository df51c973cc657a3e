"""Training against plain Keras loops in eager mode, a batch at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_task import (
    AUGMENTATION,
    HARD,
    OPTIMIZERS,
    SOFT,
    TEACHER_VALIDATION,
    TRAIN,
    VALIDATION,
    assert_same,
    big,
    student,
    train,
)

from kdistill import config as configs
from kdistill.evaluation import predict
from kdistill.training import compiled_loop, losses, optimizers
from kdistill.training.segments import Data


def plain_loop(model, optimizer, objective, data, batch_size, epochs, seed):
    """Train in eager mode, a batch at a time, as a textbook would."""
    teacher = data.teacher_train if data.teacher_train is not None else np.zeros((len(data.train), 0))
    means = []
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([seed, epoch]).permutation(len(data.train))
        total = 0.0
        for start in range(0, len(order), batch_size):
            positions = order[start : start + batch_size]
            rows = data.train.rows[positions]
            images, targets = data.train.images[rows], teacher[positions]
            if data.augmentation:
                draws = data.augmentation.draw(seed, epoch, len(order))[positions]
                images = data.augmentation.apply(tf.constant(images), draws)
            if data.teachers:
                targets = tf.stack([ask(images) for ask in data.teachers], axis=1)
            with tf.GradientTape() as tape:
                logits = model(images, training=True)
                terms = objective(data.train.labels[rows], targets, logits)
                loss = tf.add_n([terms["loss"], *model.losses])
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += float(loss) * len(positions)
        means.append(total / len(order))
    return means


# Compiling takes seconds: by default one, with a schedule and its state.
OTHERS = [pytest.param(name, marks=pytest.mark.campaign) for name in OPTIMIZERS if name != "cosine"]


@pytest.mark.parametrize("name", ["cosine", *OTHERS])
def test_engine_matches_a_plain_keras_loop(name):
    plan = configs.load("quickstart", [*OPTIMIZERS[name], "training.learning_rate=0.01"]).training
    objective = losses.distillation_objective(0.7, 3.0)
    reference = student(l2=0.001, max_norm=1.5)
    means = plain_loop(reference, optimizers.build(plan, 5), objective, SOFT, 32, 3, seed=5)
    model = student(l2=0.001, max_norm=1.5)
    records, last = train(model, objective, SOFT, optimizers.build(plan, 5), seed=5, batch_size=32)
    for ours, theirs in zip(last, reference.weights, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"conv": "[3,4]", "max_norm": 1.0, "l2": 0.01},
        {"conv": "[3,4]", "separable": "true", "batch_norm": "true", "max_norm": 1.0, "global_pool": "true"},
        {"batch_norm": "true"},
        {"recurrent": "[4, 3]", "l2": 0.01, "max_norm": 1.0},
        {"recurrent": "[4]", "cell": "gru"},
        {"recurrent": "[4]", "conv": "[3]", "pool": 1},
    ],
    ids=["convolutions", "separable, batch norm", "batch norm", "lstm", "gru", "convolution and lstm"],
)
def test_engine_matches_a_plain_keras_loop_with_every_kind_of_block(changes):
    """The moving averages of batch normalisation are weights like others."""
    objective = losses.distillation_objective(0.7, 3.0)
    reference, model = student(**changes), student(**changes)
    means = plain_loop(reference, keras.optimizers.SGD(0.05), objective, SOFT, 30, 2, seed=5)
    records, last = train(model, objective, SOFT, keras.optimizers.SGD(0.05), seed=5, epochs=2)
    for ours, theirs in zip(last, reference.weights, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-4)


def test_both_soft_losses_match_a_plain_keras_loop_one_after_the_other():
    """Models of one shape share a compiled step, but not across losses."""
    ends = []
    for soft_loss in ("kl", "mse", "kl"):
        objective = losses.distillation_objective(0.7, 3.0, soft_loss=soft_loss)
        reference, model = student(), student()
        means = plain_loop(reference, keras.optimizers.SGD(0.05), objective, SOFT, 30, 1, seed=5)
        records, last = train(model, objective, SOFT, keras.optimizers.SGD(0.05), seed=5, epochs=1)
        np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-4)
        ends.append(last)
    assert_same(ends[0], ends[2])
    assert any(np.abs(kl - mse).max() > 1e-3 for kl, mse in zip(ends[0], ends[1], strict=True))


def test_class_weights_match_a_plain_loop_on_keras_own_and_are_no_part_of_the_compiled_step():
    """Runs that differ only in their weights share a step, and one without any is weighted by no earlier one."""
    compiled_loop._engines.clear()
    ends, keras_loss = [], keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for weights in ((0.5, 3.0, 1.0, 0.25), (2.0, 1.0, 1.0, 1.0), None):

        def of_keras(labels, teacher, logits, weights=weights):
            each = None if weights is None else np.array(weights, np.float32)[labels]
            return {"loss": keras_loss(labels, logits, sample_weight=each)}

        reference, model = student(), student()
        means = plain_loop(reference, keras.optimizers.SGD(0.05), of_keras, HARD, 30, 1, seed=5)
        records, last = train(model, losses.hard_objective(weights), HARD, keras.optimizers.SGD(0.05), seed=5, epochs=1)
        for ours, theirs in zip(last, reference.weights, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-4)
        ends.append(last)
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(ends[0], ends[1], strict=True))


@pytest.mark.parametrize("seeds", [pytest.param((0,), marks=pytest.mark.campaign), (0, 1)], ids=["one", "two"])
def test_augmented_with_teachers_that_are_asked_it_matches_a_plain_keras_loop(seeds):
    asked = [predict.predictor(big(seed)) for seed in seeds]
    plan = configs.load("quickstart", ["training.learning_rate=0.01"]).training
    objective = losses.distillation_objective(0.7, 3.0)
    data = Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, asked, AUGMENTATION)
    reference = student()
    means = plain_loop(reference, optimizers.build(plan, 5), objective, data, 30, 2, seed=5)
    records, last = train(student(), objective, data, optimizers.build(plan, 5), seed=5, epochs=2)
    for ours, theirs in zip(last, reference.weights, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-4)


def test_several_cached_teachers_match_a_plain_keras_loop():
    plan = configs.load("quickstart", ["training.learning_rate=0.01"]).training
    objective = losses.distillation_objective(0.9, 3.0)
    both = np.stack([SOFT.teacher_train, SOFT.teacher_train[::-1]], axis=1)
    data = Data(TRAIN, VALIDATION, both, both[: len(VALIDATION)])
    reference = student()
    means = plain_loop(reference, optimizers.build(plan, 5), objective, data, 30, 2, seed=5)
    records, last = train(student(), objective, data, optimizers.build(plan, 5), seed=5, epochs=2)
    for ours, theirs in zip(last, reference.weights, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-4)
