"""The weights of a model: HDF5 that points nowhere, declares no more than it has, and holds finite numbers."""

import io

import h5py
import keras
import keras_files as files
import numpy as np
import pytest

from kdistill.core.errors import ModelError
from kdistill.modelfiles import weights


def hdf5(change, **options):
    stream = io.BytesIO()
    with h5py.File(stream, "w", **options) as file:
        file["layers/dense/vars/0"] = np.ones((3, 2), np.float32)
        change(file)
    return stream.getvalue()


def refused(content, message):
    with pytest.raises(ModelError, match=message) as caught:
        weights.check(content)
    assert caught.value.hint


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_all_values_are_counted(libver):
    def more(file):
        file["layers/conv/vars/0"] = np.zeros((3, 3, 1, 4), np.float16)
        file["layers/conv/vars/1"] = np.int64(4)
        file["layers/conv/vars/2"] = np.zeros((0, 3), np.uint8)
        file["layers/conv/vars/3"] = np.array([True, False])
        file["layers"].attrs["name"] = "anything, as it is not read"

    assert weights.check(hdf5(more, libver=libver)) == 6 + 36 + 1 + 0 + 2


def test_an_empty_file_of_a_model_without_weights_is_accepted():
    stream = io.BytesIO()
    h5py.File(stream, "w").close()
    assert weights.check(stream.getvalue()) == 0


