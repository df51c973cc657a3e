"""A teacher's logits from any program: whose rows and classes they are, and what is refused."""

import contextlib
import dataclasses
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.errors import ModelError
from kdistill.core.listener import Listener
from kdistill.teachers.logits_file import LogitsFile


def load(*overrides):
    return datasets.load(configs.load("quickstart", overrides).data, Listener())


SPLITS = load()
PART = SPLITS.training_part()
LOGITS = np.random.default_rng(0).normal(0, 5, (len(PART), 10)).astype(np.float32)
TEST = np.random.default_rng(1).normal(0, 5, (len(SPLITS.test), 10)).astype(np.float32)


def written(path, **arrays):
    np.savez(path / "logits.npz", **arrays)
    return path / "logits.npz"


def read(path, splits=SPLITS, **changes):
    arrays = {"train": LOGITS, "labels": PART.all_labels} | changes
    return LogitsFile(written(path, **{name: value for name, value in arrays.items() if value is not None}), splits)


def test_rows_are_those_of_the_training_part_before_validation_is_held_back(tmp_path):
    """Each row has its own image's values in it, to be told by."""
    marked = np.zeros((len(PART), 10), np.float32)
    marked[:, :8] = PART.images[PART.rows].astype(np.float32).mean(axis=2)
    file = read(tmp_path, train=marked)
    for name in ("train", "validation"):
        split = getattr(SPLITS, name)
        np.testing.assert_array_equal(file.of(name)[:, :8], split.images[split.rows].mean(axis=2, dtype=np.float32))
    assert not file.has_test


def test_the_division_of_the_data_changes_no_row(tmp_path):
    other = load("data.validation=0.3", "data.split_seed=5")
    file = read(tmp_path, other)
    rows = {row: number for number, row in enumerate(PART.rows)}
    np.testing.assert_array_equal(file.of("train"), LOGITS[[rows[row] for row in other.train.rows]])
    assert len(file.of("validation")) == len(other.validation)


def test_validation_on_test_needs_logits_of_test(tmp_path):
    splits = load("data.validation=test")
    with pytest.raises(ModelError, match="expected an array `test`; received labels, train"):
        read(tmp_path, splits)
    file = read(tmp_path, splits, test=TEST)
    np.testing.assert_array_equal(file.of("validation"), TEST)
    np.testing.assert_array_equal(file.of("train"), LOGITS)


