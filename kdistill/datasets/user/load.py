"""The user's own data, an `.npz` archive, a folder of images or CSV tables: converted in the cache, and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdistill.core.errors import ConfigError, DataError
from kdistill.core.formatting import first_few
from kdistill.core.kinds import Kind
from kdistill.core.listener import Listener
from kdistill.core.scaling import Tokens, described
from kdistill.core.task import MULTI, SINGLE, TASKS
from kdistill.datasets import guards
from kdistill.datasets.labelling import counts_of_labels
from kdistill.datasets.split import Split
from kdistill.datasets.splits import Source, Splits, divide, hold_out
from kdistill.datasets.table_format import Format
from kdistill.datasets.user import conversion_cache, csv_table, example_kind, npz
from kdistill.datasets.user.parts import note
from kdistill.datasets.user.unlabelled import with_unlabelled

if TYPE_CHECKING:
    from kdistill.config import Data

STRATIFIED = (
    "Multi-label: what is held out from train is stratified by the combinations of classes; the rare ones are divided "
    "at random"
)
DARK = 128  # bytes that are all smaller may be of another scale than 0 to 255


@dataclass(frozen=True)
class Form:
    """How data of one format is converted.

    Attributes:
        settings: the config keys that the arrays depend on, with their values.
        signature: returns a hash of the files as they are.
        convert: writes the arrays to a folder and returns the facts.
    """

    settings: dict[str, Any]
    signature: Callable[[], str]
    convert: conversion_cache.Convert


def read(data: Data, listener: Listener | None = None, notes: bool = True) -> Source:
    """Return the user's data, which is converted first unless the cache has it.

    Args:
        data: section `data` of a config.
        listener: notified of a conversion, which may take minutes.
        notes: whether the listener is told what was assumed to read the data.

    Raises:
        DataError: the files are missing or damaged, or do not fit together.
        ConfigError: the data has no test part and `data.test` is not set, or the data has one and it is set.
    """
    path = Path(data.path or "")
    if not os.path.exists(path):  # unlike Path.exists, this never raises
        raise DataError(f"{path}: there is no such file or folder", hint="Set data.path to the path of the data.")
    form = FORMS[data.dataset](data, path)
    is_new = False
    folder = conversion_cache.folder_for(data.dataset, path, form.settings)
    listener = listener or Listener()
    found = conversion_cache.find(folder, form.signature(), listener.note)
    if found is None:
        listener.note(f"Reading {path} into the cache")
        found, is_new = conversion_cache.make(folder, form.signature, form.convert), True
        conversion_cache.remove_earlier(data.dataset, path, form.settings)
    told = example_kind.tell(data, found[0]["train"].images, found[1])
    source = _source(data, path, told, *found)
    for sentence in (source.notes if is_new else told.notes) if notes else ():
        listener.note(sentence)
    return _guarded(source, data, found[1])


def _npz(data: Data, path: Path) -> Form:
    if path.is_dir():
        raise DataError(f"{path}: expected an .npz file; this is a folder")
    axis = None if data.channel_axis == -1 else data.channel_axis
    layout = npz.Layout(data.kind, axis)
    settings = layout.settings if data.task is SINGLE else {**layout.settings, "labels": data.labels}
    convert = partial(npz.convert, path, layout=layout, task=data.task)
    return Form(settings, partial(conversion_cache.signature, [path], path.parent), convert)


def _csv(data: Data, path: Path) -> Form:
    def places() -> dict[str, Path]:
        return csv_table.files_at(path, with_others=data.test is None)

    def signature() -> str:
        return conversion_cache.signature(list(places().values()), path.parent)

    def convert(folder: Path) -> conversion_cache.Facts:
        return csv_table.convert(places(), reading, folder)

    form = Format(data.separator, data.decimal, data.encoding, data.header, data.thousands)
    fills = data.missing == "mean"
    reading = csv_table.Reading(
        data.label or "", form, data.drop or (), data.keep or (), fills=fills, image_size=data.image_size
    )
    return Form({**reading.settings, **_other_parts(path, places())}, signature, convert)


def _image_folder(data: Data, path: Path) -> Form:
    # Imported here because it loads Pillow.
    from kdistill.datasets.user import image_folder

    parts = image_folder.parts_at(path, with_others=data.test is None)
    settings = {"image_size": list(data.image_size) if data.image_size else None, "channels": data.channels}
    settings |= _other_parts(path, {part: images.folder for part, images in parts.items()})

    def signature() -> str:
        return image_folder.signature(image_folder.parts_at(path, with_others=data.test is None), path)

    def convert(folder: Path) -> conversion_cache.Facts:
        notes = [note({part: _below(images.folder, path) for part, images in parts.items()})]
        if beside := image_folder.beside_the_parts(path):
            notes.append(f"Folders that are no part, and are not read: {first_few(beside)}")
        facts = image_folder.convert(parts, data.image_size, data.channels, data.on_error == "skip", folder)
        return {**facts, "notes": [*notes, *facts["notes"]]}

    return Form(settings, signature, convert)


def _below(inner: Path, path: Path) -> Path:
    """Return a path relative to that of the data, or, if it is the data's or beside it, as it is."""
    return inner.relative_to(path) if inner != path and inner.is_relative_to(path) else inner


