"""The scaling of raw values for a model file: that of a teacher of the config, or of a run that it has taught."""

import os
from pathlib import Path

from kdistill.datasets import preprocessing
from kdistill.recipes.session import Session
from kdistill.runs import Run, run_of_model, split_identity, teacher_files


def scaling_of(session: Session, path: Path) -> str:
    """Return how raw values are scaled for a model file: `none`, or another value of `teacher.preprocessing`.

    The models of runs take raw values. A file that is neither a teacher of the config nor of a finished run does too,
    and where the config scales a teacher's values, the listener is told.
    """
    name = session.config.teacher.preprocessing
    if path.suffix != ".keras" or run_of_model(path):
        return preprocessing.NONE
    runs = (session.experiment.run("distilled", seed) for seed in session.experiment.seeds())
    known = [(named, name) for named in session.teacher_files]
    for teacher, scaling in [*known, *(pair for run in runs for pair in teachers_of(run))]:
        if teacher.resolve() == path.resolve():
            return scaling
    if name != preprocessing.NONE:
        session.listener.note(f"{path} gets raw values: teacher.preprocessing is for the teachers of this config.")
    return preprocessing.NONE


def teachers_of(run: Run) -> list[tuple[Path, str]]:
    """Return the files that taught a distilled run, each with the scaling of its raw values; a file may be missing."""
    manifest = run.manifest or {}
    experiment = run.folder.absolute().parents[1]
    paths = [Path(os.path.normpath(experiment / place)) for place in teacher_files(manifest)]
    # Paths and scalings are both in the order of the teachers' fingerprints.
    scalings = [scaled for *_, scaled in split_identity(str(manifest.get("spec", {}).get("teacher_weights")))]
    return [(path, scaled or preprocessing.NONE) for path, scaled in zip(paths, scalings, strict=False)]
