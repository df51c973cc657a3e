"""The zip archive of a `.keras` file: which paths are opened, and which members are unpacked."""

import copy
import os
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from kdistill.core.errors import ModelError
from kdistill.modelfiles import versions

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# The maximum unpacked size of each member. A ResNet-152 has half a MiB of config and, with the optimizer's state, three
# quarters of a GiB of weights.
LIMITS = {METADATA: 64 * KIB, CONFIG: 4 * MIB, WEIGHTS: 2 * GIB}
OVERHEAD = 64 * KIB  # what a zip archive of three members may add: headers, directory, alignment
# The maximum compression ratio. Keras does not compress; weights that are not nearly all zeros shrink far less.
EXPANSION, EXPANSION_FLOOR = 100, 16 * MIB

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path makes one slash of two; C:/ is a drive, not a scheme
# The end record of an archive without comment: counts, size and offset of the directory. A locator before it: zip64.
END = struct.Struct("<4s4H2LH")
END_MAGIC, ZIP64_LOCATOR, ZIP64_LOCATOR_SIZE = b"PK\x05\x06", b"PK\x06\x07", 20
DIRECTORY_LIMIT = 4 * KIB
ENCRYPTED = 0x1 | 0x40
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Raised by zipfile for damaged archives; RuntimeError also for zip features that Python lacks.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, IndexError, RuntimeError)

HINT = "Give the path of a `.keras` file on this machine, as written by `model.save(...)` or by kdistill."
DAMAGED_HINT = "Copy or download the file again, or take another one."
FOREIGN_HINT = "Save the model again with Keras 3: `model.save('name.keras')`."
ASSETS_HINT = (
    "Save the part of the model that follows such a layer, and give it data that the layer has been applied to: "
    "`keras.Model(layer.output, model.output).save('name.keras')`."
)


def read(path: Path) -> dict[str, bytes]:
    """Return the members of a `.keras` file by name, with correct sizes and checksums.

    Raises:
        ModelError: not a regular local `.keras` file, damaged, too large, or it has other members.
    """
    _check_path(path)
    try:
        with open(path, "rb") as file:
            _check_ends(file)
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
                _check_names([info.orig_filename for info in infos])
                for info in infos:
                    _check_member(info)
                return {info.filename: _unpack(archive, info) for info in infos}
    except ZIP_ERRORS as error:
        raise ModelError(f"the file is damaged: {error}", DAMAGED_HINT) from error
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", HINT) from error


def _check_path(path: Path) -> None:
    """Raise unless the path is a regular local file, before it is opened: `open` waits for ever on a named pipe."""
    if ADDRESS.match(str(path)):
        raise ModelError("expected a file on this machine; received an address", HINT)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError("no such model file", HINT) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read: {getattr(error, 'strerror', None) or error}", HINT) from error
    versions.check_format(path)
    if stat.S_ISDIR(status.st_mode):
        raise ModelError("expected a `.keras` file; received a folder", HINT)
    if not stat.S_ISREG(status.st_mode):
        raise ModelError("expected a regular `.keras` file; received a pipe, socket or device", HINT)
    if path.suffix != ".keras":
        received = f"one that ends in {path.suffix}" if path.suffix else "one without an ending"
        raise ModelError(f"expected a `.keras` file; received {received}", FOREIGN_HINT)
    if not status.st_size:
        raise ModelError("the file is empty", DAMAGED_HINT)
    limit = sum(LIMITS.values()) + OVERHEAD
    if status.st_size > limit:
        raise ModelError(f"expected at most {limit} bytes; received {status.st_size}", HINT)


def _check_ends(file: IO[bytes]) -> None:
    """Raise unless the file begins and ends like an archive of three members.

    zipfile would read a directory of any size into memory.
    """
    if not file.read(4).startswith(b"PK\x03\x04"):
        raise ModelError("not a `.keras` file: expected a zip archive; received something else", FOREIGN_HINT)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END.size - ZIP64_LOCATOR_SIZE))
    tail = file.read()
    if len(tail) < END.size or not tail[-END.size :].startswith(END_MAGIC):
        raise ModelError("the file is damaged: it is cut off, or the end of the archive is not its end", DAMAGED_HINT)
    _, disk, first_disk, here, entries, directory, _, comment = END.unpack(tail[-END.size :])
    if disk or first_disk or comment or here != entries or tail.startswith(ZIP64_LOCATOR):
        raise ModelError("the file is damaged: the end of the archive is not as Keras writes it", DAMAGED_HINT)
    if directory > DIRECTORY_LIMIT:  # with more members than three the directory may still be read, for their names
        raise ModelError(f"not a `.keras` file: expected {len(LIMITS)} members; received {entries}", FOREIGN_HINT)


def _check_names(names: list[str]) -> None:
    for name in names:
        if name.startswith("assets/"):
            raise ModelError(
                f"not accepted: it keeps {name[:80]!r} beside its weights, as TextVectorization, StringLookup and "
                "IntegerLookup keep their vocabularies",
                ASSETS_HINT,
            )
        if name not in LIMITS:
            raise ModelError(
                f"not accepted: expected the members {', '.join(LIMITS)}; received {name[:80]!r}",
                "A model needs no assets, and no other files. " + FOREIGN_HINT,
            )
        if names.count(name) > 1:
            raise ModelError(f"not accepted: the archive holds {name} twice", FOREIGN_HINT)
    missing = [name for name in LIMITS if name not in names]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ModelError(f"not a `.keras` file: {', '.join(missing)} {verb} missing", FOREIGN_HINT)


def _check_member(info: zipfile.ZipInfo) -> None:
    """Check a member by its entry in the directory; `_unpack` checks that the content agrees with the entry."""
    name = info.filename
    if info.flag_bits & ENCRYPTED:
        raise ModelError(f"not accepted: {name} is encrypted", FOREIGN_HINT)
    if info.compress_type not in METHODS:
        received = f"the compression method {info.compress_type}"
        raise ModelError(f"not accepted: expected {name} stored or deflated; received {received}", FOREIGN_HINT)
    if info.file_size > LIMITS[name]:
        raise ModelError(f"too large: expected at most {LIMITS[name]} bytes of {name}; received {info.file_size}")
    if info.file_size > EXPANSION_FLOOR and info.file_size > EXPANSION * info.compress_size:
        raise ModelError(f"not accepted: {name} unpacks {info.compress_size} bytes to {info.file_size}", FOREIGN_HINT)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return a member that has exactly the declared size and checksum.

    zipfile, which Keras uses, unpacks members beyond their declared size, so these are rejected here.
    """
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    packed.CRC = None  # type: ignore[assignment]  # the checksum of the unpacked content is compared below
    with archive.open(packed) as stream:
        content = stream.read()
    whole = len(content) == info.compress_size
    if info.compress_type == zipfile.ZIP_DEFLATED:
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        content = decoder.decompress(content, info.file_size + 1)
        whole = whole and decoder.eof and not decoder.unused_data
    if not whole or len(content) != info.file_size:
        raise ModelError(f"the file is damaged: {info.filename} is not as long as the archive says", DAMAGED_HINT)
    if zlib.crc32(content) != info.CRC:
        raise ModelError(f"the file is damaged: {info.filename} fails its checksum", DAMAGED_HINT)
    return content
