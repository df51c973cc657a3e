"""The cells of a sweep: which there are, where their runs are, and which of them share a teacher."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from kdistill import sessions
from kdistill.config import Config, read_value
from kdistill.errors import ConfigError
from kdistill.runs import Experiment
from kdistill.sessions import Session

MOST_CELLS = 10_000

# Returns the config of the command with some further settings.
WithSettings = Callable[[Mapping[str, Any]], Config]


@dataclass(frozen=True)
class Cell:
    """One combination of settings.

    Attributes:
        settings: the value of each axis, by its config key.
        session: in which its runs are made.
        teacher: where the teachers of its seeds are: the experiment's own folder where the settings leave them alone.
    """

    settings: Mapping[str, Any]
    session: Session
    teacher: Session

    @property
    def name(self) -> str:
        """The settings, short."""
        short = {key: key.rpartition(".")[2] for key in self.settings}
        names = short if len(set(short.values())) == len(short) else {key: key for key in short}
        return " ".join(f"{names[key]}={_shown(value)}" for key, value in self.settings.items())

    def distilled(self, seed: int) -> str:
        """Return the name of the task of one seed."""
        return f"{self.name} seed {seed}"

    def taught_by(self, seed: int) -> str:
        """Return the name of the task that makes the teacher of one seed."""
        return f"{self.teacher.experiment.folder.name} teacher seed {seed}"


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
        """Whether the student alone is the experiment's own in every cell."""
        own = spec_of(self.home, "baseline")
        return all(spec_of(cell.session, "baseline") == own for cell in self.cells)

    @property
    def shares_data(self) -> bool:
        """Whether all cells are trained and chosen on the same examples."""
        return len({cell.session.config.data for cell in self.cells}) == 1

    def own_baseline(self, seed: int) -> str:
        """Return the name of the task that makes the experiment's own baseline of one seed."""
        return f"{self.home.experiment.folder.name} baseline seed {seed}"


def axes(config: Config, grid: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values to try of each config key: those of `--grid`, or else those under `sweep` in the config.

    Args:
        config: of the command.
        grid: `key=v1,v2`, the values read as YAML.

    Raises:
        ConfigError: there are none, or one cannot be read.
    """
    if not grid and not config.sweep:
        raise ConfigError(
            "sweep: expected values to try; received none",
            hint="Give --grid distill.temperature=1,2,4 (once for each key), or `sweep:` in the config.",
        )
    found: dict[str, list[Any]] = {}
    for text in grid:
        key, _, listed = (part.strip() for part in text.partition("="))
        key = "distill.temperature" if key == "distill.T" else key
        if not key or not listed:
            raise ConfigError(f"--grid {text}: expected section.key=value,value, such as distill.temperature=1,2,4")
        if key in found:
            raise ConfigError(f"--grid {text}: {key} is given twice; give all its values at once")
        found[key], _ = read_value(f"[{listed}]", f"--grid {text}")
    for key, values in (found or config.sweep).items():
        if len({json.dumps(value) for value in values}) < len(values):
            raise ConfigError(f"{key}: expected different values to try; received {json.dumps(values)}")
    return found or dict(config.sweep)


def plan(session: Session, axes: Mapping[str, Sequence[Any]], with_settings: WithSettings) -> Grid:
    """Return the cells of a sweep.

    Args:
        session: of the experiment.
        axes: the values to try of each config key.
        with_settings: returns the config with some settings changed.

    Raises:
        ConfigError: a config selects on test, a setting is not valid, or changes no run, or there are too many cells.
    """
    _check_validation(session.config)
    if (count := prod(len(values) for values in axes.values())) > MOST_CELLS:
        raise ConfigError(f"--grid: expected at most {MOST_CELLS:,} cells; received {count:,}")
    settings = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    configs = [with_settings(each) for each in settings]
    home = _with_common_threads(session, configs)
    cells = [_cell(home, each, config) for each, config in zip(settings, configs, strict=True)]
    _check_different(cells)
    return Grid(home, axes, cells)


def spec_of(session: Session, arm: str) -> dict[str, Any]:
    """Return what the runs of an arm depend on, whatever their seed and their teacher's."""
    return session.specification(arm, 0)


def _with_common_threads(session: Session, configs: Sequence[Config]) -> Session:
    """Return the session with settled threads: last digits depend on them, and one worker does runs of all cells."""
    threads = session.options.threads or session.experiment.threads()
    if threads is None:
        cells = [session.sibling(config, session.experiment) for config in (session.config, *configs)]
        threads = max(sessions.default_threads(cell.config, cell.example, cell.given_teachers()) for cell in cells)
    return Session(session.config, session.experiment, replace(session.options, threads=threads), session.shelf)


def _check_validation(config: Config) -> None:
    if config.data.validation == "test":
        raise ConfigError(
            "data.validation: a sweep chooses on validation, and here that is `test`: what it would choose would be "
            "chosen on what it is scored on",
            hint="Set data.validation to a share of train, such as 0.1.",
        )


def _check_different(cells: Sequence[Cell]) -> None:
    """Refuse cells that would be the same runs: keys such as `seeds` change none."""
    known: dict[Path, Cell] = {}
    for cell in cells:
        same = known.setdefault(cell.session.experiment.folder, cell)
        if same is not cell:
            raise ConfigError(
                f"--grid: expected other runs in every cell; {same.name} and {cell.name} have the same ones",
                hint="Leave out the key that they do not depend on; how many seeds every cell has is for --seeds.",
            )


def _cell(home: Session, settings: dict[str, Any], config: Config) -> Cell:
    _check_validation(config)
    session, teacher = home.sibling(config, home.experiment), home
    if spec_of(session, "teacher") != spec_of(home, "teacher"):
        teacher = _at(session, spec_of(session, "teacher"))
    # Teachers that are given are known by their weights once they are opened, which takes TensorFlow.
    given = [config.distill.teachers, config.teacher.preprocessing] if config.distill.teachers else []
    own = _at(session, [spec_of(session, "teacher"), spec_of(session, "distilled"), *given])
    return Cell(settings, own, teacher)


def _at(session: Session, spec: object) -> Session:
    """Return the session of a folder that belongs to a specification, below the experiment's own."""
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]
    home = session.experiment
    return session.sibling(session.config, Experiment(home.folder / "cells" / digest, home.cache))


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return json.dumps(value).strip('"')
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
