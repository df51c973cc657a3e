"""The axes of a sweep: config keys with the values to try, and the config of every combination (cell)."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from kdistill.config import paths, problems, yamltext
from kdistill.config.distill_schema import DISTILL_READERS
from kdistill.config.schema import Config
from kdistill.config.training_schema import EITHER, replaced_by
from kdistill.config.yamltext import Marks
from kdistill.core.errors import ConfigError

SECTION = "sweep"
MOST_CELLS = 10_000
ON_TEST = (
    "a sweep selects the winner on the validation split, which is `test` here: it would be selected on the data that "
    "it is scored on"
)
# Keys that no result depends on.
WITHOUT_EFFECT = {"name", "seed", "seeds", "sweep", "expected", "verdict", "data.dir", "training.checkpoint_every"}


@dataclass(frozen=True)
class Axis:
    """The values to try of one config key.

    Attributes:
        key: the full key, such as `distill.temperature`.
        values: the values to try, at least one.
        place: where the axis was written, for messages: `--grid distill.T=1,2`, or a line of a file.
        places: where each of the values was written, for messages.
    """

    key: str
    values: Sequence[Any]
    place: str
    places: Sequence[str]

    @property
    def path(self) -> tuple[str, ...]:
        """The parts of the key."""
        return tuple(self.key.split("."))


def of_options(grid: Sequence[str]) -> list[Axis]:
    """Return the axes of options `--grid key=v1,v2`, with the values read as YAML.

    Raises:
        ConfigError: an option cannot be read, or a key is given twice.
    """
    axes: dict[str, Axis] = {}
    for text in grid:
        place = yamltext.option("--grid", text)
        key, _, listed = (part.strip() for part in text.partition("="))
        key = "distill.temperature" if key == "distill.T" else key
        if not key or not listed:
            raise ConfigError(f"{place}: expected section.key=value,value, such as distill.temperature=1,2,4")
        if key in axes:
            raise ConfigError(f"{place}: {key} is given twice; give all its values at once")
        values, _ = yamltext.read_value(f"[{listed}]", place)
        axes[key] = Axis(key, values, place, [place] * len(values))
    return list(axes.values())


def of_section(section: Mapping[str, Sequence[Any]], marks: Marks) -> list[Axis]:
    """Return the axes in the section `sweep` of a config; without `marks`, their lines in the file are unknown."""
    axes = []
    for key, values in section.items():
        place = problems.place(marks, (SECTION, key)) if marks else f"{SECTION}: {key}"
        places = [problems.place(marks, (SECTION, key, number)) if marks else place for number in range(len(values))]
        axes.append(Axis(key, values, place, places))
    return axes


def cells(config: Config, values: dict[str, Any], axes: Sequence[Axis]) -> list[tuple[dict[str, Any], Config]]:
    """Return the settings of every cell, the last axis varying fastest, each with its config.

    Args:
        config: the config that the settings change.
        values: `config`, resolved.
        axes: axes of different keys.

    Raises:
        ConfigError: a key is unknown or without effect, values are equal or invalid, a cell would select on the test
            split, or there are too many cells; names every problem with its place.
    """
    wrong = {axis.key: list(_problems(config, axis)) for axis in axes}
    lines = dict.fromkeys(f"{axis.place}: {axis.key}: {problem}" for axis in axes for problem in wrong[axis.key])
    sound, made = [axis for axis in axes if not wrong[axis.key]], []
    if (count := prod(len(axis.values) for axis in sound)) > MOST_CELLS:
        raise ConfigError(f"{_together(axes)}: expected at most {MOST_CELLS:,} cells; received {count:,}")
    base = {key: value for key, value in values.items() if key != SECTION}
    for settings, marks in _combinations(sound) if sound else ():
        changed = copy.deepcopy(base)
        for key, value in settings.items():
            paths.put(changed, tuple(key.split(".")), value)
        _leave_out_unread(changed, settings)
        paths.make_absolute(changed, FilePath.cwd())
        try:
            cell = Config.model_validate(changed)
        except ValidationError as error:
            lines |= dict.fromkeys(problems.explain(error, changed, marks))
            continue
        made.append((settings, cell))
        if cell.data.validation == "test" != config.data.validation:
            lines[f"{problems.place(marks, ('data', 'validation'))}: data.validation: {ON_TEST}"] = None
    if lines:
        raise ConfigError("\n".join(problems.in_order(lines)), problems.HELP)
    return made


def _leave_out_unread(values: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Leave out keys that a cell does not read, unless they are axes: of `distill`, and of epochs or updates one."""
    for section, key in (other for axis in settings for other in replaced_by(tuple(axis.split(".")))):
        if f"{section}.{key}" not in settings:
            values.get(section, {}).pop(key, None)
    if "distill.soft_loss" in settings:
        for key, readers in DISTILL_READERS.items():
            if settings["distill.soft_loss"] not in readers and f"distill.{key}" not in settings:
                values["distill"].pop(key, None)


def _combinations(axes: Sequence[Axis]) -> Iterator[tuple[dict[str, Any], Marks]]:
    """Yield the settings of each cell with their marks; any other problem of the cell is due to all axes together."""
    everywhere = _together(axes)
    for numbers in itertools.product(*(range(len(axis.values)) for axis in axes)):
        chosen = list(zip(axes, numbers, strict=True))
        marks: Marks = {(): everywhere} | {axis.path: axis.places[number] for axis, number in chosen}
        yield {axis.key: axis.values[number] for axis, number in chosen}, marks


def _together(axes: Sequence[Axis]) -> str:
    return " ".join(axis.place for axis in axes) if axes[0].place.startswith("--grid") else axes[0].place


def _problems(config: Config, axis: Axis) -> Iterator[str]:
    """Yield the problems of an axis that do not depend on other axes."""
    if unknown := _unknown(axis.path):
        yield unknown
        return
    if (why := _without_effect(config, axis.path)) is not None:
        yield f"no run depends on this key{why}"
    if not axis.values:
        yield "expected at least one value to try; received []"
    for number, value in enumerate(axis.values):
        if value in axis.values[:number]:
            yield f"expected different values to try; received {yamltext.shown(value)} twice"


def _unknown(path: tuple[str, ...]) -> str | None:
    for depth in range(len(path)):
        known = problems.keys_of(path[:depth])
        if not known:
            return problems.no_keys(path[:depth])
        if path[depth] not in known:
            return problems.unknown_key(path[: depth + 1])
    return None


def _without_effect(config: Config, path: tuple[str, ...]) -> str | None:
    """Return why no run depends on a key, as the end of a sentence; None if one does."""
    key = ".".join(path)
    if key in ("seed", "seeds"):
        return "; set the number of seeds of every cell with --seeds"
    if key in WITHOUT_EFFECT or path[0] in WITHOUT_EFFECT:
        return ""
    if path[0] == "teacher" and config.distill.teachers and key != "teacher.preprocessing":
        return ", since distill.teachers names files, and no teacher is trained"
    own = [set(getattr(config, role).overrides()) for role in ("teacher", "student")]
    if path[0] == "training" and all({path[-1], EITHER.get(path[-1])} & keys for keys in own):
        return f", since teacher and student both override {path[-1]}"
    return None
