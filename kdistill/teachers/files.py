"""The files of a run's teachers, and the checks of them that need no TensorFlow."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdistill import modelfiles, runs
from kdistill.core.errors import ModelError
from kdistill.core.scaling import NONE
from kdistill.datasets import Splits
from kdistill.runs import Run
from kdistill.teachers.logits_file import SUFFIX, LogitsFile

OTHER_TEACHER = (
    "Run `kdistill train-teacher --overwrite` with the same -c, --set, --output-dir and --seed first, "
    "or give another --output-dir, or --teacher PATH."
)
LOGITS_HINT = (
    "Any teacher can teach by its logits alone: compute them with its own program for the examples that `kdistill data "
    "export` writes, and give that file with --teacher-logits or in distill.teachers."
)


@dataclass(frozen=True)
class TeacherFiles:
    """The files of a run's teachers, which may be missing.

    Attributes:
        paths: `.keras` files, or `.npz` files of logits.
        runs: for each file the complete run whose model it is; None for a file that no run has made.
        shares: the weight of each in their mean, which sum to 1; empty where all weigh the same.
    """

    paths: tuple[Path, ...]
    runs: tuple[Run | None, ...]
    shares: tuple[float, ...] = ()

    @property
    def recorded_identity(self) -> str | None:
        """The joint identity of the teachers, from their runs' records; None if one has no run."""
        recorded = [run.weights for run in self.runs if run and run.weights]
        return runs.joint_identity(recorded, self.shares) if len(recorded) == len(self.paths) else None

    def check_exist(self) -> None:
        """Raise ModelError if a file is missing."""
        for path in self.paths:
            modelfiles.check_exists(path)


def find(paths: Sequence[Path], shares: Sequence[float] = ()) -> TeacherFiles:
    """Return the teachers at `paths`, with their runs and their weights in the mean; a file may be missing."""
    return TeacherFiles(tuple(paths), tuple(map(runs.run_of_model, paths)), tuple(shares))


def that_taught(run: Run) -> list[tuple[Path, str]]:
    """Return the files that taught a distilled run, each with the scaling of its raw values; a file may be missing."""
    manifest = run.manifest or {}
    experiment = run.folder.absolute().parents[1]
    paths = [Path(os.path.normpath(experiment / place)) for place in runs.teacher_files(manifest)]
    # Paths and scalings are both in the order of the teachers' fingerprints.
    scalings = [scaled for *_, scaled in runs.split_identity(str(manifest.get("spec", {}).get("teacher_weights")))]
    return [(path, scaled or NONE) for path, scaled in zip(paths, scalings, strict=False)]


def find_trained(members: Sequence[tuple[Run, Mapping[str, Any]]]) -> TeacherFiles:
    """Return the teacher that the experiment has trained.

    Args:
        members: the teacher's run, of several members each, with the specification that it must have.

    Raises:
        ModelError: the run is missing, damaged or not finished; the hint names the command that makes it.
        OutputError: the run has another specification.
    """
    for run, specification in members:
        status = runs.judge(run)
        if not status.counts:
            raise ModelError(
                f"{run.folder}: distill needs a finished teacher; {status.damage or 'it is missing or not finished'}",
                hint=f"Run `kdistill train-teacher` with the same -c, --set, --output-dir and --seed {run.of_seed} "
                "first, or give --teacher PATH.",
            )
        runs.refuse_other_config(run, runs.judge(run, specification), OTHER_TEACHER)
    return of_runs([run for run, _ in members])


def of_runs(members: Sequence[Run]) -> TeacherFiles:
    """Return the teacher that complete runs form together."""
    return TeacherFiles(tuple(run.model_file for run in members), tuple(members))


def check(paths: Sequence[Path], student: Run) -> None:
    """Raise ModelError if a teacher's file is missing, is given twice, or lies in the student's own folder."""
    for number, path in enumerate(paths):
        modelfiles.check_exists(path)
        if path.resolve().is_relative_to(student.folder.resolve()):  # which is emptied when the run begins
            raise ModelError(
                f"{path}: this file belongs to the student's own run: a student cannot be its own teacher",
                hint="Copy the file elsewhere first, or choose another --output-dir.",
            )
        if any(path.resolve() == other.resolve() for other in paths[:number]):
            raise ModelError(
                f"{path}: this teacher is given twice",
                hint="Name it once; distill.teacher_weights gives a teacher more weight.",
            )


def check_shapes(paths: Sequence[Path], splits: Splits) -> None:
    """Raise ModelError if a file of logits has arrays of other shapes than the data need."""
    for path in paths:
        if path.suffix == SUFFIX:
            LogitsFile(path, splits, shapes_only=True)


def check_test_logits(paths: Sequence[Path]) -> None:
    """Raise ModelError if a file of logits has none for the test split, on which teacher and students are compared."""
    for path in paths:
        # A file that is no archive fails when it is read.
        if path.suffix == SUFFIX and zipfile.is_zipfile(path) and "test.npy" not in zipfile.ZipFile(path).namelist():
            raise ModelError(
                f"{path}: expected logits for the test split, on which teacher and students are compared",
                hint="Add an array `test` to the file of logits.",
            )
