"""Classifiers: built from a config section, or loaded from a `.keras` file.

Every model takes raw values (its first layer scales them) and returns logits, through built-in Keras layers only, so
that a saved one works in a program that has never heard of kdistill.
"""

from kdistill.models.build import build
from kdistill.models.from_file import largest_input, scales_inputs
from kdistill.models.load import (
    SOFTMAX_TAKEN_OFF,
    architecture,
    fingerprint,
    load,
    load_any_classifier,
    load_classifier,
    parameters,
    save,
)

__all__ = [
    "SOFTMAX_TAKEN_OFF",
    "architecture",
    "build",
    "fingerprint",
    "largest_input",
    "load",
    "load_any_classifier",
    "load_classifier",
    "parameters",
    "save",
    "scales_inputs",
]
