"""Models of sequences, tokens and volumes from a config's section, against models that plain Keras makes."""

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill import models
from kdistill.config import architecture
from kdistill.core.errors import ConfigError, ModelError
from kdistill.core.scaling import Standardization, Tokens
from kdistill.modelfiles import flops

layers = keras.layers
SCALE = Standardization((1.0, -2.0, 0.0), (4.0, 1.0, 9.0))
VOCABULARY = 20


def section(text, role="student"):
    return getattr(configs.load("quickstart", [f"{role}={text}"]), role)


def build(text, kind, shape, scale, seed=0):
    return models.build(section(text), "student", shape, 4, scale, seed, kind=kind)


def examples(kind, shape):
    rng = np.random.default_rng(0)
    if kind == "tokens":
        return rng.integers(0, VOCABULARY, (6, *shape)).astype(np.int32)
    return rng.normal(size=(6, *shape)).astype(np.float32)


MODELS = {
    "an LSTM": (
        "{recurrent: [5], hidden: [6]}",
        "sequence",
        (8, 3),
        [layers.LSTM(5), layers.Dense(6, "relu")],
    ),
    "two GRUs": (
        "{recurrent: [5, 4], cell: gru}",
        "sequence",
        (8, 3),
        [layers.GRU(5, return_sequences=True), layers.GRU(4)],
    ),
    "convolutions, then an LSTM": (
        "{conv: [5], recurrent: [4]}",
        "sequence",
        (8, 3),
        [layers.Conv1D(5, 3, padding="same", activation="relu"), layers.MaxPooling1D(2), layers.LSTM(4)],
    ),
    "separable convolutions in one dimension": (
        "{conv: [5, 4], separable: true, pool: 1, global_pool: true, hidden: [3]}",
        "sequence",
        (8, 3),
        [
            layers.Conv1D(5, 3, padding="same", activation="relu"),
            layers.SeparableConv1D(4, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, "relu"),
        ],
    ),
    "a series of one feature": (
        "{conv: [5]}",
        "sequence",
        (8,),
        [
            layers.Reshape((8, 1)),
            layers.Conv1D(5, 3, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Flatten(),
        ],
    ),
    "hidden layers of a sequence": ("{hidden: [5]}", "sequence", (8, 3), [layers.Flatten(), layers.Dense(5, "relu")]),
    "a bag of tokens": ("{embedding: 5}", "tokens", (8,), [layers.GlobalAveragePooling1D()]),
    "tokens, an LSTM": ("{embedding: 5, recurrent: [4]}", "tokens", (8,), [layers.LSTM(4)]),
    "tokens, convolutions": (
        "{embedding: 5, conv: [4], hidden: [3]}",
        "tokens",
        (8,),
        [
            layers.Conv1D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Flatten(),
            layers.Dense(3, "relu"),
        ],
    ),
    "a volume": (
        "{conv: [5, 4], kernel: 2, hidden: [3]}",
        "volume",
        (4, 6, 8),
        [
            layers.Reshape((4, 6, 8, 1)),
            layers.Conv3D(5, 2, padding="same", activation="relu"),
            layers.MaxPooling3D(2),
            layers.Conv3D(4, 2, padding="same", activation="relu"),
            layers.MaxPooling3D(2),
            layers.Flatten(),
            layers.Dense(3, "relu"),
        ],
    ),
    "a volume of channels": (
        "{conv: [5], global_pool: true}",
        "volume",
        (4, 4, 4, 3),
        [
            layers.Conv3D(5, 3, padding="same", activation="relu"),
            layers.MaxPooling3D(2),
            layers.GlobalAveragePooling3D(),
        ],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_section_is_the_model_that_keras_makes_of_these_layers(name, tmp_path):
    text, kind, shape, inner = MODELS[name]
    scale = Tokens(VOCABULARY) if kind == "tokens" else SCALE if shape[1:] == (3,) else 0.5
    model, x = build(text, kind, shape, scale), examples(kind, shape)
    first = [layers.Embedding(VOCABULARY, 5)] if kind == "tokens" else []
    reference = keras.Sequential(
        [keras.Input(shape), *first, *(type(one).from_config(one.get_config()) for one in inner)]
    )
    reference.add(layers.Dense(4))
    learnt = [weight for weight in model.weights if "scaling" not in weight.path]
    reference.set_weights(learnt)
    scaled = x
    if isinstance(scale, Standardization):
        scaled = (x - np.float32(scale.mean)) / np.sqrt(np.float32(scale.variance))
    elif kind != "tokens":
        scaled = x * scale
    np.testing.assert_allclose(model(x), reference(scaled), rtol=1e-4, atol=1e-6)
    assert model.inputs[0].dtype == ("int32" if kind == "tokens" else "float32")
    models.save(model, tmp_path / "model.keras")
    loaded, notes = models.load_classifier(tmp_path / "model.keras", shape, 4)
    np.testing.assert_array_equal(model(x), loaded(x))
    assert notes == []


@pytest.mark.parametrize("name", MODELS)
def test_multiplications_are_known_without_building(name):
    text, kind, shape, _ = MODELS[name]
    model = build(text, kind, shape, Tokens(VOCABULARY) if kind == "tokens" else 0.5)
    total = 0
    for layer in model.layers:
        kernels = [weight for weight in layer.trainable_variables if len(weight.shape) > 1]
        if isinstance(layer, layers.Embedding):
            continue
        # A recurrent layer multiplies at each step of its input, all others at each place of their output.
        places = layer.input.shape[1:-1] if isinstance(layer, layers.LSTM | layers.GRU) else layer.output.shape[1:-1]
        biases = layer.units * 6 if isinstance(layer, layers.GRU) else 0  # GRU's bias has two rows
        total += (sum(np.prod(kernel.shape) for kernel in kernels) - biases) * np.prod(places)
    assert architecture.multiplications(section(text), shape, 4, kind) == total
    assert flops.of_config(model.get_config()) == total


def test_weights_depend_on_the_seed_alone():
    def weights(seed):
        return build("{embedding: 3, recurrent: [4, 4]}", "tokens", (8,), Tokens(9), seed).get_weights()

    for one, other in zip(weights(0), weights(0), strict=True):
        np.testing.assert_array_equal(one, other)
    changed = [np.abs(one - other).max() > 0 for one, other in zip(weights(0), weights(1), strict=True)]
    assert changed == [True, True, True, False, True, True, False, True, False]  # all but the biases
    one, other = (weights(0)[position] for position in (1, 4))
    assert np.abs(one[:3] - other[:3]).max() > 0
    recurrent = weights(0)[2].reshape(4, 16)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(4), atol=1e-5)  # orthogonal, as Keras's default


@pytest.mark.parametrize(
    ("text", "kind", "shape", "message"),
    [
        ("{embedding: 4}", "table", (8,), r"student.embedding: expected tokens; .*\(8,\), kind table"),
        ("{hidden: [4]}", "tokens", (8,), "student.embedding: this key is missing: tokens are no quantities"),
        ("{recurrent: [4]}", "image", (8, 3), r"student.recurrent: expected sequences or tokens; .*kind image"),
        ("{conv: [4]}", "table", (8,), "student.conv: expected images, sequences"),
        ("{conv: [4, 4], separable: true}", "volume", (8, 8, 8), "student.separable: expected images or sequences"),
        ("{conv: [4, 4, 4, 4]}", "sequence", (8, 3), "the sequences are too small for 4 blocks: of 8 steps nothing"),
        ("{conv: [4, 4, 4]}", "volume", (8, 4, 8), "the volumes are too small .*of 8 x 4 x 8 voxels nothing"),
        ("{embedding: 3, conv: [4, 4, 4, 4]}", "tokens", (8,), "the tokens are too small .*of 8 tokens nothing"),
    ],
)
def test_layers_for_examples_of_another_kind_are_refused(text, kind, shape, message):
    with pytest.raises(ConfigError, match=message):
        architecture.check_layers(section(text), "student", shape, kind)


def saved(path, *inner, shape=(8,), dtype=None):
    keras.Sequential([keras.Input(shape, dtype=dtype), *inner]).save(path)
    return path


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_a_students_file_of_tokens_gets_no_scaling(tmp_path, dtype):
    path = saved(tmp_path / "s.keras", layers.Embedding(VOCABULARY, 3), layers.LSTM(5), layers.Dense(4), dtype=dtype)
    told = []
    model = models.build(
        section(f"{{model: {path}, initial_weights: file}}"), "student", (8,), 4, Tokens(20), 0, told.append
    )
    assert told == []
    x = examples("tokens", (8,))
    np.testing.assert_allclose(model(x), keras.saving.load_model(path)(x), rtol=1e-5)
    fresh = models.build(section(f"{{model: {path}}}"), "student", (8,), 4, Tokens(20), 0)
    assert np.abs(fresh.get_weights()[0] - model.get_weights()[0]).max() > 0


def test_a_students_file_of_tokens_is_refused_for_values_that_are_scaled(tmp_path):
    path = saved(tmp_path / "s.keras", layers.Embedding(VOCABULARY, 3), layers.Flatten(), layers.Dense(4))
    with pytest.raises(ModelError, match="its input goes to an Embedding, which takes tokens") as refused:
        models.build(section(f"{{model: {path}}}"), "student", (8,), 4, Standardization((0.0,), (1.0,)), 0)
    assert "data.kind: tokens" in refused.value.hint


def nested(known):
    inner = keras.Sequential([keras.Input((8,)), layers.Embedding(known, 3), layers.Flatten()])
    inputs = keras.Input((8,), dtype="int32")
    return keras.Model(inputs, layers.Dense(4)(inner(layers.Identity()(inputs))))


def with_positions(known):
    inputs = keras.Input((8,), dtype="int32")
    places = layers.Embedding(8, 3)(keras.ops.cast(keras.ops.sum(inputs, -1, keepdims=True) * 0, "int32"))
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(layers.Embedding(known, 3)(inputs) + places)))


@pytest.mark.parametrize("make", [nested, with_positions])
def test_the_vocabulary_of_a_model_is_that_of_the_embedding_of_its_input(make):
    assert models.vocabulary(make(20)) == 20
    images = keras.Sequential([keras.Input((8, 8)), layers.Flatten(), layers.Dense(4)])
    assert models.vocabulary(images) is None


def test_a_model_that_does_not_know_all_tokens_is_refused(tmp_path):
    """On a GPU a lookup of others would return zeros, and under XLA another token's embedding."""
    path = tmp_path / "m.keras"
    nested(20).save(path)
    models.load_classifier(path, (8,), 4, 20)
    with pytest.raises(ModelError, match=r"m.keras: expected an Embedding of the data's 21 tokens.*received one of 20"):
        models.load_classifier(path, (8,), 4, 21)
    with pytest.raises(ModelError, match="received one of 20"):
        models.build(section(f"{{model: {path}}}"), "student", (8,), 4, Tokens(21), 0)
