"""How the raw values of the data are scaled for a model file, which may be from elsewhere."""

from pathlib import Path

from kdistill import runs
from kdistill.core.scaling import NONE
from kdistill.recipes.session import Session
from kdistill.teachers import files


def preprocessing_of(session: Session, path: Path) -> str:
    """Return how raw values are scaled for a model file: `none`, or another value of `teacher.preprocessing`.

    The models of runs take raw values. A file that is neither a teacher of the config nor of a finished run does
    too, and where the config scales a teacher's values, the listener is told.
    """
    name = session.config.teacher.preprocessing
    if path.suffix != ".keras" or runs.run_of_model(path):
        return NONE
    taught = (session.experiment.run("distilled", seed) for seed in session.experiment.seeds())
    known = [(named, name) for named in session.teacher_files]
    for teacher, scaled in [*known, *(pair for run in taught for pair in files.that_taught(run))]:
        if teacher.resolve() == path.resolve():
            return scaled
    if name != NONE:
        session.listener.note(f"{path} gets raw values: teacher.preprocessing is for the teachers of this config.")
    return NONE