def _other_parts(path: Path, places: Mapping[str, Path]) -> dict[str, Any]:
    """Return the setting of a conversion of the parts that lie beside the path of the data; nothing without such."""
    others = sorted(place.name for place in places.values() if not place.absolute().is_relative_to(path.absolute()))
    return {"others": others} if others else {}


FORMS: dict[str, Callable[[Data, Path], Form]] = {"npz": _npz, "csv": _csv, "image_folder": _image_folder}


def _notes(kind: Kind, scale: object, splits: dict[str, Any], facts: conversion_cache.Facts) -> list[str]:
    """Return a sentence on each effect of the conversion that a user may not expect."""
    notes = list(facts.get("notes", ()))
    images = splits["train"].images
    if scale is None and kind in ("image", "volume"):
        notes.append(
            f"The {kind}s have values from {facts['lowest']:g} to {facts['highest']:g}, not from 0 to 1: models "
            "standardise them by mean and variance of the training examples"
        )
    if facts.get("sizes", 1) > 1:
        height, width = images.shape[1:3]
        notes.append(f"The images have {facts['sizes']:,} sizes: all are resized to {height} x {width}")
    if others := facts.get("others"):
        files = "1 file is ignored: it does" if others == 1 else f"{others:,} files are ignored: they do"
        notes.append(f"{files} not have the suffix of an image")
    return notes


def _scale(data: Data, kind: Kind, splits: dict[str, Any], facts: conversion_cache.Facts) -> float | Tokens | None:
    """Return the factor that brings images to [0, 1], or the vocabulary; None if they are to be standardised."""
    if kind == "tokens":
        return Tokens(example_kind.vocabulary(data, facts))
    if kind in ("table", "sequence"):
        return None
    if splits["train"].images.dtype == np.uint8:
        return 1 / 255
    return 1.0 if facts["lowest"] >= 0 and facts["highest"] <= 1 else None


def _source(
    data: Data, path: Path, told: example_kind.Told, splits: dict[str, Any], facts: conversion_cache.Facts
) -> Source:
    train, names, skipped = splits["train"], facts["names"], facts.get("skipped") or []
    kind, scale = told.kind, _scale(data, told.kind, splits, facts)
    image_files, label_files = zip(names["train"], names.get("test", names["train"]), strict=True)
    source = Source(
        train=train,
        test=splits.get("test", train),
        classes=tuple(facts["classes"]),
        scale=scale,
        kind=kind,
        image_files=image_files,
        label_files=label_files,
        validation=splits.get("validation"),
        fingerprint=facts["fingerprint"],
        warnings=tuple(_warnings(data, path, kind, splits, facts)),
        skipped=len(skipped),
        features=tuple(facts.get("features", ())),
        notes=(*_notes(kind, scale, splits, facts), *told.notes),
        inputs=facts.get("inputs"),
    )
    return _with_test(data, path, source, "test" in splits)


def _warnings(
    data: Data, path: Path, kind: Kind, splits: dict[str, Any], facts: conversion_cache.Facts
) -> Iterator[str]:
    """Yield the sentences on the data that the reader of a result must know; refuse unreadable images."""
    images = splits["train"].images
    if skipped := facts.get("skipped"):
        from kdistill.datasets.user.image_folder import refused, unreadable

        if data.on_error != "skip":
            raise refused(skipped)
        yield f"{unreadable(skipped)}. {'It is' if len(skipped) == 1 else 'They are'} left out."
    if images.dtype == np.uint8 and kind in ("image", "volume") and facts["highest"] < DARK:
        yield (
            f"{path}: the largest value of an image is {facts['highest']:g}, and models divide bytes by 255: if they "
            "do not go up to 255, save them as numbers from 0 to 1."
        )
    yield from facts.get("warnings", ())
    yield from _absent_classes(splits, facts, data)
    if "validation" in splits and data.validation != "given":
        used = "the test split" if data.validation == "test" else f"a share of train ({data.validation:g})"
        yield (
            f"{path} has a validation part, which is not used: data.validation is {used}. Set it to `given` to use it."
        )


