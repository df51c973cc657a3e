"""The experiments in an output folder, with the state of each of their runs. Nothing is written."""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import yaml
from pydantic import ValidationError

from kdistill.core import documents, members
from kdistill.core.errors import DamagedError, ModelError, OutputError
from kdistill.evaluation.measures import VALIDATION, main_of
from kdistill.runs import shapes
from kdistill.runs.experiment import SUMMARY_FILE, SWEEP_FILE, Experiment
from kdistill.runs.run import NEXT, Run
from kdistill.runs.scores import damage as scores_damage
from kdistill.runs.scores import own_scores
from kdistill.runs.specification import EVERY_ARM, arm_order, specification
from kdistill.runs.status import damaged_documents, judge

if TYPE_CHECKING:
    from kdistill.config import Config

LARGE = 8 * 2**20  # bytes: larger model files are checked by their size alone, unless `thorough`
STATES = ("complete", "running", "interrupted", "failed", "damaged")


class Replacement(TypedDict):
    """How far a run has come; None stands for what is unknown, or is not the case."""

    state: str  # of `STATES`
    epoch: int | None  # how many epochs are done; in which epoch a failed run failed
    epochs: int | None  # how many epochs at most
    problem: str | None  # why a run failed, or which of its files is damaged
    changed: str | None  # ISO 8601 in UTC


class FoundRun(Replacement):
    """A run in a folder; None stands for what is unknown, or is not the case."""

    arm: str  # of a further member of a teacher its name, such as `teacher-2`
    seed: int
    folder: str
    goes_on_from: int | None  # epoch of the last checkpoint of an interrupted or failed run
    process: str | None  # that trains it now
    validation_accuracy: float | None  # of the best epoch (so far)
    test_accuracy: float | None
    measure: str | None  # the main one of the task: accuracy, or mean average precision
    validation: float | None  # its value, as `validation_accuracy` and `test_accuracy`
    test: float | None
    bytes: int  # of the whole folder
    replacement: Replacement | None  # of a finished run, if one is being trained or was interrupted


class FoundCell(TypedDict):
    """A cell of a sweep."""

    cell: str  # the name of its folder
    set: dict[str, Any]  # the config keys in which the cells differ from each other
    runs: list[FoundRun]  # without copies of the sweep's own, such as the winner's folder has


class FoundExperiment(TypedDict):
    """An experiment."""

    experiment: str
    folder: str
    verdict: str | None  # of the last `reproduce`
    problem: str | None  # what is wrong with summary.json, and with the configs of cells
    states: dict[str, int]  # how many runs are in each state, those of cells included
    runs: list[FoundRun]
    cells: list[FoundCell]
    bytes: int
    changed: str | None  # ISO 8601 in UTC


def survey(root: Path, thorough: bool = False) -> list[FoundExperiment]:
    """Describe every experiment in the output folder `root`, which need not exist; for `thorough` see `examine`.

    Raises:
        OutputError: the folder cannot be read.
    """
    try:
        found = sorted(root.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"{root}: cannot be read: {error.strerror or error}") from error
    return [describe(path, thorough) for path in found if is_experiment(path)]


def is_experiment(folder: Path) -> bool:
    """Whether a folder has the config of an experiment; False for one that may not be read."""
    return os.path.isfile(folder / "config.yaml")  # unlike Path's own, it never raises


def is_output_folder(name: str, root: Path) -> bool:
    """Whether a name is not that of an experiment, here or below `root`, but the path of a folder that holds some."""
    return not any(map(is_experiment, (Path(name), root / name))) and bool(_experiments(Path(name)))


