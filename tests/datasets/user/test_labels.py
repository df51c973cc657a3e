"""Labels as users write them, and what is said of those that do not fit."""

import numpy as np
import pytest

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets.user.labels import check_names, encoded, from_array, in_order, notes


def of(**parts):
    return {part: from_array(np.asarray(values), f"y_{part}") for part, values in parts.items()}


@pytest.mark.parametrize(
    "array",
    [
        np.array([0, 2, 1], np.uint8),
        np.array([0, 2, 1], np.int64),
        np.array([[0], [2], [1]]),
        np.array([0.0, 2.0, 1.0]),
        np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float32),
        np.array([[True, False, False], [False, False, True], [False, True, False]]),
    ],
    ids=["bytes", "integers", "column", "floats", "one-hot", "booleans"],
)
def test_numbers_in_every_form(array):
    classes, found = encoded({"train": from_array(array, "y")})
    assert classes == ("0", "1", "2")
    assert found["train"].dtype == np.int32
    assert found["train"].tolist() == [0, 2, 1]


@pytest.mark.parametrize("array", [np.array(["eel", "ant", "eel"]), np.array([b"eel", b"ant", b"eel"])])
def test_names_are_classes_in_order(array):
    classes, found = encoded({"train": from_array(array, "y")})
    assert classes == ("ant", "eel")
    assert found["train"].tolist() == [1, 0, 1]


def test_names_that_stand_for_missing_labels():
    refused = from_array(np.array(["a", "nan", "b", ""]), "it")
    with pytest.raises(DataError, match=r"it: 2 of 4 labels are missing \('', 'nan'\); the first is at position 3"):
        check_names(refused)
    (warning,) = check_names(from_array(np.array(["a", "none", "b", "none"]), "it"))
    assert warning.startswith("it: 2 of 4 labels are 'none', which is taken for the name of a class")
    assert check_names(from_array(np.array([0, 1]), "it")) == []


def test_given_names_decide_the_order_of_classes():
    classes, found = encoded(of(train=["eel", "ant"], test=["ant"]), ("eel", "ant"))
    assert classes == ("eel", "ant")
    assert {part: values.tolist() for part, values in found.items()} == {"train": [0, 1], "test": [1]}
    assert encoded(of(train=[0, 1]), ("eel", "ant", "owl"))[0] == ("eel", "ant", "owl")


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("numbers", [[-1, 1], [1, 2], [0, 2, 10], [5, 10**9], [-(2**53), 2**53]])
def test_numbers_that_are_not_counted_from_0_are_classes_by_their_value(numbers, dtype):
    values = np.array([numbers[-1], *numbers], dtype)
    parts = of(train=values, test=values[:1])
    classes, found = encoded(parts)
    assert classes == tuple(map(str, numbers))
    assert found["train"].tolist() == [len(numbers) - 1, *range(len(numbers))]
    assert found["test"].tolist() == [len(numbers) - 1]
    (note,) = notes(parts, classes, are_given=False)
    assert ", ".join(map(str, numbers)) in note


def test_numbers_from_0_need_no_note():
    assert notes(of(train=[0, 1, 2]), ("0", "1", "2"), are_given=False) == []
    assert notes(of(train=["b", "a"]), ("a", "b"), are_given=False) == []
    assert notes(of(train=[0, 1]), ("eel", "owl"), are_given=True) == []


@pytest.mark.parametrize(
    "ordered",
    [
        ["0", "1", "2", "10", "11"],
        ["0.0", "2.0", "10.0", "11.0"],
        ["-10", "-2", "0.5", "3"],
        ["10", "2", "x"],
        ["1.5.2", "1.10"][::-1],
    ],
)
def test_names_that_are_numbers_are_ordered_as_numbers(ordered):
    assert in_order(set(ordered)) == ordered
    assert encoded(of(train=ordered[::-1]))[0] == tuple(ordered)


def test_one_hot_rows_say_how_many_classes_there_are():
    assert encoded(of(train=[[1, 0, 0], [0, 1, 0]]))[0] == ("0", "1", "2")


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array([0, 1.5]), r"y: label 1.5 at position 1 .*whole numbers"),
        (np.array([0, np.nan]), r"y: label nan at position 1"),
        (np.array([0, np.inf]), r"y: label inf at position 1"),
        (np.array([[1, 0], [0.5, 0.5]]), r"y: row 1 .*is not one-hot: .*received 0.5, 0.5"),
        (np.array([[1, 0], [1, 1]]), r"y: row 1 .*is not one-hot"),
        (np.array([[1, 0], [0, 0]]), r"y: row 1 .*is not one-hot"),
        (np.array([[1, 0], [2, -1]]), r"y: row 1 .*is not one-hot"),
        (np.array([["a", "b"]]), r"y: expected labels of shape"),
        (np.zeros((2, 2, 2)), r"y: expected labels of shape .*received \(2, 2, 2\)"),
        (np.array([2**64 - 1], np.uint64), r"y: label 18446744073709551615"),
        (np.array([b"\xff"]), r"y: expected names in UTF-8"),
    ],
)
def test_what_is_no_label_is_named(array, problem):
    with pytest.raises(DataError, match=problem):
        from_array(array, "y")


def test_a_row_far_down_is_named_by_its_position():
    rows = np.eye(3)[np.zeros(10_000, int)]
    rows[9_000] = 0
    with pytest.raises(DataError, match="row 9000 "):
        from_array(rows, "y")


@pytest.mark.parametrize(
    ("parts", "classes", "problem"),
    [
        ({"train": [0, 1], "test": [0, 2]}, None, r"y_test: label 2 at position 1 .*expected 0 to 1.*y_train"),
        ({"train": [-1, 1], "test": [1, 0]}, None, r"y_test: label 0 at position 1 .*expected -1, 1, since y_train"),
        ({"train": [5, 7], "test": [9]}, None, r"y_test: label 9 at position 0 .*expected 5, 7"),
        (
            {"train": [0, 3]},
            ("a", "b"),
            r"label 3 at position 1 .*expected 0 to 1, since y_train has 2 classes; labels outside of that: 3$",
        ),
        ({"train": ["a", "b"], "test": ["c", "a", "d"]}, None, r"y_test: .*those of y_train: received c, d"),
        ({"train": ["a", "c"]}, ("a", "b"), r"y_train: .*those of `classes`: received c"),
        ({"train": ["a"], "test": [0]}, None, r"y_train and y_test: expected labels of one kind"),
        ({"train": [0, 1], "test": [2]}, ("a", "b", "c"), r"y_test: classes of which y_train has no example: c"),
        ({"train": [[1, 0]], "test": [[1, 0, 0]]}, None, r"one width; received y_train 2, y_test 3"),
        ({"train": [[1, 0, 0]], "test": [[0, 0, 1]]}, None, r"y_test: classes of which y_train has no example: 2"),
    ],
)
def test_parts_that_do_not_agree_are_named(parts, classes, problem):
    with pytest.raises(DataError, match=problem):
        encoded(of(**parts), classes)


def test_a_long_list_is_cut_short():
    assert first_few(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert first_few(["a"]) == "a"
