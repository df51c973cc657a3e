"""Names of classes and features in the folder of a model."""

import pytest

from kdistill.core.errors import ModelError
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
