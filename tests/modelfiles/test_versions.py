"""Files of Keras 2, of a newer Keras 3, and in older formats are named as such, with how to convert them."""

import json
from importlib.metadata import version

import keras
import keras_files as files
import numpy as np
import pytest

from kdistill import modelfiles, models
from kdistill.core.errors import ModelError


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return files.save(files.residual(), tmp_path_factory.mktemp("good") / "m.keras")


def saved_by(source, path, found, change=lambda config: None):
    content = files.members(source)
    config = json.loads(content[files.CONFIG])
    change(config)
    metadata = json.dumps({"keras_version": found, "date_saved": "2024-01-01@00:00:00"}).encode()
    return files.write(path, {**content, files.CONFIG: json.dumps(config).encode(), files.METADATA: metadata})


def as_keras_2(config):
    config.update(module="keras.src.engine.functional", registered_name="Functional")


def with_an_old_key(config):
    config["config"]["layers"][2]["config"]["rng_type"] = "stateful"


def refusal(path):
    with pytest.raises(ModelError) as caught:
        models.load(path)
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.parametrize("change", [as_keras_2, with_an_old_key])
def test_a_model_of_keras_2_is_named_with_how_to_convert_it(good, tmp_path, change):
    error = refusal(saved_by(good, tmp_path / "m.keras", "2.15.0", change))
    assert "it was saved by Keras 2.15.0, and Keras 3 cannot take it over" in error.message
    assert "tf_keras.models.load_model(" in error.hint
    assert "keras.saving.load_model(" in error.hint


def test_a_model_of_keras_2_that_can_be_read_is_taken(good, tmp_path):
    path = saved_by(good, tmp_path / "m.keras", "2.15.0")
    assert models.fingerprint(models.load(path)) == models.fingerprint(models.load(good))


def test_a_newer_version_is_named_if_that_may_be_the_reason(good, tmp_path):
    def new_layer(config):
        config["config"]["layers"][2]["class_name"] = "Conv9D"

    for change in (new_layer, with_an_old_key):
        error = refusal(saved_by(good, tmp_path / "m.keras", "3.99.0", change))
        assert f"it was saved by Keras 3.99.0, which is newer than the installed {version('keras')}" in error.message
        assert f"Save it with Keras {version('keras')}" in error.hint
    assert "is newer than" not in refusal(saved_by(good, tmp_path / "m.keras", "3.3.3", new_layer)).message
    models.load(saved_by(good, tmp_path / "m.keras", "3.99.0"))


@pytest.mark.parametrize("found", [None, 5, [], "", "x", "2", "2.1\x1b[2J", "2." + "9" * 5000, {"a": 1}])
def test_other_metadata_changes_no_message(good, tmp_path, found):
    message = refusal(saved_by(good, tmp_path / "m.keras", found, with_an_old_key)).message
    assert "saved by" not in message
    assert message.isprintable()


@pytest.mark.parametrize("metadata", [b"", b"[", b"[" * 10_000, b"\xff", b"{}", b"null"])
def test_damaged_metadata_changes_no_message(good, tmp_path, metadata):
    path = saved_by(good, tmp_path / "m.keras", "2.15.0", with_an_old_key)
    files.write(path, {**files.members(path), files.METADATA: metadata})
    assert "saved by" not in refusal(path).message


def test_an_hdf5_file_is_named_and_the_advice_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = files.mlp()
    model.save("m.h5")
    error = refusal(tmp_path / "m.h5")
    assert f"received one in the older format HDF5, saved by Keras {version('keras')}" in error.message
    advice, _, otherwise = error.hint.removeprefix("Convert it: ").partition(". If Keras cannot load it")
    import_line, line = advice.replace("`", "").split(", ", 1)
    assert "`model.load_weights('m.h5')`" in otherwise
    exec(f"{import_line}\n{line}")
    raw = np.random.default_rng(0).random((2, 4, 4), np.float32)
    np.testing.assert_array_equal(models.load(tmp_path / "m.keras")(raw), model(raw))


def test_weights_alone_are_named(tmp_path):
    files.mlp().save_weights(tmp_path / "m.weights.h5")
    assert "the weights of a model without its layers" in refusal(tmp_path / "m.weights.h5").message


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\x89HDF\r\n\x1a\n" + b"\xff" * 5000])
def test_a_damaged_hdf5_file_is_named_by_its_ending(tmp_path, content):
    (tmp_path / "m.h5").write_bytes(content)
    assert refusal(tmp_path / "m.h5").message.endswith("received one in the older format HDF5")


def test_a_saved_model_is_named(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).export(tmp_path / "folder", verbose=False)
    assert refusal(tmp_path / "folder").message.endswith("received a folder in TensorFlow's SavedModel format")
    (tmp_path / "folder" / "keras_metadata.pb").write_bytes(b"")
    error = refusal(tmp_path / "folder")
    assert error.message.endswith("SavedModel format of Keras 2")
    assert "tf_keras.models.load_model('folder', compile=False)" in error.hint
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty").message.endswith("expected a `.keras` file; received a folder")


def test_a_model_without_input_shape_is_named(tmp_path):
    path = tmp_path / "m.keras"
    keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]).save(path)
    error = refusal(path)
    assert "it has no input shape" in error.message
    assert "model.build(" in error.hint


class Mine(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)

    def call(self, inputs):
        return self.last(self.first(inputs))


def test_a_subclass_of_model_is_named_and_the_advice_works(tmp_path):
    model, path = Mine(), tmp_path / "m.keras"
    raw = np.random.default_rng(0).random((2, 4), np.float32)
    expected = model(raw)
    model.save(path)
    assert "a subclass of keras.Model" in refusal(path).message
    inputs = keras.Input((4,))
    keras.Model(inputs, model.call(inputs)).save(path)
    np.testing.assert_array_equal(models.load(path)(raw), expected)


def test_one_output_in_a_dict_is_taken_and_several_are_named(tmp_path):
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(5)(inputs)
    first, second = keras.layers.Dense(3)(hidden), keras.layers.Dense(2)(hidden)
    raw = np.random.default_rng(0).random((2, 4), np.float32)
    path = tmp_path / "m.keras"
    for given, received in [(inputs, {"scores": first}), ({"x": inputs}, {"scores": first}), ([inputs], [first])]:
        model = keras.Model(given, received)
        loaded, _ = models.load_classifier(files.save(model, path), (4,), 3)
        assert models.fingerprint(loaded) == models.fingerprint(model)
        np.testing.assert_array_equal(loaded(raw), keras.Model(inputs, first)(raw))
    keras.Model(inputs, {"scores": first, "extra": second}).save(path)
    with pytest.raises(ModelError, match=r"received extra \(2,\), scores \(3,\)$"):
        models.load_classifier(path)


def test_an_accepted_file_says_nothing_of_its_version(good):
    assert json.loads(modelfiles.check(good).metadata)["keras_version"] == version("keras")