def test_bfloat16_is_read_as_keras_stores_it(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16")])
    content = files.members(files.save(model, tmp_path / "m.keras"))[files.WEIGHTS]
    assert weights.check(content) == 15
    model.layers[0].bias.assign([1.0, float("inf"), 0.0])
    content = files.members(files.save(model, tmp_path / "m.keras"))[files.WEIGHTS]
    refused(content, "/layers/dense/vars/1 hold NaN or infinite values")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_that_are_no_numbers_are_named(value, dtype):
    array = np.ones((4, 4), dtype)
    array[2, 3] = value
    content = hdf5(lambda file: file.create_dataset("layers/out/vars/0", data=array))
    refused(content, "the weights /layers/out/vars/0 hold NaN or infinite values")


def test_the_state_of_the_optimizer_may_hold_anything_finite_or_not():
    content = hdf5(lambda file: file.create_dataset("optimizer/vars/0", data=[np.nan]))
    assert weights.check(content) == 7


@pytest.mark.parametrize("content", [b"", b"x", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(2000)])
def test_what_is_no_hdf5_is_refused(content):
    refused(content, "model.weights.h5 is damaged")


@pytest.mark.parametrize("place", [8, 13, 14, 24])
def test_a_first_block_that_hdf5_does_not_write_is_refused(place):
    """The places of everything else are looked up with what it says."""
    content = bytearray(hdf5(lambda file: None, libver="earliest"))
    content[place] = 4
    refused(bytes(content), "its first block is not as HDF5 writes it")
    refused(bytes(512) + bytes(content), "it is no HDF5 file")


def test_a_list_of_free_blocks_that_never_ends_is_refused():
    """HDF5 1.14.6 takes all memory for it."""
    content = bytearray(hdf5(lambda file: None, libver="earliest"))
    start = content.index(b"HEAP")
    _, _, size, free, place = weights.HEAP.unpack_from(content, start)
    assert free < size
    weights.OFFSET.pack_into(content, place + free, free)
    refused(bytes(content), "a list of free blocks does not end")


def test_an_index_that_leads_back_to_itself_is_refused():
    """H5Oget_info, which measures it, never returns from it."""
    content = bytearray(hdf5(lambda file: None, libver="earliest"))
    start = content.index(b"TREE")
    weights.OFFSET.pack_into(content, start + 16, start)
    assert weights.check(bytes(content)) == 6


def hard_links(file):
    file["layers/again"] = file["layers/dense/vars/0"]


def loop(file):
    file["layers/dense/loop"] = file["layers"]


def loop_to_the_top(file):
    file["layers/top"] = file["/"]


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file.create_virtual_dataset("v", layout)


def never_filled(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    space = h5py.h5s.create_simple((1 << 40,))
    h5py.h5d.create(file.id, b"bomb", h5py.h5t.IEEE_F32LE, space, properties)


def odd_name(file):
    file["layers/\x1b[2J"] = 1.0


STRING = h5py.string_dtype()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/")), "/x in .* is a link to another file"),
        (lambda f: f.__setitem__("layers/x", h5py.SoftLink("/layers")), "/layers/x in .* is a soft link"),
        (lambda f: f.__setitem__("x", h5py.SoftLink("/nowhere")), "a soft link"),
        (hard_links, "is linked to twice"),
        (loop, "is linked to twice"),
        (loop_to_the_top, "is linked to twice"),
        (virtual, "chunked, compressed or put together from others"),
        (lambda f: f.create_dataset("x", (3,), "f4", external=[("/etc/passwd", 0, 12)]), "stored in another file"),
        (lambda f: f.create_dataset("x", data=np.zeros(9), compression="gzip"), "chunked, compressed"),
        (lambda f: f.create_dataset("x", data=np.zeros(9), chunks=(3,)), "chunked"),
        (lambda f: f.create_dataset("x", (1 << 40,), "f4", chunks=(1 << 20,)), "chunked"),
        (never_filled, "declares 4398046511104 bytes; 0 are stored"),
        (lambda f: f.create_dataset("x", data="text", dtype=STRING), "expected numbers; received the type object"),
        (lambda f: f.create_dataset("x", data=f.ref, dtype=h5py.ref_dtype), "expected numbers"),
        (lambda f: f.create_dataset("x", (2,), h5py.vlen_dtype("f4")), "expected numbers"),
        (lambda f: f.create_dataset("x", data=np.zeros(2, "S4")), "expected numbers"),
        (lambda f: f.create_dataset("x", data=np.zeros(2, "V2")), "expected numbers"),
        (lambda f: f.create_dataset("x", data=np.zeros(2, "V9")), "expected numbers"),
        (lambda f: f.create_dataset("x", data=np.zeros(2, "c8")), "expected numbers"),
        (lambda f: f.create_dataset("x", data=np.zeros(2, "f4,i4")), "expected numbers"),
        (lambda f: f.create_dataset("x", (2,), np.dtype(("u1", (2,)))), "expected numbers"),
        (lambda f: f.create_dataset("x", data=np.longdouble([1.0])), "expected numbers"),
        (lambda f: f.create_dataset("x", data=[0], dtype=h5py.enum_dtype({"a": 0, "b": 1})), "expected numbers"),
        (lambda f: f.create_dataset("x", dtype="f4", data=h5py.Empty("f4")), "has no shape"),
        (lambda f: f["layers/dense/vars/0"].attrs.update({"other": 1}), "expected numbers"),
        (lambda f: f["layers/dense/vars/0"].attrs.update({"dtype": "bfloat16"}), "expected numbers"),
        (lambda f: f.__setitem__("x", np.dtype("f4")), "neither a group nor an array"),
        (odd_name, "expected a name of letters and digits"),
    ],
)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_what_is_not_a_plain_array_is_refused_before_any_array_is_read(change, message, libver, monkeypatch):
    content = hdf5(change, libver=libver)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *_: pytest.fail("an array was read"))
    refused(content, message)


def test_objects_are_limited(monkeypatch):
    monkeypatch.setattr(weights, "OBJECTS", 10)

    def many(file):
        for number in range(10):
            file.create_group(str(number))

    refused(hdf5(many), "expected at most 10 objects")


def test_arrays_that_share_their_bytes_are_refused():
    """Each declares what the file has; all of them together declare more."""
    content = hdf5(lambda file: [file.create_dataset(str(n), data=np.full(4096, 1.5)) for n in range(3)])
    with h5py.File(io.BytesIO(content)) as file:
        places = sorted(file[str(number)].id.get_offset() for number in range(3))
    for place in places[1:]:
        content = content.replace(place.to_bytes(8, "little"), places[0].to_bytes(8, "little"))
    content = content.replace(len(content).to_bytes(8, "little"), places[1].to_bytes(8, "little"))[: places[1]]
    refused(content, "declares more than")
