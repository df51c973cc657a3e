"""The user's own images: `train/<class>/...`, and where there are such `test/` and `validation/` or `val/`."""

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

from kdistill.core import backend
from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets import memory_map
from kdistill.datasets.user import conversion_cache, image_decoding, labels
from kdistill.datasets.user.image_decoding import UnreadableError

T = TypeVar("T")

AT_ONCE = 64  # images
NAMED_FILES = 5
SKIP_HINT = "Repair or remove them, or leave them out with --set data.on_error=skip."


@dataclass(frozen=True)
class Part:
    """The images of a part.

    Attributes:
        folder: whose subfolders are the classes.
        images: file and class of each, by class and then by name.
        classes: all of them, images or not.
        others: how many files were passed over, since their names are not those of images.
    """

    folder: Path
    images: tuple[tuple[Path, str], ...]
    classes: tuple[str, ...]
    others: int


def parts_at(path: Path) -> dict[str, Part]:
    """Return the parts of a folder; one without a folder `train` holds the classes of train itself.

    One of the classes may be called train; it stands beside no folder of another part.

    Raises:
        DataError: there is no such folder, or there are no classes or no images in it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder; {'this is a file' if path.exists() else 'there is none'}")
    found = conversion_cache.parts_in(path, "", os.path.isdir) if os.path.isdir(path / "train") else {}
    if len(found) < 2 and not _subfolders(path / "train"):
        return {"train": _part(path)}
    return {part: _part(folder) for part, folder in found.items()}


def _part(folder: Path) -> Part:
    images: list[tuple[Path, str]] = []
    classes, others = _subfolders(folder), 0
    if not classes:
        raise DataError(f"{folder}: expected a folder for each class, with its images in it; there are no folders here")
    for name in classes:
        found = image_decoding.files_below(folder / name)
        of_class = [path for path in found if path.suffix.lower() in image_decoding.SUFFIXES]
        others += len(found) - len(of_class)
        images += [(path, name) for path in of_class]
    return Part(folder, tuple(images), tuple(classes), others)


def _subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, in order; hidden ones are none of the user's classes."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None


def signature(parts: dict[str, Part], top: Path) -> str:
    """Return a hash of which images there are, and of their sizes and times of change; a broken one counts too."""
    digest = hashlib.sha256()
    for part, images in parts.items():
        digest.update(f"{part}: {images.classes}\n".encode(errors="replace"))
        for path, _ in images.images:
            try:
                stamp = conversion_cache.stamp(os.stat(path))
            except OSError:  # a link to nothing
                stamp = "none"
            digest.update(f"{path.relative_to(top)}\0{stamp}\n".encode(errors="replace"))
    return digest.hexdigest()


def convert(
    parts: dict[str, Part], size: tuple[int, int] | None, channels: int | None, skip: bool, folder: Path
) -> conversion_cache.Facts:
    """Write the images of all parts to the folder of a conversion.

    Args:
        size: height and width; None for those of the first image of train.
        channels: 1 or 3; None for 1 if every image is grey, and else 3.
        skip: leave images out that cannot be read.

    Raises:
        DataError: an image cannot be read, unless they are skipped; a class has no image, or one that is not in train.
    """
    _check_classes(parts)
    skipped: dict[Path, str] = {}
    with image_decoding.bombs_refused(), ThreadPoolExecutor(backend.cores()) as pool:
        seen = _looked_at(pool, parts, skipped)
        first = next((seen[path][0] for path, _ in parts["train"].images if path in seen), (1, 1))
        chosen = size or first
        channels = channels or (1 if all(is_grey for _, is_grey in seen.values()) else 3)
        shape = chosen if channels == 1 else (*chosen, channels)
        conversion_cache.check_room(folder, len(seen) * prod(shape), parts["train"].folder)
        found = {part: _write(pool, images, shape, channels, skipped, part, folder) for part, images in parts.items()}
    if skipped and not skip:
        raise DataError(unreadable(sorted(skipped.items())), hint=SKIP_HINT)
    _check_each_has_images(parts, found, skipped)
    names, numbers = labels.numbered(found, parts["train"].classes)
    for part in parts:
        conversion_cache.write_labels(folder, part, numbers[part])
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
        strange = [name for name in images.classes if name not in train.classes]
        if strange:
            raise DataError(
                f"{images.folder}: classes that are not in {train.folder}: {first_few(strange)}",
                hint=f"The classes of {train.folder} are {first_few(list(train.classes), 20)}.",
            )
    with_images = {name for _, name in train.images}
    empty = [name for name in train.classes if name not in with_images]
    if empty:
        raise DataError(
            f"{train.folder}: classes without images: {first_few(empty)}",
            hint=f"Expected files that end in {', '.join(image_decoding.SUFFIXES)}.",
        )


def _looked_at(
    pool: ThreadPoolExecutor, parts: dict[str, Part], skipped: dict[Path, str]
) -> dict[Path, tuple[tuple[int, int], bool]]:
    """Return what `pictures.look` says of each image that it can read; put the others into `skipped`."""
    paths = [path for images in parts.values() for path, _ in images.images]
    seen = {}
    for path, result in zip(paths, _in_order(pool, image_decoding.look, paths), strict=True):
        if isinstance(result, UnreadableError):
            skipped[path] = str(result)
        else:
            seen[path] = result
    return seen


def _write(
    pool: ThreadPoolExecutor,
    images: Part,
    shape: Sequence[int],
    channels: int,
    skipped: dict[Path, str],
    part: str,
    folder: Path,
) -> labels.Labels:
    """Write the images of a part that can be decoded; return their classes."""
    names = []
    candidates = [(path, name) for path, name in images.images if path not in skipped]
    decode = partial(image_decoding.decode, size=(shape[0], shape[1]), channels=channels)
    results = _in_order(pool, decode, [path for path, _ in candidates])
    with memory_map.RowWriter(conversion_cache.examples_file(folder, part), tuple(shape), np.uint8) as rows:
        for (path, name), result in zip(candidates, results, strict=True):
            if isinstance(result, UnreadableError):
                skipped[path] = str(result)
            else:
                rows.append(result[None])
                names.append(name)
    return labels.Labels(np.array(names, dtype=np.str_), str(images.folder))


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Path], T], paths: Iterable[Path]
) -> Iterator[T | UnreadableError]:
    """Yield what a function returns for each path, or the error, in order, with few of them in memory at a time."""

    def result(path: Path) -> T | UnreadableError:
        try:
            return function(path)
        except UnreadableError as error:
            return error

    remaining = iter(paths)
    while some := list(itertools.islice(remaining, AT_ONCE)):
        yield from pool.map(result, some)


def _check_each_has_images(parts: dict[str, Part], found: dict[str, labels.Labels], skipped: dict[Path, str]) -> None:
    """Refuse data of which so much could not be read that a class of train or a whole part has gone."""
    left = set(found["train"].values.tolist())
    gone = [name for name in parts["train"].classes if name not in left]
    gone += [images.folder.name for part, images in parts.items() if len(found[part].values) == 0]
    if gone:
        reason = unreadable(sorted(skipped.items())) if skipped else "there are none"
        raise DataError(f"{parts['train'].folder}: no image that can be read in {first_few(gone)}: {reason}")


def unreadable(skipped: Iterable[Sequence[object]]) -> str:
    """Return how many images cannot be read, and the first few with the reasons."""
    told = [f"{path} ({reason})" for path, reason in skipped]
    what = "1 image cannot be read" if len(told) == 1 else f"{len(told):,} images cannot be read"
    return f"{what}: {first_few(told, NAMED_FILES)}"
