"""CSV files as blocks of numbers: what training data and `predict` share."""

import numpy as np
import pytest

from kdistill.core.errors import DataError
from kdistill.datasets import csv_file
from kdistill.datasets.csv_file import CsvFile
from kdistill.datasets.table_format import Format


def test_a_file_is_read_in_blocks_with_the_lines_that_they_are_of(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeff"a", b,label\n\n1,2,x\n3,4e-1,y\n\n-5,6,z\n', encoding="utf-8")
    with csv_file.opened(tmp_path / "a.csv") as table:
        assert table.columns == ["a", "b", "label"]
        blocks = list(table.blocks(2, [1, 0], "hint"))
    assert [[line for line, _ in rows] for _, rows in blocks] == [[3, 4], [6]]
    assert [row[2] for _, rows in blocks for _, row in rows] == ["x", "y", "z"]
    np.testing.assert_array_equal(
        np.concatenate([found for found, _ in blocks]), np.float32([[2, 1], [0.4, 3], [6, -5]])
    )


def test_no_line_is_read_before_its_block_is_asked_for():
    def lines():
        yield "a,b\n"
        yield "1,2\n"
        raise AssertionError("read on")

    found, _ = next(CsvFile(lines(), "stream").blocks(1, [0, 1], "hint"))
    assert found.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it: expected a table that begins with the names of its columns; received nothing"),
        ("a,b,a\n", "it: expected different names of columns; received more than once: a"),
        ("a,b\n1,2\n1\n", "it, line 3: expected 2 cells; received 1"),
        ("a,b\n1,2,3\n", "it, line 2: expected 2 cells; received 3"),
        ("a,b\n1, \n", "it, line 2, column 'b': expected a finite number; received nothing"),
        ("a,b\n1,1_0\n", "it, line 2, column 'b': expected a finite number; received '1_0'"),
        ("a,b\n1,-inf\n", "it, line 2, column 'b': expected a finite number; received '-inf'"),
        ("a,b\n1,1e60\n", "it, line 2, column 'b': expected a finite number; received '1e60'"),
        ("a,b\n1," + "x" * 99, f"it, line 2, column 'b': expected a finite number; received '{'x' * 40}'"),
        ('a,b\n1,"2', "it, line 2: cannot be read as CSV: unexpected end of data"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, message):
    with pytest.raises(DataError) as caught:
        list(CsvFile(text.splitlines(keepends=True), "it").blocks(10, [0, 1], "hint"))
    assert caught.value.message == message


def test_a_cell_that_is_no_feature_may_hold_anything():
    table = CsvFile(["a,id\n", "1,no_number\n"], "it")
    assert [found.tolist() for found, _ in table.blocks(10, [0], "hint")] == [[[1]]]


def test_what_cannot_be_read_is_told_from_what_is_no_text(tmp_path):
    with pytest.raises(DataError, match="cannot be read: expected a regular file"), csv_file.opened(tmp_path):
        pass
    (tmp_path / "a.csv").write_bytes(b"a\xff\n")
    form = Format(encoding="utf-8")
    with pytest.raises(DataError, match="expected text in UTF-8"), csv_file.opened(tmp_path / "a.csv", form):
        pass
