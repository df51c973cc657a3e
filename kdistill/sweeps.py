"""A sweep: the distilled student under every combination of some settings, chosen on validation, scored on test once.

Cells that share a teacher share its run and its logits. Only the cell with the best mean validation accuracy is ever
scored on the test split, with its baseline, as `reproduce` does it.
"""

import hashlib
import itertools
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdistill import experiments, files, runs, stats
from kdistill.config import Config, dump, read_value
from kdistill.errors import ConfigError
from kdistill.experiments import Scale, task
from kdistill.parts import Part
from kdistill.runs import Experiment, Run
from kdistill.sessions import Document, Session
from kdistill.workers import Outcomes, Task

MOST_CELLS = 10_000
SUMMARY = "sweep.json"
WINNER = "winner.yaml"
CHOSEN_BY = "mean validation accuracy of the distilled student; the lower NLL where two are equal"

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


def sweep(
    session: Session, axes: Mapping[str, Sequence[Any]], with_settings: WithSettings, seeds: Sequence[int], scale: Scale
) -> Document:
    """Make the distilled runs of all cells and seeds, choose on validation, and score the winner; writes `sweep.json`.

    Args:
        session: of the experiment.
        axes: the values to try of each config key.
        with_settings: returns the config with some settings changed.
        seeds: of every cell.
        scale: who makes the runs.

    Returns:
        `experiment`, `seeds`, `axes`, `chosen_by`, `cells` (`set, status, validation, failed`), `winner` (`set`,
        `config`), `test` (what `reproduce` says of the winner), `failed`, `run_info`.

    Raises:
        ConfigError: the config selects on test, a setting is not valid, or there are too many cells.
        KdistillError: no cell has all its runs; whatever made the first of them fail.
    """
    started = time.perf_counter()
    cells = plan(session, axes, with_settings)
    session.experiment.check_usable()
    session.experiment.create(dump(session.config))

    tasks = _tasks(session, cells, seeds)
    outcomes, used = experiments.run(session, tasks, scale, lambda outcomes: _follow_up(cells, seeds, outcomes))
    best = _best(cells, seeds, outcomes)
    if best is None:
        raise next(iter(outcomes.failed.values())).error()
    path = _write_winner(session, best)
    test = experiments.reproduce(best.session, seeds, scale=scale)
    document = {
        "experiment": session.experiment.name,
        "seeds": list(seeds),
        "axes": {key: list(values) for key, values in axes.items()},
        "chosen_by": CHOSEN_BY,
        "cells": [_row(cell, seeds, outcomes) for cell in cells],
        "winner": {"set": dict(best.settings), "config": str(path)},
        "test": {key: test[key] for key in ("arms", "comparison", "formula", "warnings")},
        "failed": experiments.failures(outcomes),
        "run_info": experiments.run_info(session, scale, started, used),
    }
    with files.writing(session.experiment.folder):
        files.write_json(session.experiment.folder / SUMMARY, document)
    return document


def make_part(session: Session, cells: Sequence[Cell], seeds: Sequence[int], part: Part, scale: Scale) -> Document:
    """Make some of the runs of a sweep; nothing is chosen, nothing is scored, and no summary is written.

    Returns:
        See `experiments.part_document`.
    """
    session.experiment.check_usable()
    session.experiment.create(dump(session.config))
    tasks = {task.name: task for task in _tasks(session, cells, seeds)}
    chosen = [tasks[cell.distilled(seed)] for cell, seed in part.of(list(itertools.product(cells, seeds)))]
    teachers = [tasks[name] for name in dict.fromkeys(task.needs[0] for task in chosen)]
    baselines = _baselines(session, cells, part.of(seeds))
    return experiments.part_document(session, [*teachers, *chosen, *baselines], part, scale)


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


def outlook(
    session: Session, axes: Mapping[str, Sequence[Any]], with_settings: WithSettings, seeds: Sequence[int]
) -> Document:
    """Return what a sweep would do, without doing it.

    Returns:
        `experiment`, `axes`, `seeds`, `chosen_by`, `cells` (`set, runs, done`), `teachers`, `run_info`.
    """
    cells = plan(session, axes, with_settings)
    session.experiment.check_usable()
    rows = []
    for cell in cells:
        states = [cell.session.experiment.run("distilled", seed).state() for seed in seeds]
        rows.append({"set": dict(cell.settings), "runs": len(states), "done": states.count("complete")})
    teachers = {(cell.teacher.experiment.folder, seed) for cell in cells for seed in seeds}
    return {
        "experiment": session.experiment.name,
        "axes": {key: list(values) for key, values in axes.items()},
        "seeds": list(seeds),
        "chosen_by": CHOSEN_BY,
        "cells": rows,
        "teachers": len(teachers),
        "run_info": {"threads": session.threads, "output_dir": str(session.experiment.folder)},
    }


def plan(session: Session, axes: Mapping[str, Sequence[Any]], with_settings: WithSettings) -> list[Cell]:
    """Return the cells of a sweep.

    Raises:
        ConfigError: the config selects on test, a setting is not valid, or there are too many cells.
    """
    if session.config.data.validation == "test" or "test" in axes.get("data.validation", ()):
        raise ConfigError(
            "data.validation: a sweep chooses on validation, and here that is `test`: what it would choose would be "
            "chosen on what it is scored on",
            hint="Set data.validation to a share of train, such as 0.1.",
        )
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST_CELLS:
        raise ConfigError(f"--grid: expected at most {MOST_CELLS:,} cells; received {count:,}")
    combinations = itertools.product(*axes.values())
    return [_cell(session, dict(zip(axes, values, strict=True)), with_settings) for values in combinations]


