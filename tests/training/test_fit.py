"""The engine against plain Keras loops, and the promises that comparisons rest on."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax
from sklearn.metrics import f1_score
from small_task import (
    AUGMENTATION,
    CLASSES,
    HARD,
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

from kdistill.core.errors import DivergedError
from kdistill.datasets import Split
from kdistill.evaluation.measures import monitors
from kdistill.evaluation.predict import predictor
from kdistill.training import compiled_loop, losses, segments
from kdistill.training import fit as training
from kdistill.training.augmentation import Augmentation


def test_records_report_the_parts_of_the_loss():
    objective = losses.distillation_objective(0.25, 2.0)
    records, _ = train(student(l2=0.01), objective, SOFT)
    for record in records:
        parts = 0.25 * record["soft"] + 0.75 * record["hard"] + record["penalty"]
        assert record["loss"] == pytest.approx(parts, rel=1e-5)
        assert record["penalty"] > 0
    assert [record["epoch"] for record in records] == [1, 2, 3]


def test_the_last_epoch_may_be_shorter_and_has_the_first_batches_of_its_order():
    first, _ = train(student(seed=4), seed=4)
    cut, seen = fit(student(seed=4), seed=4, last_batches=2), []
    following = cut._segments.next
    cut._segments.next = lambda order: seen.append(order) or following(order)
    last = list(cut.epochs())
    assert [record["val_nll"] for record in first[:2]] == [record["val_nll"] for record in last[:2]]
    assert int(cut.engine.optimizer.iterations) == 5 + 5 + 2
    np.testing.assert_array_equal(seen[-1], np.random.default_rng([4, 3]).permutation(150)[:60])
    assert last[2]["loss"] != first[2]["loss"]


def test_baseline_and_distilled_start_equal_and_see_the_same_batches(monkeypatch):
    """The pairing that every comparison rests on."""
    seen = {}
    cut = segments.Segments.next

    def watch(self, order):
        segment = cut(self, order)
        seen.setdefault(self._data.teacher_train is not None, []).append(segment.block[0].copy())
        return segment

    monkeypatch.setattr(segments.Segments, "next", watch)
    starts = []
    for objective, data in ((losses.hard_objective(), HARD), (losses.distillation_objective(0.9, 2.0), SOFT)):
        run = fit(student(seed=4), objective, data, seed=4)
        starts.append([weight.numpy() for weight in run.engine.model.weights])
        list(run.epochs())
    assert_same(*starts)
    assert_same(seen[False], seen[True])


def test_a_fit_whose_engine_another_has_taken_says_so():
    """They would mix their weights."""
    first = fit(student(seed=1))
    fit(student(seed=2))
    with pytest.raises(RuntimeError, match="one has to end before the next"):
        list(first.epochs())


def test_with_alpha_zero_the_distilled_arm_is_the_baseline():
    _, baseline = train(student())
    _, distilled = train(student(), losses.distillation_objective(0.0, 2.0), SOFT)
    for one, other in zip(baseline, distilled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_run_is_the_same_whatever_ran_before_it(dropout):
    """Engines are shared between runs: nothing of one may reach the next."""
    first_records, first = train(student(dropout=dropout), seed=0)
    train(student(seed=1, dropout=dropout), seed=1)
    records, again = train(student(dropout=dropout), seed=0)
    assert_same(first, again)
    compiled_loop._engines.clear()
    fresh_records, fresh = train(student(dropout=dropout), seed=0)
    assert_same(first, fresh)
    for record in (*first_records, *records, *fresh_records):
        del record["seconds"]
    assert first_records == records == fresh_records


@pytest.mark.parametrize("segment", [pytest.param(1, marks=pytest.mark.campaign), 3])
def test_segment_length_changes_no_bit(monkeypatch, segment):
    _, whole = train(student(dropout=0.3), losses.distillation_objective(0.9, 2.0), SOFT)
    monkeypatch.setattr(segments, "SEGMENT_BATCHES", segment)
    _, parts = train(student(dropout=0.3), losses.distillation_objective(0.9, 2.0), SOFT)
    assert_same(whole, parts)


@pytest.mark.parametrize("batch_size", [1, 32, 150])
def test_every_example_is_trained_on_once_an_epoch(monkeypatch, batch_size):
    run = fit(student(), batch_size=batch_size, epochs=1)
    seen = []
    original = run.engine.segment

    def watch(images, labels, teacher, numbers, batches, draws, mixed):
        seen.append(np.asarray(images)[:batches].reshape(-1, *SHAPE))
        return original(images, labels, teacher, numbers, batches, draws, mixed)

    monkeypatch.setattr(run.engine, "segment", watch)
    list(run.epochs())
    shown = sorted(image.tobytes() for image in np.concatenate(seen))
    assert shown == sorted(image.tobytes() for image in TRAIN.images[TRAIN.rows])


def test_progress_is_told_between_segments(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_BATCHES", 2)
    told = []
    list(fit(student(), epochs=1).epochs(after_segment=told.append))
    assert told == pytest.approx([60 / 150, 120 / 150, 1.0])


def test_a_batch_norm_student_trains_and_its_statistics_move():
    inputs = keras.Input(SHAPE)
    hidden = keras.layers.BatchNormalization()(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden))
    records, _ = train(model, epochs=5)
    assert records[-1]["loss"] < records[0]["loss"]
    assert model.layers[2].moving_mean.numpy().min() > 0


def test_the_moving_averages_of_the_best_epoch_are_kept_with_its_weights():
    run = fit(student(batch_norm="true"), epochs=6)
    kept = {}
    for record in run.epochs():
        kept[record["epoch"]] = [weight.numpy() for weight in run.engine.model.weights]
    assert_same(kept[run.stopping.best_epoch], run.model.get_weights())
    moving = [weight for weight in run.model.weights if "moving_mean" in weight.path]
    assert len(moving) == 1
    assert np.abs(moving[0].numpy()).max() > 0


def test_divergence_names_the_epoch():
    optimizer = keras.optimizers.SGD(1e30)
    with pytest.raises(DivergedError, match="epoch 1"):
        list(fit(student(), optimizer=optimizer, epochs=5).epochs())


def test_best_weights_are_restored_however_the_run_ends():
    def check(run, model, stop_after=None):
        best, kept = None, None
        for record in run.epochs():
            if record["best"]:
                best, kept = record["val_nll"], [w.numpy() for w in run.engine.model.weights]
            if record["epoch"] == stop_after:
                break
        assert best is not None
        assert_same(kept, model.get_weights())

    optimizer = keras.optimizers.SGD(2.0)
    check(fit(model := student(), optimizer=optimizer, epochs=12), model)
    check(fit(model := student(), epochs=12), model, stop_after=4)


class Weighted:
    """Stands in for a model: one weight, which is the epoch's number."""

    def __init__(self):
        self.epoch = 0

    @property
    def weights(self):
        return [tf.Variable(float(self.epoch))]


