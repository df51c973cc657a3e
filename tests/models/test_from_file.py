"""The architecture of a `.keras` file: taken, made to fit, with fresh weights of the run's seed or with its own."""

import json

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import models
from kdistill.core.errors import ModelError

SHAPE = (8, 8)
RAW = np.random.default_rng(0).integers(0, 17, (6, *SHAPE), dtype=np.uint8)
layers = keras.layers


def arm(path, **changes):
    return configs.load("quickstart", [f"student={json.dumps({'model': str(path), **changes})}"]).student


def build(path, seed=0, role="student", notes=None, **changes):
    told = [] if notes is None else notes
    return models.build(arm(path, **changes), role, SHAPE, 3, 1 / 16, seed, told.append)


def residual():
    """A bit of everything: a nested model, a layer used twice, normalisation, dropout, operations."""
    inputs = keras.Input(SHAPE)
    scaled = layers.Reshape((8, 8, 1))(layers.Rescaling(1 / 16)(inputs))
    first = layers.Conv2D(4, 3, padding="same", kernel_initializer="he_normal", use_bias=False)(scaled)
    first = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization()(first))
    block = keras.Sequential(
        [keras.Input((8, 8, 4)), layers.SeparableConv2D(4, 3, padding="same"), layers.SpatialDropout2D(0.2)]
    )
    outputs = keras.ops.relu(block(block(first)) + first)
    outputs = layers.GaussianNoise(0.1)(layers.GlobalAveragePooling2D()(outputs))
    outputs = layers.Dense(5, kernel_initializer=keras.initializers.Orthogonal(seed=3))(layers.Dropout(0.4)(outputs))
    return keras.Model(inputs, layers.Dense(3)(outputs))


def trained(model):
    """Return the model with other weights than it began with, as after training."""
    rng = np.random.default_rng(5)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape).astype(weight.dtype) for weight in model.get_weights()])
    return model


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "my.keras"
    trained(residual()).save(path)
    return path


def test_layers_are_the_files_and_weights_are_fresh(saved):
    original, model = models.load(saved), build(saved)
    assert [layer.name for layer in model.layers] == [layer.name for layer in original.layers]
    assert [weight.shape for weight in model.weights] == [weight.shape for weight in original.weights]
    for ours, theirs in zip(model.get_weights(), original.get_weights(), strict=True):
        assert not np.array_equal(ours, theirs)
    model.set_weights(original.get_weights())
    np.testing.assert_allclose(model(RAW), original(RAW), rtol=1e-5)


def test_fresh_weights_depend_on_seed_and_role_alone(saved):
    keras.utils.set_random_seed(1)
    first = build(saved, seed=3)
    keras.utils.set_random_seed(2)
    assert models.fingerprint(build(saved, seed=3)) == models.fingerprint(first)
    for other in (build(saved, seed=4), build(saved, seed=3, role="teacher")):
        for ours, theirs in zip(first.weights, other.weights, strict=True):
            # Kernels are drawn; biases, statistics and the like begin as what they are.
            drawn = len(ours.shape) > 1 and "alpha" not in ours.path
            assert np.array_equal(ours, theirs) != drawn, ours.path


def test_what_is_drawn_while_training_depends_on_the_seed_alone(saved):
    keras.utils.set_random_seed(1)
    first = build(saved, seed=3)(RAW, training=True).numpy()
    keras.utils.set_random_seed(2)
    np.testing.assert_array_equal(build(saved, seed=3)(RAW, training=True), first)
    assert not np.array_equal(build(saved, seed=3)(RAW, training=False), first)


def test_it_goes_on_from_the_weights_in_the_file_if_asked(saved):
    original, model = models.load(saved), build(saved, initial_weights="file")
    assert models.fingerprint(model) == models.fingerprint(original)
    np.testing.assert_allclose(model(RAW), original(RAW), rtol=1e-5)


def sequential(*tail, scaled=True):
    head = [layers.Rescaling(1 / 16)] if scaled else []
    return keras.Sequential([keras.Input(SHAPE), *head, layers.Flatten(), *tail])


