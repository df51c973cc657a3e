"""The weights of a model: an HDF5 file in which only plain arrays are accepted.

HDF5 can refer to other files, call plugins to unpack data, and declare arrays that are not in the file. All links and
declarations are checked before any array is read. Structures that the HDF5 library would follow for ever are checked
before the library opens the file.
"""

import io
import re
import struct
from math import prod

import h5py
import numpy as np

from kdistill.core.errors import ModelError

OBJECTS = 20_000  # groups and arrays. A ResNet-152 with the optimizer's state has 4,000
NAME = re.compile(r"\w{1,200}", re.ASCII)
LINKS = {h5py.SoftLink: "a soft link", h5py.ExternalLink: "a link to another file"}
# The optimizer's state is used only to continue training, and may be NaN after a step that diverged.
UNREAD = "/optimizer"

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# By version of the superblock: the positions of the sizes of offsets and lengths (8 bytes each) and of the base address
# (0).
FIRST_BLOCKS = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
HEAP = struct.Struct("<4sB3x3Q")  # names of links: version, size, first free block, place
LAST_FREE, OFFSET = 1, struct.Struct("<Q")

HINT = "Save the model again with Keras 3: `model.save('name.keras')`."
DAMAGED_HINT = "Copy or download the file again, or take another one."
NOT_FINITE_HINT = "The training that made it has diverged: train it again, with a lower learning rate."


def check(content: bytes) -> int:
    """Return the number of values in a weights file, the optimizer's state included.

    Raises:
        ModelError: the file is damaged or not accepted, or a weight is NaN or infinite.
    """
    _check_first_block(content)
    _check_heaps(content)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            arrays = _arrays(file, len(content))
            for name, array in arrays:
                if not name.startswith(UNREAD) and not _finite(array):
                    raise ModelError(f"the weights {name} hold NaN or infinite values", NOT_FINITE_HINT)
            return sum(int(array.size) for _, array in arrays)
    except ModelError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError and others for HDF5's errors
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise ModelError(f"model.weights.h5 is damaged: {reason}", DAMAGED_HINT) from error


def parameters(content: bytes) -> int:
    """Return the number of values in a weights file that `check` accepts, without the optimizer's state."""
    with h5py.File(io.BytesIO(content), "r") as file:
        return sum(int(array.size) for name, array in _arrays(file, len(content)) if not name.startswith(UNREAD))


def attribute(content: bytes, name: str) -> object:
    """Return the text in an attribute of an HDF5 file; None if there is none. Raises ModelError if it is damaged."""
    _check_first_block(content)
    _check_heaps(content)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return file.attrs.get(name)
    except Exception as error:
        raise ModelError("the file is damaged", DAMAGED_HINT) from error


def _check_first_block(content: bytes) -> None:
    """Raise unless the superblock is as HDF5 writes it by default, so that an offset is a position in the file."""
    if not content.startswith(SIGNATURE) or len(content) < 64:
        raise ModelError("model.weights.h5 is damaged: it is no HDF5 file", DAMAGED_HINT)
    sizes, shift = FIRST_BLOCKS.get(content[8], (0, 0))
    if not sizes or content[sizes : sizes + 2] != b"\x08\x08" or any(content[shift : shift + 8]):
        raise ModelError("model.weights.h5 is damaged: its first block is not as HDF5 writes it", DAMAGED_HINT)


def _check_heaps(content: bytes) -> None:
    """Raise if a list of free blocks is circular: HDF5 1.14 follows it until no memory is left."""
    blocks = len(content) // 16  # at most, as each takes two numbers
    heaps = 0
    start = content.find(b"HEAP")
    while 0 <= start <= len(content) - HEAP.size:
        _, version, size, free, place = HEAP.unpack_from(content, start)
        while version == 0 and free != LAST_FREE and blocks >= 0:
            if free >= size or place + free > len(content) - OFFSET.size:
                break  # HDF5 stops there, too
            (free,) = OFFSET.unpack_from(content, place + free)
            blocks -= 1
        start = content.find(b"HEAP", start + 1)
        heaps += 1
        if heaps > OBJECTS:
            raise ModelError(f"model.weights.h5: expected at most {OBJECTS} objects; received more", HINT)
    if blocks < 0:
        raise ModelError("model.weights.h5 is damaged: a list of free blocks does not end", DAMAGED_HINT)


