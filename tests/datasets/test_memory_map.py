"""Arrays on disk: written row by row, mapped, read in any order, and their pages given back."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from kdistill.datasets import memory_map


@pytest.fixture
def mapped_array(tmp_path, monkeypatch):
    """An array and a mapped copy of it, of which a few rows make a piece."""
    array = np.random.default_rng(0).integers(0, 256, (500, 3, 2), np.uint8)
    np.save(tmp_path / "a.npy", array)
    monkeypatch.setattr(memory_map, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(memory_map, "PIECE_BYTES", 42)
    monkeypatch.setattr(memory_map, "READ_AROUND_BYTES", 0)
    return array, memory_map.open_array(tmp_path / "a.npy")


def test_small_files_are_in_memory_and_large_ones_mapped(tmp_path, mapped_array, monkeypatch):
    assert isinstance(mapped_array[1], np.memmap)
    monkeypatch.setattr(memory_map, "IN_MEMORY_BYTES", 10_000)
    array = memory_map.open_array(tmp_path / "a.npy")
    assert not isinstance(array, np.memmap)
    assert not array.flags.writeable
    np.testing.assert_array_equal(array, mapped_array[0])


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 1000])
def test_rows_are_gathered_in_the_order_asked_for(mapped_array, count):
    array, on_disk = mapped_array
    rows = np.random.default_rng(1).integers(0, len(array), count)
    taken = memory_map.gather(on_disk, rows)
    assert type(taken) is np.ndarray
    np.testing.assert_array_equal(taken, array[rows])


def test_a_row_that_is_not_there_is_an_error(mapped_array):
    with pytest.raises(IndexError):
        memory_map.gather(mapped_array[1], np.array([500]))


def test_pieces_are_all_rows_in_order(mapped_array):
    array, on_disk = mapped_array
    for source in (array, on_disk):
        pieces = [piece.copy() for piece in memory_map.pieces(source)]
        assert max(map(len, pieces)) == 7
        np.testing.assert_array_equal(np.concatenate(pieces), array)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system cannot give pages back")
def test_pages_are_given_back(tmp_path):
    with memory_map.RowWriter(tmp_path / "a.npy", (1024, 1024), np.uint8) as rows:
        for value in range(300):
            rows.append(np.full((1, 1024, 1024), value % 256, np.uint8))

    def resident():
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["RssFile"].split()[0]) / 1024

    array, before = memory_map.open_array(tmp_path / "a.npy"), resident()
    assert isinstance(array, np.memmap)
    assert sum(int(piece[:, 0, 0].sum()) for piece in memory_map.pieces(array)) == sum(v % 256 for v in range(300))
    for start in range(0, 300, 10):
        assert (
            memory_map.gather(array, np.arange(start, start + 10))[:, -1, -1] == np.arange(start, start + 10) % 256
        ).all()
    assert resident() - before < 80
    np.asarray(array).sum()  # what it would be
    assert resident() - before > 250


@pytest.mark.parametrize("count", [0, 1, 12345])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_written_row_by_row_is_an_npy_file(tmp_path, count, dtype):
    array = np.random.default_rng(0).integers(0, 256, (count, 3)).astype(dtype)
    with memory_map.RowWriter(tmp_path / "a.npy", (3,), dtype) as rows:
        for start in range(0, count, 1000):
            rows.append(array[start : start + 1000])
    read = np.load(tmp_path / "a.npy")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)


def test_rows_of_another_shape_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match=r"expected rows of shape \(3,\)"),
        memory_map.RowWriter(tmp_path / "a", (3,), np.uint8) as rows,
    ):
        rows.append(np.zeros((1, 4), np.uint8))
