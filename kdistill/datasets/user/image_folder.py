"""The user's own images: `train/<class>/...`, and optionally `test/` and `validation/`, under any of their names."""

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from kdistill.core.formatting import counted, first_few, printable
from kdistill.datasets import memory_map
from kdistill.datasets.user import conversion_cache, image_decoding, labels
from kdistill.datasets.user.image_decoding import Header, UnreadableError
from kdistill.datasets.user.parts import beside, in_folder, word_of

T = TypeVar("T")

DEEP = {"bits": 16}  # how a model of such images is given others: see `modelfiles.inputs`
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


def parts_at(path: Path, with_others: bool = False) -> dict[str, Part]:
    """Return the parts of a folder; without a folder of train, its subfolders are the classes of train.

    A folder that holds one folder alone is looked into. A class may be called train: then there is no folder of another
    part next to it, and it has no subfolders.

    Args:
        path: the folder.
        with_others: whether the parts that lie beside a folder of train belong to it.

    Raises:
        DataError: there is no such folder, it has no classes, a part is there twice, or classes hold folders alone.
    """
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder; {'this is a file' if path.exists() else 'there is none'}")
    top, found = _found_at(path)
    if not found and with_others:
        found = beside(path, [""], os.path.isdir)
    if not found:
        return {"train": _part(top)}
    train = _part(_looked_into(found.pop("train"), lambda name: True))
    others = {part: _looked_into(folder, lambda name: name not in train.classes) for part, folder in found.items()}
    return {"train": train} | {part: _part(folder, part) for part, folder in others.items()}


def beside_the_parts(path: Path) -> list[str]:
    """Return the names of the folders beside those of the parts, which are not read."""
    top, found = _found_at(path)
    taken = {folder.name for folder in found.values()}
    return [name for name in _subfolders(top) if name not in taken] if found else []


def _found_at(path: Path) -> tuple[Path, dict[str, Path]]:
    """Return the folder that has the parts, and the folder of each; no part if its subfolders are classes."""
    top = _looked_into(path, lambda name: word_of(name) is None)
    found = in_folder(top, [""], os.path.isdir)
    if "train" not in found or (len(found) < 2 and not _subfolders(found["train"])):
        return top, {}
    return top, found


def _looked_into(folder: Path, may_be: Callable[[str], bool]) -> Path:
    """Return the folder that a folder with a single subfolder stands for: the innermost with folders in its only one.

    Args:
        folder: where to begin.
        may_be: whether a subfolder of this name may hold what is looked for.
    """
    while True:
        inside = _subfolders(folder)
        if len(inside) != 1 or not may_be(inside[0]) or not _subfolders(folder / inside[0]):
            return folder
        folder = folder / inside[0]


def _part(folder: Path, part: str = "train") -> Part:
    classes = labels.in_order(set(_subfolders(folder)))
    if strange := [printable(name) for name in classes if printable(name) != name]:
        raise DataError(
            f"{printable(folder)}: the names of folders are those of classes, and are not text in UTF-8: "
            f"{first_few(strange)}",
            hint="Rename them.",
        )
    if not classes:
        raise _without_classes(folder, part)
    found = {path: name for name in classes for path in image_decoding.files_below(folder / name)}
    images = {path: name for path, name in found.items() if path.suffix.lower() in image_decoding.SUFFIXES}
    _check_holds_images(folder, classes, images)
    return Part(folder, images, tuple(classes), len(found) - len(images))


def _without_classes(folder: Path, part: str) -> DataError:
    """Return the error for a folder of a part that has no folders."""
    images = [path for path in image_decoding.files_below(folder) if path.suffix.lower() in image_decoding.SUFFIXES]
    received = f"{counted(len(images), 'image')} and no folders" if images else "no folders"
    if part == "train":
        hint = f"Put the images of each class into a folder with its name, such as {folder.name}/cat/1.jpg."
    else:
        hint = (
            "Images without classes are for `kdistill predict`. To leave this part out, set data.path to the folder of "
            "train, and data.test to a share of it."
        )
    return DataError(f"{folder}: expected a folder of images for each class; received {received}", hint=hint)


