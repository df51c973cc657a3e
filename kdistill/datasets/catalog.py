"""The data sets by name: what a config can ask for, and how each is found, read, fetched. Users' own are in `own`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kdistill.core.errors import ConfigError
from kdistill.core.listener import Listener
from kdistill.datasets.named import digits, idx_datasets, published
from kdistill.datasets.splits import Source, Splits, divide
from kdistill.datasets.user import load as own

if TYPE_CHECKING:
    from kdistill.config import Data


@dataclass(frozen=True)
class Dataset:
    """What there is to know and do about a data set.

    Attributes:
        shape: of one example.
        classes: how many.
        read: (the config's `data` section, listener) -> the examples, before any are held back.
        info: (`data.dir`) -> where it is looked for, and whether it is there and intact.
        is_found: (`data.dir`) -> whether a folder has its files; they are not opened.
        fetch: (listener, download again) -> where it is, and what was downloaded.
    """

    shape: tuple[int, ...]
    classes: int
    read: Callable[[Data, Listener | None], Source]
    info: Callable[[str | None], dict[str, Any]]
    is_found: Callable[[str | None], bool]
    fetch: Callable[[Listener | None, bool], dict[str, Any]]


def published_dataset(facts: published.Published) -> Dataset:
    """Return the entry of a data set that is published as four IDX files."""
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
    """Return the names of the data sets that are known by name."""
    return tuple(CATALOG)


def static_shape(dataset: str) -> tuple[tuple[int, ...], int]:
    """Return the shape of an example and the number of classes, known without reading anything.

    Raises:
        ConfigError: there is no data set of that name.
    """
    found = _find(dataset)
    return found.shape, found.classes


def load(data: Data, listener: Listener | None = None) -> Splits:
    """Read a data set, downloading it or converting the user's own if need be, and divide it as a config says.

    Args:
        data: the config's `data` section.
        listener: told of a download or a conversion.

    Raises:
        DataError: the files are missing, damaged or another data set's, and cannot be downloaded.
        ConfigError: there is no data set of that name, or it cannot be divided like that.
    """
    if data.dataset in own.FORMS:
        return own.load(data, listener)
    source = _find(data.dataset).read(data, listener)
    return divide(source, data.validation, data.split_seed)


def needs_download(data: Data) -> bool:
    """Whether `load` would download the data set: no folder has its files, and none was given that should.

    Raises:
        ConfigError: there is no data set of that name.
    """
    if data.dataset in own.FORMS:
        return False
    return not data.dir and not _find(data.dataset).is_found(None)


def info(dataset: str, dir: str | None = None) -> dict[str, Any]:
    """Say where a data set is looked for, and whether it is there and intact.

    Nothing is downloaded, and damage is reported, not raised.

    Args:
        dir: `data.dir`.

    Returns:
        A JSON-able document with the keys `title, found, intact, problem, folder, bytes, examples, shape, classes,
        searched, urls`. `searched` has for each folder, in order: `folder, named_by, found, intact, problem, files,
        bytes`.

    Raises:
        ConfigError: there is no data set of that name.
    """
    return _find(dataset).info(dir)


def fetch(dataset: str, listener: Listener | None = None, force: bool = False) -> dict[str, Any]:
    """Download a data set into the cache, unless it is there and intact.

    Args:
        force: download it anyway.

    Returns:
        A JSON-able document with the keys `title, folder, downloaded` (the names of the files that were downloaded).

    Raises:
        DataError: it cannot be downloaded or written.
        ConfigError: there is no data set of that name.
    """
    return _find(dataset).fetch(listener, force)


def _find(dataset: str) -> Dataset:
    if dataset not in CATALOG:
        known = ", ".join(CATALOG)
        raise ConfigError(f"data.dataset: expected one of {known}; received {dataset!r}")
    return CATALOG[dataset]
