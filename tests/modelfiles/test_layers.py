"""The config of a model: what may be named in it."""

import importlib
import json

import keras
import keras_files as files
import pytest
from keras.src import api_export

from kdistill.core.errors import ModelError
from kdistill.modelfiles import layers


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return files.members(files.save(files.residual(), tmp_path_factory.mktemp("good") / "m.keras"))[files.CONFIG]


def refused(content, message):
    with pytest.raises(ModelError, match=message) as caught:
        layers.check(content if isinstance(content, bytes) else json.dumps(content).encode())
    assert caught.value.hint
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


def test_the_compile_section_is_left_out(good):
    config = {**json.loads(good), "compile_config": {"loss": "mse"}}
    assert "compile_config" not in layers.check(json.dumps(config).encode())


@pytest.mark.parametrize(("module", "name"), sorted(layers.ALLOWED))
def test_allowed_classes_are_keras_classes_that_hold_no_code(module, name):
    """Found as Keras finds them; none of them takes a function, a path, or another layer."""
    found = api_export.get_symbol_from_name(f"{module}.{name}") or vars(importlib.import_module(module))[name]
    assert isinstance(found, type)
    assert found.__name__ == name
    kinds = keras.Layer, keras.Operation, keras.Initializer, keras.Regularizer, keras.dtype_policies.DTypePolicy
    assert issubclass(found, (*kinds, keras.constraints.Constraint))
    assert not issubclass(found, (keras.layers.Wrapper, keras.layers.Lambda))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "config.json is not valid"),
        (b"{", "config.json is not valid"),
        (b"\xff\xfe\xff", "config.json is not valid"),
        (b'{"a": ' + b"9" * 5000 + b"}", "config.json is not valid"),
        (b"[" * 100_000, "at most 100 levels"),
        (b"[]", "expected a Functional or Sequential model"),
        (b"null", "expected a Functional or Sequential model"),
        (b"{}", "expected a Functional or Sequential model"),
        (b'{"module": [], "class_name": {}}', "config.json is not valid"),
    ],
)
def test_what_is_no_config_is_refused(content, message):
    refused(content, message)


def test_a_layer_alone_is_no_model():
    refused(keras.saving.serialize_keras_object(keras.layers.Dense(3)), "expected a Functional or Sequential model")


def test_depth_and_number_are_limited(good):
    config = json.loads(good)
    config["config"]["layers"][0]["config"]["x"] = json.loads("[" * 98 + "]" * 98)
    refused(config, "expected at most 100 levels; received more")
    config["config"]["layers"] *= 2500
    refused({**config, "config": config["config"]}, "at most (100 levels|20000 objects)")
    del config["config"]["layers"][0]["config"]["x"]
    refused(config, "at most 20000 objects")


def entry(name="Dense", module="keras.layers", registered=None, **config):
    return {"class_name": name, "module": module, "registered_name": registered, "config": config}