def find(name: str, root: Path) -> Path:
    """Return the folder of an experiment, given its path, or its name below the output folder `root`.

    Raises:
        OutputError: there is none.
    """
    places = [Path(name), root / name]
    for place in places:
        if is_experiment(place):
            return place
    existing = [place for place in places if os.path.exists(place)]
    known = ", ".join(path.name for path in _experiments(root)[:20])
    raise OutputError(
        f"{existing[0]}: this is not an experiment: it has no config.yaml"
        if existing
        else f"{name}: expected an experiment's folder, or its name below {root}; there is none",
        hint=f"In {root} there are: {known}." if known else f"There is no experiment in {root}: see --output-dir.",
    )


def newest(root: Path) -> Path:
    """Return the folder of the experiment below `root` whose runs have changed last.

    Raises:
        OutputError: there is none.
    """
    if not (found := _experiments(root)):
        raise OutputError(
            f"{root}: there is no experiment in this folder",
            hint="Run `kdistill reproduce` first, or name an experiment's folder, or give its --output-dir.",
        )
    return max(found, key=_last_change)


def _experiments(root: Path) -> list[Path]:
    return sorted(filter(is_experiment, _subfolders(root)))


def _last_change(folder: Path) -> float:
    """Return when a run of an experiment was last written to, or its config where it has no runs."""
    times = [0.0]
    for pattern in ("config.yaml", "seed-*/*/history.jsonl", "cells/*/seed-*/*/history.jsonl"):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                times.append(path.stat().st_mtime)
    return max(times)


def describe(folder: Path, thorough: bool = False) -> FoundExperiment:
    """Describe the experiment in a folder; for `thorough` see `examine`."""
    cells: list[FoundCell] = [
        {"cell": place.name, "set": {}, "runs": _runs_in(place, thorough)} for place in _experiments(folder / "cells")
    ]
    unread = _add_settings(cells, folder / "cells")
    own = _runs_in(folder, thorough)
    for cell in cells:
        cell["runs"] = [run for run in cell["runs"] if not _is_copy(run, own)]
    every = [*own, *(run for cell in cells for run in cell["runs"])]
    states = Counter(run["state"] for run in every)
    verdict, problem = _summary(folder)
    return {
        "experiment": folder.absolute().name,
        "folder": str(folder),
        "verdict": verdict,
        "problem": "; ".join(filter(None, [problem, *unread])) or None,
        "states": {state: states[state] for state in STATES if states[state]},
        "runs": own,
        "cells": cells,
        "bytes": _bytes_in(folder),
        "changed": max((run["changed"] for run in every if run["changed"]), default=None),
    }


def _is_copy(of_cell: FoundRun, own: Sequence[FoundRun]) -> bool:
    """Whether a run of a cell is one of the sweep's own: the winner's folder has copies, to be a whole experiment."""
    same = [run for run in own if (run["arm"], run["seed"]) == (of_cell["arm"], of_cell["seed"])]
    weights = [Run(Path(run["folder"]), run["arm"], run["seed"]).weights for run in (*same, of_cell)]
    return bool(same) and weights[0] is not None and weights[0] == weights[1]


def winner(folder: Path) -> Path | None:
    """Return the folder of the cell that a sweep chose; None where no whole `sweep.json` says which that is."""
    try:
        chosen = documents.read(folder / SWEEP_FILE, shapes.Sweep)
    except DamagedError:
        return None
    if chosen is None:
        return None
    for cell in _experiments(folder / "cells"):
        flat = flattened(_yaml(cell / "config.yaml") or {})
        if all(flat.get(key) == value for key, value in chosen["winner"]["set"].items()):
            return cell
    return None


def examine(run: Run, thorough: bool = False) -> FoundRun:
    """Describe one run, in any state.

    Args:
        run: its folder, or that of its replacement, exists.
        thorough: hash every file, however large; otherwise a model of more than `LARGE` bytes is checked by its size.
    """
    is_replaced = os.path.isdir(run.next.folder)
    process = None if os.path.exists(run.folder / "result.json") and not is_replaced else run.lock_holder()
    if not os.path.isdir(run.folder):  # a process was killed between two renames: the next one puts it in place
        return _examined(run.next, process, thorough)
    document = _examined(run, process, thorough)
    if is_replaced:
        found: Any = _examined(run.next, process, thorough)
        replacement: Any = {key: found[key] for key in ("state", "epoch", "epochs", "problem", "changed")}
        document["replacement"] = replacement
    return document


