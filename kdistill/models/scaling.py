"""The first layer of a model, which scales raw values."""

import keras

from kdistill.core.scaling import Standardization


def layer(scale: float | Standardization) -> keras.Layer:
    """Return the layer that scales raw values."""
    if not isinstance(scale, Standardization):
        return keras.layers.Rescaling(scale, name="scaling")
    if len(scale.mean) == 1:  # of all values together
        return keras.layers.Normalization(axis=None, mean=scale.mean[0], variance=scale.variance[0], name="scaling")
    return keras.layers.Normalization(axis=-1, mean=list(scale.mean), variance=list(scale.variance), name="scaling")
