"""CSV tables as people have them: separators, encodings, categories, missing values, row numbers, pixels."""

import re

import numpy as np
import own_data
import pytest
from heard import Heard

from kdistill import config
from kdistill.core.errors import ConfigError, DataError
from kdistill.datasets import csv_file, table_format
from kdistill.datasets.table_format import Format
from kdistill.datasets.user import csv_table, load, table_survey

ROWS = [("x", 1.5, 2), ("y", 3, -4.25), ("x", 0.5, 1e3), ("y", 2, 7)]
NUMBERS = np.float32([row[1:] for row in ROWS])


def written(path, separator=",", decimal=".", encoding="utf-8", header=("kind", "a", "b"), rows=ROWS):
    lines = [separator.join(header)] if header else []
    for row in rows:
        lines.append(separator.join(str(cell).replace(".", decimal) for cell in row))
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
    return path


def read(path, listener=None, **keys):
    return load.read(own_data.data("csv", path, **{"label": "kind", "test": 0.5, **keys}), listener)


def text(tmp_path, content, **keys):
    (tmp_path / "a.csv").write_text(content)
    notes = Heard()
    return read(tmp_path / "a.csv", notes, **keys), notes.notes


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"separator": ";", "decimal": ","}, "columns are separated by semicolons; the decimal mark is a comma"),
        ({"separator": ";"}, "columns are separated by semicolons"),
        ({"separator": "\t"}, "columns are separated by tabs"),
        ({"separator": "\t", "decimal": ","}, "columns are separated by tabs; the decimal mark is a comma"),
        ({"separator": "|"}, "columns are separated by vertical bars"),
        ({"encoding": "utf-8-sig"}, "it is UTF-8 with a byte order mark"),
        ({"encoding": "utf-16"}, "it is UTF-16"),
        ({"encoding": "utf-16", "separator": "\t"}, "columns are separated by tabs; it is UTF-16"),
        ({}, None),
    ],
)
def test_how_a_table_is_written_is_told_from_it(tmp_path, form, told):
    notes = Heard()
    source = read(written(tmp_path / "a.csv", **form), notes)
    np.testing.assert_array_equal(source.train.images, NUMBERS)
    assert source.classes == ("x", "y")
    said = [note for note in notes.notes if "Reading" not in note]
    assert said == ([f"{tmp_path / 'a.csv'}: {told}"] if told else [])
    given = {"separator": ",", "decimal": ".", "encoding": "utf-8", **form}
    assert read(tmp_path / "a.csv", **given).fingerprint == source.fingerprint


def test_text_that_is_not_utf8_is_latin_1_and_that_is_said(tmp_path):
    rows = [("é", 1, 2), ("ü", 3, 4)] * 2
    notes = Heard()
    assert read(written(tmp_path / "a.csv", encoding="latin-1", rows=rows), notes).classes == ("é", "ü")
    assert any("read as latin-1: set data.encoding if names look wrong" in note for note in notes.notes)
    assert read(tmp_path / "a.csv", encoding="cp1251").classes == ("й", "ь")


def test_what_may_be_read_in_two_ways_is_asked_for(tmp_path):
    with pytest.raises(DataError, match="columns may be separated by commas or semicolons") as raised:
        text(tmp_path, "kind,a;b\nx,1;2\ny,3;4\n")
    assert "data.separator" in raised.value.hint
    with pytest.raises(DataError, match="the comma in 1,234 may be a decimal mark, or separate thousands"):
        text(tmp_path, "kind;a\nx;1,234\ny;5,678\n")
    source, _ = text(tmp_path, "kind;a\n" + "x;1,234\ny;5,678\n" * 2, decimal=",")
    np.testing.assert_allclose(source.train.images[:2, 0], [1.234, 5.678])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_has_nul_bytes(tmp_path, encoding):
    path = written(tmp_path / "a.csv", encoding=encoding)
    with pytest.raises(DataError, match="NUL byte") as raised:
        read(path)
    assert "utf-16" in raised.value.hint
    np.testing.assert_array_equal(read(path, encoding=encoding).train.images, NUMBERS)


