"""Data sets that are published as four IDX files, such as Fashion-MNIST: found, verified, read, downloaded.

Every file is verified by its hash, so a result cannot depend on the folder that it comes from. If `data.dir` does not
have the files, the search therefore goes on in the other folders. But then nothing is downloaded: a user who sets
`data.dir` expects the files to be there, and gets an error if they are nowhere.
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
from kdistill.datasets.split import whole
from kdistill.datasets.splits import Source

SCALE = 1 / 255


class MixedUpError(DamagedError):
    """A file of another data set, which has files of the same names."""


@dataclass(frozen=True)
class Finding:
    """The files of a data set in one of the folders searched.

    Attributes:
        place: the folder.
        paths: file name -> path, in the order of the data set's files; empty unless all files are there.
        problem: why `paths` is empty.
    """

    place: Place
    paths: dict[str, Path] = field(default_factory=dict)
    problem: str | None = None


def read(dataset: Published, directory: str | None, listener: Listener | None = None) -> Source:
    """Find, verify and read a data set; download it if no folder has it and `directory` (`data.dir`) is not set.

    Raises:
        DataError: no folder has the files and they cannot be downloaded, or one is damaged or of another data set.
    """
    findings = search(dataset, directory)
    found = next((finding for finding in findings if finding.paths), None)
    if found is None:
        found = _download(dataset, directory, findings, listener)
    elif directory and found.place.origin != search_paths.CONFIGURED and listener is not None:
        listener.note(f"data.dir: {directory} does not have {dataset.title}; it is read from {found.place.folder}")
    train_images, train_labels, test_images, test_labels = (
        _read_file(dataset, file, found.paths[file.name]) for file in dataset.files
    )
    names = [str(found.paths[file.name]) for file in dataset.files]
    return Source(
        train=whole(train_images, train_labels),
        test=whole(test_images, test_labels),
        classes=dataset.classes,
        scale=SCALE,
        image_files=(names[0], names[2]),
        label_files=(names[1], names[3]),
    )


def info(dataset: Published, directory: str | None = None) -> dict[str, Any]:
    """Describe the folders searched for a data set and its files there: see `catalog.info`. Nothing is downloaded."""
    searched = []
    for finding in search(dataset, directory):
        problem, paths = finding.problem or _damage(dataset, finding), dict.fromkeys(finding.paths.values())
        searched.append(
            {
                "folder": str(finding.place.folder),
                "named_by": finding.place.origin,
                "found": bool(paths),
                "intact": problem is None,
                "problem": problem,
                "files": [path.name for path in paths],
                "bytes": sum(path.stat().st_size for path in paths if path.is_file()),
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
    """Download the files that the cache does not have intact, or all of them with `force`: see `catalog.fetch`.

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
        path = next((folder / name for name in file.names if os.path.lexists(folder / name)), folder / file.name)
        if force or _problem(dataset, file, path):
            downloaded.append(_fetch_file(dataset, file, folder, listener))
    return {"title": dataset.title, "folder": str(folder), "downloaded": downloaded}


def _fetch_file(dataset: Published, file: File, folder: Path, listener: Listener | None) -> str:
    """Download one file; return its name."""
    name, verify = file.names[0], partial(verified, dataset, file)
    urls = [base + name for base in dataset.urls]
    try:
        download(urls, folder / name, file.size + CONTAINER_OVERHEAD, verify, listener)
    except UnavailableError as error:
        raise UnavailableError(error.message, _how_to_provide(dataset)) from error
    return name


def is_found(dataset: Published, directory: str | None) -> bool:
    """Whether a folder has all files of a data set, by their names."""
    return any(finding.paths for finding in search(dataset, directory))


def search(dataset: Published, directory: str | None) -> list[Finding]:
    """Search every folder for the files of a data set, by their names; no file is opened."""
    return [_search_in(dataset, place) for place in search_paths.search(directory, dataset.folder)]


def verified(dataset: Published, file: File, path: Path) -> NDArray[np.uint8]:
    """Return the array in an IDX file, plain or compressed, or in Keras's archive, after comparing its hash.

    Raises:
        MixedUpError: the file is another data set's.
        DamagedError: the file is not what was published.
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


def _search_in(dataset: Published, place: Place) -> Finding:
    try:
        present = set(os.listdir(place.folder))
    except FileNotFoundError:
        return Finding(place, problem="no such folder")
    except NotADirectoryError:
        return Finding(place, problem="not a folder")
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        return Finding(place, problem=f"cannot be read: {getattr(error, 'strerror', None) or error}")
    paths = {file.name: place.folder / name for file in dataset.files for name in file.names[::-1] if name in present}
    if len(paths) == len(dataset.files):
        return Finding(place, paths)
    if dataset.archive is not None and dataset.archive in present:
        return Finding(place, {file.name: place.folder / dataset.archive for file in dataset.files})
    missing = ", ".join(file.name for file in dataset.files if file.name not in paths)
    return Finding(place, problem=f"incomplete, without {missing}" if paths else "none of the files")


def _download(dataset: Published, directory: str | None, findings: list[Finding], listener: Listener | None) -> Finding:
    if directory:
        raise _nowhere(dataset, findings, "Nothing is downloaded, since data.dir is set.")
    try:
        fetch(dataset, listener)
    except DataError as error:
        raise _nowhere(dataset, findings, f"The download failed: {error.message}") from error
    return _search_in(dataset, Place(search_paths.OWN_CACHE, search_paths.cached(dataset.folder)))


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
        f"Put {names} (plain or .gz){alternative} in a folder and set data.dir or KDISTILL_DATA_DIR to it; or, with a "
        f"network, run `kdistill data fetch {dataset.name}`, which downloads them from {' or '.join(dataset.urls)}."
    )


def _read_file(dataset: Published, file: File, path: Path) -> NDArray[np.uint8]:
    try:
        return verified(dataset, file, path)
    except MixedUpError as error:
        raise DataError(
            f"{path.name} in {path.parent} {error}",
            hint=f"Keep {dataset.title} in a subfolder `{dataset.folder}` of data.dir or KDISTILL_DATA_DIR: the data "
            "sets have the same file names.",
        ) from error
    except DamagedError as error:
        raise DataError(f"{path}: {error}", f"Delete it and run `kdistill data fetch {dataset.name}`.") from error


def _damage(dataset: Published, finding: Finding) -> str | None:
    """Return the problem of the first damaged file of a complete folder, or None."""
    checked = ((finding.paths[file.name], _problem(dataset, file, finding.paths[file.name])) for file in dataset.files)
    return next((f"{path.name}: {problem}" for path, problem in checked if problem), None)


def _problem(dataset: Published, file: File, path: Path) -> str | None:
    try:
        verified(dataset, file, path)
    except DamagedError as error:
        return str(error)
    return None


def _digest(values: NDArray[np.uint8], algorithm: str) -> str:
    """Return the hash of the uncompressed IDX file of an array."""
    digest = hashlib.new(algorithm, idx.header(values.shape), usedforsecurity=False)
    digest.update(values.data)
    return digest.hexdigest()
