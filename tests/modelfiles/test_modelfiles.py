"""`.keras` files from anywhere: ordinary ones load as they are, hostile and damaged ones end in a message.

What each part of the check refuses is in `test_modelfiles_container`, `_layers` and `_weights`.
"""

import base64
import collections
import json
import marshal
import random

import h5py
import keras
import keras_files as files
import model_kinds
import numpy as np
import pytest

from kdistill import modelfiles, models
from kdistill.core.errors import ModelError
from kdistill.modelfiles import layers


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return files.save(files.mlp(), tmp_path_factory.mktemp("good") / "m.keras")


def compiled():
    model = files.mlp()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.zeros((4, 4, 4)), np.zeros(4), verbose=0)
    return model


def convolutional():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(np.array([1.0, 2.0, 3.0]), offset=[0.0, 1.0, 2.0]),
            layers.RandomFlip("horizontal"),
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2", activation=keras.ops.relu),
            layers.BatchNormalization(),
            layers.SeparableConv2D(4, 3, activation=layers.LeakyReLU()),
            layers.MaxPooling2D(),
            layers.SpatialDropout2D(0.2),
            layers.DepthwiseConv2D(2, depthwise_constraint="max_norm"),
            layers.PReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.HeNormal(seed=1)),
        ]
    )


def arithmetic():
    """What operators and `keras.ops` leave in a model."""
    inputs = keras.Input((8, 8, 3))
    first = inputs[:, :4, ..., :2] * 2.0 - np.ones(2, np.float32)
    second = keras.ops.clip(-first / 3.0, 0, 1)
    both = keras.ops.concatenate([first + second, keras.ops.multiply(first, second)], axis=-1)
    both = keras.ops.maximum(both, keras.ops.sigmoid(both)) ** 2
    flat = keras.ops.reshape(keras.ops.gelu(both), (-1, 128))
    shared = keras.layers.Dense(4)
    return keras.Model(inputs, keras.layers.Subtract()([shared(flat), shared(flat * 0.5)]))


def nested():
    normalised = keras.layers.Normalization(mean=[0.5] * 4, variance=[0.1] * 4)
    return keras.Sequential([keras.Input((4, 4)), normalised, files.mlp(), keras.layers.Softmax()])


def adapted():
    normalised = keras.layers.Normalization()
    normalised.adapt(np.random.default_rng(0).normal(size=(20, 5)))
    return keras.Sequential([keras.Input((5,)), normalised, keras.layers.Dense(2, dtype="mixed_float16")])


@pytest.mark.parametrize(
    "build", [files.mlp, files.residual, compiled, convolutional, arithmetic, nested, adapted], ids=lambda f: f.__name__
)
def test_ordinary_models_of_plain_keras_load(tmp_path, build):
    model = build()
    loaded = models.load(files.save(model, tmp_path / "m.keras"))
    assert models.fingerprint(loaded) == models.fingerprint(model)
    assert not loaded.compiled
    raw = np.random.default_rng(0).random((2, *model.input_shape[1:]), np.float32)
    np.testing.assert_array_equal(loaded(raw, training=False), model(raw, training=False))


def test_what_the_compile_section_names_is_never_looked_up(good, tmp_path):
    """A teacher may have been trained with a loss of its own; it is not needed here."""
    canary = tmp_path / "canary"
    call = {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"}
    section = {"optimizer": call, "loss": {**call, "config": f"touch {canary}"}, "metrics": [lambda_of(canary)]}
    path = files.with_config(good, tmp_path / "m.keras", lambda config: {**config, "compile_config": section})
    loaded = models.load(path)
    assert models.fingerprint(loaded) == models.fingerprint(models.load(good))
    assert not loaded.compiled
    assert not canary.exists()


def test_an_inner_compile_section_is_never_built(tmp_path):
    """Keras builds it even with `compile=False`."""
    canary = tmp_path / "canary"
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    inner.compile("adam", "mse")
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(3)])
    good = files.save(model, tmp_path / "good.keras")
    assert "compile_config" in files.members(good)[files.CONFIG].decode()
    loaded = models.load(good)
    raw = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(loaded(raw), model(raw))

    def plant(config):
        config["config"]["layers"][1]["compile_config"] = {"optimizer": "adam", "loss": lambda_of(canary)}

    hostile = models.load(files.with_config(good, tmp_path / "evil.keras", plant))
    assert models.fingerprint(hostile) == models.fingerprint(model)
    assert not hostile.layers[0].compiled
    assert not canary.exists()