def follow(values, monitor="val_nll", patience=2):
    stopping, model = training.EarlyStopping(monitor, patience), Weighted()
    bests = []
    for model.epoch, value in enumerate(values, start=1):
        bests.append(stopping.update({"epoch": model.epoch, monitor: value}, model))
        if stopping.patience_left == 0:
            break
    return stopping, bests


def test_early_stopping_waits_for_patience_then_stops():
    stopping, bests = follow([3.0, 2.0, 2.5, 2.4, 1.0])
    assert bests == [True, True, False, False]
    assert (stopping.best_epoch, stopping.best) == (2, 2.0)
    assert float(stopping.best_weights[0]) == 2.0


def test_only_strict_improvement_counts_and_the_first_epoch_is_a_best():
    assert follow([1.0, 1.0, 1.0])[1] == [True, False, False]
    assert follow([0.5, 0.5, 0.6, 0.4], "val_accuracy", 5)[1] == [True, False, True, False]


@pytest.mark.parametrize("monitor", [each for each in monitors() if each not in ("val_nll", "val_loss")])
def test_of_every_other_measure_a_larger_value_is_better(monitor):
    assert follow([0.5, 0.5, 0.6, 0.4], monitor, 5)[1] == [True, False, True, False]


@pytest.mark.parametrize("monitor", ["val_nll", "val_loss"])
def test_of_nll_and_the_objective_a_smaller_value_is_better(monitor):
    assert follow([0.5, 0.5, 0.6, 0.4], monitor, 5)[1] == [True, False, False, True]


def test_the_monitored_measure_is_in_the_record_and_its_best_epoch_is_kept():
    labels, records = VALIDATION.all_labels, []
    run = fit(student(), monitor="val_macro_f1", epochs=6)
    expected = []
    for record in run.epochs():
        records.append(record)
        predicted = run.predict(VALIDATION.images[VALIDATION.rows]).numpy().argmax(-1)
        expected.append(f1_score(labels, predicted, average="macro"))
    np.testing.assert_allclose([record["val_macro_f1"] for record in records], expected, rtol=1e-12)
    assert run.stopping.best_epoch == 1 + int(np.argmax(expected))
    assert set(next(iter(fit(student(), epochs=1).epochs()))) == set(records[0]) - {"val_macro_f1"}


