"""Archives of arrays: every form that is accepted, and every fault that is named before anything is kept."""

import io
import zipfile

import numpy as np
import own_data
import pytest
from heard import Heard

from kdistill.core.errors import DataError
from kdistill.datasets import memory_map
from kdistill.datasets.user import conversion_cache, load, npz


def read(path):
    """Return the arrays and facts of an archive's conversion."""
    return conversion_cache.make(
        path.parent / "cache" / path.name, lambda: "same", lambda folder: npz.convert(path, folder)
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("shape", [(4,), (6, 5), (6, 5, 1), (6, 5, 3)])
def test_arrays_are_taken_as_they_are(tmp_path, save, shape):
    found = own_data.arrays(validation=10, shape=shape)
    save(tmp_path / "a.npz", **found)
    splits, facts = read(tmp_path / "a.npz")
    for part, ending in (("train", "train"), ("test", "test"), ("validation", "val")):
        assert splits[part].images.dtype == np.uint8
        np.testing.assert_array_equal(splits[part].images, found[f"x_{ending}"])
        np.testing.assert_array_equal(splits[part].labels, found[f"y_{ending}"])
    assert facts["classes"] == ["0", "1"] or facts["classes"] == ("0", "1")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a.npz"]


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", ">f8", "int64", "int16", "uint16", "bool"])
def test_other_numbers_become_float32(tmp_path, dtype):
    found = own_data.arrays(dtype=dtype)
    np.savez(tmp_path / "a.npz", **found)
    splits, _ = read(tmp_path / "a.npz")
    assert splits["train"].images.dtype == np.float32
    np.testing.assert_array_equal(splits["train"].images, found["x_train"].astype(np.float32))


def test_fortran_order_and_several_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_map, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(memory_map, "PIECE_BYTES", 100)
    found = own_data.arrays(dtype=np.float64)
    found["x_train"] = np.asfortranarray(found["x_train"])
    np.savez(tmp_path / "a.npz", **found)
    splits, _ = read(tmp_path / "a.npz")
    assert isinstance(splits["train"].images, np.memmap)
    np.testing.assert_array_equal(splits["train"].images, found["x_train"])
    np.testing.assert_array_equal(splits["test"].images, found["x_test"])


def test_names_of_classes(tmp_path):
    path = own_data.write_npz(tmp_path / "a.npz", classes=np.array(["dark", "light"]))
    assert tuple(read(path)[1]["classes"]) == ("dark", "light")


def nan_at(row):
    x = own_data.arrays(dtype=np.float32)["x_train"]
    x[row, 1, 2] = np.nan
    return x


LONG = np.float64(1e300)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"x_train": None}, "no array x_train: expected x_train and y_train.*received x_test, y_test, y_train"),
        ({"y_train": None}, "no array y_train"),
        ({"y_test": None}, "no array y_test"),
        ({"x_val": np.zeros((2, 6, 5), np.uint8)}, "no array y_val"),
        ({"y_train": np.zeros(39, int)}, "x_train has 40 examples and y_train has 39 labels"),
        ({"y_train": np.array(1)}, "x_train has 40 examples and y_train has 1 labels"),
        ({"x_test": np.zeros((20, 6, 6), np.uint8)}, r"x_test: expected examples of shape \(6, 5\).*\(6, 6\)"),
        (
            {"x_test": np.zeros((20, 6, 5), np.float32)},
            "x_test: .*expected the type of x_train, uint8; received float32",
        ),
        ({"x_train": np.zeros(40, np.uint8)}, r"x_train: expected the shape \(n, features\).*received \(40,\)"),
        ({"x_train": np.zeros((40, 6, 5, 1, 1, 1), np.uint8)}, "x_train: expected the shape"),
        ({"x_train": np.zeros((40, 0, 5), np.uint8)}, "x_train: expected the shape"),
        ({"x_train": np.zeros((40, 3, 9, 9), np.uint8)}, "channels last.*looks like channels first"),
        ({"x_test": np.zeros((0, 6, 5), np.uint8), "y_test": np.zeros(0, int)}, "x_test: expected examples"),
        ({"x_train": np.array([[1, "a"]] * 40, dtype=object)}, "x_train: an array of Python objects"),
        ({"y_train": np.array([1, "a"] * 20, dtype=object)}, "y_train: an array of Python objects"),
        ({"x_train": np.array([["1", "a"]] * 40)}, "x_train: expected numbers; received the type <U1"),
        ({"x_train": np.zeros((40, 6, 5), complex)}, "x_train: expected numbers; received the type complex128"),
        ({"x_train": nan_at(17), "x_test": None, "y_test": None}, r"x_train\[17, 1, 2\] is nan: expected finite"),
        ({"x_train": np.full((40, 3), LONG), "x_test": None, "y_test": None}, r"x_train\[0, 0\] is 1e\+300"),
        ({"classes": np.array(["a", "a"])}, "classes: expected each name once; received more than once: a"),
        ({"classes": np.array([["a", "b"]])}, "classes: expected names"),
        ({"classes": np.array([b"\xff", b"a"])}, "classes: expected names in UTF-8"),
        ({"classes": np.array(["a"])}, "y_train: label 1 at position .*expected 0 to 0"),
        ({"y_test": np.full(20, 7)}, "y_test: label 7 at position 0 .*expected 0 to 1"),
    ],
)
def test_faults_are_named_and_nothing_is_left(tmp_path, changed, problem):
    path = own_data.write_npz(tmp_path / "a.npz", **changed)
    with pytest.raises(DataError, match=problem) as raised:
        read(path)
    assert str(path) in raised.value.message
    assert list((tmp_path / "cache").iterdir()) == []


