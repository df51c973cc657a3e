"""The architectures of `keras.applications`: accepted as they are saved, with the logits of plain Keras.

`pytest -q -s -m campaign tests/models/test_applications.py` prints the table in `docs/how-to/accepted-models.md`.
"""

import inspect

import keras
import numpy as np
import pytest

from kdistill import models

SIZES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}  # the smallest that the architecture takes
INSIDE = ("EfficientNet", "ConvNeXt", "MobileNetV3")  # these scale their inputs themselves
IN_CI = ("EfficientNetB0", "MobileNetV3Small", "ResNet50")


def architectures():
    spaces = [module for _, module in inspect.getmembers(keras.applications, inspect.ismodule)]
    for name, build in inspect.getmembers(keras.applications, inspect.isfunction):
        scaling = next((space.preprocess_input for space in spaces if getattr(space, name, None) is build), None)
        yield name, build, None if name.startswith(INSIDE) else scaling


ALL = {name: (build, scaling) for name, build, scaling in architectures()}


def check(name, path):
    """Save an architecture with its scaling in front, and compare the logits as it is loaded with its own."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    build, scaling = ALL[name]
    shape = (SIZES.get(name, 32),) * 2 + (3,)
    model = build(weights=None, input_shape=shape, classes=10, classifier_activation=None)
    if scaling:
        inputs = keras.Input(shape)
        model = keras.Model(inputs, model(scaling(inputs)))
    model.save(path)
    raw = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)
    expected = np.asarray(model(raw, training=False))
    del model
    loaded, notes = models.load_classifier(path, shape, 10)
    difference = float(np.abs(np.asarray(loaded(raw, training=False)) - expected).max())
    path.unlink()
    print(f"| {name} | {'its own' if not scaling else '`preprocess_input`'} | accepted | {difference:.1e} |")
    assert not notes
    assert np.isfinite(expected).all()
    assert np.ptp(expected) > 0
    assert difference <= 1e-5 * max(1, float(np.abs(expected).max()))


def test_all_architectures_are_known():
    assert len(ALL) >= 40
    assert set(IN_CI) <= set(ALL)
    assert {name for name, (_, scaling) in ALL.items() if not scaling} == {
        name for name in ALL if name.startswith(INSIDE)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_CI)
def test_three_architectures_are_accepted_with_their_own_logits(name, tmp_path):
    check(name, tmp_path / "m.keras")


@pytest.mark.campaign
@pytest.mark.parametrize("name", sorted(ALL))
def test_every_architecture_is_accepted_with_its_own_logits(name, tmp_path):
    check(name, tmp_path / "m.keras")