def _examined(run: Run, process: str | None, thorough: bool) -> FoundRun:
    document: Any = {"arm": run.name, "seed": run.of_seed, "folder": str(run.folder), "state": "damaged"}
    document |= dict.fromkeys(("epoch", "epochs", "goes_on_from", "problem", "process"))
    document |= dict.fromkeys(("validation_accuracy", "test_accuracy", "measure", "validation", "test"))
    document |= {"bytes": _bytes_in(run.folder), "changed": None, "replacement": None}
    try:
        document |= _finished(run, thorough) if run.finished else _unfinished(run, process)
    except (OSError, OutputError) as error:  # a file that cannot be read may be sound or damaged
        document["problem"] = str(error)
    return document


def _finished(run: Run, thorough: bool) -> dict[str, Any]:
    manifest, result = run.manifest or {}, run.result or {}
    damage = judge(run, by_size=not thorough and _is_large(run)).damage
    validation, test = result.get("validation", {}), own_scores(run)
    measure = main_of(validation).name
    return {
        "state": "damaged" if damage else "complete",
        "problem": damage or scores_damage(run),
        "epoch": result.get("epochs"),
        "epochs": _most_epochs(manifest),
        "validation_accuracy": validation.get("accuracy"),
        "test_accuracy": test and test["accuracy"],
        "measure": measure,
        "validation": validation.get(measure),
        "test": test and dict(test).get(measure),
        "changed": manifest.get("finished"),
    }


def _unfinished(run: Run, process: str | None) -> dict[str, Any]:
    manifest, failure, records = run.manifest or {}, None if process else run.failure, run.history()
    kept = [record for record in records if record.get("best")] or records
    best: Mapping[str, Any] = kept[-1] if kept else {}
    measure = main_of(best, VALIDATION).name
    return {
        "state": "running" if process else "failed" if failure else "interrupted",
        "problem": "; ".join([*([failure["message"]] if failure else []), *damaged_documents(run)]) or None,
        "process": process,
        "epoch": failure["epoch"] if failure else len(records),
        "epochs": _most_epochs(manifest),
        "goes_on_from": None if process else judge(run).epoch,
        "validation_accuracy": best.get("val_accuracy"),
        "measure": measure,
        "validation": best.get(f"{VALIDATION}{measure}"),
        "changed": _last_sign(run, manifest),
    }


def _is_large(run: Run) -> bool:
    with contextlib.suppress(OSError):
        return run.model_file.stat().st_size > LARGE
    return False


def _most_epochs(manifest: Mapping[str, Any]) -> int | None:
    return manifest.get("epochs", manifest.get("spec", {}).get("training", {}).get("epochs"))


def _last_sign(run: Run, manifest: Mapping[str, Any]) -> str | None:
    """Return when the last attempt at an unfinished run began, or its last epoch was recorded."""
    times = [attempt["started"] for attempt in manifest.get("attempts", [])[-1:]]
    with contextlib.suppress(OSError):
        changed = datetime.fromtimestamp(run.history_file.stat().st_mtime, UTC)
        times.append(changed.isoformat(timespec="seconds"))
    return max(times, default=None)


def _runs_in(folder: Path, thorough: bool) -> list[FoundRun]:
    experiment = Experiment(folder)
    runs = (experiment.run(arm, seed) for seed in experiment.seeds() for arm in _arms_in(folder / f"seed-{seed}"))
    return [examine(run, thorough) for run in runs if any(map(os.path.isdir, (run.folder, run.next.folder)))]


