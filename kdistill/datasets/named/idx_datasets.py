"""Fashion-MNIST, MNIST and what else is published in their four files: found, verified, read, downloaded.

Since the files are verified by their hashes, it does not matter for a result in which folder they were found. A
`data.dir` without them therefore does not stop the search, but it does rule out a download: whoever names a folder
expects the files to be there, and is told when they are not.
"""

import hashlib
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdistill.core.errors import DamagedError, DataError
from kdistill.core.listener import Listener
from kdistill.datasets import search_paths
from kdistill.datasets.named import idx, keras_archive, published
from kdistill.datasets.named.download import UnavailableError, download
from kdistill.datasets.named.idx import CONTAINER_OVERHEAD
from kdistill.datasets.named.published import File, Published
from kdistill.datasets.search_paths import Place
from kdistill.datasets.splits import Source, whole

SCALE = 1 / 255


class MixedUpError(DamagedError):
    """A file is another data set's file of the same name."""


@dataclass(frozen=True)
class Finding:
    """What a folder has of a data set.

    Attributes:
        paths: file name -> where it is, in the order of the data set's files; empty unless all are there.
        problem: why there are none, in words.
    """

    place: Place
    paths: dict[str, Path] = field(default_factory=dict)
    problem: str | None = None


def read(dataset: Published, directory: str | None, listener: Listener | None = None) -> Source:
    """Find, verify and read a data set, downloading it if it is nowhere.

    Args:
        directory: `data.dir`, if given. If the files are nowhere and it is given, nothing is downloaded.

    Raises:
        DataError: the files are nowhere and cannot be downloaded, or one is damaged or another data set's.
    """
    findings = look(dataset, directory)
    found = next((finding for finding in findings if finding.paths), None)
    if found is None:
        found = _download(dataset, directory, findings, listener)
    elif directory and found.place.origin != search_paths.CONFIGURED and listener is not None:
        listener.note(f"data.dir: {directory} does not have {dataset.title}; it is read from {found.place.folder}")
    arrays = [_array(dataset, file, found.paths[file.name]) for file in dataset.files]
    names = [str(found.paths[file.name]) for file in dataset.files]
    return Source(
        train=whole(arrays[0], arrays[1]),
        test=whole(arrays[2], arrays[3]),
        classes=dataset.classes,
        scale=SCALE,
        image_files=(names[0], names[2]),
        label_files=(names[1], names[3]),
    )


def info(dataset: Published, directory: str | None = None) -> dict[str, Any]:
    """Say where a data set is looked for and whether it is there and intact. Nothing is downloaded.

    `intact` speaks of the folder that would be used. Damage is reported, not raised.
    """
    searched = []
    for finding in look(dataset, directory):
        problem = finding.problem or _damage(dataset, finding)
        searched.append(
            {
                "folder": str(finding.place.folder),
                "named_by": finding.place.origin,
                "found": bool(finding.paths),
                "intact": problem is None,
                "problem": problem,
                "files": [path.name for path in dict.fromkeys(finding.paths.values())],
                "bytes": sum(path.stat().st_size for path in set(finding.paths.values()) if path.is_file()),
            }
        )
    used: dict[str, Any] = next((entry for entry in searched if entry["found"]), {})
    return {
        "title": dataset.title,
        "found": bool(used),
        "intact": used.get("intact", False),
        "problem": used.get("problem"),
        "folder": used.get("folder"),
        "bytes": used.get("bytes"),
        "examples": dataset.examples,
        "shape": list(dataset.shape),
        "classes": list(dataset.classes),
        "searched": searched,
        "urls": list(dataset.urls),
    }


def fetch(dataset: Published, listener: Listener | None = None, force: bool = False) -> dict[str, Any]:
    """Download the files that the project's cache does not have intact; all of them with `force`.

    Raises:
        DataError: no address has a file intact, or the cache cannot be written to.
    """
    folder = search_paths.cached(dataset.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"the cache folder {folder} cannot be made: {error.strerror or error}",
            hint="Set KDISTILL_CACHE_DIR to a folder that can be written to.",
        ) from error
    downloaded = []
    for file in dataset.files:
        if force or not _is_intact(dataset, file, folder):
            downloaded.append(_fetch_file(dataset, file, folder, listener))
    return {"title": dataset.title, "folder": str(folder), "downloaded": downloaded}


def _fetch_file(dataset: Published, file: File, folder: Path, listener: Listener | None) -> str:
    """Download one file; return its name."""
    name = f"{file.name}.gz"
    urls = [base + name for base in dataset.urls]
    limit = file.size + CONTAINER_OVERHEAD
    try:
        download(urls, folder / name, limit, partial(content, dataset, file), listener)
    except UnavailableError as error:
        raise UnavailableError(error.message, _how_to_provide(dataset)) from error
    return name


def is_found(dataset: Published, directory: str | None) -> bool:
    """Whether a folder has all files of a data set, judged by their names."""
    return any(finding.paths for finding in look(dataset, directory))


