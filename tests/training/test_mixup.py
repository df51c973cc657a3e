"""Mixup against float64 NumPy: weights, partners, mixed examples and labels, and runs with a teacher that is asked."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import log_expit, log_softmax
from small_task import (
    CLASSES,
    HARD,
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
from kdistill.training import losses, mixup
from kdistill.training.augmentation import Augmentation, mixing
from kdistill.training.mixup import MixedLabels
from kdistill.training.segments import Data, Segments

MIXED = Augmentation(mixup=0.4)
OBJECTIVE = losses.distillation_objective(0.6, 2.0)
LABELLED = np.random.default_rng(5).random(len(TRAIN.labels)) < 0.3
HIDDEN = dataclasses.replace(TRAIN, labels=np.where(LABELLED, TRAIN.labels, NO_LABEL).astype(np.int32))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_the_larger_of_two_that_follow_beta(alpha):
    found = mixup.draw(alpha, 0, 1, 4000)
    assert found.dtype == np.float32
    assert found.min() >= 0.5
    assert found.max() <= 1.0
    for place in (0.55, 0.7, 0.85, 0.99):
        share = 2 * stats.beta(alpha, alpha).cdf(place) - 1
        assert (found < place).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("alpha", [5e-324, 1e-320, 1e-300, 1e-12])
def test_weights_next_to_no_mixing_are_numbers(alpha):
    np.testing.assert_array_equal(mixup.draw(alpha, 0, 1, 500), 1.0)


def test_weights_are_of_seed_and_epoch_alone_and_no_other_draw_is_changed():
    first = mixup.draw(0.2, 4, 7, 100)
    np.testing.assert_array_equal(mixup.draw(0.2, 4, 7, 100), first)
    np.testing.assert_allclose(first[:3], [0.9950811, 0.97451085, 0.99830955], rtol=1e-6)
    assert not np.array_equal(mixup.draw(0.2, 4, 8, 100), first)
    assert not np.array_equal(mixup.draw(0.2, 5, 7, 100), first)
    # Drawn before there was mixup: runs of that time stay what they are.
    before = [[-1, 2, 0, 0, 1], [0, 2, 0, 2, 0], [-1, 1, 0, 1, 2], [2, -1, 1, 0, 2]]
    for alpha in (0, 0.2):
        assert Augmentation(2, True, 3, alpha).draw(4, 7, 4).tolist() == before


@pytest.mark.parametrize("share", [1.0, 0.3, 0.0])
def test_partners_are_the_next_of_the_batch_that_have_a_label_too_or_have_none_too(share):
    has_label = np.random.default_rng(2).random(101) < share
    found = mixup.partners(has_label, 8)
    for start in range(0, 101, 8):
        for kind in (True, False):
            alike = [place for place in range(start, min(start + 8, 101)) if has_label[place] == kind]
            assert [found[place] for place in alike] == [*alike[1:], *alike[:1]]


def mixed_by_numpy(values, partners, weights):
    each = weights.astype(np.float64).reshape(-1, *[1] * (values.ndim - 1))
    exact = values.astype(np.float64)
    return each * exact + (1 - each) * exact[partners]


@pytest.mark.parametrize("shape", [(7,), (5, 5), (5, 6, 3), (2, 3, 4, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_examples_of_any_shape_are_mixed(shape, dtype):
    rng = np.random.default_rng(0)
    values, weights = rng.uniform(0, 255, (6, *shape)).astype(dtype), mixup.draw(1.0, 0, 1, 6)
    partners = mixup.partners(np.ones(6, bool), 4)
    found = mixing(MIXED)(values, np.zeros((6, 5), np.int32), partners, weights)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, mixed_by_numpy(values, partners, weights), rtol=1e-6, atol=1e-4)


def test_images_are_moved_before_they_are_mixed():
    both = Augmentation(1, True, 1, 0.4)
    values, draws = TRAIN.images[:6], both.draw(0, 1, 6)
    partners, weights = mixup.partners(np.ones(6, bool), 6), mixup.draw(0.4, 0, 1, 6)
    moved = both.apply(tf.constant(values), draws).numpy()
    expected = mixed_by_numpy(moved, partners, weights)
    np.testing.assert_allclose(mixing(both)(values, draws, partners, weights), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("share", [None, 0.5])
def test_the_hard_term_is_the_cross_entropy_of_the_mixed_label(weights, share):
    rng = np.random.default_rng(0)
    logits, parts = rng.normal(0, 3, (8, 3)), rng.uniform(0.5, 1, 8)
    first, second = rng.integers(0, 3, (2, 8))
    if share:
        first[:4] = second[:4] = NO_LABEL
    of_class = np.array(weights or (1, 1, 1))
    target = parts[:, None] * (np.eye(3) * of_class)[first] + (1 - parts[:, None]) * (np.eye(3) * of_class)[second]
    each = -(target * log_softmax(logits, axis=-1)).sum(axis=-1)
    expected = each[first != NO_LABEL].mean()
    objective = losses.hard_objective(weights)
    numbers = objective.numbers | ({losses.LABELLED: share} if share else {})
    found = objective(first, None, tf.constant(logits), numbers, MixedLabels(second, parts))
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-12)


def test_the_hard_term_of_multi_label_data_is_that_of_the_mixed_labels():
    rng = np.random.default_rng(1)
    logits, parts = rng.normal(0, 3, (5, 3)), rng.uniform(0.5, 1, 5)
    first, second = rng.integers(0, 2, (2, 5, 3))
    target = parts[:, None] * first + (1 - parts[:, None]) * second
    expected = -(target * log_expit(logits) + (1 - target) * log_expit(-logits)).sum(axis=-1).mean()
    objective = losses.Objective(task="multi")
    found = objective(first, None, tf.constant(logits), mixed=MixedLabels(second, parts))
    np.testing.assert_allclose(found["hard"], expected, rtol=1e-12)


def plain_loop(model, optimizer, ask, epochs, batch_size, seed):
    """Train in eager mode, a batch at a time: images and one-hot labels are mixed by NumPy."""
    means = []
    for epoch in range(1, epochs + 1):
        order, total = np.random.default_rng([seed, epoch]).permutation(len(TRAIN)), 0.0
        drawn = np.random.default_rng([seed, epoch, 2]).beta(MIXED.mixup, MIXED.mixup, len(order))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            images, labels = TRAIN.take(chosen)
            weights, others = np.maximum(drawn, 1 - drawn)[chosen], np.roll(np.arange(len(chosen)), -1)
            seen = mixed_by_numpy(images, others, weights).astype(np.float32)
            target = mixed_by_numpy(np.eye(CLASSES)[labels], others, weights)
            with tf.GradientTape() as tape:
                logits = model(seen, training=True)
                hard = -tf.reduce_mean(tf.reduce_sum(target * tf.nn.log_softmax(tf.cast(logits, tf.float64)), axis=-1))
                soft = losses.kl_loss(ask(seen), logits, 2.0)
                loss = 0.6 * soft + 0.4 * tf.cast(hard, tf.float32)
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += float(loss) * len(chosen)
        means.append(total / len(order))
    return means


def test_a_run_with_mixup_matches_a_plain_loop_whose_last_batch_is_short(monkeypatch):
    monkeypatch.setattr("kdistill.training.segments.SEGMENT_BATCHES", 2)
    ask = predictor(big())
    data = Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, (ask,), MIXED)
    reference = student()
    means = plain_loop(reference, keras.optimizers.Adam(1e-2), ask, 2, 40, seed=5)
    records, last = train(student(), OBJECTIVE, data, keras.optimizers.Adam(1e-2), seed=5, epochs=2, batch_size=40)
    for ours, theirs in zip(last, reference.weights, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-4)


def every_segment(data, batch_size, length):
    segments = Segments(data, batch_size, length)
    order, found = segments.order(3, 1), []
    while len(order):
        found.append(segments.next(order))
        order = order[found[-1].examples :]
    return found


def images_of(found):
    """Return the examples that the student sees in all segments, without the padding."""
    flat = [np.asarray(each.block[0]).reshape(-1, 5, 5)[: each.examples] for each in found]
    return np.concatenate(flat)


@pytest.mark.parametrize("guided", [False, True])
def test_the_baseline_and_the_teacher_see_the_images_of_the_student(guided):
    heard = []

    def ask(images):
        heard.append(np.asarray(images))
        logits = tf.reduce_sum(images, axis=-1)[:, :CLASSES]
        return [logits, logits] if guided else logits

    how = {"guide": ask} if guided else {"teachers": (ask,)}
    data = Data(TRAIN, VALIDATION, augmentation=Augmentation(1, mixup=0.4), **how)
    soft, hard = every_segment(data, 40, 2), every_segment(dataclasses.replace(data, teachers=(), guide=None), 40, 2)
    assert [each.examples for each in soft] == [80, 40, 30]
    np.testing.assert_array_equal(images_of(soft), images_of(hard))
    np.testing.assert_array_equal(np.concatenate(heard), images_of(soft))
    for each in soft:
        for targets in each.block[2]:
            asked = np.asarray(each.block[0]).sum(axis=-1)[..., :CLASSES]
            np.testing.assert_allclose(targets, asked, rtol=1e-5)


def test_the_length_of_segments_changes_no_example():
    data = Data(HIDDEN, VALIDATION, augmentation=MIXED)
    long, short = every_segment(data, 20, 7), every_segment(data, 20, 2)
    np.testing.assert_array_equal(images_of(long), images_of(short))
    for name in ("others", "weights"):
        parts = [
            np.concatenate([getattr(each.mixed, name).reshape(-1)[: each.examples] for each in found])
            for found in (long, short)
        ]
        np.testing.assert_array_equal(*parts)
    labels = np.concatenate([each.block[1].reshape(-1)[: each.examples] for each in long])
    others = np.concatenate([each.mixed.others.reshape(-1)[: each.examples] for each in long])
    np.testing.assert_array_equal(labels == NO_LABEL, others == NO_LABEL)


def test_a_run_with_mixup_resumes_to_the_same_weights_and_its_validation_is_not_mixed(monkeypatch):
    monkeypatch.setattr("kdistill.training.segments.SEGMENT_BATCHES", 2)
    data = Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, (predictor(big()),), MIXED)
    arguments = {"batch_size": 40, "epochs": 2, "seed": 3}
    states = []
    whole = fit(student(), OBJECTIVE, data, **arguments)
    records = list(whole.epochs(lambda done: states.append(whole.state())))
    assert len(states) == 6
    for state in (states[0], states[4]):
        again = fit(student(), OBJECTIVE, data, **arguments)
        again.restore(state)
        rest = list(again.epochs())
        assert [{**each, "seconds": 0} for each in rest] == [{**each, "seconds": 0} for each in records[-len(rest) :]]
        assert_same(again.model.get_weights(), whole.model.get_weights())
    best = min(records, key=lambda record: record["val_nll"])
    logits = whole.predict(VALIDATION.images[VALIDATION.rows]).numpy()
    expected = OBJECTIVE(VALIDATION.all_labels, TEACHER_VALIDATION, logits)["loss"]
    assert best["val_loss"] == pytest.approx(float(expected), rel=1e-5)


def test_runs_that_differ_in_their_weights_alone_share_a_compiled_step():
    plain, little, much = (
        fit(student(), data=dataclasses.replace(HARD, augmentation=of)).engine
        for of in (None, MIXED, Augmentation(shift=1, mixup=2.0))
    )
    assert plain is little is much