def _check_holds_images(folder: Path, classes: Sequence[str], images: Iterable[Path]) -> None:
    """Raise DataError if a class has its images in several folders: these may be the classes."""
    direct = {path.parent for path in images}
    nested = [name for name in classes if folder / name not in direct and len(_subfolders(folder / name)) > 1]
    if nested:
        inside = _subfolders(folder / nested[0])
        raise DataError(
            f"{folder}: expected a folder of images for each class; {first_few(nested)} "
            f"{'holds' if len(nested) == 1 else 'hold'} folders alone, such as {nested[0]}/{inside[0]}",
            hint=f"If these are parts, call them train, validation and test. If {first_few(inside)} are the classes, "
            f"set data.path to {folder / nested[0]}. If {nested[0]} is a class, move its images out of their folders.",
        )


def _subfolders(folder: Path) -> list[str]:
    """Return the names of the subfolders of a folder that are not hidden, in order; none if it does not exist."""
    try:
        entries = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
        return sorted(name for name in entries if not image_decoding.is_hidden(name))
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
            digest.update(f"{os.path.relpath(path, top)}\0{stamp}\n".encode(errors="replace"))
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
        seen = dict(read(pool, image_decoding.inspect, paths, skipped))
        chosen = size or next((seen[path].size for path in parts["train"].class_of if path in seen), (1, 1))
        channels = channels or (1 if all(header.is_grey for header in seen.values()) else 3)
        shape = chosen if channels == 1 else (*chosen, channels)
        dtype = np.dtype(np.float32 if _are_deep(seen, parts["train"].folder) else np.uint8)
        conversion_cache.check_room(folder, len(seen) * prod(shape) * dtype.itemsize, parts["train"].folder)
        decode = partial(image_decoding.decode, size=chosen, channels=channels)
        found = {}
        for part, images in parts.items():
            with memory_map.RowWriter(conversion_cache.examples_file(folder, part), shape, dtype) as rows:
                found[part] = _write(images, read(pool, decode, images.class_of, skipped), rows)
    if skipped and not skip:
        raise refused(sorted(skipped.items()), all_of=len(paths))
    _check_each_has_images(parts, found, skipped)
    names, numbers = labels.encoded(found, parts["train"].classes)
    conversion_cache.write_labels(folder, numbers)
    return {"classes": names, **_facts(parts, seen, skipped), **({"inputs": DEEP} if dtype != np.uint8 else {})}


def _facts(parts: dict[str, Part], seen: Mapping[Path, Header], skipped: Mapping[Path, str]) -> conversion_cache.Facts:
    return {
        "names": {part: [str(images.folder), str(images.folder)] for part, images in parts.items()},
        "skipped": [[printable(path), reason] for path, reason in sorted(skipped.items())],
        "sizes": len({header.size for header in seen.values()}),
        "others": sum(images.others for images in parts.values()),
        "notes": list(_notes(seen)),
    }


def _are_deep(seen: Mapping[Path, Header], folder: Path) -> bool:
    """Whether all images have 16 bits; raise DataError if only some have, since values would be of two scales."""
    deep = [str(path) for path, header in seen.items() if header.is_deep]
    if not deep or len(deep) == len(seen):
        return bool(deep)
    shallow = [str(path) for path, header in seen.items() if not header.is_deep]
    few, bits = (deep, 16) if len(deep) < len(shallow) else (shallow, 8)
    raise DataError(
        f"{folder}: expected images of one depth; {len(deep):,} have 16 bits and {len(shallow):,} have 8. "
        f"Those with {bits} are {first_few(few)}",
        hint="Save all of them in 8 bits, or all in 16, with values on the same scale.",
    )


def _notes(seen: Mapping[Path, Header]) -> Iterator[str]:
    headers = seen.values()
    if any(header.is_deep for header in headers):
        yield "The images have 16 bits: their values are kept as they are"
    if count := sum(header.has_alpha for header in headers):
        which = "1 image has" if count == 1 else f"{count:,} images have"
        yield f"{which} an alpha channel: what is transparent is laid over white"


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


def read(
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


def _write(images: Part, decoded: Iterable[tuple[Path, NDArray]], rows: memory_map.RowWriter) -> labels.Labels:
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


def refused(skipped: Sequence[Sequence[object]], all_of: int = 0) -> DataError:
    """Return the error for images that cannot be read; `all_of` is the number of all images, if it is known."""
    hint = "None of the images can be read: are these image files?" if len(skipped) == all_of else SKIP_HINT
    return DataError(unreadable(skipped), hint=hint)


def unreadable(skipped: Iterable[Sequence[object]]) -> str:
    """Return a sentence on images that cannot be read: their number, and the first few with the reasons."""
    found = [f"{path} ({reason})" for path, reason in skipped]
    what = "1 image cannot be read" if len(found) == 1 else f"{len(found):,} images cannot be read"
    return f"{what}: {first_few(found)}"
