"""Arrays in an archive: read to the byte, or refused with a reason."""

import io
import random
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from tiny_mnist import npz_bytes

from kdistill.core.errors import DamagedError
from kdistill.datasets.named import keras_archive

SHAPE = (6, 4, 3)
IMAGES = np.arange(72, dtype=np.uint8).reshape(SHAPE)
LIMIT = 1 << 16


@pytest.fixture
def read(tmp_path):
    """Read the array x_train of an archive that is given as bytes."""

    def read_(content):
        path = tmp_path / "mnist.npz"
        path.write_bytes(content)
        return keras_archive.read(path, "x_train", SHAPE, LIMIT)

    return read_


def zipped(content, name="x_train.npy", method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(name, content)
    return buffer.getvalue()


def npy(array, version=(1, 0)):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_is_read_plain_or_compressed(tmp_path, save):
    save(tmp_path / "mnist.npz", x_train=IMAGES)
    images = keras_archive.read(tmp_path / "mnist.npz", "x_train", SHAPE, LIMIT)
    np.testing.assert_array_equal(images, IMAGES)
    assert not images.flags.writeable


class Unpickled:
    """An object that fails the test when a pickle of it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


BAD = {
    "not a zip": (b"x" * 100, "not a zip file"),
    "empty": (b"", "not a zip file"),
    "array missing": (npz_bytes(x=IMAGES), "no array x_train"),
    "other type": (npz_bytes(x_train=IMAGES.astype(np.float64)), "expected the type uint8; received float64"),
    "other shape": (npz_bytes(x_train=IMAGES[:5]), r"expected the shape \(6, 4, 3\); received \(5, 4, 3\)"),
    "fortran order": (npz_bytes(x_train=np.asfortranarray(IMAGES)), "Fortran"),
    "objects": (npz_bytes(x_train=np.array([Unpickled()], object)), "received object"),
    "other version": (zipped(npy(IMAGES, (3, 0))), "expected the npy format 1.0 or 2.0"),
    "not npy": (zipped(b"hello, world"), "header is damaged"),
    "nested header": (zipped(b"\x93NUMPY\1\0\x40\x1f" + b"(" * 8000), "header is damaged"),
    "unfinished header": (zipped(b"\x93NUMPY\1\0\x08\0{'a': ((" + b" " * 99), "header is damaged"),
    "values missing": (zipped(npy(IMAGES)[:-1]), "1 are missing"),
    "values too many": (zipped(npy(IMAGES) + b"\0"), "and then the end"),
    "bomb": (zipped(npy(IMAGES) + bytes(10_000_000)), "and then the end"),
    "other method": (zipped(npy(IMAGES), method=zipfile.ZIP_LZMA), "expected stored or deflated"),
    "too large": (bytes(LIMIT + 1), "expected at most 65536 bytes"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_an_archive_without_the_expected_array_is_refused(read, content, reason):
    with pytest.raises(DamagedError, match=reason):
        read(content)


def test_an_encrypted_archive_is_refused(read):
    content = bytearray(npz_bytes(x_train=IMAGES))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    with pytest.raises(DamagedError, match="encrypted"):
        read(bytes(content))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DamagedError, match="regular file"):
        keras_archive.read(tmp_path, "x_train", SHAPE, LIMIT)


def test_a_failing_disk_is_reported(read, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(zipfile, "ZipFile", fail)
    with pytest.raises(DamagedError, match="cannot be read: Input/output error"):
        read(b"x")


def test_mutated_archives_are_refused_or_unchanged(read):
    valid, draw = npz_bytes(x_train=IMAGES), random.Random(0)
    for _ in range(500):
        mutated = bytearray(valid)
        for _ in range(draw.randint(1, 4)):
            mutated[draw.randrange(len(mutated))] = draw.randrange(256)
        mutated = mutated[: draw.randint(0, len(mutated))] if draw.random() < 0.2 else mutated
        with suppress(DamagedError):
            np.testing.assert_array_equal(read(bytes(mutated)), IMAGES)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_mutated_array_headers_are_refused_or_unchanged(read):
    valid, draw = npy(IMAGES), random.Random(1)
    for _ in range(500):
        mutated = bytearray(valid)
        for _ in range(draw.randint(1, 6)):
            mutated[draw.randrange(len(valid) - IMAGES.size)] = draw.choice(b"()[]{}'\",:\\#\n\0 uO8<1")
        with suppress(DamagedError):
            np.testing.assert_array_equal(read(zipped(bytes(mutated))), IMAGES)
