"""The data sets by name: how each is found, read and downloaded. Users' own data is in `datasets.user`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kdistill.core.errors import ConfigError
from kdistill.core.listener import Listener
from kdistill.datasets.named import digits, idx_datasets, published
from kdistill.datasets.splits import Source, Splits, divide
from kdistill.datasets.user import load as user
from kdistill.datasets.user.unlabelled import with_unlabelled

if TYPE_CHECKING:
    from kdistill.config import Data


@dataclass(frozen=True)
class Dataset:
    """The facts and functions of a named data set.

    Attributes:
        shape: shape of one example.
        classes: number of classes.
        read: (section `data` of a config, listener) -> the data set, before validation is held out.
        info: (`data.dir`) -> the document of `info`.
        is_found: (`data.dir`) -> whether a folder has the files, which are not opened.
        fetch: (listener, force) -> the document of `fetch`.
    """

    shape: tuple[int, ...]
    classes: int
    read: Callable[[Data, Listener | None], Source]
    info: Callable[[str | None], dict[str, Any]]
    is_found: Callable[[str | None], bool]
    fetch: Callable[[Listener | None, bool], dict[str, Any]]


def published_dataset(facts: published.Published) -> Dataset:
    """Return the catalog's entry for a data set that is published as four IDX files."""
    return Dataset(
        shape=facts.shape,
        classes=len(facts.classes),
        read=lambda data, listener: idx_datasets.read(facts, data.dir, listener),
        info=partial(idx_datasets.info, facts),
        is_found=partial(idx_datasets.is_found, facts),
        fetch=partial(idx_datasets.fetch, facts),
    )


CATALOG = {
    "digits": Dataset(
        shape=digits.SHAPE,
        classes=len(digits.CLASSES),
        read=lambda data, listener: digits.read(),
        info=lambda directory: digits.info(),
        is_found=lambda directory: True,
        fetch=digits.fetch,
    ),
    "fashion_mnist": published_dataset(published.FASHION_MNIST),
    "mnist": published_dataset(published.MNIST),
}


def names() -> tuple[str, ...]:
    """Return the names of the named data sets."""
    return tuple(CATALOG)


def static_shape(dataset: str) -> tuple[tuple[int, ...], int]:
    """Return the shape of an example and the number of classes; no file is read.

    Raises:
        ConfigError: there is no data set of that name.
    """
    found = _find(dataset)
    return found.shape, found.classes


def load(data: Data, listener: Listener | None = None) -> Splits:
    """Read a data set and split it as a config says; download it or convert the user's own data if necessary.

    Raises:
        DataError: the files are missing, damaged or another data set's, or cannot be downloaded.
        ConfigError: there is no data set of that name, or it cannot be split as the config says.
    """
    if data.is_own:
        return user.load(data, listener)
    source = _find(data.dataset).read(data, listener)
    return with_unlabelled(divide(source, data.validation, data.split_seed), data, listener)


def needs_download(data: Data) -> bool:
    """Whether `load` would download the data set: no folder has its files, and `data.dir` is not set.

    Raises:
        ConfigError: there is no data set of that name.
    """
    return not data.is_own and not data.dir and not _find(data.dataset).is_found(None)


def info(dataset: str, dir: str | None = None) -> dict[str, Any]:
    """Describe a data set: the folders searched (`dir` is `data.dir`), and whether they have it, intact.

    Nothing is downloaded.

    Returns:
        A JSON-able document with the keys `title, found, intact, problem, folder, bytes, examples, shape, classes,
        searched, urls`, where `folder` to `bytes` are of the folder that would be used. `searched` has for each folder,
        in order: `folder, named_by, found, intact, problem, files, bytes`. Damage is a `problem`, not an error.

    Raises:
        ConfigError: there is no data set of that name.
    """
    return _find(dataset).info(dir)


def fetch(dataset: str, listener: Listener | None = None, force: bool = False) -> dict[str, Any]:
    """Download a data set into the cache, unless it is there and intact; with `force`, download it anyway.

    Returns:
        A JSON-able document with the keys `title, folder, downloaded` (names of the downloaded files).

    Raises:
        DataError: it cannot be downloaded or written.
        ConfigError: there is no data set of that name.
    """
    return _find(dataset).fetch(listener, force)


def _find(dataset: str) -> Dataset:
    if dataset not in CATALOG:
        raise ConfigError(f"data.dataset: expected one of {', '.join(CATALOG)}; received {dataset!r}")
    return CATALOG[dataset]
