"""Hints: golden values of the authors' code, float64 references, hostile features, projections, exact resume."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_task import CLASSES, SHAPE, TEACHER, TEACHER_VALIDATION, TRAIN, VALIDATION, assert_same, fit, student, train

from kdistill.core.hints import HINT_LOSSES
from kdistill.evaluation import predict
from kdistill.models.features import Feature, WithFeatures, pooled
from kdistill.training import compiled_loop, hints, losses, segments
from kdistill.training.augmentation import Augmentation
from kdistill.training.hints import HINTS, Hint
from kdistill.training.segments import Data

STUDENT_VECTORS = [[1, 0], [0, 2], [3, 1], [2, 2]]
TEACHER_VECTORS = [[0, 1, 0], [2, 0, 1], [1, 1, 1], [0, 0, 3]]
GOLDEN_RKD = 6.7560089586  # of mdistiller's RKD.py with weights 25 and 50


def unit(values):
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.where(length > 0, values / np.where(length > 0, length, 1), 0)


def huber(difference):
    size = np.abs(difference)
    return np.where(size < 1, size**2 / 2, size - 0.5).mean()


def rkd(teacher, student):
    """Return RKD pair by pair and triplet by triplet."""
    count = len(teacher)
    distances, angles = [], []
    for features in (teacher, student):
        each = np.array([[np.linalg.norm(a - b) for b in features] for a in features])
        away = each[~np.eye(count, dtype=bool)].mean()
        distances.append(each / away if away else each)
        angles.append(
            [[[unit(a - b) @ unit(c - b) for c in features] for a in features] for b in features],
        )
    return 25 * huber(distances[1] - distances[0]) + 50 * huber(np.subtract(*angles))


def attention(features):
    return unit((features**2).mean(axis=-1).reshape(len(features), -1))


REFERENCES = {
    "mse": lambda teacher, student: ((student - teacher) ** 2).mean() / (teacher**2).mean(),
    "cosine": lambda teacher, student: 1 - (unit(teacher) * unit(student)).sum(axis=-1).mean(),
    "attention": lambda teacher, student: 1000 * ((attention(student) - attention(teacher)) ** 2).mean(),
    "rkd": rkd,
}


def features(name, size=1.0, dtype=np.float64, seed=0):
    """Return features of teacher and student of the shapes that a hint compares."""
    rng = np.random.default_rng(seed)
    shapes = {"attention": ((5, 3, 2, 6), (5, 3, 2, 4)), "rkd": ((5, 6), (5, 4))}
    return [rng.normal(0, size, shape).astype(dtype) for shape in shapes.get(name, ((5, 3, 6), (5, 3, 6)))]


def test_every_declared_hint_has_a_function_and_a_reference():
    assert list(HINTS) == list(HINT_LOSSES) == list(REFERENCES)


def test_rkd_equals_the_authors_code():
    found = hints.rkd_hint(tf.constant(TEACHER_VECTORS, tf.float64), tf.constant(STUDENT_VECTORS, tf.float64))
    assert float(found) == pytest.approx(GOLDEN_RKD, abs=1e-9)
    single = hints.rkd_hint(tf.constant(TEACHER_VECTORS, tf.float32), tf.constant(STUDENT_VECTORS, tf.float32))
    assert float(single) == pytest.approx(GOLDEN_RKD, rel=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("name", sorted(HINTS))
def test_a_hint_equals_its_reference(name, size):
    teacher, student = features(name, size)
    expected = REFERENCES[name](teacher, student)
    assert float(HINTS[name](tf.constant(teacher), tf.constant(student))) == pytest.approx(expected, rel=1e-9)
    single = HINTS[name](tf.constant(teacher, tf.float32), tf.constant(student, tf.float32))
    assert float(single) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", sorted(HINTS))
def test_the_gradient_is_that_of_finite_differences(name):
    teacher, student = features(name)
    with tf.GradientTape() as tape:
        variable = tf.constant(student)
        tape.watch(variable)
        value = HINTS[name](tf.constant(teacher), variable)
    gradient = tape.gradient(value, variable).numpy()
    direction = np.random.default_rng(1).normal(size=student.shape)
    step = 1e-5
    change = [
        float(HINTS[name](tf.constant(teacher), tf.constant(student + side * direction))) for side in (step, -step)
    ]
    assert np.sum(gradient * direction) == pytest.approx((change[0] - change[1]) / (2 * step), rel=1e-5)


def hostile(name):
    """Yield pairs of features: zeros, equal examples, constants, tiny, huge, in float32."""
    teacher, student = features(name, dtype=np.float32)
    zero = np.zeros_like(student)
    some = student.copy()
    some[:2] = 0
    same = np.repeat(student[:1], len(student), axis=0)
    yield from ((teacher, each) for each in (zero, some, same, student * 1e-20, student * 1e6, np.ones_like(student)))
    yield np.zeros_like(teacher), student
    yield np.zeros_like(teacher), zero


@pytest.mark.parametrize("name", sorted(HINTS))
def test_values_and_gradients_are_finite_at_hostile_features(name):
    @tf.function(jit_compile=True)
    def compute(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = HINTS[name](teacher, student)
        return value, tape.gradient(value, student)

    for pair in hostile(name):
        value, gradient = compute(*map(tf.constant, pair))
        assert np.isfinite(value)
        assert value >= -1e-6
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() < 1e12


def test_what_leaves_a_hint_as_it_is():
    """Distances and angles do not see a rotation, a shift and a scale, attention no order of channels."""
    rng = np.random.default_rng(3)
    teacher, student = features("rkd")
    turned = student @ np.linalg.qr(rng.normal(size=(4, 4)))[0] * 7 + rng.normal(size=4)
    assert float(HINTS["rkd"](tf.constant(teacher), tf.constant(turned))) == pytest.approx(rkd(teacher, student))
    teacher, student = features("attention")
    mixed = tf.constant(3 * student[..., ::-1])
    assert float(HINTS["attention"](tf.constant(teacher), mixed)) == pytest.approx(
        REFERENCES["attention"](teacher, student)
    )
    for name in HINTS:
        of_teacher, _ = features(name)
        assert float(HINTS[name](tf.constant(of_teacher), tf.constant(of_teacher))) == pytest.approx(0, abs=1e-12)


def test_a_single_example_has_no_relations():
    one = tf.constant([[1.0, 2.0]])
    assert float(hints.rkd_hint(one, 3 * one)) == 0


def test_a_hint_without_normalize_is_the_plain_mean_square():
    teacher, student = features("mse")
    hint = Hint("a", "b", (3, 6), (3, 6), "mse", relative=False)
    assert float(hint(tf.constant(teacher), tf.constant(student))) == pytest.approx(((teacher - student) ** 2).mean())


def test_maps_are_averaged_as_pytorch_does():
    """Windows from floor(p n / m) to ceil((p + 1) n / m), along each axis by itself."""
    maps = np.random.default_rng(0).normal(size=(2, 7, 4, 3))
    found = pooled(tf.constant(maps), (3, 4)).numpy()
    rows = [maps[:, 0:3], maps[:, 2:5], maps[:, 4:7]]
    np.testing.assert_allclose(found, np.stack([each.mean(axis=1) for each in rows], axis=1))
    whole = pooled(tf.constant(maps), (1, 2)).numpy()
    halves = [maps[:, :, :2].mean(axis=(1, 2)), maps[:, :, 2:].mean(axis=(1, 2))]
    np.testing.assert_allclose(whole[:, 0], np.stack(halves, axis=1))


def guiding(seed=5):
    """Return a teacher of the task with two hidden layers."""
    inputs = keras.Input(SHAPE)
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Dense(12, activation="relu", name="wide")(hidden)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden))


HINT = Hint("wide", "hidden_1", (12,), (7,), "mse", projected=True)
RELATION = Hint("wide", "hidden_1", (12,), (7,), "rkd")
BOTH = {HINT: 0.5, RELATION: 0.02}


def objective(hinted=BOTH, alpha=0.5):
    return losses.distillation_objective(alpha, 2.0, hints=hinted)


def outputs_of(model, wanted=(HINT.target,)):
    hinted = WithFeatures(model, wanted)
    return tf.function(lambda images: hinted(images, training=False), autograph=False)


def cached(hinted=BOTH, teacher=None):
    values = outputs_of(teacher or guiding())(TRAIN.images[TRAIN.rows])[1].numpy()
    return Data(TRAIN, VALIDATION, TEACHER, TEACHER_VALIDATION, features_train=[values] * len(hinted))


def test_the_history_has_the_hints_and_the_loss_is_the_sum():
    records, _ = train(student(), objective(), cached(), epochs=2)
    for record in records:
        plain = 0.5 * record["soft"] + 0.5 * record["hard"] + record["hints"]
        assert record["loss"] == pytest.approx(plain, rel=1e-5)
        assert record["hints"] > 0
    assert records[1]["hints"] < records[0]["hints"]
    without, _ = train(student(), losses.distillation_objective(0.5, 2.0), cached({}), epochs=1)
    assert "hints" not in without[0]


def test_the_hint_and_a_step_of_its_projection_are_those_of_numpy():
    """One batch of all examples, plain gradient descent: the weights are the initial ones."""
    teacher, model = guiding(), student()
    run = fit(
        model,
        objective({HINT: 0.5}, alpha=0.0),
        cached({HINT: 0.5}, teacher),
        keras.optimizers.SGD(0.1),
        4,
        epochs=1,
        batch_size=len(TRAIN),
    )
    before = [weight.numpy() for weight in run.engine.projections.weights]
    (record,) = run.epochs()
    after = [weight.numpy() for weight in run.engine.projections.weights]
    ours = WithFeatures(student(), [HINT.source])(TRAIN.images[TRAIN.rows])[1].numpy()
    theirs = outputs_of(teacher)(TRAIN.images[TRAIN.rows])[1].numpy()
    expected = 0.5 * (((ours @ before[0] + before[1]) - theirs) ** 2).mean() / (theirs**2).mean()
    assert record["hints"] == pytest.approx(expected, rel=1e-5)
    residual = 0.5 * 2 * ((ours @ before[0] + before[1]) - theirs) / theirs.size / (theirs**2).mean()
    np.testing.assert_allclose(after[0], before[0] - 0.1 * ours.T @ residual, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after[1], before[1] - 0.1 * residual.sum(axis=0), rtol=1e-4, atol=1e-6)


def test_the_student_that_is_saved_has_no_projection():
    model = student()
    names = [variable.path for variable in model.variables]
    train(model, objective(), cached(), epochs=1)
    assert [variable.path for variable in model.variables] == names
    assert model.count_params() == student().count_params()


@pytest.mark.slow
def test_projections_are_drawn_from_the_seed_and_engines_are_shared_over_seeds():
    compiled_loop._engines.clear()
    first = train(student(), objective(), cached(), epochs=1, seed=1)
    other = train(student(), objective({HINT: 0.9, RELATION: 0.1}), cached(), epochs=1, seed=2)
    again = train(student(), objective(), cached(), epochs=1, seed=1)
    assert len(compiled_loop._engines) == 1
    assert_same(first[1], again[1])
    assert any(not np.array_equal(one, two) for one, two in zip(first[1], other[1], strict=True))


@pytest.mark.slow
def test_features_computed_while_training_are_those_that_were_cached():
    teacher = guiding()
    hinted = {HINT: 0.5}
    logits = outputs_of(teacher)(TRAIN.images[TRAIN.rows])[0].numpy()
    taught = Data(TRAIN, VALIDATION, logits, TEACHER_VALIDATION, features_train=cached(hinted, teacher).features_train)
    kept = train(student(), objective(hinted), taught, epochs=2)
    asked = Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, guide=outputs_of(teacher))
    computed = train(student(), objective(hinted), asked, epochs=2)
    for one, two in zip(kept[1], computed[1], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_exchanged_examples_give_the_same_whether_their_features_are_cached_or_computed():
    teacher, hinted = guiding(), {HINT: 0.5}
    others = np.random.default_rng(0).permutation(len(TRAIN))
    logits, values = (each.numpy() for each in outputs_of(teacher)(TRAIN.images[TRAIN.rows]))
    kept = Data(TRAIN, VALIDATION, logits[others], TEACHER_VALIDATION, features_train=[values[others]])
    asked = Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, guide=outputs_of(teacher), guided_by=others)
    both = [train(student(), objective(hinted), data, epochs=1)[1] for data in (kept, asked)]
    for one, two in zip(*both, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


CONV = Hint("conv_1", "conv_1", (5, 5, 6), (5, 5, 3), "mse", projected=True)
AUGMENTED = Augmentation(shift=1, flip=True, crop=1)


def of_maps():
    data = Data(
        TRAIN,
        VALIDATION,
        None,
        TEACHER_VALIDATION,
        augmentation=AUGMENTED,
        guide=outputs_of(student(9, conv=[6]), [Feature("conv_1", CONV.target.shape)]),
    )
    return lambda: fit(student(conv=[3], dropout=0.3), objective({CONV: 0.5}), data, epochs=2, patience=2, seed=3)


def of_vectors():
    return lambda: fit(student(dropout=0.3), objective(), cached(), epochs=2, patience=2, seed=3)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in ("cached vectors", "augmented maps")]
)
def test_a_fit_with_hints_goes_on_from_any_state_bit_by_bit(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(segments, "SEGMENT_BATCHES", 2)
    fresh = of_vectors() if kind == "cached vectors" else of_maps()
    whole, states = fresh(), []
    records = list(whole.epochs(lambda done: states.append(whole.state())))
    end = whole.state()
    assert any(name.startswith("projections/") for name in end)
    for number, state in enumerate(states[:-1]):
        np.savez(tmp_path / f"{number}.npz", **state)
        resumed = fresh()
        with np.load(tmp_path / f"{number}.npz", allow_pickle=False) as archive:
            resumed.restore(dict(archive))
        later = list(resumed.epochs())
        for mine, its in zip(later[::-1], records[::-1], strict=False):
            assert {k: v for k, v in mine.items() if k != "seconds"} == {k: v for k, v in its.items() if k != "seconds"}
        assert_same(
            [value for name, value in resumed.state().items() if name != "seconds"],
            [value for name, value in end.items() if name != "seconds"],
        )


@pytest.mark.slow
def test_a_state_without_projections_is_not_taken_for_one_with_them():
    run = fit(student(), objective(), cached())
    plain = fit(student(1), losses.distillation_objective(0.5, 2.0), cached({})).state()
    with pytest.raises(KeyError):
        run.restore(plain)


def test_features_count_for_the_size_of_a_segment():
    data = Data(TRAIN, VALIDATION)
    assert segments.batches_in_segment(data, 30, 100) > segments.batches_in_segment(data, 30, 100, 2**18)


def test_the_predictions_are_those_of_the_student_alone():
    model = student()
    images = TRAIN.images[TRAIN.rows[:9]]
    with_features = WithFeatures(model, [HINT.source])(images, training=False)
    np.testing.assert_array_equal(with_features[0], predict.predictor(model)(images))