def lambda_of(canary):
    function = eval(f"lambda x: (open({str(canary)!r}, 'w'), x)[1]")
    code = base64.b64encode(marshal.dumps(function.__code__)).decode()
    return {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}


def lambda_layer(canary):
    function = lambda_of(canary)
    return {"class_name": "Lambda", "module": "keras.layers", "config": {"function": function}, "registered_name": None}


def evil(canary):
    """Everything that could end in `touch canary`, or in a file that is read."""
    command = f"touch {canary}"
    plain = {"config": {"command": command}, "registered_name": None}
    yield "lambda layer", lambda_layer(canary)
    yield "lambda value", lambda_of(canary)
    yield "module and class", {"class_name": "system", "module": "os", **plain}
    yield "class with a path", {"class_name": "os.system", "module": "keras.layers", **plain}
    yield "registered name", {"class_name": "Dense", "module": "keras.layers", **plain, "registered_name": "os>system"}
    yield "function", {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"}
    yield "built-in function", {"class_name": "function", "module": "builtins", "config": "exec"}
    yield "TFSMLayer", {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": str(canary)}}
    yield "vocabulary", {"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/hosts"}}
    yield "torch", {"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {"module": command}}
    yield "download", {"class_name": "get_file", "module": "keras.utils", "config": {"origin": "file:///etc/hosts"}}
    yield "switch", {"class_name": "enable_unsafe_deserialization", "module": "keras.config", "config": {}}
    function = {"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "function"}
    yield from wrapping(lambda_layer(canary))
    yield "activation", built_in("LSTM", units=3, recurrent_activation=function)
    yield "cell's activation", built_in("RNN", cell=built_in("GRUCell", units=3, activation=lambda_of(canary)))
    yield "initializer", built_in("Embedding", input_dim=3, output_dim=3, embeddings_initializer=function)
    yield "quantizer", built_in("Dense", units=3, quantization_config={**function, "class_name": "GPTQConfig"})
    yield "map", {"class_name": "Map", "module": "keras.src.ops.core", "config": {"f": function}}
    yield "while", {"class_name": "WhileLoop", "module": "keras.src.ops.core", "config": {"cond": lambda_of(canary)}}


def built_in(name, **config):
    return {"class_name": name, "module": "keras.layers", "registered_name": None, "config": {"name": "x", **config}}


def wrapping(layer):
    """A layer in each layer that takes others."""
    lstm = built_in("LSTM", units=3)
    yield "time distributed", built_in("TimeDistributed", layer=layer)
    yield "bidirectional", built_in("Bidirectional", layer=layer)
    yield "backward", built_in("Bidirectional", layer=lstm, backward_layer=layer)
    yield "spectral", built_in("SpectralNormalization", layer=layer)
    yield "cell", built_in("RNN", cell=layer)
    yield (
        "stacked cells",
        built_in("RNN", cell=built_in("StackedRNNCells", cells=[built_in("LSTMCell", units=3), layer])),
    )
    yield "pipeline", built_in("Pipeline", layers=[layer])


@pytest.fixture
def untouched(monkeypatch):
    """Keras must not see the file, in whole or in part."""
    for name in ("load_model", "deserialize_keras_object"):
        monkeypatch.setattr(keras.saving, name, lambda *_, **__: pytest.fail("Keras was called"))


@pytest.mark.parametrize("place", ["layer", "activation", "dtype", "argument", "top"])
def test_hostile_configs_are_refused_and_nothing_runs(good, tmp_path, untouched, place):
    canary = tmp_path / "canary"
    for name, thing in evil(canary):

        def plant(config, thing=thing):
            layers = config["config"]["layers"]
            if place == "layer":
                layers.insert(1, thing)
            elif place == "argument":
                layers[2]["inbound_nodes"] = [{"args": [thing], "kwargs": {"x": thing}}]
            elif place == "top":
                config.clear()
                config.update({**thing, "compile_config": None})
            else:
                layers[2]["config"][place] = thing

        path = files.with_config(good, tmp_path / "evil.keras", plant)
        with pytest.raises(ModelError) as caught:
            models.load(path)
        assert str(path) in caught.value.message, name
        assert caught.value.hint
        assert not canary.exists(), name


def test_the_canary_is_one(good, tmp_path):
    """Keras, told to trust it, runs the code of the hostile file."""
    canary = tmp_path / "canary"
    path = files.with_config(
        good, tmp_path / "evil.keras", lambda config: config["config"]["layers"].insert(1, lambda_layer(canary))
    )
    with pytest.raises(ModelError, match="Lambda is not accepted: it carries code"):
        models.load(path)
    assert not canary.exists()
    keras.saving.load_model(path, compile=False, safe_mode=False)
    assert canary.exists()


def test_members_outside_the_archive_and_links_outside_the_weights_are_refused(good, tmp_path, untouched):
    content = files.members(good)
    path = files.write(tmp_path / "m.keras", [("../canary", b"x"), *list(content.items())[1:]])
    with pytest.raises(ModelError, match=r"received '\.\./canary'"):
        models.load(path)
    assert not (tmp_path.parent / "canary").exists()
    path = files.with_weights(
        good, path, lambda file: file.__setitem__("layers/x", h5py.ExternalLink(str(good), "/layers"))
    )
    with pytest.raises(ModelError, match="is a link to another file"):
        models.load(path)


def test_an_address_is_refused_at_once(untouched, tmp_path, monkeypatch):
    monkeypatch.setattr("os.stat", lambda *_, **__: pytest.fail("looked at"))
    with pytest.raises(ModelError, match="received an address"):
        modelfiles.check(type(tmp_path)("hf://user/model.keras"))


def test_weights_that_are_not_finite_are_a_message_of_their_own(good, tmp_path, untouched):
    def spoil(file):
        file["layers/dense_1/vars/0"][2, 1] = np.nan

    with pytest.raises(ModelError, match="/layers/dense_1/vars/0 hold NaN or infinite values") as caught:
        models.load(files.with_weights(good, tmp_path / "m.keras", spoil))
    assert "diverged" in caught.value.hint


def wrong_shape(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = np.zeros((17, 5), np.float32)


def missing_array(file):
    del file["layers/dense_1/vars/1"]


def missing_layer(file):
    file["padding"] = np.zeros(1000)
    del file["layers/dense_1"]


@pytest.mark.parametrize("change", [wrong_shape, missing_array, missing_layer])
def test_weights_of_another_model_do_not_fit(good, tmp_path, change):
    with pytest.raises(ModelError, match="the weights do not fit the layers: ") as caught:
        models.load(files.with_weights(good, tmp_path / "m.keras", change))
    assert "of different models" in caught.value.hint


def test_layers_larger_than_the_weights_get_no_memory(good, tmp_path):
    """A config of 2 kB may ask for terabytes."""

    def grow(config):
        layer = config["config"]["layers"][3]
        layer["config"]["units"] = 10**12

    with pytest.raises(ModelError, match=r"expected 60000000000\d\d values; received 103|do not fit the layers"):
        models.load(files.with_config(good, tmp_path / "m.keras", grow))


def test_a_config_that_keras_cannot_build_is_a_short_message(good, tmp_path):
    def spoil(config):
        config["config"]["layers"][2]["config"]["units"] = "many" * 1000

    with pytest.raises(ModelError, match="Keras cannot load this model: ") as caught:
        models.load(files.with_config(good, tmp_path / "m.keras", spoil))
    assert len(caught.value.message) < 500


def outcome(path, fingerprint=None):
    """Return whether a damaged file was refused; one that loads is a model, with these weights."""
    try:
        modelfiles.check(path)
    except ModelError:
        return "refused"
    try:
        model = models.load(path)
    except ModelError:
        return "refused by Keras"
    assert isinstance(model, keras.Model)
    if fingerprint is not None:
        assert models.fingerprint(model) == fingerprint
    return "loaded"


def test_a_file_cut_off_anywhere_is_refused(good, tmp_path):
    whole = good.read_bytes()
    path = tmp_path / "m.keras"
    for length in {*range(0, len(whole), 101), *range(100), *range(len(whole) - 100, len(whole))}:
        path.write_bytes(whole[:length])
        assert outcome(path) == "refused", length


def test_a_flipped_bit_is_refused_or_changes_no_weight(good, tmp_path):
    """Some bytes of an archive, such as the time of a member, mean nothing to a model."""
    whole, fingerprint = good.read_bytes(), models.fingerprint(models.load(good))
    path = tmp_path / "m.keras"
    outcomes = []
    for place in {*range(0, len(whole), 41), *range(60), *range(len(whole) - 250, len(whole), 5)}:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        outcomes.append(outcome(path, fingerprint))
    assert outcomes.count("refused") > 0.9 * len(outcomes)


def mutated(kind, content, seed):
    source = random.Random(seed)
    if kind == "values":
        return {files.CONFIG: json.dumps(files.mutate_config(source, json.loads(content[files.CONFIG]))).encode()}
    name = files.CONFIG if kind == "text" else files.WEIGHTS
    return {name: files.mutate_bytes(source, content[name])}


def check_mutations(kind, seeds, path, build):
    """Write mutations with their checksums right: each is refused, or is a model."""
    content = files.members(files.save(build(), path))
    outcomes = []
    for seed in seeds:
        files.write(path, {**content, **mutated(kind, content, seed)})
        try:
            outcomes.append(outcome(path))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    return outcomes


@pytest.mark.parametrize(("kind", "number"), [("values", 60), ("text", 60), ("weights", 60)])
def test_mutations_that_are_whole_are_refused_or_valid(tmp_path, kind, number):
    outcomes = check_mutations(kind, range(number), tmp_path / "m.keras", files.mlp)
    assert len(set(outcomes)) > 1


@pytest.mark.campaign
@pytest.mark.parametrize("build", [files.mlp, files.residual], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["values", "text", "weights"])
def test_many_more_mutations(tmp_path, kind, build):
    check_mutations(kind, range(1000, 2000), tmp_path / "m.keras", build)


def odd_layers(kind, random):
    """The config of a model of a kind, with an odd value for each key of each layer in turn."""
    content = json.loads(kind[files.CONFIG])
    for layer in content["config"]["layers"]:
        for key in list(layer["config"]):
            before = layer["config"][key]
            layer["config"][key] = random.choice(files.ODD)
            yield f"{layer['class_name']}.{key}={layer['config'][key]!r}", content
            layer["config"][key] = before


def check_odd_values(tmp_path, kinds):
    """Return how many odd configs were refused, refused by Keras, and loaded: nothing else may happen."""
    path, outcomes = tmp_path / "m.keras", []
    for name in kinds:
        content = files.members(files.save(model_kinds.KINDS[name](), path))
        for what, config in odd_layers(content, random.Random(name)):
            files.write(path, {**content, files.CONFIG: json.dumps(config).encode()})
            try:
                outcomes.append(outcome(path))
            except Exception as error:
                raise AssertionError(f"{name}: {what}") from error
    return collections.Counter(outcomes)


def test_an_odd_value_of_any_key_is_refused_or_makes_a_model(tmp_path):
    counts = check_odd_values(tmp_path, ["tokens LSTM", "causal attention", "spectral norm", "RandAugment"])
    assert sum(counts.values()) > 80
    assert counts["refused by Keras"]
    assert counts["loaded"]


@pytest.mark.campaign
def test_an_odd_value_of_any_key_of_any_kind_is_refused_or_makes_a_model(tmp_path):
    counts = check_odd_values(tmp_path, sorted(model_kinds.KINDS))
    print(counts)
    assert sum(counts.values()) > 2000


def nested_in(kind, hostile):
    """The configs of a model of a kind with a hostile object in place of each value of each layer's config."""
    content = json.loads(kind[files.CONFIG])
    for layer in content["config"]["layers"]:
        for key, before in list(layer["config"].items()):
            for value in (hostile, [hostile], {"x": hostile}):
                layer["config"][key] = value
                yield content
            layer["config"][key] = before


def check_hostile(tmp_path, kinds):
    """Return how many configs with something hostile were checked: all must be refused before Keras is called."""
    path, canary, number = tmp_path / "m.keras", tmp_path / "canary", 0
    things = list(evil(canary))
    for name in kinds:
        content = files.members(files.save(model_kinds.KINDS[name](), path))
        for what, thing in things:
            for config in nested_in(content, thing):
                with pytest.raises(ModelError):
                    assert not layers.check(json.dumps(config).encode()), f"{name}: {what}"
                number += 1
    assert not canary.exists()
    return number


def test_nothing_hostile_is_accepted_anywhere_in_new_layers(tmp_path):
    assert check_hostile(tmp_path, ["tokens LSTM", "cells", "bidirectional", "causal attention", "pipeline"]) > 5000


@pytest.mark.campaign
def test_nothing_hostile_is_accepted_anywhere_in_any_kind(tmp_path):
    number = check_hostile(tmp_path, sorted(model_kinds.KINDS))
    print(number)
    assert number > 100_000


def huge(layer, shape, **changes):
    return layer, shape, changes


@pytest.mark.parametrize(
    ("layer", "shape", "changes"),
    [
        huge(keras.layers.MultiHeadAttention(1, 1), (4096, 1), num_heads=4096),
        huge(keras.layers.Embedding(3, 2), (4,), input_dim=10**12),
        huge(keras.layers.LSTM(2), (4, 2), units=10**9),
        huge(keras.layers.RepeatVector(2), (4,), n=10**9),
        huge(keras.layers.UpSampling3D(2), (4, 4, 4, 1), size=[10**5] * 3),
        huge(keras.layers.CategoryEncoding(4, "multi_hot"), (4,), num_tokens=10**10),
        huge(keras.layers.Conv3D(2, 2), (4, 4, 4, 1), filters=10**12),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_layer_that_would_need_terabytes_is_refused(tmp_path, layer, shape, changes):
    inputs = keras.Input(shape)
    outputs = layer(inputs, inputs) if isinstance(layer, keras.layers.MultiHeadAttention) else layer(inputs)
    path = files.save(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(outputs))), tmp_path / "m.keras")

    def grow(config):
        config["config"]["layers"][1]["config"].update(changes)

    assert outcome(files.with_config(path, path, grow)) == "refused by Keras"


def test_an_operation_that_would_need_terabytes_is_refused(tmp_path):
    inputs = keras.Input((4, 1))
    outputs = keras.ops.sum(keras.ops.tile(inputs, (1, 2, 1)), axis=1)
    path = files.save(keras.Model(inputs, keras.layers.Dense(3)(outputs)), tmp_path / "m.keras")

    def grow(config):
        config["config"]["layers"][1]["config"]["repeats"] = [1, 10**10, 1]

    with pytest.raises(ModelError, match="expected at most"):
        models.load(files.with_config(path, path, grow))
