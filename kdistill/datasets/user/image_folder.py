"""The user's own images: `train/<class>/...`, and optionally `test/` and `validation/` or `val/`."""

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kdistill.core import backend
from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets import memory_map
from kdistill.datasets.user import conversion_cache, image_decoding, labels
from kdistill.datasets.user.image_decoding import UnreadableError

T = TypeVar("T")

AT_ONCE = 64  # images in memory
SKIP_HINT = "Repair or remove them, or leave them out with --set data.on_error=skip."


@dataclass(frozen=True)
class Part:
    """The images of a part.

    Attributes:
        folder: the folder of the part, whose subfolders are the classes.
        class_of: class of each image file, ordered by class and then by file name.
        classes: names of all subfolders, also of those without images.
        others: number of files that are ignored, since they do not have the suffix of an image.
    """

    folder: Path
    class_of: dict[Path, str]
    classes: tuple[str, ...]
    others: int


def parts_at(path: Path) -> dict[str, Part]:
    """Return the parts of a folder; without a subfolder `train`, its subfolders are the classes of train.

    A class may be called train: then there is no folder of another part next to it, and it has no subfolders.

    Raises:
        DataError: there is no such folder, or it has no classes.
    """
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder; {'this is a file' if path.exists() else 'there is none'}")
    found = conversion_cache.parts_in(path, "", os.path.isdir) if os.path.isdir(path / "train") else {}
    if len(found) < 2 and not _subfolders(path / "train"):
        return {"train": _part(path)}
    return {part: _part(folder) for part, folder in found.items()}


def _part(folder: Path) -> Part:
    classes = _subfolders(folder)
    if not classes:
        raise DataError(f"{folder}: expected a folder of images for each class; received no folders")
    found = {path: name for name in classes for path in image_decoding.files_below(folder / name)}
    images = {path: name for path, name in found.items() if path.suffix.lower() in image_decoding.SUFFIXES}
    return Part(folder, images, tuple(classes), len(found) - len(images))


def _subfolders(folder: Path) -> list[str]:
    """Return the names of the subfolders of a folder that are not hidden, in order; none if it does not exist."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None


def signature(parts: dict[str, Part], top: Path) -> str:
    """Return a hash of the classes, and of the names and stamps of the images; broken links are included."""
    digest = hashlib.sha256()
    for part, images in parts.items():
        digest.update(f"{part}: {images.classes}\n".encode(errors="replace"))
        for path in images.class_of:
            try:
                stamp = conversion_cache.stamp(os.stat(path))
            except OSError:  # a broken link
                stamp = "none"
            digest.update(f"{path.relative_to(top)}\0{stamp}\n".encode(errors="replace"))
    return digest.hexdigest()


def convert(
    parts: dict[str, Part], size: tuple[int, int] | None, channels: int | None, skip: bool, folder: Path
) -> conversion_cache.Facts:
    """Write the images of all parts to the folder of a conversion, and return its facts.

    Args:
        parts: the result of `parts_at`.
        size: height and width of all images after resizing; None for those of the first image of train.
        channels: 1 or 3; None for 1 if every image is grey, and 3 otherwise.
        skip: leave out images that cannot be read.

    Raises:
        DataError: an image cannot be read and `skip` is False, or a class has no image, or none in train.
    """
    _check_classes(parts)
    skipped: dict[Path, str] = {}
    with image_decoding.bombs_refused(), ThreadPoolExecutor(backend.cores()) as pool:
        paths = [path for images in parts.values() for path in images.class_of]
        seen = dict(_read(pool, image_decoding.inspect, paths, skipped))
        chosen = size or next((seen[path][0] for path in parts["train"].class_of if path in seen), (1, 1))
        channels = channels or (1 if all(is_grey for _, is_grey in seen.values()) else 3)
        shape = chosen if channels == 1 else (*chosen, channels)
        conversion_cache.check_room(folder, len(seen) * prod(shape), parts["train"].folder)
        decode = partial(image_decoding.decode, size=chosen, channels=channels)
        found = {}
        for part, images in parts.items():
            with memory_map.RowWriter(conversion_cache.examples_file(folder, part), shape, np.uint8) as rows:
                found[part] = _write(images, _read(pool, decode, images.class_of, skipped), rows)
    if skipped and not skip:
        raise DataError(unreadable(sorted(skipped.items())), hint=SKIP_HINT)
    _check_each_has_images(parts, found, skipped)
    names, numbers = labels.encoded(found, parts["train"].classes)
    conversion_cache.write_labels(folder, numbers)
    return {
        "classes": names,
        "names": {part: [str(images.folder), str(images.folder)] for part, images in parts.items()},
        "skipped": [[str(path), reason] for path, reason in sorted(skipped.items())],
        "sizes": len({size for size, _ in seen.values()}),
        "others": sum(images.others for images in parts.values()),
    }


def _check_classes(parts: dict[str, Part]) -> None:
    train = parts["train"]
    for images in parts.values():
        if strange := [name for name in images.classes if name not in train.classes]:
            raise DataError(
                f"{images.folder}: classes that are not in {train.folder}: {first_few(strange)}",
                hint=f"The classes of {train.folder} are {first_few(list(train.classes), 20)}.",
            )
    with_images = set(train.class_of.values())
    if empty := [name for name in train.classes if name not in with_images]:
        raise DataError(
            f"{train.folder}: classes without images: {first_few(empty)}",
            hint=f"Expected files that end in {', '.join(image_decoding.SUFFIXES)}.",
        )


def _read(
    pool: ThreadPoolExecutor, function: Callable[[Path], T], paths: Iterable[Path], skipped: dict[Path, str]
) -> Iterator[tuple[Path, T]]:
    """Yield each path with the function's result, in order, a few at a time; put unreadable ones into `skipped`."""

    def result(path: Path) -> tuple[Path, T | UnreadableError]:
        try:
            return path, function(path)
        except UnreadableError as error:
            return path, error

    remaining = iter([path for path in paths if path not in skipped])
    while some := list(itertools.islice(remaining, AT_ONCE)):
        for path, found in pool.map(result, some):
            if isinstance(found, UnreadableError):
                skipped[path] = str(found)
            else:
                yield path, found


def _write(
    images: Part, decoded: Iterable[tuple[Path, NDArray[np.uint8]]], rows: memory_map.RowWriter
) -> labels.Labels:
    """Write decoded images of a part, and return their classes."""
    names = []
    for path, pixels in decoded:
        rows.append(pixels[None])
        names.append(images.class_of[path])
    return labels.Labels(np.array(names, dtype=np.str_), str(images.folder))


def _check_each_has_images(parts: dict[str, Part], found: dict[str, labels.Labels], skipped: dict[Path, str]) -> None:
    """Check that the images that could be read include every class of train, and some of every part."""
    left = set(found["train"].values.tolist())
    gone = [name for name in parts["train"].classes if name not in left]
    gone += [images.folder.name for part, images in parts.items() if len(found[part].values) == 0]
    if gone:
        reason = unreadable(sorted(skipped.items())) if skipped else "there are none"
        raise DataError(f"{parts['train'].folder}: expected images that can be read in {first_few(gone)}: {reason}")


def unreadable(skipped: Iterable[Sequence[object]]) -> str:
    """Return a sentence on images that cannot be read: their number, and the first few with the reasons."""
    found = [f"{path} ({reason})" for path, reason in skipped]
    what = "1 image cannot be read" if len(found) == 1 else f"{len(found):,} images cannot be read"
    return f"{what}: {first_few(found)}"
