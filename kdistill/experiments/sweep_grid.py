"""The cells of a sweep: their settings, their folders, and which of them share a teacher."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdistill.config import Axis, Config, cells
from kdistill.config.axes import ON_TEST, of_options, of_section
from kdistill.core import members
from kdistill.core.errors import ConfigError
from kdistill.core.formatting import setting, short_names
from kdistill.experiments.workers import TaskKey
from kdistill.recipes.session import Session
from kdistill.runs import Experiment
from kdistill.runs.specification import START

# Keys of `data`, with their defaults, on which no split depends: they are about labels and further examples.
NOT_OF_SPLITS = {"class_weights": None, "labelled": None, "label_seed": 0, "unlabelled": None}


@dataclass(frozen=True)
class Cell:
    """One combination of settings.

    Attributes:
        settings: the value of each axis, by its config key.
        session: the session of its distilled runs.
        teacher: the session of its teachers: that of the experiment itself, unless the settings change the teacher.
        teacher_name: the settings that its teachers depend on, short; empty for the experiment's own teachers.
    """

    settings: Mapping[str, Any]
    session: Session
    teacher: Session
    teacher_name: str = ""

    @property
    def name(self) -> str:
        """The settings, short."""
        return _named(self.settings, self.settings)

    def distilled(self, seed: int) -> TaskKey:
        """Return the task that trains the distilled run of one seed."""
        return TaskKey("distilled", seed, self.name)

    def taught_by(self, seed: int) -> list[TaskKey]:
        """Return the tasks that train the teacher of one seed: one for each member."""
        names = members.names(self.session.config.teacher.members)
        return [TaskKey(name, seed, self.teacher_name) for name in names]


@dataclass(frozen=True)
class Grid:
    """All cells of a sweep.

    Attributes:
        home: the session of the experiment itself.
        axes: the values of each config key.
        cells: each combination of them, the last key varying fastest.
    """

    home: Session
    axes: Mapping[str, Sequence[Any]]
    cells: Sequence[Cell]

    @property
    def shares_baseline(self) -> bool:
        """Whether the baseline of every cell is that of the experiment itself."""
        own = _spec(self.home, "baseline")
        return all(_spec(cell.session, "baseline") == own for cell in self.cells)

    @property
    def shares_data(self) -> bool:
        """Whether all cells are split in the same way, and so validated on the same examples."""
        every = [cell.session.config.data for cell in self.cells]
        seeds = [data.label_seed if data.label_noise else 0 for data in every]  # of the noise of validation
        return len({data.model_copy(update=NOT_OF_SPLITS) for data in every}) == len(set(seeds)) == 1


def axes(config: Config, grid: Sequence[str]) -> list[Axis]:
    """Return the axes of a sweep: those of `--grid` (`key=v1,v2`, the values in YAML), or else `sweep` in the config.

    Raises:
        ConfigError: there are none, or one cannot be read.
    """
    if not grid and not config.sweep:
        raise ConfigError(
            "sweep: expected values to try; received none",
            hint="Give --grid distill.temperature=1,2,4 (once for each key), or `sweep:` in the config.",
        )
    return of_options(grid) if grid else of_section(config.sweep, {})


def plan(session: Session, axes: Sequence[Axis]) -> Grid:
    """Return the cells of a sweep.

    Raises:
        ConfigError: the config selects on test, a setting is not valid or changes no run, or there are too many cells.
    """
    if session.config.data.validation == "test":
        raise ConfigError(f"data.validation: {ON_TEST}", hint="Set data.validation to a share of train, such as 0.1.")
    combinations = cells(session.config, axes)
    home = _with_common_threads(session, [config for _, config in combinations])
    made = [_cell(home, settings, config) for settings, config in combinations]
    _check_different(made, axes)
    return Grid(home, {axis.key: axis.values for axis in axes}, _with_teacher_names(home, made))


def _spec(session: Session, arm: str) -> dict[str, Any]:
    """Return what the runs of an arm depend on besides seed, teacher and baseline."""
    spec = session.specification(arm, 0)
    return spec | {key: None for key in spec if key == START}


def _with_common_threads(session: Session, configs: Sequence[Config]) -> Session:
    """Return the session with the most threads of any cell, for all: last digits depend on them."""
    cells = [session.sibling(config, session.experiment) for config in (session.config, *configs)]
    options = replace(session.options, threads=max(cell.threads for cell in cells))
    return session.sibling(session.config, session.experiment, options)


def _check_different(made: Sequence[Cell], axes: Sequence[Axis]) -> None:
    """Refuse cells with the same runs, such as those of two paths of the same file."""
    known: dict[Path, Cell] = {}
    for cell in made:
        same = known.setdefault(cell.session.experiment.folder, cell)
        if same is not cell:
            differing = " ".join(axis.place for axis in axes if same.settings[axis.key] != cell.settings[axis.key])
            raise ConfigError(
                f"{differing}: expected different runs in every cell; {same.name} and {cell.name} have the same ones",
                hint="Leave out the values, or the key, on which they do not depend.",
            )


def _cell(home: Session, settings: dict[str, Any], config: Config) -> Cell:
    session, teacher = home.sibling(config, home.experiment), home
    if _spec(session, "teacher") != _spec(home, "teacher"):
        teacher = _at(session, _spec(session, "teacher"))
    # The weights of teachers from files are known once they are opened, which takes TensorFlow.
    given = [config.distill.teachers, config.teacher.preprocessing] if config.distill.teachers else []
    baselines = home.experiment if _spec(session, "baseline") == _spec(home, "baseline") else None
    weights = [{"shares": config.distill.shares}] if config.distill.shares else []
    together = [{"members": config.teacher.members}] if config.teacher.members != 1 else []
    own = _at(session, [_spec(session, "teacher"), _spec(session, "distilled"), *given, *together, *weights], baselines)
    return Cell(settings, own, teacher)


def _with_teacher_names(home: Session, made: Sequence[Cell]) -> list[Cell]:
    """Name the teachers of each cell by the settings that all cells with these teachers share."""
    of_teacher: dict[Path, list[Cell]] = {}
    for cell in made:
        if cell.teacher is not home:
            of_teacher.setdefault(cell.teacher.experiment.folder, []).append(cell)
    names: dict[Path, str] = {}
    for folder, taught in of_teacher.items():
        first, *others = (cell.settings for cell in taught)
        common = {key: value for key, value in first.items() if all(other[key] == value for other in others)}
        name = _named(common, first)
        names[folder] = name if name and name not in names.values() else f"{name} {folder.name}".strip()
    return [replace(cell, teacher_name=names.get(cell.teacher.experiment.folder, "")) for cell in made]


def _named(settings: Mapping[str, Any], among: Mapping[str, Any]) -> str:
    """Return settings with the last part of each key, where that part is unique among all keys."""
    names = short_names(among)
    return " ".join(f"{names[key]}={_short(value)}" for key, value in settings.items())


def _short(value: Any) -> str:
    """Return the value of a config key in short, 4.0 as 4."""
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else setting(value)


def _at(session: Session, spec: object, baselines: Experiment | None = None) -> Session:
    """Return the session of the folder of a cell, which is named by the hash of a specification."""
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]
    home = session.experiment
    cell = session.sibling(session.config, Experiment(home.folder / "cells" / digest, home.cache))
    cell.baselines = baselines or cell.experiment
    return cell