def _cell(session: Session, settings: dict[str, Any], with_settings: WithSettings) -> Cell:
    config = with_settings(settings)
    teacher = session
    if _spec(config, "teacher") != _spec(session.config, "teacher"):
        teacher = _at(session, config, _spec(config, "teacher"))
    own = _at(session, config, [_spec(config, "teacher"), _spec(config, "distilled")])
    return Cell(settings, own, teacher)


def _at(session: Session, config: Config, spec: object) -> Session:
    """Return the session of a folder that belongs to a specification, below the experiment's own."""
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]
    home = session.experiment
    return Session(config, Experiment(home.folder / "cells" / digest, home.cache), session.options)


def _spec(config: Config, arm: str) -> Document:
    """Return what the runs of an arm depend on, whatever their seed and their teacher's."""
    return runs.specification(config, arm, 0)


def _tasks(session: Session, cells: Sequence[Cell], seeds: Sequence[int]) -> list[Task]:
    """Return the tasks of all cells: the teachers first, each once, and then seed by seed, since a worker keeps one."""
    teachers, students = dict[str, Task](), dict[str, Task]()
    for seed, cell in itertools.product(seeds, cells):
        needed, name = cell.taught_by(seed), cell.distilled(seed)
        teachers.setdefault(needed, task(cell.teacher, "teacher", seed, needed))
        teacher = cell.teacher.experiment.run("teacher", seed)
        students[name] = task(cell.session, "distilled", seed, name, needed, teacher=teacher)
    return [*teachers.values(), *students.values(), *_baselines(session, cells, seeds)]


def _baselines(session: Session, cells: Sequence[Cell], seeds: Sequence[int]) -> list[Task]:
    """Return the tasks of the experiment's own baselines, if the winner will be compared with them.

    Those of a cell with another student are made when it is known which one has won.
    """
    if any(_spec(cell.session.config, "baseline") != _spec(session.config, "baseline") for cell in cells):
        return []
    home = session.experiment.folder.name
    return [task(session, "baseline", seed, f"{home} baseline seed {seed}") for seed in seeds]


def _row(cell: Cell, seeds: Sequence[int], outcomes: Outcomes) -> Document:
    """Return what came of a cell."""
    failed = [
        outcomes.failed[cell.distilled(seed)].message for seed in seeds if cell.distilled(seed) in outcomes.failed
    ]
    row: Document = {"set": dict(cell.settings), "status": "failed" if failed else "done", "validation": None}
    if failed:
        return {**row, "failed": failed}
    scores = [outcomes.done[cell.distilled(seed)]["validation"] for seed in seeds]
    validation = {measure: stats.summarize([score[measure] for score in scores]) for measure in ("accuracy", "nll")}
    return {**row, "validation": validation, "failed": []}


def _best(cells: Sequence[Cell], seeds: Sequence[int], outcomes: Outcomes) -> Cell | None:
    """Return the cell that is chosen, of those all of whose runs are there."""
    rows = [(cell, row) for cell in cells if (row := _row(cell, seeds, outcomes))["status"] == "done"]
    return max(rows, key=lambda each: _rank(each[1]))[0] if rows else None


def _rank(row: Document) -> tuple[float, float]:
    return row["validation"]["accuracy"]["mean"], -row["validation"]["nll"]["mean"]


def _write_winner(session: Session, cell: Cell) -> Path:
    """Write the config of the winner as one of its own, so that its runs do not conflict with the experiment's."""
    path = session.experiment.folder / WINNER
    config = cell.session.config
    winner = config.model_copy(update={"name": f"{config.name}-winner", "sweep": {}})
    header = f"# The winner of a sweep, chosen on validation: {cell.name}\n#\n#   kdistill reproduce -c {path}\n"
    with files.writing(path):
        files.write_text(path, header + dump(winner))
    return path


def _follow_up(cells: Sequence[Cell], seeds: Sequence[int], outcomes: Outcomes) -> list[Task]:
    """Return the tasks that are left of `reproduce` for the winner, whose folder becomes that of a whole experiment."""
    winner = _best(cells, seeds, outcomes)
    if winner is None:
        return []
    home = Experiment(winner.session.experiment.cache.parent)
    for seed in seeds:
        _adopt(winner.session, winner.teacher.experiment.run("teacher", seed))
        _adopt(winner.session, home.run("baseline", seed))
    return experiments.tasks_of(winner.session, {seed: seed for seed in seeds})


def _adopt(session: Session, made: Run) -> None:
    """Copy a finished run from elsewhere, if a session would otherwise make the very same one a second time."""
    wanted = session.experiment.run(made.arm, made.seed)
    identity = runs.identity(runs.specification(session.config, made.arm, made.seed))
    if wanted.is_complete() or not made.is_complete() or (made.manifest or {})["identity"] != identity:
        return
    with wanted.locked(), files.writing(wanted.folder):
        if wanted.finished:
            return
        temporary = files.temporary_for(wanted.folder)
        for left in (*wanted.folder.parent.glob(f"{files.TEMPORARY}*-{made.arm}"), wanted.folder):
            shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(made.folder, temporary)
        for path in temporary.iterdir():
            files.to_disk(path)
        files.move(temporary, wanted.folder)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).strip('"')
