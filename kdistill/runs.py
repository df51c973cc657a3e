"""Experiment and run folders on disk: what is there, what is complete, whom it belongs to. No TensorFlow here.

runs/<name>/                     an experiment
  config.yaml                    the resolved config
  seed-0/teacher/                a run
    manifest.json                who made it, from what, with which software; hashes of its files
    history.jsonl                a record for each epoch
    model.keras, classes.json    the model, and the names of its classes
    result.json                  written last: a run without it is not complete
    test.json                    scores on the test split, once it has been evaluated
  cache/                         teacher logits
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdistill.errors import OutputError

if TYPE_CHECKING:
    from kdistill.config import Config

ARMS = ("teacher", "baseline", "distilled")
FORMAT = 1

COMMANDS = {"teacher": "train-teacher", "baseline": "baseline", "distilled": "distill"}


def specification(config: "Config", arm: str, seed: int, teacher_weights: str | None = None) -> dict[str, Any]:
    """Return everything a run's result depends on: its seed, the config keys it reads, its teacher's weights.

    Left out on purpose: `name`, `data.dir`, `expected`, threads, checkpoint cadence and the output place.

    Args:
        config: a resolved config.
        arm: `teacher`, `baseline` or `distilled`.
        seed: of the run.
        teacher_weights: for a distilled run, the fingerprint of its teacher.
    """
    role = "teacher" if arm == "teacher" else "student"
    spec: dict[str, Any] = {
        "seed": seed,
        "data": config.data.model_dump(mode="json", exclude={"dir"}),
        role: getattr(config, role).architecture(),
        "training": config.training_for(role).model_dump(mode="json", exclude={"checkpoint_every"}),
    }
    if arm == "distilled":
        spec["distill"] = config.distill.model_dump(mode="json")
        spec["teacher_weights"] = teacher_weights
    return spec


def identity(spec: dict[str, Any]) -> str:
    """Return the SHA-256 of a specification."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a line `section.key: was x, is now y` for each leaf in which two specifications differ."""
    lines = []
    for key in dict.fromkeys([*old, *new]):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            lines += differences(before, now, f"{prefix}{key}.")
        elif before != now:
            lines.append(f"{prefix}{key}: was {json.dumps(before)}, is now {json.dumps(now)}")
    return lines


@dataclass(frozen=True)
class Run:
    """The folder of one run: one arm trained with one seed."""

    folder: Path
    arm: str
    seed: int

    @property
    def model_file(self) -> Path:
        """Where the trained model is."""
        return self.folder / "model.keras"

    @property
    def history_file(self) -> Path:
        """One JSON record a line, one line an epoch."""
        return self.folder / "history.jsonl"

    @property
    def manifest(self) -> dict[str, Any] | None:
        """The manifest, or None where there is none that can be read."""
        return _read_json(self.folder / "manifest.json")

    @property
    def result(self) -> dict[str, Any] | None:
        """What `finish` was given, or None where the run has not finished."""
        return _read_json(self.folder / "result.json")

    def test_scores(self, teacher_weights: str | None) -> dict[str, Any] | None:
        """Return the scores written by `record_test`, if they are of the model that is there, and of that teacher."""
        stored = _read_json(self.folder / "test.json") or {}
        fits = stored.get("model_sha256") == self._model_sha256 and stored.get("teacher_weights") == teacher_weights
        return stored.get("scores") if fits else None

    @property
    def _model_sha256(self) -> str | None:
        return (self.manifest or {}).get("files", {}).get("model.keras")

    def damage(self) -> str | None:
        """Return what is wrong with a finished run, or None if it is sound or not finished."""
        if self.result is None:
            return None
        files = (self.manifest or {}).get("files")
        if not files:
            return "manifest.json is missing or damaged"
        for name, sha256 in files.items():
            path = self.folder / name
            if not path.is_file():
                return f"{name} is missing"
            if _sha256(path) != sha256:
                return f"{name} is not the file that was written: its SHA-256 differs"
        return None

    def is_complete(self) -> bool:
        """Whether the run has finished and its files are those that were written."""
        return self.result is not None and self.damage() is None

    def conflict(self, spec: dict[str, Any]) -> list[str]:
        """Return how `spec` differs from that of the run in this folder; empty where they agree or none is there."""
        manifest = self.manifest
        if manifest is None or manifest.get("identity") == identity(spec):
            return []
        return differences(manifest.get("spec", {}), spec)

    def begin(self, spec: dict[str, Any], about: dict[str, Any]) -> None:
        """Empty the folder and write the manifest of a run that starts now.

        Args:
            spec: see `specification`.
            about: what else the manifest records: versions, device, threads, data fingerprints.

        Raises:
            OutputError: the folder cannot be written.
        """
        attempts = (self.manifest or {}).get("attempts", [])
        if self.conflict(spec) or self.result is not None:
            attempts = []
        with writing(self.folder):
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True)
            manifest = {
                "format": FORMAT,
                "arm": self.arm,
                "seed": self.seed,
                "identity": identity(spec),
                "spec": spec,
                **about,
                "attempts": [*attempts, {"started": now(), "from_epoch": 0, "from_batch": 0}],
            }
            write_json(self.folder / "manifest.json", manifest)

    def record(self, epoch: dict[str, Any]) -> None:
        """Append one epoch's record to the history.

        Raises:
            OutputError: the disk is full or the folder has gone.
        """
        with writing(self.folder), self.history_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(epoch) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """Return the records of all epochs so far."""
        if not self.history_file.exists():
            return []
        return [json.loads(line) for line in self.history_file.read_text().splitlines()]

    def finish(self, result: dict[str, Any]) -> None:
        """Hash the run's files into the manifest, then write `result.json`: from here on the run is complete.

        Raises:
            OutputError: the folder cannot be written.
        """
        with writing(self.folder):
            files = sorted(
                path
                for path in self.folder.iterdir()
                if path.is_file() and path.name != "manifest.json" and path.name[0] != "."
            )
            manifest = {
                **(self.manifest or {}),
                "finished": now(),
                "files": {path.name: _sha256(path) for path in files},
            }
            write_json(self.folder / "manifest.json", manifest)
            write_json(self.folder / "result.json", result)

    def record_test(self, scores: dict[str, Any], teacher_weights: str | None) -> None:
        """Keep the model's scores on the test split beside it, with whose scores they are.

        Args:
            scores: see `recipes.evaluate`.
            teacher_weights: fingerprint of the teacher it was compared with, if any.

        Raises:
            OutputError: the folder cannot be written.
        """
        whose = {"model_sha256": self._model_sha256, "teacher_weights": teacher_weights}
        with writing(self.folder):
            write_json(self.folder / "test.json", {**whose, "scores": scores})


