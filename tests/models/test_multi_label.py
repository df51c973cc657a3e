"""Models of multi-label data from files: sigmoids are taken off, and a softmax is refused."""

import keras
import numpy as np
import pytest
from scipy.special import expit

from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.core.task import MULTI

INPUTS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def saved(path, *last, outputs=3):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs), *last])
    model.save(path)
    return model


@pytest.mark.parametrize("last", [[keras.layers.Activation("sigmoid")], [], "inside"])
def test_the_outputs_are_the_logits_of_the_sigmoids(tmp_path, last):
    path = tmp_path / "m.keras"
    if last == "inside":
        last = [keras.layers.Dense(3, activation="sigmoid")]
    model = saved(path, *last)
    found, notes = models.load_classifier(path, (4,), 3, task=MULTI)
    outputs = keras.ops.convert_to_numpy(model(INPUTS))
    logits = keras.ops.convert_to_numpy(found(INPUTS))
    np.testing.assert_allclose(expit(logits) if last else logits, outputs, rtol=1e-5)
    assert any("ends in sigmoids, which were taken off" in note for note in notes) == bool(last)


def test_a_softmax_is_refused_for_multi_label_data(tmp_path):
    saved(tmp_path / "m.keras", keras.layers.Softmax())
    with pytest.raises(ModelError, match=r"data.labels: multi.*received a softmax"):
        models.load_classifier(tmp_path / "m.keras", (4,), 3, task=MULTI)


def test_sigmoids_are_refused_for_other_data_with_what_to_set(tmp_path):
    saved(tmp_path / "m.keras", keras.layers.Activation("sigmoid"))
    with pytest.raises(ModelError, match="ends in a sigmoid") as raised:
        models.load_classifier(tmp_path / "m.keras", (4,), 3)
    assert "data.labels: multi" in raised.value.hint


def test_one_output_is_no_model_of_several_classes(tmp_path):
    saved(tmp_path / "m.keras", outputs=1)
    with pytest.raises(ModelError, match="received"):
        models.load_classifier(tmp_path / "m.keras", (4,), None, task=MULTI)
