"""The config of a model, and the check of what it names.

The ways from a config to code in Keras 3.15, and the check against each:

- a dict with a `class_name` becomes an object of that class: the class and its module must be in `accepted.ALLOWED`.
  Without a module Keras would look the name up like older formats;
- `registered_name` looks up registered code: it must be the name of the built-in class;
- `function` looks up a function: one of `keras.activations` is replaced by its name, which Keras looks up in a closed
  list; no other is accepted;
- a name that starts and ends with two underscores is a Python value: those in `accepted.VALUES` are plain data;
- Keras builds inner compile sections even with `compile=False`: they are removed, unread;
- the calls in `inbound_nodes` run at once, unless an argument is a symbolic tensor: one must be;
- layers in layers (wrappers, cells) are objects as above, wherever they are;
- all other names (of activations, initializers, types) are looked up in closed lists of Keras.

Keras gets the config that is returned here, not the one in the file.
"""

import json
from typing import Any

from kdistill.core.errors import ModelError
from kdistill.modelfiles.accepted import ACTIVATIONS, ALLOWED, ARRAYS, MODELS, NOT_ACCEPTED, NUMBERS, REASONS, VALUES

DEPTH = 100  # levels of nesting; a model within a model takes four
OBJECTS = 20_000  # a ResNet-152 has 4,000. Those of a model within a model count again for each of its calls
# The largest value of keys that take memory or time which no shape of the model shows.
LIMITS = {
    # Outputs of Unstack and of the operations that split: Keras makes a tensor for each before it looks at the inputs.
    ("Unstack", "num"): 10_000,
    **{(f"{kind}plit", "indices_or_sections"): 10_000 for kind in ("S", "Hs", "Vs", "Ds", "ArrayS")},
    # Loops of Python, one pass after the other.
    ("AugMix", "num_chains"): 100,
    ("AugMix", "chain_depth"): 100,
    ("RandAugment", "num_ops"): 1_000,
    ("SpectralNormalization", "power_iterations"): 1_000,
    ("Rot90", "k"): 1_000,
    ("Diff", "n"): 1_000,
    ("Fold", "kernel_size"): 1_000,
    # Tables that are made of these numbers.
    ("GaussianBlur", "kernel_size"): 1_000,
    ("RandomGaussianBlur", "kernel_size"): 1_000,
    ("ElasticTransform", "sigma"): 100,
    ("RandomElasticTransform", "scale"): 10,
    ("SSIM", "filter_size"): 1_000,
    ("CTCDecode", "beam_width"): 10_000,
    ("CTCDecode", "top_paths"): 10_000,
    ("Equalization", "bins"): 2**16,
    ("ContrastLimitedAdaptiveHistogramEqualization", "tile_grid_size"): 100,
    ("MelSpectrogram", "fft_length"): 2**16,
    ("MelSpectrogram", "num_mel_bins"): 4_096,
}

HINT = "Build the model from built-in layers of Keras, and save it again."
LAYER_HINT = (
    "Build the model from built-in layers of Keras and save it again: all are accepted but "
    f"{', '.join(sorted(set(NOT_ACCEPTED['keras.layers']) - {'Wrapper'}))}."
)
FUNCTION_HINT = (
    "Give the layer one of Keras's own activations, by its name, and save the model again: "
    "`layer.activation = keras.activations.get('relu')`, then `model.save('name.keras')`."
)
SUBCLASS_HINT = (
    "If its `call` takes one tensor, save it as a Functional model of the same layers and weights: "
    "`inputs = keras.Input(shape)`, then `keras.Model(inputs, model.call(inputs)).save('name.keras')`."
)
# Where functions come from that are `keras.activations`; Keras looks up those of "builtins" there, too.
FUNCTION_KEYS = {"class_name", "module", "config", "registered_name"}
ACTIVATION_MODULES = ("builtins", "keras.activations", "keras.src.activations.activations")


def check(content: bytes) -> dict[str, Any]:
    """Return the config of a model without compile sections, with the names of activations in place of functions.

    Raises:
        ModelError: not JSON, too deep, not a model, or it names something that is not accepted.
    """
    try:
        config = json.loads(content)
        _check_model(config)
        config.pop("compile_config", None)
        _Walk().value(config, "model")
        return config
    except RecursionError:
        raise ModelError(f"config.json: expected at most {DEPTH} levels; received more", HINT) from None
    except (ValueError, TypeError) as error:
        raise ModelError(f"config.json is not valid: {shown(error, 120)}", HINT) from error


def shown(value: object, limit: int = 60) -> str:
    """Return text from a file for a message: shortened, and without control characters."""
    text = str(value) if isinstance(value, Exception) else repr(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _check_model(config: Any) -> None:
    if isinstance(config, dict) and (config.get("module"), config.get("class_name")) in MODELS:
        return
    wanted = "config.json: expected a Functional or Sequential model"
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str):
        raise ModelError(f"{wanted}; received something else", HINT)
    module = config.get("module")
    if isinstance(module, str) and module.split(".")[0] == "keras":
        raise ModelError(f"{wanted}; received {shown(name)} of the module {shown(module)}", HINT)
    raise ModelError(
        f"{wanted}; received {shown(name)}, a class of its own (a subclass of keras.Model), whose layers are in its "
        "code and not in the file",
        SUBCLASS_HINT,
    )


