"""The data that users bring: an `.npz` archive, a folder of images, CSV tables. One function for each form."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdistill.core.errors import ConfigError, DataError
from kdistill.core.formatting import first_few
from kdistill.core.listener import Listener
from kdistill.core.scaling import described
from kdistill.datasets.splits import Source, Splits, divide, hold_back
from kdistill.datasets.user import conversion_cache

if TYPE_CHECKING:
    from kdistill.config import Data

DARK = 128  # images of bytes none of which is as large as this may be of another scale


@dataclass(frozen=True)
class Form:
    """How data of one form is read.

    Attributes:
        settings: config keys on which the arrays depend.
        signature: returns a hash of the files as they are.
        convert: writes the arrays to a folder.
    """

    settings: dict[str, Any]
    signature: Callable[[], str]
    convert: conversion_cache.Convert


def read(data: Data, listener: Listener | None = None) -> Source:
    """Return the user's data, decoded into the cache if that has not been done before.

    Args:
        data: the config's `data` section.
        listener: told that files are converted, which takes a while.

    Raises:
        DataError: the files are missing, damaged, or do not go together.
        ConfigError: a part is missing or given twice: see `data.test`.
    """
    path = Path(data.path or "")
    if not os.path.exists(path):  # unlike Path's own, this never raises
        raise DataError(f"{path}: there is no such file or folder", hint="Set data.path to where the data is.")
    form = FORMS[data.dataset](data, path)
    folder = conversion_cache.place(data.dataset, path, form.settings)
    found = conversion_cache.find(folder, form.signature())
    if found is None:
        if listener is not None:
            listener.note(f"Reading {path} into the cache")
        found = conversion_cache.make(folder, form.signature, form.convert)
        if listener is not None:
            for note in _notes(*found):
                listener.note(note)
    return _source(data, path, *found)


def _npz(data: Data, path: Path) -> Form:
    from kdistill.datasets.user import npz

    if path.is_dir():
        raise DataError(f"{path}: expected an .npz file; this is a folder")
    return Form({}, partial(conversion_cache.signature, [path], path.parent), partial(npz.convert, path))


def _csv(data: Data, path: Path) -> Form:
    from kdistill.datasets.user import csv_table

    def signature() -> str:
        return conversion_cache.signature(list(csv_table.files_at(path).values()), path.parent)

    label = data.label or ""
    return Form({"label": label}, signature, partial(csv_table.convert, path, label))


def _image_folder(data: Data, path: Path) -> Form:
    # Pillow is loaded where there are images.
    from kdistill.datasets.user import image_folder

    parts = image_folder.parts_at(path)
    settings = {"image_size": list(data.image_size) if data.image_size else None, "channels": data.channels}

    def signature() -> str:
        return image_folder.signature(image_folder.parts_at(path), path)

    def convert(folder: Path) -> conversion_cache.Facts:
        return image_folder.convert(parts, data.image_size, data.channels, data.on_error == "skip", folder)

    return Form(settings, signature, convert)


FORMS: dict[str, Callable[[Data, Path], Form]] = {"npz": _npz, "csv": _csv, "image_folder": _image_folder}


def _notes(splits: dict[str, Any], facts: conversion_cache.Facts) -> list[str]:
    """Return what became of the values that somebody might not expect."""
    notes = []
    images = splits["train"].images
    if _scale(images, facts) is None and images.ndim > 2:
        notes.append(
            f"The images have values from {facts['lowest']:g} to {facts['highest']:g}, not from 0 to 1: models "
            "standardise them by mean and variance of the training examples"
        )
    if facts.get("sizes", 1) > 1:
        height, width = images.shape[1:3]
        notes.append(f"The images have {facts['sizes']:,} sizes: all are resized to {height} x {width}")
    if facts.get("others"):
        notes.append(
            "1 file has no name of an image, and is passed over"
            if facts["others"] == 1
            else f"{facts['others']:,} files have no name of an image, and are passed over"
        )
    return notes


def _scale(images: Any, facts: conversion_cache.Facts) -> float | None:
    """Return the factor for images; None where they, or the features of tables, have to be standardised."""
    if images.ndim == 2:
        return None
    if images.dtype == np.uint8:
        return 1 / 255
    return 1.0 if facts["lowest"] >= 0 and facts["highest"] <= 1 else None


def _source(data: Data, path: Path, splits: dict[str, Any], facts: conversion_cache.Facts) -> Source:
    names = facts["names"]
    train = splits["train"]
    skipped = facts.get("skipped") or []
    warnings = []
    if skipped:
        from kdistill.datasets.user.image_folder import SKIP_HINT, unreadable

        told = unreadable(skipped)
        if data.on_error != "skip":
            raise DataError(told, hint=SKIP_HINT)
        warnings.append(f"{told}. It is left out." if len(skipped) == 1 else f"{told}. They are left out.")
    if train.images.dtype == np.uint8 and train.images.ndim > 2 and facts["highest"] < DARK:
        warnings.append(
            f"{path}: the largest value of an image is {facts['highest']:g}, and models divide bytes by 255: if they "
            "do not go up to 255, save them as numbers from 0 to 1."
        )
    warnings += _absent(splits, facts, data)
    if "validation" in splits and data.validation != "given":
        what = "the test split" if data.validation == "test" else f"a share of train ({data.validation:g})"
        warnings.append(
            f"{path} brings a validation part, which is not used: data.validation is {what}. "
            "Set it to `given` to use it."
        )
    source = Source(
        train=train,
        test=splits.get("test", train),
        classes=tuple(facts["classes"]),
        scale=_scale(train.images, facts),
        image_files=(names["train"][0], names.get("test", names["train"])[0]),
        label_files=(names["train"][1], names.get("test", names["train"])[1]),
        validation=splits.get("validation"),
        fingerprint=facts["fingerprint"],
        warnings=tuple(warnings),
        skipped=len(skipped),
        features=tuple(facts.get("features", ())),
    )
    return _with_test(data, path, source, "test" in splits)


def _absent(splits: dict[str, Any], facts: conversion_cache.Facts, data: Data) -> list[str]:
    """Return a warning for each part that says nothing of a class that is trained on."""
    names, used = facts["classes"], ["test"] + (["validation"] if data.validation == "given" else [])
    why = {
        "test": "test scores say nothing about that",
        "validation": "it has no say in which epoch or setting is chosen",
    }
    warnings = []
    for part in (part for part in used if part in splits):
        counts = np.bincount(splits[part].all_labels, minlength=len(names))
        absent = [str(name) for name, count in zip(names, counts, strict=True) if not count]
        if absent:
            warnings.append(f"The {part} split has no example of {_some(absent)}: {why[part]}.")
    return warnings


def _some(classes: list[str]) -> str:
    """Return how many classes these are, and the first few names."""
    return f"{len(classes)} {'class' if len(classes) == 1 else 'classes'} ({first_few(classes)})"


def _with_test(data: Data, path: Path, source: Source, is_given: bool) -> Source:
    """Hold back the test part, where the data bring none."""
    if is_given and data.test is not None:
        raise ConfigError(
            f"data.test: {path} brings a test part; received {data.test:g}, a share of train to hold back as one",
            hint="Leave data.test out.",
        )
    if not is_given and data.test is None:
        raise ConfigError(
            f"data.test: {path} brings no test part: expected a share of train to hold back as one",
            hint="Set data.test: 0.2, for example.",
        )
    if data.test is None:
        return source
    train, test = hold_back(source, data.test, data.split_seed, "test")
    return replace(source, train=train, test=test)


def load(data: Data, listener: Listener | None = None) -> Splits:
    """Return the user's data, divided as a config says. Raises what `read` and `divide` raise."""
    return divide(read(data, listener), data.validation, data.split_seed)


def describe(data: Data, listener: Listener | None = None) -> dict[str, Any]:
    """Say what is found in the user's data.

    Returns:
        A JSON-able document with the keys that a named data set has too (see `catalog.info`), and `dataset`,
        `per_class` (split -> examples of each class), `type`, `scaling`, `skipped`, `warnings`,
        `fingerprint`.

    Raises:
        DataError, ConfigError: the data cannot be read or divided.
    """
    splits = load(data, listener)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    count = len(splits.classes)
    return {
        "title": Path(data.path or "").name,
        "dataset": data.dataset,
        "found": True,
        "intact": True,
        "problem": None,
        "folder": data.path,
        "bytes": sum(array.nbytes for array in {id(part.images): part.images for part in parts.values()}.values()),
        "examples": {name: len(part) for name, part in parts.items()},
        "shape": list(splits.shape),
        "classes": list(splits.classes),
        "per_class": {name: np.bincount(part.all_labels, minlength=count).tolist() for name, part in parts.items()},
        "type": str(splits.train.images.dtype),
        "scaling": described(splits.scale),
        "skipped": splits.skipped,
        "warnings": list(splits.warnings),
        "fingerprint": splits.fingerprint,
        "searched": [],
        "urls": [],
    }
