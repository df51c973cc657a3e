"""Configs as Keras 3.3 to 3.9 wrote them: read by the installed Keras, with the same results."""

import copy
import json

import keras
import keras_files as files
import numpy as np
import pytest

from kdistill import modelfiles, models
from kdistill.modelfiles import older

layers = keras.layers


def base(*tail):
    inputs = outputs = keras.Input((8, 8, 3), name="inside")
    for layer in (layers.Conv2D(4, 3, name="last"), *tail):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="base")


def pooled(*tail):
    return keras.Sequential([keras.Input((8, 8, 3)), base(layers.GlobalAveragePooling2D()), *tail])


def fine_tuned():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), base(), layers.Flatten(), layers.Dense(3)]
    )


def nested():
    inner = keras.Sequential([keras.Input((8, 8, 3)), base(), layers.GlobalAveragePooling2D()])
    return keras.Sequential([keras.Input((8, 8, 3)), inner, layers.Dense(3)])


def in_a_functional():
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), base(), layers.Flatten()])
    return keras.Model(inputs, layers.Dense(3)(inner(inputs)))


def rotated():
    rotation = layers.RandomRotation(0.1)
    return keras.Sequential([keras.Input((8, 8, 3)), rotation, layers.Flatten(), layers.Dense(3)])


def as_before_3_10(value):
    """Write a config as earlier versions did: lists of one tensor, and a key that has gone."""
    if isinstance(value, list):
        return [as_before_3_10(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: as_before_3_10(item) for key, item in value.items()}
    if value.get("class_name") == "Functional":
        for key in ("input_layers", "output_layers"):
            value["config"][key] = [value["config"][key]]
    if value.get("class_name") == "RandomRotation":
        value["config"]["value_range"] = [0, 255]
    return value


BUILDERS = [
    lambda: pooled(layers.Dense(3)),
    lambda: pooled(layers.Dropout(0.1), layers.Dense(3)),
    fine_tuned,
    nested,
    in_a_functional,
    rotated,
]


@pytest.mark.parametrize("build", BUILDERS)
def test_models_of_earlier_versions_have_the_same_logits(tmp_path, build):
    model = build()
    now = files.save(model, tmp_path / "now.keras")
    before = files.with_config(now, tmp_path / "before.keras", as_before_3_10)
    loaded, _ = models.load_classifier(before)
    raw = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(loaded(raw, training=False), model(raw, training=False))


def test_keras_alone_does_not_take_them(tmp_path):
    now = files.save(pooled(layers.Dense(3)), tmp_path / "now.keras")
    before = files.with_config(now, tmp_path / "before.keras", as_before_3_10)
    assert keras.saving.load_model(before, compile=False).output_shape != (None, 3)


def test_a_config_of_the_installed_version_is_left_as_it_is(tmp_path):
    for build in BUILDERS:
        config = modelfiles.config(files.save(build(), tmp_path / f"{len(list(tmp_path.iterdir()))}.keras"))
        before = copy.deepcopy(config)
        assert older.current(config) == before == config


def test_the_identity_of_a_file_is_that_of_what_is_written_in_it(tmp_path):
    now = files.save(fine_tuned(), tmp_path / "now.keras")
    before = files.with_config(now, tmp_path / "before.keras", as_before_3_10)
    written = json.loads(files.members(before)[files.CONFIG])
    assert modelfiles.config(before) == {key: value for key, value in written.items() if key != "compile_config"}
    assert modelfiles.hashes(before)[0] != modelfiles.hashes(now)[0]
    assert modelfiles.hashes(before)[1] == modelfiles.hashes(now)[1]


@pytest.mark.parametrize("odd", [None, [], {}, 5, [[]], [[["x", 0, 0]]], "x"])
def test_odd_configs_are_left_to_keras(odd):
    for key in ("input_layers", "layers", "layer", "config"):
        functional = {"class_name": "Functional", "config": {key: odd} if key != "config" else odd}
        older.current({"class_name": "Sequential", "config": {"layers": [functional, odd], "layer": functional}})
        older.current({"class_name": "TimeDistributed", "config": {"layer": functional, "layers": odd}})
        older.current({"class_name": "RandomRotation", "config": odd})
