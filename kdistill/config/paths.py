"""Paths in configs: relative ones are meant from the folder of whatever they are written in."""

import os
from pathlib import Path
from typing import Any

SINGLE = (("data", "dir"), ("data", "path"), ("teacher", "model"), ("student", "model"))
SEVERAL = (("distill", "teachers"),)


def anchor(values: dict[str, Any], folder: Path) -> None:
    """Make the relative paths in a config absolute: they are meant from `folder`."""
    for name, key in (*SINGLE, *SEVERAL):
        section = values.get(name)
        if isinstance(section, dict) and key in section:
            found = section[key]
            if (name, key) in SINGLE:
                section[key] = _from(folder, found)
            elif isinstance(found, list):
                section[key] = [_from(folder, path) for path in found]


def anchor_axes(sweep: Any, folder: Path) -> None:
    """Make the relative paths among the values to try absolute, likewise."""
    for key, tried in sweep.items() if isinstance(sweep, dict) else ():
        if isinstance(tried, list):
            path = tuple(key.split("."))
            for number, value in enumerate(tried):
                nested: dict[str, Any] = {}
                put(nested, path, value)
                anchor(nested, folder)
                tried[number] = _got(nested, path)


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a key of nested sections, which are made where there are none."""
    for part in path[:-1]:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _got(values: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        values = values[part]
    return values


def _from(folder: Path, path: Any) -> Any:
    return str(folder.absolute() / os.path.expanduser(path)) if isinstance(path, str) and path else path