class Experiment:
    """The folder of one experiment: the runs of all its arms and seeds.

    Args:
        folder: `<output dir>/<name>`; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.folder.name

    @cached_property
    def cache(self) -> Path:
        """Where the teacher's logits are kept."""
        return self.folder / "cache"

    def run(self, arm: str, seed: int) -> Run:
        """Return the run of `arm` with `seed`; its folder need not exist."""
        return Run(self.folder / f"seed-{seed}" / arm, arm, seed)

    def seeds(self) -> list[int]:
        """Return the seeds of which there is a folder."""
        names = (path.name.removeprefix("seed-") for path in self.folder.glob("seed-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def check_usable(self) -> None:
        """Refuse a folder that is something else, or that cannot be written.

        Raises:
            OutputError: naming the folder and what is in it.
        """
        place = self.folder
        if place.exists() and not place.is_dir():
            raise OutputError(f"{place}: expected a folder for the experiment; this is a file")
        if place.is_dir() and not (place / "config.yaml").exists() and any(place.iterdir()):
            raise OutputError(
                f"{place}: the folder is not empty and is not an experiment: it has no config.yaml",
                hint="Choose another --output-dir, or another `name` in the config.",
            )
        existing = next(parent for parent in [place, *place.parents] if parent.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise OutputError(
                f"{existing}: the folder cannot be written",
                hint="Choose another --output-dir, or change the folder's permissions.",
            )

    def create(self, config_text: str) -> None:
        """Make the folder and write the resolved config into it.

        Raises:
            OutputError: the folder cannot be written.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / "config.yaml", config_text)


REPLACE = "Use --overwrite to start this run afresh, or another --output-dir or `name`."
SAME_CONFIG = "Give the -c and --set that it was made with, or another --output-dir."


def check_no_conflict(run: Run, spec: dict[str, Any], hint: str = REPLACE) -> None:
    """Refuse to mix two configs in one run's folder.

    Args:
        run: whose folder it is.
        spec: what is wanted of it now.
        hint: what to do, which depends on whether the command trains or only reads.

    Raises:
        OutputError: naming the keys that differ.
    """
    changed = run.conflict(spec)
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise OutputError(
            f"{run.folder}: this {run.arm} run was made from another config:\n{listed}",
            hint=hint,
        )


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a failure of the file system while writing to `place` into a message.

    Raises:
        OutputError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the file system is read-only",
            errno.EACCES: "permission denied",
            errno.EPERM: "permission denied",
        }
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(
            f"{error.filename or place}: cannot write: {reason}",
            hint="What was finished before is still there; run the same command again to go on.",
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all: aside first, then renamed into place."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