class _Walk:
    """Checks all parts of a config, and counts its objects."""

    def __init__(self) -> None:
        self.objects = 0

    def value(self, value: object, place: str, depth: int = 0, calls: int = 1) -> None:
        if depth > DEPTH:
            raise RecursionError
        if isinstance(value, list):
            for number, item in enumerate(value):
                self.value(item, f"{place}[{number}]", depth + 1, calls)
        elif isinstance(value, dict):
            times = self.object(value, place, calls) if "class_name" in value else 1
            for key, item in value.items():
                if key.endswith("activation") and isinstance(item, dict) and item.get("class_name") == "function":
                    value[key] = _activation(item, f"{place}.{key}")
                else:
                    self.value(item, f"{place}.{key}", depth + 1, calls * (times if key == "config" else 1))

    def object(self, value: dict[str, Any], place: str, calls: int) -> int:
        """Count an object that is in one which is called `calls` times; return how often that one calls it."""
        self.objects += calls
        if self.objects > OBJECTS:
            raise ModelError(f"config.json: expected at most {OBJECTS} objects; received more", HINT)
        where = _where(place)
        name = value["class_name"]
        if isinstance(name, str) and name in VALUES:
            _check_value(value, where)
            return 1
        _check_class(value, where)
        _check_limits(value, where)
        if value.get("compile_config"):
            del value["compile_config"]
        nodes = value.get("inbound_nodes") or []
        for node in nodes:
            if not isinstance(node, dict) or not _has_tensor([node.get("args"), node.get("kwargs")]):
                raise ModelError(f"{where}: expected a call with the output of another layer", HINT)
        return max(1, len(nodes))


def _where(place: str) -> str:
    return shown(place, 120).strip("'\"")


def _activation(value: dict[str, Any], place: str) -> str:
    """Return the name of an activation of Keras that is given as a function."""
    name = value.get("config")
    plain = value.get("module") in ACTIVATION_MODULES and set(value) <= FUNCTION_KEYS
    registered = value.get("registered_name") in (None, "function", name)
    if isinstance(name, str) and name in ACTIVATIONS and plain and registered:
        return name
    raise _function_error(value, _where(place))


def _function_error(value: dict[str, Any], where: str) -> ModelError:
    named = f"{shown(value.get('config'))} of the module {shown(value.get('module'))}"
    return ModelError(
        f"{where}: the function {named} is not accepted: functions are not taken from model files, other than Keras's "
        "own activations",
        FUNCTION_HINT,
    )


def _check_class(value: dict[str, Any], where: str) -> None:
    name, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
    if not isinstance(name, str):
        raise ModelError(f"{where}: expected the name of a class; received {shown(name)}", HINT)
    if name in REASONS:
        raise ModelError(f"{where}: {name} is not accepted: {REASONS[name]}", LAYER_HINT)
    if name == "function":
        raise _function_error(value, where)
    if not isinstance(module, str) or (module, name) not in ALLOWED:
        raise _class_error(name, module, where)
    if registered not in (None, name):
        raise ModelError(f"{where}: expected the built-in {name}; received {shown(registered)} for it", HINT)


def _class_error(name: str, module: object, where: str) -> ModelError:
    known = NOT_ACCEPTED.get(module, {}) if isinstance(module, str) else {}
    if name in known:
        return ModelError(f"{where}: {name} is not accepted: {known[name]}", LAYER_HINT)
    kind = "not on the list of accepted layers and operations"
    if not isinstance(module, str) or module.split(".")[0] != "keras":
        kind = "not part of Keras, and custom code is never loaded"
    hint = LAYER_HINT if module == "keras.layers" or kind.startswith("not part") else HINT
    return ModelError(f"{where}: {shown(name)} of the module {shown(module)} is {kind}", hint)


def _check_limits(value: dict[str, Any], where: str) -> None:
    """Refuse numbers that would take more memory or time than any machine has."""
    name, own = value["class_name"], value.get("config")
    for key, number in own.items() if isinstance(own, dict) else ():
        most = LIMITS.get((name, key))
        if most is not None and (largest := _largest(number)) > most:
            raise ModelError(f"{where}: expected at most {most} as {key} of {name}; received {shown(largest)}", HINT)


def _largest(number: object) -> float:
    """Return the largest number in a value from a file; 0 if there is none."""
    if isinstance(number, list):
        return max(map(_largest, number), default=0)
    return abs(number) if isinstance(number, int | float) else 0


def _check_value(value: dict[str, Any], where: str) -> None:
    name, data = value["class_name"], value.get("config")
    if not isinstance(data, dict) or set(data) != VALUES[name] or set(value) != {"class_name", "config"}:
        raise ModelError(f"{where}: expected the keys of {name}; received others", HINT)
    if name in ARRAYS and data["dtype"] not in NUMBERS:
        raise ModelError(f"{where}: expected a type of numbers; received {shown(data['dtype'])}", HINT)


def _has_tensor(arguments: object) -> bool:
    if isinstance(arguments, dict):
        return arguments.get("class_name") == "__keras_tensor__" or any(map(_has_tensor, arguments.values()))
    return isinstance(arguments, list) and any(map(_has_tensor, arguments))
