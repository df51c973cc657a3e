"""Whether a run counts: the one answer of which all commands read what is reused, refused, made again or left out."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdistill.core import files
from kdistill.core.errors import OutputError
from kdistill.runs.run import REPLACE, Run
from kdistill.runs.specification import differences, identity

State = Literal["missing", "interrupted", "other config", "damaged", "finished"]


@dataclass(frozen=True)
class Status:
    """What a run's folder holds, as far as it counts.

    Attributes:
        state: `finished` for a run that counts; `other config` for one that was made, or begun, from another
            specification than the one asked for; `interrupted` for one that goes on from a checkpoint.
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
    """Return whether a run counts.

    Args:
        run: whose folder need not exist.
        specification: that it has to be made from; None for any: see `runs.specification`.
        by_size: judge the model's file by its size, and the other files by their being there, rather than by hashes.

    Raises:
        OutputError: a file is there and cannot be read, which proves nothing.
    """
    if specification is not None and (changed := _differences(run, dict(specification))):
        return Status("other config", differences=tuple(changed))
    if run.finished:
        damage = _damage(run, by_size)
        return Status("damaged", damage) if damage else Status("finished")
    newest = run.checkpoints.newest()
    return Status("interrupted", epoch=newest[0]) if newest else Status("missing")


def refuse_other_config(run: Run, status: Status, hint: str = REPLACE) -> None:
    """Refuse to mix two configs in one run's folder.

    Args:
        run: whose folder it is.
        status: of the run under the specification that is wanted of it now.
        hint: what to do, which depends on whether the command trains or only reads.

    Raises:
        OutputError: naming the keys that differ.
    """
    if status.differences:
        raise OutputError(f"{run.folder}: {other_config(run, status)}", hint=hint)


def other_config(run: Run, status: Status) -> str:
    """Return in words that a run was made from another config, a line for each key that differs."""
    listed = "".join(f"\n  {line}" for line in status.differences)
    return f"this {run.arm} run was made from another config:{listed}"


def run_in(folder: Path) -> Run | None:
    """Return the run whose folder this is, in whatever state; None where it is none."""
    manifest = files.read_sealed(folder / "manifest.json")
    return Run(folder, manifest["arm"], manifest["seed"]) if manifest else None


def run_of_model(model_file: Path) -> Run | None:
    """Return the complete run whose model a file is; None for a file from elsewhere."""
    run = run_in(model_file.parent)
    return run if run and run.model_file == model_file and judge(run).counts else None


def tidy(run: Run) -> None:
    """Remove what a process that was killed at its very end has left in a complete run, if none is at work."""
    left = [run.checkpoints.folder, run.next.folder, run.last, *run.folder.glob(f"{files.TEMPORARY}*")]
    if not any(path.exists() for path in left):
        return  # nothing is written to look at what is there
    with contextlib.suppress(OutputError), run.locked():
        if judge(run).counts:
            run.sweep()
            run.checkpoints.clear()


def _differences(run: Run, wanted: dict[str, Any]) -> list[str]:
    """Return how a specification differs from that of the run that is there; empty where they agree or none is."""
    manifest = run.manifest
    if manifest is not None:
        return [] if manifest.get("identity") == identity(wanted) else differences(manifest.get("spec", {}), wanted)
    known = (run.result or {}).get("identity")
    return [] if known in (None, identity(wanted)) else ["which keys cannot be told: manifest.json is damaged"]


def _damage(run: Run, by_size: bool) -> str | None:
    """Return what is wrong with the files of a finished run, or None."""
    result, written = run.result, (run.manifest or {}).get("files")
    if result is None:
        return "result.json is not what was written"
    if not written:
        return "manifest.json is missing or is not what was written"
    for name, sha256 in written.items():
        path = run.folder / name
        if not path.is_file():
            return f"{name} is missing"
        if not by_size and files.cached_sha256(path) != sha256:
            return f"{name} is not the file that was written: its SHA-256 differs"
    size, expected = run.model_file.stat().st_size if by_size else None, result.get("file_bytes")
    if by_size and size != expected:
        return f"{run.model_file.name} has {size} bytes, and was written with {expected}"
    return None