def _absent_classes(splits: dict[str, Any], facts: conversion_cache.Facts, data: Data) -> Iterator[str]:
    """Yield a warning for each part without examples of a class of train."""
    effects = {"test": "test scores say nothing about that"}
    if data.validation == "given":
        effects["validation"] = "it has no influence on which epoch or setting is chosen"
    for part in (part for part in effects if part in splits):
        counts = TASKS[data.labels].examples(splits[part].all_labels, len(facts["classes"]))
        absent = [str(name) for name, count in zip(facts["classes"], counts, strict=True) if not count]
        if absent:
            classes = f"{len(absent)} {'class' if len(absent) == 1 else 'classes'} ({first_few(absent)})"
            yield f"The {part} split has no example of {classes}: {effects[part]}."


def _with_test(data: Data, path: Path, source: Source, is_given: bool) -> Source:
    """Return the data set with a test part held out from train, if it has none of its own."""
    if is_given and data.test is not None:
        raise ConfigError(
            f"data.test: {path} has a test part; received {data.test:g}, a share of train to hold out as one",
            hint="Leave data.test out.",
        )
    if not is_given and data.test is None:
        raise ConfigError(
            f"data.test: {path} has no test part: expected a share of train to hold out as one",
            hint="Set data.test: 0.2, for example.",
        )
    if data.test is None:
        return source
    train, test = hold_out(source, data.test, data.split_seed, "test")
    return replace(source, train=train, test=test)


def _guarded(source: Source, data: Data, facts: conversion_cache.Facts) -> Source:
    """Return the data set with the warnings of what looks like a mistake in the test and validation parts of it."""
    parts, train, found = {"test": source.test}, source.train, list[str]()
    if source.validation is not None and data.validation == "given":
        parts["validation"] = source.validation
    for name, part in parts.items():
        if part.images is not train.images and source.kind != "tokens":
            features = source.features if source.kind == "table" else ()
            found += guards.other_scale(train.images, part.images, name, features)
        found += guards.shared_examples(_shared(train, part, facts["shared"].get(name), facts), len(part), name)
    return replace(source, warnings=(*source.warnings, *found))


def _shared(train: Split, part: Split, of_all: int | None, facts: conversion_cache.Facts) -> int:
    """Return how many examples of a part are in train too; `of_all` is what was counted for all rows of both."""
    if part.images is not train.images and len(train) == len(train.images) and of_all is not None:
        return of_all
    if (part.images is train.images and not facts["repeats"]) or train.hashes is None or part.hashes is None:
        return 0
    return guards.count_shared(train.hashes[train.rows], part.hashes[part.rows])


def load(data: Data, listener: Listener | None = None, notes: bool = True) -> Splits:
    """Return the user's data, split as a config says; `read` has the arguments. Raises what both raise."""
    source = read(data, listener, notes)
    if TASKS[data.labels] is MULTI and (data.test is not None or isinstance(data.validation, float)) and listener:
        listener.note(STRATIFIED)
    splits = divide(source, data.validation, data.split_seed)
    return with_unlabelled(splits, data, listener, notes)


def describe(data: Data, listener: Listener | None = None) -> dict[str, Any]:
    """Describe the user's data.

    Returns:
        A JSON-able document with the keys of `catalog.info`, and `dataset`, `per_class` (split -> examples of each
        class), `kind`, `type`, `scaling`, `skipped`, `notes`, `warnings`, `fingerprint`.

    Raises:
        DataError: the data cannot be read.
        ConfigError: the data cannot be split as the config says.
    """
    splits = load(data, listener, notes=False)  # they are in the document
    parts = {"train": splits.known or splits.train, "validation": splits.validation, "test": splits.test}
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
        **counts_of_labels(splits),
        "shape": list(splits.shape),
        "classes": list(splits.classes),
        "per_class": {name: splits.task.examples(part.all_labels, count).tolist() for name, part in parts.items()},
        "kind": splits.kind,
        "type": str(splits.train.images.dtype),
        "scaling": described(splits.scale),
        "skipped": splits.skipped,
        "notes": list(splits.notes),
        "warnings": list(splits.warnings),
        "fingerprint": splits.fingerprint,
        "searched": [],
        "urls": [],
    }