@pytest.mark.parametrize(
    ("first", "is_data"),
    [
        ("kind,a,b", False),
        ("0.189,-0.523,a", True),
        ("6,148,72,35", True),
        ("a,5", True),
        ("0,1,2,kind", False),  # as pandas counts columns
        ("2019,2020,2021,kind", False),
        ("p,x,s,n", False),  # nothing tells: see the next test
    ],
)
def test_a_first_line_of_data_is_no_header(first, is_data):
    if is_data:
        with pytest.raises(DataError, match="the first line looks like data") as raised:
            csv_file.CsvFile([f"{first}\n"], "it")
        assert "data.header: false" in raised.value.hint
    else:
        assert csv_file.CsvFile([f"{first}\n"], "it").columns == first.split(",")
    assert csv_file.CsvFile([f"{first}\n"], "it", Format(header=True)).columns == first.split(",")


def test_a_name_that_is_also_a_value_looks_like_data(tmp_path):
    content = "p,red,round\n" + "p,red,flat\ne,blue,flat\n" * 4
    with pytest.raises(DataError, match="the first line looks like data: red also in the rows below"):
        text(tmp_path, content, label="p")
    source, _ = text(tmp_path, content, label="1", header=False)
    assert source.features == ("2=blue", "2=red", "3=flat", "3=round")
    assert len(source.train) + len(source.test) == 9


def test_without_a_line_of_names_columns_are_numbers_and_no_row_is_lost(tmp_path):
    path = written(tmp_path / "a.csv", header=None)
    source = read(path, label="1", header=False)
    np.testing.assert_array_equal(source.train.images, NUMBERS)
    assert source.features == ("2", "3")
    assert source.inputs["header"] is False
    with pytest.raises(DataError, match="expected a column 'kind'") as raised:
        read(path, header=False)
    assert "from 1 to 3" in raised.value.hint


def test_a_whole_number_is_taken_as_the_name_of_a_column(tmp_path):
    assert own_data.data("csv", tmp_path, label=4, drop=[1, "a"]).label == "4"
    assert own_data.data("csv", tmp_path, label=4, drop=[1, "a"]).drop == ("1", "a")


def indexed(numbers, name=""):
    rows = "".join(f"{number},{value}.5,{'ab'[value % 2]}\n" for value, number in enumerate(numbers))
    return f"{name},w,kind\n{rows}"


@pytest.mark.parametrize(
    ("name", "numbers", "is_left_out"),
    [
        ("", [7, 7, 8, 9] * 3, True),
        ("Unnamed: 0", [7, 7, 8, 9] * 3, True),
        ("id", range(12), True),
        ("id", range(1, 13), True),
        ("id", [3, 1, 2, *range(4, 13)], True),
        ("id", range(2, 14), False),
        ("id", [*range(11), 12], False),
        ("id", [*range(11), 10], False),
        ("id", range(8), False),  # too few to tell
    ],
)
def test_row_numbers_are_left_out_and_named(tmp_path, name, numbers, is_left_out):
    content = indexed(numbers, name)
    source, notes = text(tmp_path, content)
    called = name if name == "id" else "column 1"
    assert source.features == (("w",) if is_left_out else (called, "w"))
    assert (
        any("left out" in note and called in note and f"data.keep: [{called}]" in note for note in notes) == is_left_out
    )
    kept, _ = text(tmp_path, content, keep=[called])
    assert kept.features == (called, "w")
    np.testing.assert_array_equal(kept.train.images[:, 0], np.float32(list(numbers)))


