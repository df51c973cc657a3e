"""The files of a run's teachers: found, and checked as far as that goes before TensorFlow is started."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdistill import modelfiles, runs
from kdistill.core.errors import ModelError
from kdistill.datasets import Splits
from kdistill.runs import Run
from kdistill.teachers.logits_file import SUFFIX, LogitsFile

OTHER_TEACHER = (
    "Run `kdistill train-teacher --overwrite` with the same -c, --set, --output-dir and --seed first, "
    "or give another --output-dir, or --teacher PATH."
)


@dataclass(frozen=True)
class TeacherFiles:
    """The teachers of one run, found and not opened.

    Attributes:
        paths: of `.keras` files, or `.npz` files of logits, which may not be there.
        runs: for each file the complete run whose model it is; None for a file from elsewhere.
    """

    paths: tuple[Path, ...]
    runs: tuple[Run | None, ...]

    @property
    def recorded_weights(self) -> str | None:
        """The fingerprint of the teachers, if all are models of complete runs, which record it."""
        recorded = [run.weights for run in self.runs if run and run.weights]
        return runs.joint_weights(recorded) if len(recorded) == len(self.paths) else None

    def check_are_there(self) -> None:
        """Refuse files that are not there.

        Raises:
            ModelError: naming the file.
        """
        for path in self.paths:
            modelfiles.check_is_there(path)


def find(paths: Sequence[Path]) -> TeacherFiles:
    """Return the teachers in files, which may not be there."""
    return TeacherFiles(tuple(paths), tuple(map(runs.run_of_model, paths)))


def find_own(run: Run, specification: Mapping[str, Any]) -> TeacherFiles:
    """Return an experiment's own teacher.

    Args:
        run: of the teacher.
        specification: that it has to be made from.

    Raises:
        ModelError: it is missing, damaged or not finished; says which command makes it.
        OutputError: it was made from another config.
    """
    status = runs.judge(run)
    if not status.counts:
        raise ModelError(
            f"{run.folder}: distill needs a finished teacher; {status.damage or 'not there, or not finished'}",
            hint=f"Run `kdistill train-teacher` with the same -c, --set, --output-dir and --seed {run.seed} "
            "first, or give --teacher PATH.",
        )
    runs.refuse_other_config(run, runs.judge(run, specification), OTHER_TEACHER)
    return TeacherFiles((run.model_file,), (run,))


def check(paths: Sequence[Path], student: Run) -> None:
    """Refuse teachers that are not there, are given twice, or are part of the run that they are to teach.

    Raises:
        ModelError: naming the file.
    """
    for number, path in enumerate(paths):
        modelfiles.check_is_there(path)
        if path.resolve().is_relative_to(student.folder.resolve()):  # which is emptied when the run begins
            raise ModelError(
                f"{path}: this is the very run that would be made: a student cannot be its own teacher",
                hint="Copy the file elsewhere first, or choose another --output-dir.",
            )
        if any(path.resolve() == other.resolve() for other in paths[:number]):
            raise ModelError(f"{path}: this teacher is given twice", hint="Each teacher counts the same: name it once.")


def check_shapes(paths: Sequence[Path], splits: Splits) -> None:
    """Refuse files of logits whose arrays are not of the shapes that the data ask for.

    Raises:
        ModelError: naming the file and the array.
    """
    for path in paths:
        if path.suffix == SUFFIX:
            LogitsFile(path, splits, shapes_only=True)


def check_test_logits(paths: Sequence[Path]) -> None:
    """Refuse a file of logits without those of the test split, on which teacher and students are to be compared.

    Raises:
        ModelError: naming the file.
    """
    for path in paths:
        if path.suffix == SUFFIX and zipfile.is_zipfile(path):  # what is none is refused when it is read
            with zipfile.ZipFile(path) as archive:
                if "test.npy" not in archive.namelist():
                    raise ModelError(
                        f"{path}: expected logits for the test split, on which teacher and students are compared",
                        hint="Add an array `test` to the file of logits.",
                    )