def test_data_with_a_validation_part_of_its_own_needs_logits_of_that(tmp_path):
    images = SPLITS.validation.images.copy()  # in an array of its own
    splits = dataclasses.replace(SPLITS, train=PART, validation=dataclasses.replace(SPLITS.validation, images=images))
    with pytest.raises(ModelError, match="expected an array `validation`"):
        read(tmp_path, splits)
    validation = np.zeros((len(splits.validation), 10), np.float32)
    np.testing.assert_array_equal(read(tmp_path, splits, validation=validation).of("validation"), validation)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_logits_of_any_precision_are_taken(tmp_path, dtype):
    file = read(tmp_path, train=LOGITS.astype(dtype), test=TEST.astype(dtype))
    assert file.of("train").dtype == file.of("test").dtype == np.float32
    np.testing.assert_allclose(file.of("test"), TEST, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("classes", [list("0123456789"), np.arange(10), None])
def test_the_fingerprint_is_as_good_as_labels_and_classes_may_be_names_or_labels(tmp_path, classes):
    read(tmp_path, labels=None, fingerprint=SPLITS.fingerprint, classes=classes)


PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
NAN = np.where(np.arange(10) == 3, np.nan, LOGITS)
BAD = {
    "rows": ({"train": LOGITS[1:]}, r"train: expected an array of shape \(1257, 10\); received \(1256, 10\)"),
    "classes": ({"train": LOGITS[:, 1:]}, r"received \(1257, 9\)"),
    "transposed": ({"train": LOGITS.T}, r"received \(10, 1257\)"),
    "no train": ({"train": None}, "expected an array `train`; received labels"),
    "no order": ({"labels": None}, "expected `labels` or `fingerprint`"),
    "shuffled": ({"labels": PART.all_labels[::-1]}, "labels: the rows are in another order"),
    "few labels": ({"labels": PART.all_labels[:5]}, "labels: expected an array of shape"),
    "float labels": ({"labels": PART.all_labels * 1.0}, "labels: expected whole numbers; received float64"),
    "fingerprint": ({"fingerprint": "0" * 64}, "the logits are of other data"),
    "fingerprint number": ({"fingerprint": 7}, "fingerprint: expected text; received int64"),
    "class order": ({"classes": list("1023456789")}, "classes: expected 0, 1, 2.*received 1, 0, 2"),
    "class names": ({"classes": np.arange(10)[::-1]}, "received 9, 8, 7"),
    "class count": ({"classes": list("012")}, "classes: expected an array of shape"),
    "probabilities": ({"train": PROBABILITIES}, "train: expected logits; every row sums to 1"),
    "predictions": ({"train": np.eye(10)[PART.all_labels]}, "these are probabilities"),
    "test probabilities": ({"test": np.full(TEST.shape, 0.1)}, "test: expected logits; every row sums to 1"),
    "test labels": ({"test": TEST, "test_labels": SPLITS.test.all_labels[::-1]}, "test_labels: the rows"),
    "test rows": ({"test": TEST[1:]}, r"test: expected an array of shape \(540, 10\)"),
    "nan": ({"train": NAN}, "train: expected finite logits; row 0"),
    "integers": ({"train": LOGITS.astype(np.int64)}, "train: expected floating-point numbers; received int64"),
    "complex": ({"train": LOGITS.astype(complex)}, "train: expected floating-point numbers"),
    "too large": ({"train": LOGITS.astype(np.float64) * 1e300}, "numbers in float32; received values up to"),
    "objects": ({"train": np.array([[None] * 10] * len(PART))}, "train: expected floating-point numbers"),
    "object labels": ({"labels": PART.all_labels.astype(object)}, "labels: expected whole numbers; received object"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_the_reason(tmp_path, name):
    changes, message = BAD[name]
    with pytest.raises(ModelError, match=message) as refused:
        read(tmp_path, **changes)
    assert "logits.npz: " in refused.value.message


def test_the_logarithm_of_a_probability_of_0_says_to_clip(tmp_path):
    logits = LOGITS.copy()
    logits[3, 4] = -np.inf
    with pytest.raises(ModelError, match="row 3 has minus infinity") as refused:
        read(tmp_path, train=logits)
    assert "np.clip(p, 1e-7, 1)" in refused.value.hint


def test_probabilities_say_to_take_the_logarithm(tmp_path):
    with pytest.raises(ModelError) as refused:
        read(tmp_path, train=PROBABILITIES)
    assert "np.log" in refused.value.hint
    read(tmp_path, train=np.log(PROBABILITIES))


class Bomb:
    """A pickle that would be noticed if it were read."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("kind", ["pickle", "pickled array", "npy", "text", "empty", "cut", "strange member", "folder"])
def test_what_is_no_archive_of_arrays_is_refused(tmp_path, kind):
    path = written(tmp_path, train=LOGITS, labels=PART.all_labels)
    match kind:
        case "pickle":
            path.write_bytes(pickle.dumps(Bomb()))
        case "pickled array":
            np.savez(path, train=np.array(Bomb(), dtype=object), labels=PART.all_labels)
        case "npy":
            with path.open("wb") as file:
                np.save(file, LOGITS)
        case "text":
            path.write_text("0.1,0.2")
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(path.read_bytes()[:-200])
        case "strange member":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("train.npy", b"no array")
        case _:
            path.unlink()
            path.mkdir()
    with pytest.raises(ModelError, match=r"logits\.npz: (expected|train: expected)"):
        LogitsFile(path, SPLITS)


def test_an_array_that_claims_to_be_huge_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "logits.npz"
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 10)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("train.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(ModelError, match=r"received \(1000000000000, 10\)"):
        LogitsFile(path, SPLITS)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_refused_or_whole(tmp_path, seed):
    """Every array has a checksum: what is read is what was written."""
    rng = np.random.default_rng(seed)
    path = written(tmp_path, train=LOGITS, labels=PART.all_labels, test=TEST)
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        np.testing.assert_array_equal(LogitsFile(path, SPLITS).train_logits, LOGITS)


def test_shapes_are_judged_without_the_values(tmp_path):
    wrong_order = {"train": LOGITS, "labels": PART.all_labels[::-1]}
    LogitsFile(written(tmp_path, **wrong_order), SPLITS, shapes_only=True)
    for arrays in ({"train": LOGITS[1:], "labels": PART.all_labels}, {"train": LOGITS, "labels": PART.all_labels[1:]}):
        with pytest.raises(ModelError, match="expected an array of shape"):
            LogitsFile(written(tmp_path, **arrays), SPLITS, shapes_only=True)


def test_an_archive_of_data_is_told_what_a_file_of_logits_is(tmp_path):
    with pytest.raises(ModelError, match="expected an array `train`; received x_train, y_train") as refused:
        LogitsFile(written(tmp_path, x_train=PART.images, y_train=PART.labels), SPLITS)
    assert "--teacher-logits" in refused.value.hint


def test_shapes_are_judged_before_tensorflow_starts(tmp_path):
    path = written(tmp_path, train=LOGITS[1:], labels=PART.all_labels[1:])
    program = (
        "import sys; from kdistill.cli import app\n"
        f"try: app(['distill', '--teacher-logits', {str(path)!r}, '--output-dir', {str(tmp_path / 'o')!r}])\n"
        "except SystemExit as end: assert end.code == 4, end.code\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "expected an array of shape (1257, 10); received (1256, 10)" in done.stderr
    assert not (tmp_path / "o").exists()
