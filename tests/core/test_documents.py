"""Documents that a person, a disk or another version may have changed: what is wrong with them is said."""

import json
import os

import pytest

from kdistill.core import documents, files
from kdistill.core.documents import Shape
from kdistill.core.errors import DamagedError


class Row(Shape):
    name: str
    value: float | None = None


class Table(Shape):
    rows: list[Row]


SOUND = {"rows": [{"name": "a", "value": 1}, {"name": "b", "more": 2}], "other": None}


def test_a_sound_document_comes_back_as_it_is(tmp_path):
    path = tmp_path / "a.json"
    assert documents.read(path, Table) is None
    files.write_json(path, SOUND)
    assert documents.read(path, Table) == SOUND
    files.write_sealed(path, SOUND)
    assert documents.read(path, Table) == SOUND
    assert documents.read_sealed(path, Table) == SOUND
    assert documents.sealed_damage(path, Table) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a JSON object: Expecting value"),
        ("[1]", "expected a JSON object; received something else"),
        ("[" * 100_000, "too many levels"),
        ("{}", "rows: field required"),
        ('{"rows": [{"name": "a"}, {"name": 3}]}', "rows.1.name: input should be a valid string"),
        ('{"rows": [{"name": "a", "value": "1"}]}', "rows.0.value: input should be a valid number"),
        ('{"rows": [{"name": "a", "value": NaN}]}', "rows.0.value: input should be a finite number"),
        (json.dumps({**SOUND, files.SEAL: "0" * 64}), "it is not what was written: its SHA-256 differs"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, problem):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DamagedError) as raised:
        documents.read(path, Table)
    assert problem in str(raised.value)
    assert documents.sealed_damage(path, Table) == "a.json is not what was written"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DamagedError, match="cannot be read: expected a regular file"):
        documents.read(tmp_path / "pipe.json", Table)


def test_a_sealed_document_of_another_kind_is_not_taken(tmp_path):
    path = tmp_path / "a.json"
    files.write_sealed(path, {"columns": []})
    assert files.read_sealed(path) == {"columns": []}
    assert documents.read_sealed(path, Table) is None
    assert documents.sealed_damage(path, Table) == "a.json is not what was written"


def test_a_seal_holds_for_keys_that_are_numbers(tmp_path):
    """As text they have another order."""
    files.write_sealed(tmp_path / "a.json", {"counts": {2: "b", 10: "a"}})
    assert files.read_sealed(tmp_path / "a.json") == {"counts": {"2": "b", "10": "a"}}
