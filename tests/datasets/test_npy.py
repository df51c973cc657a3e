"""Headers of arrays: those that NumPy writes, and text that is none."""

import io
import zipfile

import numpy as np
import pytest

from kdistill.core.errors import DamagedError
from kdistill.datasets import npy


def stream(header, magic=b"\x93NUMPY\1\0", width=2):
    return io.BytesIO(magic + len(header).to_bytes(width, "little") + header + b"values")


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_header_is_what_numpy_wrote_and_the_values_come_after_it(version, order):
    array = np.array(np.arange(6).reshape(2, 3), ">i2", order=order)
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    file.seek(0)
    assert npy.read_header(file) == ((2, 3), order == "F", np.dtype(">i2"))
    assert file.read() == array.tobytes(order)


TEMPLATE = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    "file",
    [
        io.BytesIO(b""),
        io.BytesIO(b"\x93NUMPY\1\0\x05"),
        stream(b"x", b"\x93NUMPY\3\0"),
        stream(b"{'a': ((          \n"),
        stream(b"(" * 5000),
        stream(TEMPLATE.format("()", "(1, 3)").encode()),
        stream(TEMPLATE.format("[1]", "(1, 3)").encode()),
        stream(TEMPLATE.format("'|u1'", "(-2, -3)").encode()),
        stream(TEMPLATE.format("'|u1'", "('a',)").encode()),
    ],
)
def test_whatever_is_no_header_is_refused(file):
    with pytest.raises(DamagedError, match="the header is damaged"):
        npy.read_header(file)


def test_no_more_is_read_than_a_header_needs():
    class Endless(io.BytesIO):
        def read(self, size=-1):
            assert 0 <= size <= npy.LONGEST
            return super().read(size)

    with pytest.raises(DamagedError, match="expected at most 10000 bytes; received 4294967295"):
        npy.read_header(Endless(b"\x93NUMPY\2\0\xff\xff\xff\xff" + b" " * 99))


def test_only_arrays_have_names(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("b.npy", "a.npy", "notes.txt", "x"):
            archive.writestr(name, b"")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert list(npy.names(archive)) == ["b", "a"]
