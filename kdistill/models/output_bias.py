"""The biases of a classifier's logits, which can be moved after training."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import ModelError

WITH_BIAS = (keras.layers.Dense, keras.layers.EinsumDense)


def find(model: keras.Model) -> keras.Variable | None:
    """Return the biases (classes,) that are added to a model's logits last; None where there are none."""
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.Model) and len(last.outputs) == 1:  # a model within a model
        return find(last)
    is_linear = getattr(last, "activation", None) in (None, keras.activations.linear)
    bias = last.bias if isinstance(last, WITH_BIAS) and is_linear else None
    return bias if bias is not None and tuple(bias.shape) == tuple(model.outputs[0].shape[1:]) else None


def check(model: keras.Model, path: Path) -> None:
    """Refuse the model of a file whose logits have no biases.

    Raises:
        ModelError: naming the file.
    """
    if find(model) is None:
        raise ModelError(
            f"{path}: distill.adjust_prior moves the biases of the logits; expected a Dense layer with a bias for each "
            "class at the end of the student, and there is none",
            hint="Give its last layer use_bias=True, or leave distill.adjust_prior out.",
        )


def move(model: keras.Model, offsets: NDArray[np.float64]) -> None:
    """Add offsets (classes,) to the biases of a model's logits, which it has."""
    if (bias := find(model)) is None:
        raise ValueError("the logits have no biases: see `check`")
    bias.assign((bias.numpy().astype(np.float64) + offsets).astype(bias.dtype))
