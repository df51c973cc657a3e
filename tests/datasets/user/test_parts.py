"""The names of parts, of files, folders and arrays."""

import pytest

from kdistill.core.errors import DataError
from kdistill.datasets.user import parts


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("train", "train"),
        ("TRAINING", "training"),
        ("Valid", "valid"),
        ("test_set", "test"),
        ("seg-train", "train"),
        ("trainset", "train"),
        ("train_2", None),
        ("trains", None),
        ("latest", None),
        ("testament", None),
        ("set", None),
        ("", None),
        ("cat", None),
        ("train_test", None),
    ],
)
def test_words(name, word):
    assert parts.word_of(name) == word


def found(*names):
    return parts.find({name: name for name in names}, "here")


def test_parts_are_in_one_order_whatever_the_names():
    assert list(found("dev", "Test", "train", "cat").items()) == [
        ("train", "train"),
        ("test", "Test"),
        ("validation", "dev"),
    ]


def test_evaluation_chooses_nothing_unless_there_is_a_test_part():
    assert found("train", "eval") == {"train": "train", "test": "eval"}
    assert found("train", "eval", "test") == {"train": "train", "test": "test", "validation": "eval"}
    with pytest.raises(DataError, match="expected one of val and eval; received both"):
        found("train", "eval", "test", "val")


def test_three_names_of_one_part():
    with pytest.raises(DataError, match="here: expected one of Train, train and training; received all of them"):
        found("training", "train", "Train")


@pytest.mark.parametrize(
    ("names", "train", "validation"),
    [
        (["x_train", "y_train"], ("x_train", "y_train"), ("x_val", "y_val")),
        (["X_train", "Y_train", "X_valid", "Y_valid"], ("X_train", "Y_train"), ("X_valid", "Y_valid")),
        (["train_images", "train_labels", "val_images"], ("train_images", "train_labels"), ("val_images", "y_val")),
        (["train_x", "train_y", "x", "y", "classes"], ("train_x", "train_y"), ("x_val", "y_val")),
        (["training_data", "training_targets"], ("training_data", "training_targets"), ("x_val", "y_val")),
    ],
)
def test_arrays(names, train, validation):
    pairs = parts.arrays(names, "here")
    assert list(pairs) == list(parts.PARTS)
    assert (pairs["train"], pairs["validation"]) == (train, validation)


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["X", "y"], ("X", "y"), None),
        (["data", "target"], ("data", "target"), None),
        (["images", "labels", "x_test", "y_test"], ("images", "labels"), ("x_test", "y_test")),
        (["trainX", "trainY", "testX", "testY"], ("trainX", "trainY"), ("testX", "testY")),
        (["Xtrain", "ytrain", "xtest", "ytest"], ("Xtrain", "ytrain"), ("xtest", "ytest")),
        (["data", "images", "target"], ("x_train", "y_train"), None),  # two may be the examples
        (["X", "y_train"], ("x_train", "y_train"), None),
        (["arr_0", "arr_1"], ("x_train", "y_train"), None),
    ],
)
def test_arrays_of_other_names(names, train, test):
    pairs = parts.arrays(names, "here")
    assert pairs["train"] == train
    assert pairs["test"] == (test or ("x_test", "y_test"))


def test_names_may_have_other_words_if_several_have_the_same():
    assert found("mnist_train", "mnist-test", "readme") == {"train": "mnist_train", "test": "mnist-test"}
    assert found("trainFruit", "validFruit") == {"train": "trainFruit", "validation": "validFruit"}
    assert found("mnist_train", "readme") == {}
    assert found("mnist_train", "cifar_test") == {}
    assert found("train", "mnist_train", "mnist_test") == {"train": "train"}
    with pytest.raises(DataError, match="expected the parts of one data set; received those of 2"):
        found("a_train", "a_test", "b_train", "b_test")


@pytest.mark.parametrize(
    ("there", "given", "expected"),
    [
        (["mnist_train.csv", "mnist_test.csv", "b_test.csv"], "mnist_train.csv", ["mnist_test.csv"]),
        (["train.csv", "test.tsv", "valid.csv"], "train.csv", ["test.tsv", "valid.csv"]),
        (["train.csv", "training.csv", "test.csv"], "training.csv", ["test.csv"]),
        (["train.csv", "mnist_test.csv", "test.txt"], "train.csv", []),
        (["rows.csv", "test.csv"], "rows.csv", []),
        (["train.csv", "test.csv"], "test.csv", []),
    ],
)
def test_parts_lie_beside_a_file_of_train(tmp_path, there, given, expected):
    for name in there:
        (tmp_path / name).write_text("")
    beside = parts.beside(tmp_path / given, (".csv", ".tsv"), lambda path: path.is_file())
    assert [path.name for path in beside.values()] == ([given, *expected] if expected else [])


def test_two_arrays_of_one_kind():
    with pytest.raises(DataError, match="expected one of X_train and x_train; received both"):
        parts.arrays(["x_train", "X_train", "y_train"], "here")
