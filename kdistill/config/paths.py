"""Paths in configs: a relative path starts from the folder of the file or command line that it is written in."""

import functools
import operator
import os
from pathlib import Path
from typing import Any

PATHS = (
    ("data", "dir"),
    ("data", "path"),
    ("data", "unlabelled"),
    ("teacher", "model"),
    ("student", "model"),
    ("student", "initial_weights"),
    ("distill", "teachers"),
)


def make_absolute(values: dict[str, Any], folder: Path) -> None:
    """Make the relative paths in a config absolute, starting from `folder`."""
    for name, key in PATHS:
        section = values.get(name)
        if isinstance(section, dict) and is_path(key, section.get(key)):
            section[key] = _absolute(section[key], folder)


def is_path(key: str, value: Any) -> bool:
    """Whether the value of a key in `PATHS` is a path, or a list of them: words for initial weights are not."""
    if key == "initial_weights":
        return isinstance(value, str) and value.endswith(".keras")
    return isinstance(value, list if key == "teachers" else str)


def make_axes_absolute(sweep: Any, folder: Path) -> None:
    """Make the relative paths among the values of a sweep's axes absolute, starting from `folder`."""
    for key, tried in sweep.items() if isinstance(sweep, dict) else ():
        if isinstance(tried, list):
            path = tuple(key.split("."))
            for number, value in enumerate(tried):
                nested: dict[str, Any] = {}
                put(nested, path, value)
                make_absolute(nested, folder)
                tried[number] = functools.reduce(operator.getitem, path, nested)


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a key of nested sections; missing sections are made."""
    for part in path[:-1]:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_absolute(each, folder) for each in value]
    return str(folder.absolute() / os.path.expanduser(value)) if isinstance(value, str) and value else value
