"""CSV tables: what is read of them, and what is said of a cell, a row or a column that does not fit."""

import csv

import numpy as np
import own_data
import pytest

from kdistill.core.errors import ConfigError, DataError
from kdistill.datasets.user import csv_table, load

FEATURES = own_data.arrays(validation=10, shape=(4,))


def read(path, **keys):
    return load.read(own_data.data("csv", path, **{"label": "kind", **keys}))


def text_of(tmp_path, text, **keys):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, **{"test": 0.5, **keys})


@pytest.fixture
def folder(tmp_path):
    for part, ending in (("train", "train"), ("test", "test"), ("validation", "val")):
        own_data.write_csv(tmp_path / f"{part}.csv", FEATURES[f"x_{ending}"], FEATURES[f"y_{ending}"])
    return tmp_path


def test_a_folder_brings_its_parts(folder):
    source = read(folder)
    assert source.classes == own_data.CLASSES
    assert source.scale is None
    for part, ending in (("train", "train"), ("test", "test"), ("validation", "val")):
        split = getattr(source, part)
        assert split.images.dtype == np.float32
        np.testing.assert_array_equal(split.images, FEATURES[f"x_{ending}"])
        np.testing.assert_array_equal(split.labels, FEATURES[f"y_{ending}"])


def test_parts_have_any_of_their_usual_names(folder):
    plain = read(folder)
    (folder / "train.csv").rename(folder / "Training.CSV")
    (folder / "test.csv").rename(folder / "test_set.csv")
    (folder / "validation.csv").rename(folder / "valid.csv")
    assert read(folder).fingerprint == plain.fingerprint
    (folder / "dev.csv").write_text("")
    with pytest.raises(DataError, match=r"expected one of valid.csv and dev.csv; received both"):
        read(folder)


def test_other_parts_are_found_beside_a_file_of_train_unless_test_is_a_share_of_it(folder):
    plain = read(folder)
    for part in ("train", "test", "validation"):
        (folder / f"{part}.csv").rename(folder / f"my_{part}.csv")
    for path in (folder, folder / "my_train.csv"):
        source = read(path)
        assert source.fingerprint == plain.fingerprint
        assert "Parts of the data: train is my_train.csv, test is my_test.csv" in source.notes[0]
    assert len(read(folder / "my_train.csv", test=0.25).test) == 10
    (folder / "my_test.csv").unlink()
    (folder / "my_validation.csv").unlink()
    with pytest.raises(ConfigError, match="has no test part"):
        read(folder / "my_train.csv")


def test_one_file_is_divided(folder):
    source = read(folder / "train.csv", test=0.25)
    assert (len(source.train), len(source.test)) == (30, 10)
    assert not set(source.train.rows) & set(source.test.rows)


def test_columns_may_have_another_order_in_test(folder):
    with open(folder / "test.csv") as file:
        rows = [list(reversed(row)) for row in csv.reader(file)]
    with open(folder / "test.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    np.testing.assert_array_equal(read(folder).test.images, FEATURES["x_test"])


def test_spreadsheets_files_are_read(tmp_path):
    text = '\ufeffkind,"size, in m"\r\n a ,1e3\r\n\r\n"b", -2.5 \r\na,0\r\nb,7\r\n'
    source = text_of(tmp_path, text)
    assert source.classes == ("a", "b")
    assert source.train.images[:, 0].tolist() == [1000.0, -2.5, 0.0, 7.0]
    assert source.train.labels.tolist() == [0, 1, 0, 1]


def test_names_may_have_underscores(tmp_path):
    assert text_of(tmp_path, "kind,a\nx_1,1\ny_1,2\nx_1,3\ny_1,4\n").classes == ("x_1", "y_1")


def test_numbers_as_labels_are_classes_in_the_order_of_numbers(tmp_path):
    rows = "".join(f"{label},1\n" for label in (10, 9, -1, 10, 9, -1))
    source = text_of(tmp_path, f"kind,a\n{rows}")
    assert source.classes == ("-1", "9", "10")
    assert source.train.labels.tolist() == [2, 1, 0, 2, 1, 0]


def test_many_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "ROWS_AT_ONCE", 7)
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    path = own_data.write_csv(tmp_path / "a.csv", x, np.arange(100) % 2)
    source = read(path, test=0.5)
    np.testing.assert_array_equal(source.train.images, x)
    assert source.train.labels.tolist() == [0, 1] * 50