def test_columns_may_be_left_out(tmp_path):
    source, _ = text(tmp_path, "kind,a,id,b\n" + "x,1,p9,2\ny,3,q9,4\n" * 3, drop=["id", "a"])
    assert source.features == ("b",)
    for keys, problem in (
        ({"drop": ["idd"]}, "data.drop: there is no column 'idd'; the columns are kind, a, id, b"),
        ({"keep": ["z"]}, "data.keep: there is no column 'z'"),
        ({"drop": ["kind"]}, "data.drop names the label column 'kind'"),
        (
            {"drop": ["a", "b", "id"]},
            "expected columns besides the label 'kind'; received columns that are left out: a, id",
        ),
    ):
        with pytest.raises(DataError, match=problem):
            read(tmp_path / "a.csv", **keys)


MIXED = "kind,size,colour,sold\n" + "x,1,red,TRUE\ny,2,blue,False\nx,3, red ,true\ny,5,green,false\n"


def test_text_is_one_hot_and_the_mapping_is_known(tmp_path):
    source, notes = text(tmp_path, MIXED)
    assert source.features == ("size", "colour=blue", "colour=green", "colour=red", "sold=false", "sold=true")
    expected = [[1, 0, 0, 1, 0, 1], [2, 1, 0, 0, 1, 0], [3, 0, 0, 1, 0, 1], [5, 0, 1, 0, 1, 0]]
    np.testing.assert_array_equal(source.train.images, np.float32(expected))
    assert source.inputs == {
        "columns": [
            {"name": "size"},
            {"name": "colour", "categories": ["blue", "green", "red"]},
            {"name": "sold", "categories": ["false", "true"]},
        ]
    }
    assert any("categories, each a feature of 0 or 1: colour (3), sold (2)" in note for note in notes)


def test_numbers_alone_need_no_mapping(tmp_path):
    assert read(written(tmp_path / "a.csv")).inputs is None


@pytest.mark.parametrize(
    ("cells", "problem", "hint"),
    [
        (
            ["1", "2", "x", "4"],
            r"line 4, column 'a': expected a finite number; received 'x'",
            "3 cells are numbers and 1",
        ),
        ([str(i) + "x" for i in range(101)], "text with more than 100 different values", r"data.drop: \[a\]"),
        ([str(i) + "x" for i in range(12)], "another text in each of the 12 rows", r"data.drop: \[a\]"),
        (["", "NA", "?", "null"], "column 'a' has no value", r"data.drop: \[a\]"),
    ],
)
def test_columns_that_are_neither_are_refused_by_name(tmp_path, cells, problem, hint):
    rows = "".join(f"{'xy'[row % 2]},{cell},{row % 3}\n" for row, cell in enumerate(cells))
    with pytest.raises(DataError, match=problem) as raised:
        text(tmp_path, f"kind,a,b\n{rows}")
    assert re.search(hint, raised.value.hint)
    assert read(tmp_path / "a.csv", drop=["a"]).features == ("b",)


HOLES = "kind,size,colour\n" + "x,1,red\ny,,blue\nx,4,?\ny,NA,red\nx,7,red\n"


def test_missing_values_are_counted_by_column(tmp_path):
    with pytest.raises(DataError, match=r"a.csv: values are missing: size \(2 of 5\), colour \(1 of 5\)") as raised:
        text(tmp_path, HOLES)
    assert "data.missing: mean" in raised.value.hint


def test_missing_values_may_get_the_mean_of_train(tmp_path):
    source, notes = text(tmp_path, HOLES, missing="mean")
    expected = [[1, 0, 1], [4, 1, 0], [4, 0.25, 0.75], [4, 0, 1], [7, 0, 1]]
    np.testing.assert_allclose(source.train.images, expected)
    assert source.inputs["columns"] == [
        {"name": "size", "means": [4.0]},
        {"name": "colour", "categories": ["blue", "red"], "means": [0.25, 0.75]},
    ]
    assert any("missing values, which get the mean of train: size (2), colour (1)" in note for note in notes)