def test_pickled_objects_are_not_loaded(tmp_path):
    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    path = own_data.write_npz(tmp_path / "a.npz", x_train=np.array([Bad()] * 40, dtype=object))
    with pytest.raises(DataError, match="could carry code"):
        read(path)
    assert not (tmp_path / "made").exists()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write(path, x_train, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x_train.npy", x_train)
        archive.writestr("y_train.npy", npy(np.array([0, 1])))
    return path


GOOD = npy(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "x_train: the header is damaged"),
        (b"not an array at all", "x_train: the header is damaged"),
        (GOOD.replace(b"(2, 3)", b"(2, 9)"), r"x_train: the header is damaged: shape \(2, 9\)"),
        (GOOD.replace(b"(2, 3), }", b"(99999999999, 3), }").replace(b" " * 12, b" ", 1), "x_train: the header"),
        (GOOD[:-1], "x_train: the header is damaged: shape"),
        (GOOD + b"0", "x_train: the header is damaged: shape"),
        (GOOD.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x03"), "x_train: the header is damaged"),
    ],
)
def test_headers_are_checked_before_anything_is_copied(tmp_path, content, problem, monkeypatch):
    monkeypatch.setattr(npz, "_extracted", None)
    with pytest.raises(DataError, match=problem):
        read(write(tmp_path / "a.npz", content))


def test_methods_that_unpack_without_bound_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected stored or deflated data"):
        read(write(tmp_path / "a.npz", GOOD, zipfile.ZIP_BZIP2))


def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_extracted", None)
    monkeypatch.setattr(conversion_cache.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 2}))
    with pytest.raises(DataError, match=r"its arrays take .* GB in the cache; .* has 0.0 GB left") as raised:
        read(own_data.write_npz(tmp_path / "a.npz"))
    assert "KDISTILL_CACHE_DIR" in raised.value.hint


def test_archives_that_are_damaged_or_none(tmp_path):
    path = own_data.write_npz(tmp_path / "a.npz")
    content = path.read_bytes()
    cases = {
        "none": b"x_train,y_train\n",
        "empty": b"",
        "cut": content[: len(content) // 2],
        "flipped": content[:300] + bytes([content[300] ^ 255]) + content[301:],
    }
    for name, damaged in cases.items():
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"expected a whole \.npz archive") as raised:
            read(path)
        assert str(path) in raised.value.message, name


def test_a_folder_is_no_archive(tmp_path):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(DataError, match=r"expected an \.npz file; this is a folder"):
        load.read(own_data.data("npz", tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"y_train": np.array(["a", "b"] * 20, dtype=object)}, "np.asarray(y_train, dtype=str)"),
        ({"classes": np.array(["a", "b"], dtype=object)}, "np.asarray(classes, dtype=str)"),
        ({"x_train": np.array([[1]] * 40, dtype=object)}, "dtype=np.float32"),
    ],
)
def test_objects_are_told_what_to_become(tmp_path, changed, hint):
    with pytest.raises(DataError, match="could carry code") as raised:
        read(own_data.write_npz(tmp_path / "a.npz", **changed))
    assert hint in raised.value.hint


def test_a_member_that_is_no_array_is_none(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x_train", GOOD)
        archive.writestr("y_train.npy", npy(np.array([0, 1])))
    with pytest.raises(DataError, match=r"no array x_train: .*received y_train"):
        read(tmp_path / "a.npz")


def test_one_hot_rows_are_as_wide_as_there_are_names(tmp_path):
    one_hot = {name: np.eye(2)[y] for name, y in own_data.arrays().items() if name.startswith("y_")}
    path = own_data.write_npz(tmp_path / "a.npz", **one_hot, classes=np.array(list("abcd")))
    with pytest.raises(
        DataError, match="expected one-hot rows of 4 values, one for each name in `classes`; received 2"
    ):
        read(path)
    path = own_data.write_npz(tmp_path / "b.npz", **one_hot, classes=np.array(list("ab")))
    assert tuple(read(path)[1]["classes"]) == ("a", "b")


@pytest.mark.parametrize("names", ["X_{}", "{}_x"])
def test_arrays_have_any_of_their_usual_names(tmp_path, names):
    found = own_data.arrays(validation=10)
    other = {names.format({"val": "valid"}.get(part, part)): found[f"x_{part}"] for part in ("train", "test", "val")}
    labelled = {"labels_" + {"val": "Valid"}.get(part, part): found[f"y_{part}"] for part in ("train", "test", "val")}
    np.savez(tmp_path / "b.npz", **other, **labelled)
    plain = load.read(own_data.data("npz", own_data.write_npz(tmp_path / "a.npz", **found)))
    notes = Heard()
    assert load.read(own_data.data("npz", tmp_path / "b.npz"), notes).fingerprint == plain.fingerprint
    assert any(f"test is {names.format('test')}" in note for note in notes.notes)


def test_labels_of_minus_one_and_one_are_two_classes(tmp_path):
    found, notes = own_data.arrays(), Heard()
    signs = {name: 2 * values - 1 if name[0] == "y" else values for name, values in found.items()}
    source = load.read(own_data.data("npz", own_data.write_npz(tmp_path / "a.npz", **signs)), notes)
    assert source.classes == ("-1", "1")
    np.testing.assert_array_equal(source.train.labels, found["y_train"])
    assert "The labels are numbers, but not 0 to 1: each is a class, -1, 1" in notes.notes
