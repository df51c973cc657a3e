"""Classifiers as people make them: accepted as they are saved, with the logits of plain Keras.

`pytest -q -s -m "slow or not slow" tests/models/test_kinds.py` prints the table in `docs/how-to/accepted-models.md`.
"""

import keras
import keras_files as files
import model_kinds
import numpy as np
import pytest

from kdistill import models

# Many of the same form: one of them is in the default tier.
SLOW = set(model_kinds.RANDOM) - {"RandAugment"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ()) for kind in sorted(model_kinds.KINDS)]
)
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
    if kind != "LoRA":  # whose additional weights are not in the file
        # Keras orders the weights of float8 layers otherwise in a layer that has been quantized than in a loaded one.
        same = keras.saving.load_model(path, compile=False) if kind == "float8" else model
        assert models.fingerprint(loaded) == models.fingerprint(same)
    assert difference <= 1e-5 * max(1, float(np.abs(expected).max()))


def test_there_are_many_kinds():
    assert len(model_kinds.KINDS) >= 100