def parts(tmp_path, train, test):
    (tmp_path / "train.csv").write_text(train)
    (tmp_path / "test.csv").write_text(test)
    return tmp_path


def test_test_is_read_as_train_is(tmp_path):
    folder = parts(tmp_path, HOLES, "colour,size,kind\nred,,x\npink,2,y\nblue,3,x\n")
    source = read(folder, test=None, missing="mean")
    np.testing.assert_allclose(source.test.images, [[4, 0, 1], [2, 0, 0], [3, 1, 0]])
    warning, shared = source.warnings
    assert shared.startswith("1 of the 3 examples of test is identical")  # blue and 3
    assert "test.csv: column 'colour' has 1 value that train has not: pink" in warning
    assert read(folder, test=None, missing="mean").warnings == source.warnings  # also from the cache


def test_missing_values_of_test_are_counted_too(tmp_path):
    whole = "kind,a\n" + "x,1\ny,2\n" * 3
    folder = parts(tmp_path, whole, "kind,a\nx,1\ny,\n")
    with pytest.raises(DataError, match=r"test.csv: values are missing: a \(1 of 2\); the first is in line 3"):
        read(folder, test=None)
    parts(tmp_path, whole, "kind,a\nx,1\ny,red\n")
    with pytest.raises(DataError, match=r"test.csv, line 3, column 'a': expected a finite number; received 'red'"):
        read(folder, test=None)


def test_a_part_without_labels_says_how_to_use_train_alone(tmp_path):
    folder = parts(tmp_path, "kind,a\n" + "x,1\ny,2\n" * 3, "a\n1\n2\n")
    with pytest.raises(DataError, match=r"test.csv: this part has no labels: expected a column 'kind'") as raised:
        read(folder, test=None)
    assert "data.path" in raised.value.hint
    assert len(read(folder / "train.csv").train) == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_a_table_of_pixels_becomes_images(tmp_path, channels):
    shape = (4, 3) if channels == 1 else (4, 3, 3)
    images = np.random.default_rng(0).integers(0, 256, (12, *shape))
    lines = [",".join(["kind", *(f"pixel{n}" for n in range(images[0].size))])]
    lines += [",".join(["xy"[n % 2], *map(str, image.ravel())]) for n, image in enumerate(images)]
    source, notes = text(tmp_path, "\n".join(lines), image_size=[4, 3])
    assert source.train.images.dtype == np.uint8
    np.testing.assert_array_equal(source.train.images, images)
    assert source.scale == 1 / 255
    assert source.features[:2] == ("pixel0", "pixel1")
    assert any(f"are images of {' x '.join(map(str, shape))}" in note for note in notes)
    with pytest.raises(DataError, match=r"expected 25 columns for images of 5 x 5, or 75 with 3 colours; received"):
        read(tmp_path / "a.csv", image_size=[5, 5])


def test_pixels_that_are_no_bytes_stay_numbers(tmp_path):
    source, _ = text(tmp_path, "kind,a,b\n" + "x,0.5,1\ny,1,0\n" * 3, image_size=[1, 2])
    assert source.train.images.dtype == np.float32
    assert source.train.images.shape == (6, 1, 2)
    assert source.scale == 1.0
    with pytest.raises(DataError, match="expected numbers in all columns; b has text"):
        text(tmp_path, "kind,a,b\n" + "x,5,p\ny,1,q\n" * 3, image_size=[1, 2])


def test_settings_that_are_not_set_leave_a_conversion_where_it_was():
    assert csv_table.Reading("kind").settings == {"label": "kind"}
    changed = csv_table.Reading("kind", Format(separator=";", header=False), ["a"], ["b"], True, (2, 3)).settings
    assert changed == {
        "label": "kind", "separator": ";", "header": False, "drop": ["a"], "keep": ["b"], "missing": "mean",
        "image_size": [2, 3],
    }  # fmt: skip


