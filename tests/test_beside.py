"""Names of classes and features in the folder of a model."""

import pytest

from kdistill import beside
from kdistill.errors import ModelError

KNOWN = [(beside.CLASSES, beside.class_names), (beside.FEATURES, beside.feature_names)]


def test_names_are_what_was_written(tmp_path):
    model = tmp_path / "model.keras"
    assert beside.class_names(model) is beside.feature_names(model) is None
    beside.write(tmp_path, ("cat", "dog"), ())
    assert beside.class_names(model) == ["cat", "dog"]
    assert beside.feature_names(model) is None
    beside.write(tmp_path, ("cat", "dog"), ("width", "h\u00f6he"))
    assert beside.feature_names(model) == ["width", "h\u00f6he"]
    assert beside.class_names(tmp_path / "none" / "model.keras") is None


@pytest.mark.parametrize(("file", "read"), KNOWN)
@pytest.mark.parametrize("text", ["{}", "[1, 2]", "not JSON", "[" * 100_000, b"\xff"])
def test_what_is_no_list_of_names_is_refused(tmp_path, file, read, text):
    (tmp_path / file).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ModelError, match=f"{file}: expected a JSON list"):
        read(tmp_path / "model.keras")