def test_class_weights_count_in_the_validation_loss_alone():
    weights = (0.5, 3.0, 1.0, 0.25)
    run = fit(student(), losses.hard_objective(weights), epochs=1)
    (record,) = run.epochs()
    logits, labels = run.predict(VALIDATION.images[VALIDATION.rows]).numpy(), VALIDATION.all_labels
    each = -log_softmax(logits.astype(np.float64), axis=-1)[np.arange(len(labels)), labels]
    assert record["val_nll"] == pytest.approx(each.mean(), rel=1e-6)
    assert record["val_loss"] == pytest.approx((np.array(weights)[labels] * each).mean(), rel=1e-5)


def test_without_patience_nothing_stops():
    stopping, bests = follow([1.0] * 50, patience=None)
    assert len(bests) == 50
    assert stopping.patience_left is None


def test_segments_shrink_for_large_examples():
    small = Split(np.zeros((10_000, 28, 28), np.uint8), np.zeros(10_000, np.int32), np.arange(10_000))
    assert segments.batches_in_segment(training.Data(small, small), 32, 100_000) == 100
    assert segments.batches_in_segment(training.Data(small, small), 32, 100_000_000) == 5
    large = Split(np.zeros((4, 2048, 2048, 3), np.uint8), np.zeros(4, np.int32), np.arange(4))
    assert segments.batches_in_segment(training.Data(large, large), 2, 1000) == 2
    assert segments.batches_in_segment(training.Data(large, large), 4, 1000) == 1


def test_a_teacher_that_is_asked_is_as_one_whose_logits_are_cached():
    """Where no image is changed."""
    model = big()
    cached = model(TRAIN.images[TRAIN.rows], training=False).numpy()
    objective = losses.distillation_objective(0.9, 2.0)
    _, once = train(student(), objective, training.Data(TRAIN, VALIDATION, cached, TEACHER_VALIDATION))
    predict = predictor(model)
    _, asked = train(student(), objective, training.Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, (predict,)))
    for ours, theirs in zip(asked, once, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_baseline_and_distilled_see_the_same_augmented_images_and_so_does_the_teacher(monkeypatch):
    seen, arm = {}, []
    apply = Augmentation.apply

    def note(name):
        return lambda values: seen.setdefault(name or arm[-1], []).append(values.copy()) or 0

    def watch(self, images, draws):
        moved = apply(self, images, draws)
        if tf.executing_eagerly():  # this is for the teacher
            return moved
        tf.numpy_function(note(None), [moved], tf.int64)
        return moved

    class Watching(keras.layers.Layer):
        def call(self, images):
            tf.numpy_function(note("teacher"), [images], tf.int64)
            return images

    monkeypatch.setattr(Augmentation, "apply", watch)
    compiled_loop._engines.clear()
    inputs = keras.Input(SHAPE)
    watching = predictor(keras.Model(inputs, big()(Watching()(inputs))))
    hard = training.Data(TRAIN, VALIDATION, augmentation=AUGMENTATION)
    soft = training.Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, (watching,), AUGMENTATION)
    arm.append("baseline")
    train(student(), losses.hard_objective(), hard, seed=4, epochs=2)
    arm.append("distilled")
    train(student(), losses.distillation_objective(0.9, 2.0), soft, seed=4, epochs=2)
    compiled_loop._engines.clear()
    assert len(seen["baseline"]) == 2 * 5
    assert_same(seen["baseline"], seen["distilled"])
    taught, learnt = (np.concatenate(seen[who]) for who in ("teacher", "distilled"))
    np.testing.assert_allclose(taught, learnt, rtol=1e-5, atol=1e-3)
    assert not np.array_equal(np.sort(seen["baseline"][0], axis=0), np.sort(seen["baseline"][5], axis=0))


@pytest.mark.slow
def test_segment_length_changes_no_bit_of_augmented_training(monkeypatch):
    data = training.Data(TRAIN, VALIDATION, augmentation=AUGMENTATION)
    _, whole = train(student(), data=data)
    monkeypatch.setattr(segments, "SEGMENT_BATCHES", 2)
    _, parts = train(student(), data=data)
    assert_same(whole, parts)
