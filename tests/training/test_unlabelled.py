"""Examples without a label: their loss is the soft term alone, and fewer examples have as many updates as all."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_expit, log_softmax
from small_task import (
    AUGMENTATION,
    TEACHER,
    TEACHER_VALIDATION,
    TRAIN,
    VALIDATION,
    assert_same,
    big,
    fit,
    student,
    train,
)

from kdistill.core.task import NO_LABEL
from kdistill.evaluation.predict import predictor
from kdistill.training import losses
from kdistill.training.fit import Data
from kdistill.training.segments import Segments

LABELLED = np.random.default_rng(5).random(len(TRAIN.labels)) < 0.3
HIDDEN = dataclasses.replace(TRAIN, labels=np.where(LABELLED, TRAIN.labels, NO_LABEL).astype(np.int32))
SHARE = LABELLED[TRAIN.rows].mean()
OBJECTIVE = losses.distillation_objective(0.6, 2.0)


def numbers(objective, share):
    return objective.numbers | {losses.LABELLED: share}


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0)])
def test_the_hard_term_is_the_mean_over_the_labelled_examples(weights):
    logits = np.random.default_rng(0).normal(0, 3, (8, 3))
    labels = np.array([0, -1, 2, -1, -1, 1, 0, -1])
    known = labels >= 0
    each = -log_softmax(logits, axis=-1)[known, labels[known]] * np.array(weights or (1, 1, 1))[labels[known]]
    found = losses.hard_loss(labels, logits, weights, known.mean())
    np.testing.assert_allclose(found, each.mean(), rtol=1e-12)
    # In a batch with fewer labels than expected, each counts the same as in any other.
    np.testing.assert_allclose(losses.hard_loss(labels, logits, weights, 0.75), each.sum() / 6, rtol=1e-12)


def test_the_hard_term_of_multi_label_data_has_the_labelled_examples_alone():
    logits = np.random.default_rng(1).normal(0, 3, (5, 3))
    labels = np.array([[0, 1, 0], [-1] * 3, [0, 0, 0], [-1] * 3, [1, 1, 1]])
    known = labels[:, 0] >= 0
    each = -(labels * log_expit(logits) + (1 - labels) * log_expit(-logits))[known].sum(axis=-1)
    np.testing.assert_allclose(losses.bernoulli_hard_loss(labels, logits, known.mean()), each.mean(), rtol=1e-12)


def test_the_gradient_of_an_unlabelled_example_is_that_of_the_soft_term():
    rng = np.random.default_rng(2)
    teacher, logits = (tf.constant(rng.normal(0, 3, (4, 3)), tf.float32) for _ in range(2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        both = OBJECTIVE(tf.constant([1, -1, -1, 0]), teacher, logits, numbers(OBJECTIVE, 0.5))["loss"]
        soft = 0.6 * losses.kl_loss(teacher, logits, 2.0)
    found, expected = (tape.gradient(loss, logits).numpy() for loss in (both, soft))
    np.testing.assert_allclose(found[1:3], expected[1:3], rtol=1e-5)
    assert np.abs(found[0] - expected[0]).max() > 0.01


def test_a_step_over_all_examples_is_that_of_the_objective():
    """Against Keras: soft over all examples, hard over the labelled ones."""
    ours, theirs = student(seed=3), student(seed=3)
    optimizer = keras.optimizers.SGD(0.1)
    images, labels = TRAIN.take(np.arange(len(TRAIN)))
    known = LABELLED[TRAIN.rows]
    with tf.GradientTape() as tape:
        logits = theirs(images, training=True)
        hard = keras.losses.sparse_categorical_crossentropy(labels[known], logits[known], from_logits=True)
        loss = 0.6 * losses.kl_loss(TEACHER, logits, 2.0) + 0.4 * tf.reduce_mean(hard)
    optimizer.apply(tape.gradient(loss, theirs.trainable_variables), theirs.trainable_variables)
    data = Data(HIDDEN, VALIDATION, TEACHER, TEACHER_VALIDATION)
    records, last = train(ours, OBJECTIVE, data, keras.optimizers.SGD(0.1), batch_size=len(TRAIN), epochs=1)
    for one, other in zip(last, theirs.weights, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-6)
    assert records[0]["hard"] == pytest.approx(float(tf.reduce_mean(hard)), rel=1e-4)


def test_without_any_label_only_the_soft_term_is_left():
    none = dataclasses.replace(TRAIN, labels=np.full_like(TRAIN.labels, NO_LABEL))
    data = Data(none, VALIDATION, TEACHER, TEACHER_VALIDATION)
    records, weights = train(student(), OBJECTIVE, data, keras.optimizers.SGD(0.1))
    assert [record["hard"] for record in records] == [0, 0, 0]
    soft = losses.distillation_objective(1.0, 2.0)
    with_labels = dataclasses.replace(data, train=TRAIN)
    _, same = train(student(), soft, with_labels, keras.optimizers.SGD(0.06))
    for one, other in zip(weights, same, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_validation_has_all_its_labels():
    run = fit(student(), OBJECTIVE, Data(HIDDEN, VALIDATION, TEACHER, TEACHER_VALIDATION), epochs=1)
    (record,) = list(run.epochs())
    logits = run.predict(VALIDATION.images[VALIDATION.rows]).numpy()
    expected = OBJECTIVE(VALIDATION.all_labels, TEACHER_VALIDATION, logits)["loss"]
    assert record["val_loss"] == pytest.approx(float(expected), rel=1e-5)


FEW = dataclasses.replace(TRAIN, rows=TRAIN.rows[:40])


@pytest.mark.parametrize(("per_epoch", "least", "most"), [(None, 1, 1), (40, 1, 1), (100, 2, 3), (120, 3, 3)])
def test_an_epoch_passes_over_few_examples_several_times(per_epoch, least, most):
    data = Data(FEW, VALIDATION, per_epoch=per_epoch)
    order = Segments(data, 10, 3).order(0, 1)
    assert len(order) == (per_epoch or 40) == data.epoch_examples
    counts = np.bincount(order % 40)
    assert (counts.min(), counts.max()) == (least, most)
    np.testing.assert_array_equal(order[:40], np.random.default_rng([0, 1]).permutation(40))
    assert len({*order.tolist()}) == len(order)


def test_each_pass_over_augmented_images_draws_anew_and_asks_the_teacher_about_them():
    model = big()
    data = Data(
        FEW,
        VALIDATION,
        teacher_validation=TEACHER_VALIDATION,
        teachers=(predictor(model),),
        augmentation=AUGMENTATION,
        per_epoch=100,
    )
    segments = Segments(data, 10, 10)
    segment = segments.next(segments.order(0, 1))
    images, _, (logits,) = segment.block
    images, logits = (array.reshape(100, *array.shape[2:]) for array in (images, logits))
    draws = segment.draws.reshape(100, -1)
    changed = AUGMENTATION.apply(tf.constant(images), tf.constant(draws))
    np.testing.assert_allclose(logits, model(changed, training=False), rtol=1e-3, atol=1e-4)
    assert len(np.unique(logits, axis=0)) > 60


@pytest.mark.parametrize("objective", [losses.hard_objective(), OBJECTIVE])
def test_a_fit_resumes_within_a_pass_to_the_same_weights(objective, monkeypatch):
    monkeypatch.setattr("kdistill.training.segments.SEGMENT_BATCHES", 2)
    few = dataclasses.replace(HIDDEN, rows=HIDDEN.rows[:40]) if objective.uses_teacher else FEW
    data = Data(few, VALIDATION, TEACHER[:40], TEACHER_VALIDATION, per_epoch=100)
    states, arguments = [], {"batch_size": 20, "epochs": 2}
    run = fit(student(dropout=0.3), objective, data, **arguments)
    list(run.epochs(lambda done: states.append(run.state())))
    whole = [weight.numpy() for weight in run.model.weights]
    assert len(states) > 4
    again = fit(student(dropout=0.3), objective, data, **arguments)
    again.restore(states[1])
    list(again.epochs())
    assert_same(whole, [weight.numpy() for weight in again.model.weights])