def test_frozen_layers_stay_so_with_their_weights_and_not_without(tmp_path):
    model = sequential(layers.Dense(5, trainable=False), layers.Dense(3))
    model.save(tmp_path / "m.keras")
    assert len(build(tmp_path / "m.keras").trainable_variables) == 4
    assert len(build(tmp_path / "m.keras", initial_weights="file").trainable_variables) == 2


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_with_nothing_to_train_is_refused(tmp_path, frozen):
    tail = [layers.Dense(3, trainable=False)] if frozen else [layers.Reshape((64, 1)), layers.AveragePooling1D(21)]
    model = sequential(*tail, *([] if frozen else [layers.Flatten()]))
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"m\.keras: expected a model with layers to train"):
        build(tmp_path / "m.keras", initial_weights="file" if frozen else "fresh")


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_a_model_that_does_not_scale_gets_the_scaling_of_the_data(tmp_path, kind):
    model = sequential(layers.Dense(3), scaled=False)
    if kind == "functional":
        inputs = keras.Input(SHAPE)
        model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs)))
    model.save(tmp_path / "m.keras")
    notes = []
    ours = build(tmp_path / "m.keras", notes=notes, initial_weights="file")
    np.testing.assert_allclose(ours(RAW), model(RAW / np.float32(16)), rtol=1e-5)
    assert "the scaling of the data set is put in front of it" in notes[0]
    # Its own students are copied as they are.
    models.save(ours, tmp_path / "again.keras")
    again = build(tmp_path / "again.keras", notes=(told := []), initial_weights="file")
    assert told == []
    np.testing.assert_array_equal(again(RAW), ours(RAW))


@pytest.mark.parametrize("way", ["layer", "norm", "division", "late"])
def test_scaling_of_its_own_is_recognised(tmp_path, way):
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    if way == "late":
        flat = layers.BatchNormalization()(layers.Dense(4)(flat))
    else:
        flat = {"layer": layers.Rescaling(0.1), "norm": layers.BatchNormalization(), "division": lambda x: x / 16}[way](
            flat
        )
    keras.Model(inputs, layers.Dense(3)(flat)).save(tmp_path / "m.keras")
    build(tmp_path / "m.keras", notes=(notes := []))
    assert len(notes) == (way == "late")


def test_statistics_of_the_data_are_kept_with_fresh_weights(tmp_path):
    normalization = layers.Normalization(axis=None)
    normalization.adapt(RAW)
    keras.Sequential([keras.Input(SHAPE), normalization, layers.Flatten(), layers.Dense(3)]).save(tmp_path / "m.keras")
    model = build(tmp_path / "m.keras")
    np.testing.assert_allclose(np.std(model.layers[0](RAW)), 1, rtol=1e-3)


def test_a_final_softmax_is_taken_off_and_told(tmp_path):
    original = sequential(layers.Dense(3, activation="softmax"))
    original.save(tmp_path / "m.keras")
    notes = []
    model = build(tmp_path / "m.keras", notes=notes, initial_weights="file")
    np.testing.assert_allclose(keras.ops.softmax(model(RAW)), original(RAW), rtol=1e-5)
    assert "softmax" in notes[0]


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [((9, 9), 3, r"my\.keras: expected one input of shape \(9, 9\)"), (SHAPE, 4, r"my\.keras: expected one output")],
)
def test_an_architecture_that_does_not_fit_the_data_is_refused(saved, shape, classes, message):
    with pytest.raises(ModelError, match=message):
        models.build(arm(saved), "student", shape, classes, 1.0, 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "float64"])
def test_a_model_of_another_precision_computes_in_float32(tmp_path, policy):
    dense = [layers.Dense(5, activation="relu", dtype=policy), layers.BatchNormalization(dtype=policy)]
    original = sequential(*dense, layers.Dense(3, dtype=policy))
    original.save(tmp_path / "m.keras")
    for start in ("fresh", "file"):
        model = build(tmp_path / "m.keras", initial_weights=start)
        assert {str(weight.dtype) for weight in model.weights} == {"float32"}
        assert model(RAW).numpy().dtype == np.float32
    np.testing.assert_allclose(model(RAW), keras.ops.cast(original(RAW), "float32"), rtol=0.05, atol=0.05)


def test_a_model_for_batches_of_one_size_is_refused(tmp_path):
    keras.Sequential([keras.Input(batch_shape=(32, *SHAPE)), layers.Flatten(), layers.Dense(3)]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(ModelError, match=r"m\.keras: expected a model for batches of any size; .*batches of 32"):
        build(tmp_path / "m.keras")


def test_code_in_the_file_is_never_run(tmp_path):
    keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Lambda(lambda x: x[:, :3])]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(ModelError, match="Lambda is not accepted"):
        build(tmp_path / "m.keras")


def test_a_quantized_model_is_no_student_and_one_with_lora_is_an_ordinary_one(tmp_path):
    quantized = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(3)])
    quantized.layers[-1].quantize("int8")
    quantized.save(tmp_path / "int8.keras")
    with pytest.raises(ModelError, match=r"received one that is quantized \(int8\)"):
        build(tmp_path / "int8.keras")
    tuned = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(3)])
    tuned.layers[-1].enable_lora(2)
    tuned.layers[-1].lora_kernel_b.assign(np.ones((2, 3)))
    tuned.save(tmp_path / "lora.keras")
    student = build(tmp_path / "lora.keras", initial_weights="file")
    np.testing.assert_array_equal(student.trainable_weights[0], tuned.layers[-1].kernel)
    assert len(student.trainable_weights) == 2
