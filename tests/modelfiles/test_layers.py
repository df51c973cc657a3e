"""The config of a model: what may be named in it."""

import importlib
import inspect
import json
import pkgutil
import types

import keras
import keras_files as files
import pytest
from keras.src import activations, api_export, ops

from kdistill.core.errors import ModelError
from kdistill.modelfiles import accepted, layers


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


OLD_NAMES = {f"{name}Initializer": name for name in ("Identity", "Orthogonal", "STFT")} | {
    "GroupQueryAttention": "GroupedQueryAttention"
}


@pytest.mark.parametrize(("module", "name"), sorted(accepted.ALLOWED))
def test_allowed_classes_are_keras_classes_that_hold_no_code(module, name):
    """Found as Keras finds them."""
    found = api_export.get_symbol_from_name(f"{module}.{name}") or vars(importlib.import_module(module))[name]
    assert isinstance(found, type)
    assert found.__name__ == OLD_NAMES.get(name, name)
    kinds = keras.Layer, keras.Operation, keras.Initializer, keras.Regularizer, keras.constraints.Constraint
    quantized = keras.dtype_policies.DTypePolicy, keras.quantizers.Quantizer, keras.quantizers.QuantizationConfig
    assert issubclass(found, (*kinds, *quantized))
    assert not issubclass(found, keras.layers.Lambda)


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


MODULES = {name: module for module, name in accepted.ALLOWED}


@pytest.mark.parametrize(("name", "key"), layers.LIMITS)
def test_numbers_that_take_hours_or_all_memory_are_refused(good, name, key):
    """Operations of millions of outputs, of which Keras makes a tensor each; loops; tables of kernels."""
    found = api_export.get_symbol_from_name(f"{MODULES[name]}.{name}")
    found = found or vars(importlib.import_module(MODULES[name]))[name]
    assert key in inspect.signature(found.__init__).parameters
    most = layers.LIMITS[name, key]
    config = json.loads(good)
    config["config"]["layers"].append(entry(name, MODULES[name], **{key: most}))
    layers.check(json.dumps(config).encode())
    for received in (most + 1, [1, most + 1], -most - 1, 1e300, float("inf")):
        config["config"]["layers"][-1]["config"][key] = received
        refused(config, f"at most {most} as {key} of {name}; received ")


def called_twice(inner, name):
    """Return the config of a model that calls an inner one twice, one after the other."""
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": "float32"}}
    tensors = [
        {**tensor, "config": {**tensor["config"], "keras_history": [of, n, 0]}} for of, n in (("x", 0), ("m", 0))
    ]
    nodes = [{"args": [each], "kwargs": {}} for each in tensors]
    inputs = {**entry("InputLayer"), "config": {"batch_shape": [None, 3], "name": "x"}, "name": "x"}
    inner = {**inner, "name": "m", "inbound_nodes": nodes, "config": {**inner["config"], "name": "m"}}
    ends = {"input_layers": ["x", 0, 0], "output_layers": ["m", 1, 0]}
    config = {"name": name, "layers": [{**inputs, "inbound_nodes": []}, inner], **ends}
    return {**entry("Functional", "keras.src.models.functional"), "config": config}


def test_models_within_models_that_are_called_twice_are_counted_for_each_call():
    """Thirty levels in a few kB would be a thousand million calls."""
    config = entry("Dense", units=3)
    for level in range(11):
        config = called_twice(config, f"m{level}")
    layers.check(json.dumps(config).encode())  # 2^10 calls
    for level in range(11, 17):
        config = called_twice(config, f"m{level}")
    refused(config, "at most 20000 objects")


def entry(name="Dense", module="keras.layers", registered=None, **config):
    return {"class_name": name, "module": module, "registered_name": registered, "config": config}


RELU = {"class_name": "function", "module": "builtins", "config": "relu", "registered_name": "function"}
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
        (entry("MixUp"), "MixUp is not accepted: it changes the labels"),
        (entry("Wrapper"), "Wrapper is not accepted: it is a base class"),
        (entry("Invented"), "'Invented' of the module 'keras.layers' is not on the list"),
        (entry("DTypePolicyMap", module="keras.dtype_policies"), "by patterns"),
        (entry("LayerScale"), "not on the list"),
        (
            entry("LayerScale", module="keras.src.applications.convnext", registered="x>LayerScale"),
            "expected the built",
        ),
        (entry("Operation", module="keras.src.ops.operation"), "base class"),
        (entry("Dense", module="keras"), "not on the list"),
        (entry("get_file", module="keras.utils"), "not on the list"),
        (entry("enable_unsafe_deserialization", module="keras.config"), "not on the list"),
        (entry("Model", module="keras"), "not on the list"),
        (entry("Map", module="keras.src.ops.core"), "Map is not accepted: it calls a function"),
        (entry("system", module="os"), "'system' of the module 'os' is not part of Keras"),
        (entry("Dense", module="os"), "'Dense' of the module 'os' is not part of Keras"),
        (entry("Dense", module="keras_hub.layers"), "not part of Keras"),
        (entry("Dense", module=None), "not part of Keras, and custom code is never loaded"),
        (entry("Dense", module=["keras.layers"]), "not part of Keras"),
        (entry("My", module=None, registered="pack>My"), "not part of Keras"),
        (entry("Dense", registered="os>system"), "expected the built-in Dense; received 'os>system' for it"),
        (entry("Dense", registered="Conv2D"), "expected the built-in Dense"),
        (OS_SYSTEM, "the function 'system' of the module 'os' is not accepted: functions are not taken"),
        ({**OS_SYSTEM, "module": "builtins", "config": "eval"}, "the function 'eval' of the module 'builtins' is not"),
        (
            {**OS_SYSTEM, "module": "keras.activations", "config": "relu"},
            "the function 'relu' of the module 'keras.act",
        ),
        ({**OS_SYSTEM, "registered_name": "relu", "config": "relu"}, "the function 'relu' of the module 'os' is not"),
        ({**RELU, "module": "tensorflow.python.ops.gen_nn_ops"}, "the function 'relu' of the module 'tensorflow"),
        ({**RELU, "module": "keras.activations", "config": "deserialize"}, "the function 'deserialize'"),
        ({**RELU, "config": ["relu"]}, r"the function \['relu'\]"),
        ({**RELU, "shared_object_id": 1}, "the function 'relu'"),
        ({"class_name": "__typespec__", "module": "os", "spec_name": "system", "config": []}, "not part of Keras"),
        ({"class_name": "__bytes__", "config": {"value": "x"}}, "not part of Keras"),
        ({"class_name": 5, "config": {}}, "expected the name of a class; received 5"),
        ({"class_name": ["Dense"], "config": {}}, "expected the name of a class"),
        ({"class_name": None}, "expected the name of a class"),
        ({"class_name": "Dense", "config": {}}, "not part of Keras"),
        ({"class_name": "\x1b[2J" * 100, "module": "\r\n"}, "not part of Keras"),
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


