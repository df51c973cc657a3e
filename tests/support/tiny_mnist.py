"""A data set in the MNIST format that is made in a moment, for the tests of `kdistill.datasets`."""

import gzip
import hashlib
import io
import struct
from dataclasses import dataclass

import numpy as np

from kdistill.datasets.named.published import File, Published

SHAPE = (4, 3)
CLASSES = ("cat", "dog", "eel", "fox")
EXAMPLES = {"train": 80, "test": 20}


@dataclass(frozen=True)
class Tiny:
    """A data set: what is known of it, and its arrays by their name in an archive."""

    facts: Published
    arrays: dict[str, np.ndarray]

    def bytes_of(self, file):
        return idx_bytes(self.arrays[file.member])

    def write(self, folder, compress=True):
        """Write the four files to a folder, which is made, and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.facts.files:
            content = self.bytes_of(file)
            if compress:
                (folder / f"{file.name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / file.name).write_bytes(content)
        return folder

    def write_archive(self, folder, **changed):
        """Write Keras's archive, with some arrays changed, and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "mnist.npz"
        np.savez_compressed(path, **(self.arrays | changed))
        return path


def make(name="mnist", title="Tiny MNIST", folder="mnist", algorithm="md5", archive="mnist.npz", seed=0, urls=()):
    """Return a data set whose content depends on the seed alone."""
    random = np.random.default_rng(seed)
    arrays, files = {}, []
    for part, prefix in (("train", "train"), ("test", "t10k")):
        count = EXAMPLES[part]
        arrays[f"x_{part}"] = random.integers(0, 256, (count, *SHAPE), np.uint8)
        arrays[f"y_{part}"] = random.permutation(np.arange(count, dtype=np.uint8) % len(CLASSES))
        for member, ending in ((f"x_{part}", "images-idx3-ubyte"), (f"y_{part}", "labels-idx1-ubyte")):
            array = arrays[member]
            digest = hashlib.new(algorithm, idx_bytes(array)).hexdigest()
            files.append(File(f"{prefix}-{ending}", array.shape, algorithm, digest, member))
    return Tiny(Published(name, title, folder, CLASSES, tuple(urls), tuple(files), archive), arrays)


def idx_bytes(array):
    """Return an array of unsigned bytes as an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def npz_bytes(**arrays):
    """Return arrays as an archive."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