def _arms_in(folder: Path) -> list[str]:
    """Return the names of all runs that the folder of a seed may have: those of a teacher's members as there are."""
    found = {path.name.removeprefix(NEXT) for path in _subfolders(folder)}
    return sorted([*EVERY_ARM, *filter(members.NAME.fullmatch, found)], key=arm_order)


def _subfolders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from filter(os.path.isdir, folder.iterdir())


def _add_settings(cells: list[FoundCell], folder: Path) -> list[str]:
    """Add to each cell its values of the config keys in which the cells differ from each other; sort by those.

    Returns:
        A phrase for each config that cannot be read, or is not that of the cell's runs.
    """
    read = [_yaml(folder / cell["cell"] / "config.yaml") for cell in cells]
    flat = [flattened(values or {}) for values in read]
    keys = dict.fromkeys(key for values in flat for key in values)
    varied = [key for key in keys if len({json.dumps(values.get(key), default=str) for values in flat}) > 1]
    for cell, values in zip(cells, flat, strict=True):
        cell["set"] = {key: values.get(key) for key in varied}
    problems = [_problem_of(cell, values, folder / cell["cell"]) for cell, values in zip(cells, read, strict=True)]
    cells.sort(key=lambda cell: [_order(value) for value in cell["set"].values()])
    return [problem for problem in problems if problem]


def _problem_of(cell: FoundCell, values: Mapping[str, Any] | None, folder: Path) -> str | None:
    """Return what is wrong with the config of a cell, whose settings name it everywhere."""
    from kdistill.config import Config

    try:
        config = Config.model_validate(values)
    except ValidationError:
        return f"cells/{cell['cell']}/config.yaml is no config"
    made = next((run for run in cell["runs"] if run["state"] == "complete" and run["arm"] == "distilled"), None)
    why = not_usable(config, Experiment(folder).run("distilled", made["seed"])) if made else None
    return f"cells/{cell['cell']}: distilled, seed {made['seed']}, {why}" if made and why else None


def _order(value: Any) -> tuple[float, str]:
    """Return a sort key: numbers by their size, then everything else by its text."""
    is_number = isinstance(value, int | float)
    return (float(value), "") if is_number else (float("inf"), json.dumps(value, default=str))


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested sections by their dotted keys: {"distill": {"alpha": 1}} as {"distill.alpha": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def _yaml(path: Path) -> Mapping[str, Any] | None:
    try:
        # The loader in C is ten times as fast where it is installed, which counts with hundreds of cells.
        read = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        json.dumps(read, default=str)  # a ValueError for an alias of what it is in
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _summary(folder: Path) -> tuple[str | None, str | None]:
    """Return the verdict in an experiment's summary, and what is wrong with that file."""
    try:
        found = documents.read(folder / SUMMARY_FILE, shapes.Summary) or {}
    except DamagedError as error:
        return None, f"{SUMMARY_FILE}: {error}"
    return (found.get("comparison") or {}).get("verdict"), None


def _bytes_in(folder: Path) -> int:
    """Return the bytes of all files in a folder, without following links; files that vanish meanwhile count 0."""
    total = 0
    for place, _, names in os.walk(folder, onerror=lambda error: None):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def not_usable(config: "Config", run: Run) -> str | None:
    """Return why a run is left out of reports and comparisons; None where it is finished, sound and of the config."""
    status = judge(run)
    if status.damage:
        return f"is damaged: {status.damage}"
    if not status.counts:
        return "is not finished"
    spec = (run.manifest or {})["spec"]
    data = spec.get("data", {})
    try:
        hashes = data.get("fingerprint"), data.get("unlabelled")
        wanted = specification(config, run.arm, run.seed, run.taught_by, *hashes, run.started_from)
    except ModelError:  # the file that the architecture was taken from is missing: the run may well be of this config
        return None
    changed = judge(run, wanted).differences
    return f"was made from another config than config.yaml has ({'; '.join(changed)})" if changed else None