def _arrays(file: h5py.File, size: int) -> list[tuple[str, h5py.Dataset]]:
    """Return all arrays with their names, unread."""
    arrays: list[tuple[str, h5py.Dataset]] = []
    seen = {_address(file)}
    groups: list[tuple[str, h5py.Group]] = [("", file)]
    stored = 0
    while groups:
        parent, group = groups.pop()
        for name in _names(group):
            if not NAME.fullmatch(name):
                received = f"{name[:60]!r} in {parent or '/'}"
                raise ModelError(f"model.weights.h5: expected a name of letters and digits; received {received}", HINT)
            place = f"{parent}/{name}"
            item = _follow(group, name, place)
            address = _address(item)
            if address in seen:
                raise ModelError(f"{place} in model.weights.h5 is linked to twice", HINT)
            seen.add(address)
            if len(seen) > OBJECTS:
                raise ModelError(f"model.weights.h5: expected at most {OBJECTS} objects; received more", HINT)
            if isinstance(item, h5py.Group):
                groups.append((place, item))
                continue
            stored += _check_array(item, place)
            if stored > size:
                raise ModelError(f"model.weights.h5 declares more than the {size} bytes that it has", HINT)
            arrays.append((place, item))
    return arrays


def _names(group: h5py.Group) -> list[str]:
    """Return the names in a group; the index of a damaged file may be circular."""
    names: list[bytes] = []

    def stop(name: bytes) -> bool | None:
        names.append(name)
        return True if len(names) > OBJECTS else None

    group.id.links.iterate(stop, order=h5py.h5.ITER_NATIVE)
    if len(names) > OBJECTS:
        raise ModelError(f"model.weights.h5: expected at most {OBJECTS} objects; received more", HINT)
    return [name.decode("utf-8", "replace") for name in names]


def _follow(group: h5py.Group, name: str, place: str) -> h5py.Group | h5py.Dataset:
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ModelError(f"{place} in model.weights.h5 is {LINKS.get(type(link), 'an unknown link')}", HINT)
    item = group[name]
    if not isinstance(item, h5py.Group | h5py.Dataset):
        raise ModelError(f"{place} in model.weights.h5 is neither a group nor an array", HINT)
    return item


def _address(item: h5py.Group | h5py.Dataset) -> tuple[int, ...]:
    # h5o.get_info would also measure the group's index, and never return if that is circular.
    return tuple(h5py.h5g.get_objinfo(item.id).objno)


def _check_array(array: h5py.Dataset, place: str) -> int:
    """Return the size in bytes of an array; raise unless it is numeric, contiguous and uncompressed."""
    properties = array.id.get_create_plist()
    # Compressed arrays are chunked. Keras writes none, and unpacking could load a plugin.
    if properties.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or properties.get_nfilters():
        raise ModelError(f"{place} in model.weights.h5 is chunked, compressed or put together from others", HINT)
    if properties.get_external_count():
        raise ModelError(f"{place} in model.weights.h5 is stored in another file", HINT)
    if not set(array.attrs) <= {"dtype"} or not _is_number(array):
        raise ModelError(f"{place} in model.weights.h5: expected numbers; received the type {array.dtype}", HINT)
    if array.shape is None:
        raise ModelError(f"{place} in model.weights.h5 has no shape", HINT)
    declared, stored = prod(array.shape) * array.dtype.itemsize, array.id.get_storage_size()
    if declared != stored:
        raise ModelError(f"{place} in model.weights.h5 declares {declared} bytes; {stored} are stored", HINT)
    return declared


def _is_number(array: h5py.Dataset) -> bool:
    dtype = array.dtype
    if dtype.subdtype or dtype.metadata or dtype.names:
        return False
    if dtype.kind == "V":  # how Keras stores bfloat16, for which HDF5 has no type
        return dtype.itemsize == 2 and _marked_bfloat16(array)
    return dtype.kind in "fiub" and dtype.itemsize <= 8 and "dtype" not in array.attrs


def _marked_bfloat16(array: h5py.Dataset) -> bool:
    if "dtype" not in array.attrs:
        return False
    attribute = array.attrs.get_id("dtype")
    text = h5py.check_string_dtype(attribute.dtype)
    return text is not None and attribute.shape == () and array.attrs["dtype"] == "bfloat16"


def _finite(array: h5py.Dataset) -> bool:
    values = array[()]
    if array.dtype.kind == "V":
        exponent = np.uint16(0x7F80)
        return bool(((np.asarray(values).view(np.uint16) & exponent) != exponent).all())
    return bool(np.isfinite(values).all())
