"""Every problem of a config at once: of all its sections, of keys that do not go together, and files that are missing.

The schema stops at the first keys that do not go together, and compares sections only where each is valid by itself.
Here what is wrong is told and taken out, until what remains is a config. What only follows from a problem is not told.
"""

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from kdistill.config import axes, loading, paths, problems
from kdistill.config.schema import Config
from kdistill.config.section import MisplacedError
from kdistill.config.yamltext import Marks, Path
from kdistill.core.errors import ConfigError
from kdistill.core.formatting import closest

MOST_ROUNDS = 100
# What stands for a key that has to be there.
IN_PLACE: dict[Path, Any] = {
    ("name",): "config",
    ("student",): {"hidden": [1]},
    ("student", "hidden"): [1],
    ("teacher", "hidden"): [1],
    ("data", "path"): "data",
    ("data", "label"): "label",
}


def check(source: str, overrides: Sequence[str] = ()) -> tuple[Config | None, list[str]]:
    """Return the config of a file or a built-in name, with overrides applied, and a line for each of its problems.

    The config is None if it is not valid; one that names files that are not there is valid.
    """
    try:
        values, marks = loading.written(source)
    except ConfigError as error:
        return None, error.message.splitlines()
    unread = []
    for override in overrides:
        try:
            loading.apply(values, marks, override)
        except ConfigError as error:
            unread += error.message.splitlines()
    paths.make_absolute(values, FilePath.cwd())
    config, found = _validated(copy.deepcopy(values), marks)
    lines = {**found, **{path: line for path, line in _missing(values, marks) if path[:2] not in found}}
    of_sweep = _of_sweep(config, marks) if config else []
    is_valid = not (found or unread or of_sweep)
    return config if is_valid else None, problems.in_order([*unread, *dict.fromkeys([*lines.values(), *of_sweep])])


def _validated(values: dict[str, Any], marks: Marks) -> tuple[Config | None, dict[Path, str]]:
    """Return what remains of a config without its problems, None if nothing does, and a line for each of them."""
    told: dict[Path, str] = {}
    faulty: set[Path] = set()  # sections from which a key was taken: what others say of it may only follow from that
    for _ in range(MOST_ROUNDS):
        try:
            return Config.model_validate(values), told
        except ValidationError as error:
            found, before = problems.located(error, values, marks), copy.deepcopy(values)
            strange, dependent = _strange(error), _dependent(error)
        for path, line in found.items():
            if path not in dependent or path[:1] not in faulty:
                told.setdefault(path, line)
            _take_out(values, path)
        faulty |= {path[:1] for path in found if path not in strange | dependent}
        if values == before:
            break
    return None, told


def _strange(error: ValidationError) -> set[Path]:
    """Return the paths of keys that are like no known one, so that nothing depends on them."""
    unknown = [problem["loc"] for problem in error.errors(include_url=False) if problem["type"] == "extra_forbidden"]
    return {path for path in unknown if not closest(str(path[-1]), problems.keys_of(tuple(map(str, path[:-1]))))}


def _dependent(error: ValidationError) -> set[Path]:
    """Return the paths of problems that may follow from others: keys that do not go together, or are missing."""
    found = error.errors(include_url=False)
    causes = (problem.get("ctx", {}).get("error") for problem in found)
    missing = {tuple(problem["loc"]) for problem in found if problem["type"] == "missing"}
    return missing | {cause.location for cause in causes if isinstance(cause, MisplacedError)}


def _take_out(values: dict[str, Any], path: Path) -> None:
    """Remove a key, or the whole value that an item of a list is in; put something valid where a key has to be."""
    first, *rest = map(str, path or ("",))
    section = values.get(first)
    if isinstance(section, dict) and rest:
        if rest[0] in section:
            del section[rest[0]]
            return
    elif first in values:
        del values[first]
        return
    if path in IN_PLACE:
        paths.put(values, tuple(map(str, path)), copy.deepcopy(IN_PLACE[path]))


def _missing(values: dict[str, Any], marks: Marks) -> Iterator[tuple[Path, str]]:
    """Yield the path and the line of each file or folder that is named and does not exist."""
    for section, key in paths.PATHS:
        of_section = values.get(section)
        named = of_section.get(key) if isinstance(of_section, dict) else None
        listed = named if isinstance(named, list) else [named]
        for number, file in enumerate(listed if paths.is_path(key, named) else []):
            if isinstance(file, str) and file and not os.path.exists(file):
                path = (section, key, number) if isinstance(named, list) else (section, key)
                line = f"{problems.place(marks, path)}: {section}.{key}: there is no such file or folder: {file}"
                yield path, line


def _of_sweep(config: Config, marks: Marks) -> list[str]:
    """Return a line for each problem of the section `sweep`."""
    try:
        if config.sweep:
            loading.cells(config, axes.of_section(config.sweep, marks))
    except ConfigError as error:
        return error.message.splitlines()
    return []
