"""Whether a run counts: the one place that decides what is reused, refused, made again or left out."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdistill.core import documents, files
from kdistill.core.documents import Shape
from kdistill.core.errors import OutputError
from kdistill.runs import history, shapes
from kdistill.runs.run import FAILURE, REPLACE, Run
from kdistill.runs.specification import differences, identity

State = Literal["missing", "interrupted", "other config", "damaged", "finished"]


@dataclass(frozen=True)
class Status:
    """The status of a run's folder.

    Attributes:
        state: `finished` for a run that counts; `other config` for one, finished or not, of another specification than
            the one asked for; `interrupted` for a run with a checkpoint to resume from.
        damage: what is wrong with the files of a damaged run.
        differences: the keys in which a run of another config differs, a line each.
        epoch: how many epochs the newest checkpoint of an interrupted run has.
    """

    state: State
    damage: str | None = None
    differences: tuple[str, ...] = ()
    epoch: int | None = None

    @property
    def counts(self) -> bool:
        """Whether the run has finished, its files are those that were written, and its config is the one asked for."""
        return self.state == "finished"


def judge(run: Run, specification: Mapping[str, Any] | None = None, by_size: bool = False) -> Status:
    """Return the status of a run.

    Args:
        run: its folder need not exist.
        specification: the one that the run has to be made from; None for any: see `runs.specification`.
        by_size: check the size of the model file, and that the other files exist, rather than the hashes.

    Raises:
        OutputError: a file exists and cannot be read, so that it may be sound or damaged.
    """
    if specification is not None and (changed := _differences(run, dict(specification))):
        return Status("other config", differences=tuple(changed))
    if run.finished:
        damage = _damage(run, by_size)
        return Status("damaged", damage) if damage else Status("finished")
    epoch = run.checkpoints.newest_epoch()
    return Status("missing") if epoch is None else Status("interrupted", epoch=epoch)


def refuse_other_config(run: Run, status: Status, hint: str = REPLACE) -> None:
    """Raise OutputError, naming the keys that differ, for a run of another config; `hint` says what to do."""
    if status.differences:
        raise OutputError(f"{run.folder}: {other_config(run, status)}", hint=hint)


def other_config(run: Run, status: Status) -> str:
    """Return a sentence that a run was made from another config, with a line for each key that differs."""
    listed = "".join(f"\n  {line}" for line in status.differences)
    return f"this {run.arm} run was made from another config:{listed}"


def damaged_documents(run: Run) -> list[str]:
    """Return a phrase for each document of an unfinished run that is damaged; its process may be writing the history.

    Raises:
        OutputError: a file exists and cannot be read.
    """
    documented: dict[str, type[Shape]] = {"manifest.json": shapes.Manifest, FAILURE: shapes.Failure}
    found = [documents.sealed_damage(run.folder / name, shape) for name, shape in documented.items()]
    _, problem, is_last = history.read(run.history_file)
    found.append(None if is_last and run.lock_holder() else problem)
    return [phrase for phrase in found if phrase]


def run_in(folder: Path) -> Run | None:
    """Return the run in a folder, in any state; None where there is no manifest."""
    manifest = documents.read_sealed(folder / "manifest.json", shapes.Manifest)
    return Run(folder, manifest["arm"], manifest["seed"]) if manifest else None


def run_of_model(model_file: Path) -> Run | None:
    """Return the complete run whose model file this is; None for a file from elsewhere."""
    run = run_in(model_file.parent)
    return run if run and run.model_file == model_file and judge(run).counts else None


def tidy(run: Run) -> None:
    """Remove what a process that was killed at the end of a run has left in its folder, unless another one holds it."""
    left = [run.checkpoints.folder, run.next.folder, run.last, *run.folder.glob(f"{files.TEMPORARY}*")]
    if not any(path.exists() for path in left):
        return  # without taking the lock, which writes a file
    with contextlib.suppress(OutputError), run.locked():
        if judge(run).counts:
            run.remove_temporary_files()
            run.checkpoints.clear()


def _differences(run: Run, wanted: dict[str, Any]) -> list[str]:
    """Return how a specification differs from that of the run in the folder; empty where there is none."""
    manifest = run.manifest
    if manifest is not None:
        return [] if manifest.get("identity") == identity(wanted) else differences(manifest.get("spec", {}), wanted)
    known = (run.result or {}).get("identity")
    return [] if known in (None, identity(wanted)) else ["it is unknown in which keys: manifest.json is damaged"]


def _damage(run: Run, by_size: bool) -> str | None:
    """Return what is wrong with the files of a finished run, or None."""
    result, manifest = run.result, run.manifest or {}
    written = manifest.get("files")
    if result is None:
        return "result.json is not what was written"
    if not written:
        return "manifest.json is missing or is not what was written"
    if result.get("identity", manifest["identity"]) != manifest["identity"]:
        return "result.json is that of another run than manifest.json"
    for name, sha256 in written.items():
        path = run.folder / name
        if not path.is_file():
            return f"{name} is missing"
        if not by_size and files.cached_sha256(path) != sha256:
            return f"{name} is not the file that was written: its SHA-256 differs"
    if not by_size:
        return None
    size, expected = run.model_file.stat().st_size, result.get("file_bytes")
    if size != expected:
        return f"{run.model_file.name} has {size} bytes, and was written with {expected}"
    return None