HEAD = "kind,a,b\n" + "x,1,2\ny,3,4\n" * 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"a.csv: expected a table .* received nothing"),
        ("\n\n", r"a.csv: expected a table .* received nothing"),
        ("kind,a,b\n", "expected rows below the names of the columns"),
        ("sort,a,b\nx,1,2\n", r"expected a column 'kind', which data.label names; received 'sort', 'a', 'b'"),
        ("kind,a,a\nx,1,2\n", "different names of columns; received more than once: a"),
        ("kind\nx\n", "expected columns besides the label 'kind'"),
        (HEAD + "x,1,no\n", r"a.csv, line 6, column 'b': expected a finite number; received 'no'"),
        (HEAD + "x,1,\n", r"a.csv: values are missing: b \(1 of 5\)"),
        (HEAD + "x, ,1\nx,nan,?\n", r"a.csv: values are missing: a \(2 of 6\), b \(1 of 6\)"),
        (HEAD + "x,1,2\0\n", r"a.csv: a NUL byte at position 38: expected text"),
        (HEAD + "x,1,-inf\n", r"a.csv, line 6, column 'b': .*received '-inf'"),
        (HEAD + "x,1,1e999\n", r"a.csv, line 6, column 'b': .*received '1e999'"),
        (HEAD + "x,1_0,1\n", r"a.csv, line 6, column 'a': .*received '1_0'"),
        (HEAD + "x,1,1e39\n", r"a.csv, line 6, column 'b': .*received '1e39'"),  # infinite in float32
        (HEAD + "\n\nx,1,no\n", r"a.csv, line 8, column 'b'"),
        (HEAD + "x,1\n", r"a.csv, line 6: expected 3 cells; received 2"),
        (HEAD + "x,1,2,3\n", r"a.csv, line 6: expected 3 cells; received 4"),
        (HEAD + ",1,2\n", r"a.csv: 1 of 5 labels is missing; the first is in line 6"),
        (HEAD + 'x,"1,2\n', r"a.csv, line \d: cannot be read as CSV"),
        (HEAD + 'x,"1"2,3\n', r"a.csv, line 6: cannot be read as CSV"),
        (HEAD.encode() + b"x,1,\xff\n", "a.csv, line 6, column 'b': expected a finite number; received 'ÿ'"),
        ("kind,a\nx,1\nx,2\nx,3\nx,4\n", "expected examples of at least two classes"),
    ],
)
def test_faults_are_named_by_line_and_column(tmp_path, text, problem):
    with pytest.raises(DataError, match=problem):
        text_of(tmp_path, text) and load.load(own_data.data("csv", tmp_path / "a.csv", label="kind", test=0.5))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1,2,3\n4,5,6\n", "The first line has only numbers. If it is data, set data.header: false"),
        ("kinds,a\nx,1\n", "Did you mean 'kinds'?"),
        ("sort,a\nx,1\n", "Set data.label"),
    ],
)
def test_a_missing_label_column_has_a_likely_reason(tmp_path, text, hint):
    with pytest.raises(DataError, match="expected a column 'kind'") as raised:
        text_of(tmp_path, text)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace(",d\n", ",e\n", 1), r"test.csv: expected the columns of .*train.csv: d is missing"),
        (lambda text: text.replace("light", "grey"), r"test.csv: .*those of .*train.csv: received grey"),
    ],
)
def test_test_has_to_be_like_train(folder, change, problem):
    path = folder / "test.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=problem):
        read(folder)


def test_a_further_column_in_test_is_named(folder):
    path = folder / "test.csv"
    path.write_text("\n".join(f"{line},{'e' if not number else 1}" for number, line in enumerate(
        path.read_text().splitlines())))  # fmt: skip
    with pytest.raises(DataError, match=r"expected the columns of .*train.csv: e is not in it"):
        read(folder)


def test_places_that_hold_no_table(tmp_path):
    with pytest.raises(DataError, match=r"expected train.csv in this folder"):
        read(tmp_path)
    for name in ("train.csv", "validation.csv", "val.csv"):
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=r"one of validation.csv and val.csv; received both"):
        read(tmp_path)


@pytest.mark.parametrize("label", ["--1", "1" * 5000])
def test_names_that_look_like_numbers_are_names(tmp_path, label):
    assert text_of(tmp_path, "kind,a\n" + f"{label},1\n2,2\n" * 2).classes == tuple(sorted([label, "2"]))


def test_a_table_of_very_many_columns_takes_no_time_for_their_names(tmp_path):
    """60,000 genes; to compare each name with each other would come to the limit of a test that hangs."""
    header = ",".join(["kind", *(f"g{number}" for number in range(60_000))])
    row = ",1" * 60_000
    (tmp_path / "test.csv").write_text(f"{header}\nx{row}\ny{row}\n")
    (tmp_path / "train.csv").write_text(f"{header}\nx{row}\ny{row}\n")
    assert read(tmp_path).train.images.shape == (2, 60_000)