@pytest.mark.parametrize("place", ["activation", "recurrent_activation"])
@pytest.mark.parametrize("module", ["builtins", "keras.activations", "keras.src.activations.activations"])
def test_an_activation_of_keras_that_is_a_function_becomes_its_name(good, place, module):
    config = json.loads(good)
    layer = config["config"]["layers"][2]
    for name in sorted(accepted.ACTIVATIONS):
        for registered in (None, "function", name):
            layer["config"][place] = {**RELU, "module": module, "config": name, "registered_name": registered}
            checked = layers.check(json.dumps(config).encode())
            assert checked["config"]["layers"][2]["config"][place] == name


def test_functions_are_taken_for_activations_only(good):
    config = json.loads(good)
    config["config"]["layers"][2]["config"]["kernel_initializer"] = RELU
    refused(config, "the function 'relu' of the module 'builtins' is not accepted")


def test_the_activations_are_those_of_keras():
    assert set(activations.ALL_OBJECTS_DICT) == accepted.ACTIVATIONS
    assert all(isinstance(function, types.FunctionType) for function in activations.ALL_OBJECTS_DICT.values())


def test_inner_compile_sections_are_removed_unread(good):
    config = json.loads(good)
    inner = {**json.loads(good), "compile_config": {"optimizer": OS_SYSTEM, "loss": entry("Lambda")}}
    config["config"]["layers"][2] |= {"compile_config": {"loss": OS_SYSTEM}}
    config["config"]["layers"].append(inner)
    text = json.dumps(layers.check(json.dumps(config).encode()))
    assert "compile_config" not in text
    assert "system" not in text


def offered():
    """The classes that the installed Keras offers, by module: what a config may name, if it is on the list."""
    for space in ("layers", "initializers", "regularizers", "constraints", "dtype_policies", "quantizers"):
        module = getattr(keras, space)
        for found in {id(value): value for value in vars(module).values() if isinstance(value, type)}.values():
            exported = api_export.get_name_from_symbol(found)
            yield exported.rpartition(".")[0], exported.rpartition(".")[2]
    for info in pkgutil.walk_packages(ops.__path__, "keras.src.ops."):
        if not info.name.endswith("_test"):
            module = importlib.import_module(info.name)
            for name, found in vars(module).items():
                if isinstance(found, type) and issubclass(found, keras.Operation) and found.__module__ == info.name:
                    yield info.name, name


def test_what_keras_offers_is_accepted_or_has_a_reason_why_not():
    """A class that a later Keras adds is decided on here, before it is on one of the lists."""
    refused_ones = {(module, name) for module, names in accepted.NOT_ACCEPTED.items() for name in names}
    known = set(accepted.ALLOWED) | refused_ones
    assert set(offered()) <= known, sorted(set(offered()) - known)
    assert not accepted.ALLOWED & refused_ones
    gone = {entry for entry in refused_ones if entry not in set(offered())}
    assert not gone


def test_accepted_operations_are_those_that_call_no_function():
    """What is left out has a parameter for a function, is a base class, or a function itself."""
    for module, name in offered():
        if module.startswith("keras.src.ops"):
            parameters = inspect.signature(vars(importlib.import_module(module))[name]).parameters
            calls = inspect.signature(vars(importlib.import_module(module))[name].call).parameters
            functions = {"fun", "f", "fn", "function", "cond", "body", "body_fun", "branches", "true_fn", "pyfunc"}
            takes_function = functions & (set(parameters) | set(calls))
            assert ((module, name) in accepted.ALLOWED) <= (not takes_function), (module, name, takes_function)


@pytest.mark.parametrize("name", ["MixUp", "Lambda", "Invented"])
def test_a_layer_that_is_not_accepted_is_named_with_those_that_are_not(good, name):
    config = json.loads(good)
    config["config"]["layers"][1] |= {"class_name": name, "module": "keras.layers", "registered_name": name}
    with pytest.raises(ModelError, match=f"{name}'?( of the module 'keras.layers')? is not") as caught:
        layers.check(json.dumps(config).encode())
    for listed in ("Lambda", "TextVectorization", "MixUp"):
        assert listed in caught.value.hint


def test_a_subclass_of_model_is_named_as_such():
    config = {"module": None, "class_name": "Mine", "config": {}, "registered_name": "Mine"}
    refused(config, "received 'Mine', a class of its own \\(a subclass of keras.Model\\)")
    refused({**config, "module": "keras"}, "received 'Mine' of the module 'keras'")