OS_SYSTEM = {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (entry("Lambda"), "Lambda is not accepted: it carries code"),
        (entry("Lambda", module="evil"), "Lambda is not accepted: it carries code"),
        ({"class_name": "__lambda__", "config": {"value": "4wEA"}}, "__lambda__ is not accepted: it carries code"),
        (entry("TorchModuleWrapper"), "it carries code"),
        (entry("TFSMLayer"), "TFSMLayer is not accepted: it reads other files"),
        (entry("StringLookup", vocabulary="/etc/passwd"), "it reads other files"),
        (entry("IntegerLookup"), "it reads other files"),
        (entry("TextVectorization"), "it reads other files"),
        (entry("Hashing"), "'Hashing' of the module 'keras.layers' is not on the list"),
        (entry("Bidirectional"), "not on the list"),
        (entry("Dense", module="keras"), "not on the list"),
        (entry("get_file", module="keras.utils"), "not on the list"),
        (entry("enable_unsafe_deserialization", module="keras.config"), "not on the list"),
        (entry("Model", module="keras"), "not on the list"),
        (entry("Map", module="keras.src.ops.core"), "not on the list"),
        (entry("system", module="os"), "'system' of the module 'os' is not part of Keras"),
        (entry("Dense", module="os"), "'Dense' of the module 'os' is not part of Keras"),
        (entry("Dense", module="keras_hub.layers"), "not part of Keras"),
        (entry("Dense", module=None), "not part of Keras, and custom code is never loaded"),
        (entry("Dense", module=["keras.layers"]), "not part of Keras"),
        (entry("My", module=None, registered="pack>My"), "not part of Keras"),
        (entry("Dense", registered="os>system"), "expected the built-in Dense; received 'os>system' for it"),
        (entry("Dense", registered="Conv2D"), "expected the built-in Dense"),
        (OS_SYSTEM, "function is not accepted: functions are not taken from model files"),
        ({**OS_SYSTEM, "module": "builtins", "config": "eval"}, "function is not accepted"),
        ({**OS_SYSTEM, "module": "keras.activations", "config": "relu"}, "function is not accepted"),
        ({"class_name": "__typespec__", "module": "os", "spec_name": "system", "config": []}, "not part of Keras"),
        ({"class_name": "__bytes__", "config": {"value": "x"}}, "not part of Keras"),
        ({"class_name": 5, "config": {}}, "expected the name of a class; received 5"),
        ({"class_name": ["Dense"], "config": {}}, "expected the name of a class"),
        ({"class_name": None}, "expected the name of a class"),
        ({"class_name": "Dense", "config": {}}, "not part of Keras"),
        ({"class_name": "\x1b[2J" * 100, "module": "\r\n"}, "not part of Keras"),
        ({**entry(), "compile_config": {"optimizer": "adam"}}, "expected an inner model that is not compiled"),
    ],
)
def test_classes_that_are_not_on_the_list_are_refused_wherever_they_are(good, value, message):
    config = json.loads(good)
    targets = [
        (config["config"]["layers"], 2),
        (config["config"]["layers"][2]["config"], "activation"),
        (config["config"]["layers"][2]["config"]["dtype"]["config"], "x"),
        (config["config"]["layers"][2]["inbound_nodes"][0]["kwargs"], "mask"),
        (config["config"]["layers"][2]["build_config"], "input_shape"),
        (config, "x"),
    ]
    for container, key in targets:
        before = container.get(key) if isinstance(container, dict) else container[key]
        container[key] = value
        refused(config, message)
        container[key] = [[{"x": value}]]
        refused(config, message)
        container[key] = before
    layers.check(json.dumps(config).encode())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"class_name": "__numpy__", "config": {"value": [1], "dtype": "S1000000000"}}, "expected a type of numbers"),
        ({"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}}, "expected a type of numbers"),
        ({"class_name": "__numpy__", "config": {"value": [1], "dtype": {}}}, "config.json is not valid"),
        ({"class_name": "__numpy__", "config": {"value": [1]}}, "expected the keys of __numpy__"),
        ({"class_name": "__numpy__", "config": None}, "expected the keys of __numpy__"),
        ({"class_name": "__slice__", "module": "os", "config": {}}, "expected the keys of __slice__"),
    ],
)
def test_values_have_their_keys_and_nothing_else(good, value, message):
    config = json.loads(good)
    config["config"]["layers"][1]["config"]["scale"] = value
    refused(config, message)


@pytest.mark.parametrize(
    "nodes",
    [
        [{"args": [{"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "float32"}}], "kwargs": {}}],
        [{"args": [], "kwargs": {}}],
        [[["input_layer", 0, 0, {}]]],
        [None],
    ],
)
def test_a_call_that_would_run_at_once_is_refused(good, nodes):
    """Without a symbolic tensor Keras computes the result while it loads: a small file may ask for terabytes."""
    config = json.loads(good)
    config["config"]["layers"][2]["inbound_nodes"] = nodes
    refused(config, "expected a call with the output of another layer")


@pytest.mark.parametrize("name", ["MelSpectrogram", "MultiHeadAttention", "ConvLSTM2D"])
def test_a_layer_that_is_not_accepted_is_named_with_those_that_are(good, name):
    config = json.loads(good)
    config["config"]["layers"][1] |= {"class_name": name, "module": "keras.layers", "registered_name": name}
    with pytest.raises(ModelError, match=f"'{name}' of the module 'keras.layers' is not on the list") as caught:
        layers.check(json.dumps(config).encode())
    for accepted in ("Conv2D", "BatchNormalization", "Dense"):
        assert accepted in caught.value.hint