def test_many_rows_are_surveyed_and_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(csv_table.table_survey, "ROWS_AT_ONCE", 5)
    rows = "".join(f"{n},{'xy'[n % 2]},{n / 4},{'pqr'[n % 3] if n > 20 else ''}\n" for n in range(60))
    source, _ = text(tmp_path, f"id,kind,a,c\n{rows}", missing="mean")
    assert source.features == ("a", "c=p", "c=q", "c=r")
    np.testing.assert_array_equal(source.train.images[:, 0], np.arange(60, dtype=np.float32) / 4)
    np.testing.assert_allclose(source.train.images[:21, 1:], np.full((21, 3), 1 / 3), rtol=1e-6)


def test_mixed_columns_are_read_with_a_few_passes_over_a_block(tmp_path, monkeypatch):
    """One by one, the columns of a wide table take as many passes as there are columns."""
    calls = []
    numbers = csv_file.CsvFile.numbers
    monkeypatch.setattr(csv_file.CsvFile, "numbers", lambda *given: calls.append(len(given[2])) or numbers(*given))
    header = ["kind", "colour", *(f"c{number}" for number in range(64))]
    rows = [("xy"[row % 2], "red" if row % 3 else "blue", *range(3 * row, 3 * row + 64)) for row in range(12)]
    source, _ = text(tmp_path, "".join(",".join(map(str, line)) + "\n" for line in [header, *rows]))
    np.testing.assert_array_equal(source.train.images[:, 2:], [row[2:] for row in rows])
    np.testing.assert_array_equal(source.train.images[:, :2], [[row[1] == "blue", row[1] == "red"] for row in rows])
    assert len(calls) < 32


def test_a_column_that_counts_rows_keeps_no_other_column_in_memory():
    block = np.arange(40, dtype=np.float32).reshape(10, 4)
    found = table_survey.Found("a", 0)
    found.add_numbers(block[:, 0])
    assert not any(np.shares_memory(kept, block) for kept in found.counting)


def test_a_format_is_known_from_its_document():
    form = Format(";", ",", "latin-1", False)
    assert Format.of(form.document()) == form
    assert Format(",", ".", "utf-8", True).document() == {}
    with pytest.raises(ValueError, match="expected text"):
        Format.of({"separator": 5})
    assert table_format.separator_of(["a b\n"], "it") is None


GERMAN = "kind;price;n\n" + "x;2.514,23;1\ny;1.234;2\nx;999,5;3\ny;12.345.678,00;4\n"


@pytest.mark.parametrize(
    ("content", "told", "values"),
    [
        (GERMAN, "the decimal mark is a comma; thousands are separated by points", [2514.23, 1234, 999.5, 12345678]),
        ('kind,price\nx,"2,514.23"\ny,3\nx,"1,234"\ny,7\n', "thousands are separated by commas", [2514.23, 3, 1234, 7]),
        ("kind;price\nx;1 234,5\ny;3\nx;1 234\ny;7\n", "thousands are separated by spaces", [1234.5, 3, 1234, 7]),
        ("kind;price\nx;1'234.5\ny;3\nx;1\u2019234\ny;7\n", "by apostrophes", [1234.5, 3, 1234, 7]),
        ("kind;price\nx;1.234.567\ny;3\nx;1.234\ny;7\n", "by points", [1234567, 3, 1234, 7]),
    ],
)
def test_marks_between_thousands_are_told_where_one_reading_is_possible(tmp_path, content, told, values):
    source, notes = text(tmp_path, content)
    np.testing.assert_array_equal(source.train.images[:, 0], np.float32(values))
    assert any(told in note for note in notes)
    assert source.inputs["thousands"] in ".,' "


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        ("kind;n;p\nx;1.234;2,5\ny;2.345;3,5\n", "column 'n' has numbers in another form, such as '1.234'", "'.'"),
        ('kind,n,p\nx,"1,234",2.5\ny,"2,345",3.5\n', "column 'n' has numbers in another form, such as '1,234'", "','"),
        ('kind,n,p\nx,"1,234",2.5\ny,2,3.5\n', "line 2, column 'n': expected a finite number; received '1,234'", "','"),
        ("kind;n;p\nx;1 234;2,5\ny;2;3,5\n", "line 2, column 'n': expected a finite number; received '1 234'", "' '"),
        (
            "kind;n;p\nx;0.5;2,5\ny;0.25;3,5\n",
            r"column 'p' has numbers in another form, such as '2,5'; the decimal mark is '.'",
            "",
        ),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_no_categories(tmp_path, content, said, hint):
    with pytest.raises(DataError, match=said) as raised:
        text(tmp_path, content)
    assert (f"If {hint} separates thousands, set data.thousands" in raised.value.hint) == bool(hint)
    assert "data.drop: [" in raised.value.hint
    if hint:
        source, _ = text(tmp_path, content * 1 + content.split("\n", 1)[1], thousands=hint[1])
        assert source.train.images[0, 0] == 1234