def look(dataset: Published, directory: str | None) -> list[Finding]:
    """Look for a data set by the names of its files, folder by folder. Nothing is opened."""
    return [_look_in(dataset, place) for place in search_paths.search(directory, dataset.folder)]


def content(dataset: Published, file: File, path: Path) -> NDArray[np.uint8]:
    """Return the verified bytes of a file, uncompressed and with its IDX header.

    Args:
        path: an IDX file, plain or compressed, or Keras's archive, told by its name.

    Raises:
        MixedUpError: it is another data set's.
        DamagedError: it is not what was published.
    """
    if path.name == dataset.archive:
        limit = sum(each.size for each in dataset.files) + CONTAINER_OVERHEAD
        received = keras_archive.read(path, file.member, file.shape, limit)
    else:
        received = idx.read(path, file.shape)
    digest = _digest(received, file.algorithm)
    if digest == file.digest:
        return received
    for other in published.ALL:
        for known in other.files:
            if other.name != dataset.name and _digest(received, known.algorithm) == known.digest:
                raise MixedUpError(f"is {other.title}, not {dataset.title}")
    raise DamagedError(
        f"{file.name}: expected the {file.algorithm.upper()} {file.digest} (uncompressed); received {digest}"
    )


def _look_in(dataset: Published, place: Place) -> Finding:
    try:
        present = set(os.listdir(place.folder))
    except FileNotFoundError:
        return Finding(place, problem="no such folder")
    except NotADirectoryError:
        return Finding(place, problem="not a folder")
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        return Finding(place, problem=f"cannot be read: {getattr(error, 'strerror', None) or error}")
    paths: dict[str, Path] = {}
    for file in dataset.files:
        # The compressed one first: it is what `fetch` writes, and must prevail over a damaged plain one.
        for name in (f"{file.name}.gz", file.name):
            if name in present:
                paths.setdefault(file.name, place.folder / name)
    if len(paths) == len(dataset.files):
        return Finding(place, paths)
    if dataset.archive is not None and dataset.archive in present:
        return Finding(place, {file.name: place.folder / dataset.archive for file in dataset.files})
    missing = [file.name for file in dataset.files if file.name not in paths]
    if not paths:
        return Finding(place, problem="none of the files")
    return Finding(place, problem=f"incomplete, without {', '.join(missing)}")


def _download(dataset: Published, directory: str | None, findings: list[Finding], listener: Listener | None) -> Finding:
    if directory:
        raise _nowhere(dataset, findings, "Nothing is downloaded, since data.dir is given.")
    try:
        fetch(dataset, listener)
    except DataError as error:
        raise _nowhere(dataset, findings, f"The download failed: {error.message}") from error
    return _look_in(dataset, Place(search_paths.OWN_CACHE, search_paths.cached(dataset.folder)))


def _nowhere(dataset: Published, findings: list[Finding], remark: str) -> DataError:
    searched = "\n".join(
        f"  {finding.place.folder} ({finding.place.origin}): {finding.problem}" for finding in findings
    )
    return DataError(
        f"{dataset.title} is in none of the folders searched:\n{searched}\n{remark}", hint=_how_to_provide(dataset)
    )


def _how_to_provide(dataset: Published) -> str:
    names = ", ".join(file.name for file in dataset.files)
    alternative = f", or {dataset.archive}" if dataset.archive else ""
    return (
        f"Put {names} (plain or .gz){alternative} in a folder and name it with data.dir or KDISTILL_DATA_DIR; "
        f"or run `kdistill data fetch {dataset.name}` where there is a network, which downloads them from "
        f"{' or '.join(dataset.urls)}."
    )


def _array(dataset: Published, file: File, path: Path) -> NDArray[np.uint8]:
    try:
        return idx.array(content(dataset, file, path), file.shape)
    except MixedUpError as error:
        raise DataError(
            f"{path.name} in {path.parent} {error}",
            hint=f"Keep {dataset.title} in a subfolder `{dataset.folder}` of the folder that data.dir or "
            "KDISTILL_DATA_DIR names: the data sets have the same file names.",
        ) from error
    except DamagedError as error:
        raise DataError(
            f"{path}: {error}",
            hint=f"Delete it and run `kdistill data fetch {dataset.name}`.",
        ) from error


def _damage(dataset: Published, finding: Finding) -> str | None:
    """Return what is wrong with the first damaged file of a complete folder, or None."""
    for file in dataset.files:
        try:
            content(dataset, file, finding.paths[file.name])
        except DamagedError as error:
            return f"{finding.paths[file.name].name}: {error}"
    return None


def _is_intact(dataset: Published, file: File, folder: Path) -> bool:
    # As `_look_in` prefers it: with a damaged compressed file, an intact plain one would not be read.
    compressed = folder / f"{file.name}.gz"
    path = compressed if os.path.lexists(compressed) else folder / file.name
    try:
        content(dataset, file, path)
    except DamagedError:
        return False
    return True


def _digest(received: NDArray[np.uint8], algorithm: str) -> str:
    return hashlib.new(algorithm, received.data, usedforsecurity=False).hexdigest()
