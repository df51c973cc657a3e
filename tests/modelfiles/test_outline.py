"""What is told of a model without TensorFlow: its weights, what it takes, and its kinds of layers."""

import keras
import keras_files
import pytest

from kdistill.core.errors import ModelError
from kdistill.modelfiles.outline import outline


def test_a_convolutional_network_with_an_optimizer_in_its_file(tmp_path):
    inner = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.SeparableConv2D(4, 3)], name="inner")
    inputs = keras.Input((10, 10, 1))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(inner(keras.layers.Conv2D(4, 3)(inputs))))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    keras_files.save(model, tmp_path / "a.keras")
    found = outline(tmp_path / "a.keras")
    assert found.parameters == model.count_params()
    assert found.shape == (10, 10, 1)
    assert found.has_convolutions
    assert not found.is_recurrent
    assert not found.takes_tokens
    assert "SeparableConv2D" in found.layers, "those within a layer count too"


def test_a_recurrent_network_for_tokens_of_any_length(tmp_path):
    layers = [keras.layers.Embedding(20, 4), keras.layers.Bidirectional(keras.layers.GRU(3)), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((None,)), *layers])
    found = outline(keras_files.save(model, tmp_path / "b.keras"))
    assert found.parameters == model.count_params()
    assert found.shape == (None,)
    assert found.is_recurrent
    assert found.takes_tokens
    assert not found.has_convolutions


def test_a_file_that_is_not_accepted_is_refused_as_everywhere(tmp_path):
    (tmp_path / "c.keras").write_text("no model")
    with pytest.raises(ModelError, match=r"c\.keras: "):
        outline(tmp_path / "c.keras")