def test_a_mark_for_thousands_is_no_decimal_mark(tmp_path):
    source, _ = text(tmp_path, "kind;n\n" + "x;1,234\ny;5,678\n" * 2, thousands=",")
    assert source.train.images[:2, 0].tolist() == [1234, 5678]
    with pytest.raises(ConfigError, match=r"data.thousands: it is the decimal mark too"):
        config.load(None, ["data.dataset=csv", "data.path=a", "data.label=x", "data.thousands=','", "data.decimal=','"])


@pytest.mark.parametrize(
    ("name", "numbers", "is_told"),
    [
        ("n", range(1000, 1012), True),
        ("n", [1003, 1001, 1000, 1002, *range(1004, 1012)], True),  # counted, in another order
        ("n", [n * n for n in range(3, 15)], True),  # sorted
        ("n", [n * n for n in range(15, 3, -1)], True),
        ("n", [5, 900, 17, 3, 44, 60, 71, 12, 8, 99, 31, 2], False),
        ("patient_id", [5, 900, 17, 3, 44, 60, 71, 12, 8, 99, 31, 2], True),
        ("PassengerId", [5, 900, 17, 3, 44, 60, 71, 12, 8, 99, 31, 2], True),
        ("id", [10**9 + n for n in (5, 900, 17, 3, 44, 60, 71, 12, 8, 99, 31, 2)], True),  # one number in float32
        ("patient_id", [5, 5, *range(10)], False),  # several rows of a patient
        ("humid", [5, 900, 17, 3, 44, 60, 71, 12, 8, 99, 31, 2], False),
        ("n", range(1000, 1008), False),  # too few to tell
    ],
)
def test_columns_that_look_like_ids_are_warned_of(tmp_path, name, numbers, is_told):
    source, _ = text(tmp_path, indexed(numbers, name))
    assert source.features == (name, "w")
    assert [f"data.drop: [{name}]" in warning for warning in source.warnings] == [True] * is_told
    assert text(tmp_path, indexed(numbers, name), keep=[name])[0].warnings == ()


def test_all_columns_that_cannot_be_used_are_named_in_one_message(tmp_path):
    rows = "".join(
        f"{'xy'[n % 2]},2026-01-{n + 1:02},,{n if n else 'none of it'},{n % 3},name {max(n, 2)}\n" for n in range(20)
    )
    with pytest.raises(DataError, match="4 columns are neither numbers nor a few categories") as raised:
        text(tmp_path, f"kind,date,empty,mixed,b,name\n{rows}")
    for part in ("date (has another text in each of the 20 rows", "empty (has no value)", "'none of it' in line 2",
                 "name (has 18 different texts in 20 rows"):  # fmt: skip
        assert part in raised.value.message
    assert "data.drop: [date, empty, mixed, name]" in raised.value.hint
    assert read(tmp_path / "a.csv", drop=["date", "empty", "mixed", "name"]).features == ("b",)


