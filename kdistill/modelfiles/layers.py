"""The config of a model, and the classes that it may name.

The ways from a config to code in Keras 3.15, and the check against each:

- a dict with a `class_name` becomes an object of that class: the class and its module must be in `ALLOWED`. Without a
  module Keras would look the name up like older formats;
- `registered_name` looks up registered code, and `function` a function: neither is accepted;
- a name that starts and ends with two underscores is a Python value: those in `VALUES` are plain data;
- Keras builds inner compile sections even with `compile=False`: none is accepted;
- the calls in `inbound_nodes` run at once, unless an argument is a symbolic tensor: one must be;
- all other names (of activations, initializers, types) are looked up in closed lists of Keras.
"""

import json
from typing import Any

from kdistill.core.errors import ModelError

DEPTH = 100  # levels of nesting; a model within a model takes four
OBJECTS = 20_000  # a ResNet-152 has 4,000

MODELS = {("keras", "Sequential"), ("keras.src.models.functional", "Functional")}

_NAMES = {
    "keras": "Sequential DTypePolicy",
    "keras.src.models.functional": "Functional",
    "keras.layers": """
        InputLayer Identity Dense Embedding LSTM GRU
        Conv1D Conv2D Conv3D DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
        MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D
        GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
        BatchNormalization LayerNormalization GroupNormalization UnitNormalization RMSNormalization
        Dropout SpatialDropout1D SpatialDropout2D AlphaDropout GaussianDropout GaussianNoise
        Activation ReLU LeakyReLU PReLU ELU Softmax
        Flatten Reshape Permute ZeroPadding1D ZeroPadding2D Cropping1D Cropping2D UpSampling1D UpSampling2D
        Add Subtract Multiply Average Maximum Minimum Concatenate
        Rescaling Normalization Resizing CenterCrop RandomCrop RandomFlip RandomTranslation RandomRotation RandomZoom
        RandomContrast RandomBrightness""",
    "keras.initializers": """
        Zeros Ones Constant Identity GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform
        Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling""",
    "keras.regularizers": "L1 L2 L1L2 OrthogonalRegularizer",
    "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    # Created by `x + y` and `keras.ops`.
    "keras.src.ops.numpy": """
        Add Subtract Multiply Divide TrueDivide Negative Absolute Square Sqrt Power Exp Log Tanh
        Maximum Minimum Clip Mean Sum Max Min Average
        Concatenate Reshape Transpose Squeeze ExpandDims GetItem""",
    "keras.src.ops.nn": """
        Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu HardSilu Sigmoid HardSigmoid LogSigmoid Softplus Softsign
        Softmax LogSoftmax""",
    "keras.src.ops.core": "Cast",
}
ALLOWED = frozenset((module, name) for module, names in _NAMES.items() for name in names.split())

# Plain data, with the keys that Keras reads.
VALUES = {
    "__keras_tensor__": {"shape", "dtype", "keras_history"},
    "__numpy__": {"value", "dtype"},
    "__tensor__": {"value", "dtype"},
    "__slice__": {"start", "stop", "step"},
    "__ellipsis__": set(),
}
ARRAYS = ("__numpy__", "__tensor__")
BITS = {"float": (16, 32, 64), "bfloat": (16,), "int": (8, 16, 32, 64), "uint": (8, 16, 32, 64)}
NUMBERS = frozenset(f"{kind}{bits}" for kind, sizes in BITS.items() for bits in sizes) | {"bool"}

_CODE = "it carries code, and code in a model file is never run"
_OUTSIDE = "it reads other files than this one"
REASONS = {
    "Lambda": _CODE,
    "__lambda__": _CODE,
    "TorchModuleWrapper": _CODE,
    "JaxLayer": _CODE,
    "FlaxLayer": _CODE,
    "function": "functions are not taken from model files (built-in activations are written by their name alone)",
    "TFSMLayer": _OUTSIDE,
    "StringLookup": _OUTSIDE,
    "IntegerLookup": _OUTSIDE,
    "TextVectorization": _OUTSIDE,
}
HINT = "Build the model from built-in layers of Keras for images and tables, and save it again."
LAYERS = sorted(_NAMES["keras.layers"].split())
LAYER_HINT = f"Build the model from these layers and save it again: {', '.join(LAYERS)}."
COMPILED_HINT = "Set `compiled = False` on the model inside, and save the whole model again."


def check(content: bytes) -> dict[str, Any]:
    """Return the config of a model, without its compile section.

    Raises:
        ModelError: not JSON, too deep, not a model, or it names something that is not accepted.
    """
    try:
        config = json.loads(content)
        if not isinstance(config, dict) or (config.get("module"), config.get("class_name")) not in MODELS:
            raise ModelError("config.json: expected a Functional or Sequential model; received something else", HINT)
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


class _Walk:
    """Checks all parts of a config, and counts its objects."""

    def __init__(self) -> None:
        self.objects = 0

    def value(self, value: object, place: str, depth: int = 0) -> None:
        if depth > DEPTH:
            raise RecursionError
        if isinstance(value, list):
            for number, item in enumerate(value):
                self.value(item, f"{place}[{number}]", depth + 1)
        elif isinstance(value, dict):
            if "class_name" in value:
                self.object(value, place)
            for key, item in value.items():
                self.value(item, f"{place}.{key}", depth + 1)

    def object(self, value: dict[str, Any], place: str) -> None:
        self.objects += 1
        if self.objects > OBJECTS:
            raise ModelError(f"config.json: expected at most {OBJECTS} objects; received more", HINT)
        where = shown(place, 120).strip("'\"")
        name = value["class_name"]
        if isinstance(name, str) and name in VALUES:
            _check_value(value, where)
            return
        _check_class(value, where)
        if value.get("compile_config"):
            raise ModelError(f"{where}: expected an inner model that is not compiled", COMPILED_HINT)
        for node in value.get("inbound_nodes") or []:
            if not isinstance(node, dict) or not _has_tensor([node.get("args"), node.get("kwargs")]):
                raise ModelError(f"{where}: expected a call with the output of another layer", HINT)


def _check_class(value: dict[str, Any], where: str) -> None:
    name, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
    if not isinstance(name, str):
        raise ModelError(f"{where}: expected the name of a class; received {shown(name)}", HINT)
    if name in REASONS:
        raise ModelError(f"{where}: {name} is not accepted: {REASONS[name]}", HINT)
    if not isinstance(module, str) or (module, name) not in ALLOWED:
        kind = "not on the list of accepted layers and operations"
        if not isinstance(module, str) or module.split(".")[0] != "keras":
            kind = "not part of Keras, and custom code is never loaded"
        hint = LAYER_HINT if module == "keras.layers" or kind.startswith("not part") else HINT
        raise ModelError(f"{where}: {shown(name)} of the module {shown(module)} is {kind}", hint)
    if registered not in (None, name):
        raise ModelError(f"{where}: expected the built-in {name}; received {shown(registered)} for it", HINT)


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
