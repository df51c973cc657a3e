"""IDX files: valid ones are read to the byte, anything else is refused with a reason."""

import gzip
import os
import random
import struct
import tracemalloc

import numpy as np
import pytest
from tiny_mnist import idx_bytes

from kdistill.core.errors import DamagedError
from kdistill.datasets.named import idx

SHAPE = (5, 3, 2)
IMAGES = np.arange(30, dtype=np.uint8).reshape(SHAPE)
VALID = idx_bytes(IMAGES)


@pytest.fixture
def file(tmp_path):
    """Write bytes to a file and return its path."""

    def write(content, name="images"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_a_file_is_read_plain_or_compressed_whatever_its_name(file, pack, name):
    np.testing.assert_array_equal(idx.read(file(pack(VALID), name), SHAPE), IMAGES)


def test_labels_are_read(file):
    labels = np.array([3, 1, 2], np.uint8)
    np.testing.assert_array_equal(idx.read(file(idx_bytes(labels)), (3,)), labels)


def test_an_array_is_read_only_bytes(file):
    images = idx.read(file(VALID), SHAPE)
    assert images.dtype == np.uint8
    assert not images.flags.writeable


BAD = {
    "empty": (b"", "expected a header of 16 bytes; received 0"),
    "ends in the header": (VALID[:9], "expected a header of 16 bytes; received 9"),
    "other magic": (b"\1" + VALID[1:], "expected the magic number 00000803; received 01000803"),
    "other type": (VALID[:2] + b"\x0d" + VALID[3:], "received 00000d03"),
    "other rank": (VALID[:3] + b"\1" + VALID[4:], "received 00000801"),
    "other dimensions": (
        idx_bytes(IMAGES.reshape(5, 2, 3)),
        r"expected the dimensions \(5, 3, 2\); received \(5, 2, 3",
    ),
    "huge dimensions": (VALID[:4] + struct.pack(">3I", *[2**32 - 1] * 3) + VALID[16:], "received \\(4294967295,"),
    "one value short": (VALID[:-1], "expected 30 values; 1 are missing"),
    "one value too many": (VALID + b"\0", "expected 30 values and then the end"),
    "text": (b"<html><body>Not found</body></html>", "not an IDX file"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_a_file_that_is_not_the_expected_array_is_refused(file, content, reason, pack):
    with pytest.raises(DamagedError, match=reason):
        idx.read(file(pack(content)), SHAPE)


def test_a_truncated_or_changed_gzip_is_refused(file):
    packed = gzip.compress(VALID)
    for end in range(2, len(packed)):
        with pytest.raises(DamagedError):
            idx.read(file(packed[:end]), SHAPE)
    checksum_changed = packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:]
    with pytest.raises(DamagedError, match="CRC"):
        idx.read(file(checksum_changed), SHAPE)


@pytest.mark.parametrize("ending", [gzip.compress(b"more"), b"garbage"], ids=["member", "garbage"])
def test_bytes_after_a_gzip_are_refused(file, ending):
    with pytest.raises(DamagedError):
        idx.read(file(gzip.compress(VALID) + ending), SHAPE)


@pytest.mark.parametrize("start", [b"", VALID], ids=["zeros", "valid start"])
def test_a_gzip_bomb_is_not_unpacked(file, start):
    bomb = file(gzip.compress(start + bytes(50_000_000), compresslevel=1)[: 1 << 16])
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            idx.read(bomb, SHAPE)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_file_larger_than_any_container_of_the_array_is_not_opened(file, monkeypatch):
    path = file(bytes(idx.size(SHAPE) + idx.CONTAINER_OVERHEAD + 1))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("opened"))
    with pytest.raises(DamagedError, match=r"expected at most \d+ bytes; received \d+"):
        idx.read(path, SHAPE)


def test_what_is_not_a_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device", "."):
        with pytest.raises(DamagedError, match="regular file"):
            idx.read(tmp_path / name, SHAPE)
    for name in ("dangling", "missing"):
        with pytest.raises(DamagedError, match="No such file"):
            idx.read(tmp_path / name, SHAPE)


def test_an_unreadable_file_is_refused(file, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    path = file(VALID)
    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(DamagedError, match="cannot be read: Permission denied"):
        idx.read(path, SHAPE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_mutated_files_are_refused_or_keep_their_shape(file, pack):
    """A change to the values of a plain file is for the hash to find; nothing else may get through."""
    valid, draw = pack(VALID), random.Random(0)
    for _ in range(300):
        mutated = bytearray(valid)
        for _ in range(draw.randint(1, 4)):
            mutated[draw.randrange(len(mutated))] = draw.randrange(256)
        mutated = mutated[: draw.randint(0, len(mutated))] if draw.random() < 0.3 else mutated
        try:
            images = idx.read(file(bytes(mutated)), SHAPE)
        except DamagedError:
            continue
        assert images.shape == SHAPE
        if pack is gzip.compress:
            np.testing.assert_array_equal(images, IMAGES)