def test_text_that_is_seldom_twice_the_same_is_warned_of(tmp_path):
    rows = "".join(f"{'xy'[n % 2]},2026-01-{n * 3 // 4 + 1:02},{n % 3}\n" for n in range(20))
    source, _ = text(tmp_path, f"kind,date,b\n{rows}")
    (warning,) = source.warnings
    assert "date (15 values in 20 rows) has text that is seldom twice the same" in warning
    assert "data.drop: [date]" in warning


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["x", "", "", "y"], "a.csv: 2 of 4 labels are missing; the first is in line 3"),
        (["x", "y", "x", "NaN"], r"a.csv: 1 of 4 labels is missing \('NaN'\); the first is in line 5"),
    ],
)
def test_missing_labels_are_refused_with_their_number(tmp_path, labels, said):
    with pytest.raises(DataError, match=said):
        text(tmp_path, "kind,a\n" + "".join(f"{label},{n}\n" for n, label in enumerate(labels)))


def test_labels_that_are_measurements_are_no_classes(tmp_path):
    rows = "".join(f"{n * 0.731:.3f},{n % 3}\n" for n in range(40))
    with pytest.raises(
        DataError, match="column 'kind': 40 different labels in 40 rows, 40 of them in one row"
    ) as raised:
        text(tmp_path, f"kind,a\n{rows}")
    assert "divided into classes" in raised.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x8b\x08\0", "expected text; received a gzip archive"),
        (b"PK\x03\x04\0\0", "expected text; received a zip archive"),
        (b"sep=;\nkind;a\nx;1\n", "expected a first line with the names of the columns; received 'sep='"),
        (b"# made by me\nkind,a\nx,1\n", "expected a first line with the names of the columns; received '# made"),
    ],
)
def test_files_that_begin_otherwise_are_named_as_what_they_are(tmp_path, content, said):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "a.csv")


def test_labels_that_may_be_missing_are_told_with_their_number(tmp_path):
    rows = "".join(f"{label},{n * 7 % 5}\n" for n, label in enumerate(["x", "NA", "y"] * 4))
    warning = text(tmp_path, f"kind,a\n{rows}")[0].warnings[0]
    assert "a.csv: 4 of 12 labels are 'NA', which is taken for the name of a class" in warning


def test_lines_end_where_those_of_a_file_end(tmp_path):
    """In a sample that were cut at other marks, rows would seem to have few cells, and no separator were told."""
    rows = "".join(f"{'xy'[n % 2]};a\u2028b\x0b{n % 2};{n % 3}\n" for n in range(8))
    source, _ = text(tmp_path, f"kind;text;b\n{rows}")
    assert len(source.features) == 3


@pytest.mark.parametrize(
    ("lines", "mark"),
    [
        (["a,b;c,d", "1,x;y,2", "3,z;w,4"], ","),
        (["a,b;c", "1,2;3", "4,5;6"], None),
        (["a;b", "1,5;2,5"], ";"),
        (["a,b;c;d", "1;2,5;3", "1;2,7;3"], ";"),
    ],
)
def test_a_separator_is_told_from_one_that_is_in_a_cell(lines, mark):
    sample = [f"{line}\n" for line in lines]
    if mark:
        assert table_format.separator_of(sample, "it") == mark
    else:
        with pytest.raises(DataError, match="commas or semicolons"):
            table_format.separator_of(sample, "it")


def test_the_file_of_train_is_named_as_it_is_called(tmp_path):
    (tmp_path / "train.tsv").write_text("kind\ta\tb\n" + "x\t1\t2\ny\t2\t3\n" * 3)
    (tmp_path / "test.tsv").write_text("kind\ta\nx\t1\ny\t2\n")
    with pytest.raises(DataError, match=r"test.tsv: expected the columns of .*train.tsv: b is missing"):
        read(tmp_path, test=None)
