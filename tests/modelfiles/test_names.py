"""Names of classes and features in the folder of a model."""

import json

import pytest

from kdistill.core.errors import ModelError
from kdistill.core.task import MULTI, SINGLE
from kdistill.modelfiles import names

KNOWN = [(names.CLASSES, names.class_names), (names.FEATURES, names.feature_names)]


def test_names_are_what_was_written(tmp_path):
    model = tmp_path / "model.keras"
    assert names.class_names(model) is names.feature_names(model) is None
    names.write(tmp_path, ("cat", "dog"), ())
    assert names.class_names(model) == ["cat", "dog"]
    assert names.feature_names(model) is None
    names.write(tmp_path, ("cat", "dog"), ("width", "h\u00f6he"))
    assert names.feature_names(model) == ["width", "h\u00f6he"]
    assert names.class_names(tmp_path / "none" / "model.keras") is None


@pytest.mark.parametrize(("file", "read"), KNOWN)
@pytest.mark.parametrize("text", ["{}", "[1, 2]", "not JSON", "[" * 100_000, b"\xff"])
def test_what_is_no_list_of_names_is_refused(tmp_path, file, read, text):
    (tmp_path / file).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ModelError, match=f"{file}: expected a JSON list"):
        read(tmp_path / "model.keras")


def test_names_that_an_export_brought_along_are_not_those_of_another_model(tmp_path):
    names.write(tmp_path, ("cat", "dog"), ("width",), {"decimal": ","}, MULTI)
    record = tmp_path / "big.tflite.json"
    record.write_text(json.dumps({"sha256_of_export": "x", "model": "models/big.keras"}))
    other, export = tmp_path / "other.keras", tmp_path / "big.tflite"
    assert names.are_of_export(other)
    assert names.class_names(other) is names.feature_names(other) is names.inputs(other) is None
    assert names.task_of(other) is SINGLE
    assert names.class_names(export) == ["cat", "dog"]
    assert names.task_of(export) is MULTI
    record.write_text(json.dumps({"sha256_of_export": "x", "model": "other.keras"}))
    assert names.class_names(other) == ["cat", "dog"], "the exported model itself"
    record.write_text(json.dumps({"sha256_of_export": "x", "model": "models/big.keras"}))
    (tmp_path / "manifest.json").touch()
    assert names.class_names(other) == ["cat", "dog"], "the folder of a run has names of its own"
    (tmp_path / "manifest.json").unlink()
    record.write_text("[not a record")
    assert names.class_names(other) == ["cat", "dog"]
