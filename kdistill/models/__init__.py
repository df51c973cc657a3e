"""Classifiers: built from a config section, or loaded from a `.keras` file.

Every model takes raw values, which its first layer scales, and returns logits. It has only built-in Keras layers, so a
saved model works in programs without kdistill.
"""

from kdistill.models.build import build
from kdistill.models.load import (
    SIGMOIDS_TAKEN_OFF,
    SOFTMAX_TAKEN_OFF,
    OtherClassesError,
    SigmoidsError,
    fingerprint,
    load,
    load_classifier,
    save,
)
from kdistill.models.scaling import largest_input, scales_inputs, with_scaling
from kdistill.models.token_inputs import vocabulary

__all__ = [
    "SIGMOIDS_TAKEN_OFF",
    "SOFTMAX_TAKEN_OFF",
    "OtherClassesError",
    "SigmoidsError",
    "build",
    "fingerprint",
    "largest_input",
    "load",
    "load_classifier",
    "save",
    "scales_inputs",
    "vocabulary",
    "with_scaling",
]
