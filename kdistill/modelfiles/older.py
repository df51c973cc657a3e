"""Configs of earlier versions of Keras 3, as the installed one reads them.

What Keras 3.3 to 3.9 wrote otherwise, found by loading every layer with its default config, and models of many kinds,
as 3.3.3, 3.4.1, 3.5.0, 3.6.0, 3.8.0 and 3.9.2 saved them:

- until 3.9, the one input and output of a Functional model are a list of one, `[["name", 0, 0]]`. As a layer of a
  Sequential or a wrapper such a model would now return a list, which the next layer does not take;
- until 3.5, RandomRotation has the key `value_range`, which it did not use.

Of layers with LoRA, of any version, the saved kernel is taken, which has the LoRA weights added.

Names of classes that have changed are in `accepted`.
"""

import copy
from typing import Any

GONE = {"RandomRotation": ("value_range",)}  # by class: keys without a meaning that the class does not take any more
# Keras saves the kernel with the product of the LoRA weights added, and draws new ones when it loads the layer.
LORA = ("lora_rank", "lora_alpha")


def current(config: dict[str, Any]) -> dict[str, Any]:
    """Return an accepted config as the installed Keras reads it; `config` is not changed."""
    config = copy.deepcopy(config)
    _rewrite(config)
    return config


def _rewrite(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _rewrite(item)
    elif isinstance(value, dict):
        own = value.get("config")
        if "class_name" in value and isinstance(own, dict):
            for key in (*LORA, *GONE.get(str(value["class_name"]), ())):
                own.pop(key, None)
            inner = own.get("layers") if value["class_name"] == "Sequential" else [own.get("layer")]
            for layer in inner if isinstance(inner, list) else []:
                _unlist(layer)
        for item in value.values():
            _rewrite(item)


def _unlist(layer: Any) -> None:
    """Change a Functional model with lists of one input and one output to one with a tensor each."""
    if (
        not isinstance(layer, dict)
        or layer.get("class_name") != "Functional"
        or not isinstance(layer.get("config"), dict)
    ):
        return
    for key in ("input_layers", "output_layers"):
        tensors = layer["config"].get(key)
        if isinstance(tensors, list) and len(tensors) == 1 and isinstance(tensors[0], list):
            layer["config"][key] = tensors[0]
