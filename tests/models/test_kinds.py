"""Classifiers as people make them: accepted as they are saved, with the logits of plain Keras.

`pytest -q -s tests/models/test_kinds.py` prints the table in `docs/how-to/accepted-models.md`.
"""

import keras
import keras_files as files
import model_kinds
import numpy as np
import pytest

from kdistill import models


@pytest.mark.parametrize("kind", sorted(model_kinds.KINDS))
def test_a_model_of_any_kind_has_the_logits_of_plain_keras(tmp_path, kind):
    keras.utils.set_random_seed(0)
    model = model_kinds.KINDS[kind]()
    tensor = model.inputs[0]
    raw = np.random.default_rng(0).integers(0, 9, (2, *tensor.shape[1:])).astype(tensor.dtype)
    given = {"x": raw} if isinstance(getattr(model, "_inputs_struct", None), dict) else raw
    expected = model(given, training=False)
    path = files.save(model, tmp_path / "m.keras")
    expected = np.asarray(expected["scores"] if isinstance(expected, dict) else expected, np.float32)
    loaded, _ = models.load_classifier(path, tensor.shape[1:], 3)
    difference = float(np.abs(np.asarray(loaded(raw, training=False), np.float32) - expected).max())
    print(f"| {kind} | accepted | {difference:.1e} |")
    assert np.isfinite(expected).all()
    if kind != "LoRA":  # whose additional weights Keras draws anew
        assert models.fingerprint(loaded) == models.fingerprint(keras.saving.load_model(path, compile=False))
    assert difference <= 1e-5 * max(1, float(np.abs(expected).max()))


def test_there_are_many_kinds():
    assert len(model_kinds.KINDS) >= 100
