"""What finished models say on the test split: kept from before, or else asked for now, which takes TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill import runs
from kdistill.core.errors import ModelError, OutputError
from kdistill.recipes.session import Session
from kdistill.runs import LogitsCache, Run
from kdistill.teachers import files
from kdistill.teachers.files import TeacherFiles
from kdistill.teachers.logits_file import SUFFIX, LogitsFile

Logits = NDArray[np.float32]


def of_run(session: Session, run: Run) -> Logits:
    """Return the logits (n, classes) of a complete run on the test split of a session's data.

    Raises:
        ModelError: the model is damaged, or does not fit the data.
    """
    cache = cache_of(session, run)
    kept = cache.load("test", _shape(session))
    if kept is not None:
        return kept
    session.start()
    from kdistill.recipes import arms

    _, logits = arms.evaluate(session, run.model_file)
    keep(session, cache, logits, "The model's outputs are")
    return logits


def cache_of(session: Session, run: Run) -> LogitsCache:
    """Return where the logits of a run's model are kept, as it is now."""
    return LogitsCache(session.experiment.cache, session.splits, str(run.model_sha256), run)


def keep(session: Session, cache: LogitsCache, logits: Logits, what: str) -> None:
    """Keep logits on the test split, unless the folder is someone else's, to be looked at only."""
    try:
        cache.store("test", logits)
    except OutputError as error:
        session.listener.note(f"{what} not kept: {error.message}")


def of_teachers(session: Session, paths: Sequence[Path], identity: str) -> Logits | None:
    """Return the logits of teachers that are no runs on the test split: (n, classes), or (n, teachers, classes).

    Args:
        session: of the experiment whose students they taught.
        paths: of their files.
        identity: that they had when they taught: see `runs.joint_weights`.

    Returns:
        None where a file of logits has none for the test split.

    Raises:
        ModelError: a file has gone, is damaged, or is no longer the teacher that it was.
    """
    found = files.find(paths)
    found.check_exist()
    kept = _kept(session, found, identity)
    if kept is not None:
        return kept
    teacher = session.teacher(found)
    if not runs.same_teachers(teacher.weights, identity):
        names = ", ".join(map(str, paths))
        raise ModelError(f"{names}: the teacher that is there is no longer the one that taught the students")
    return None if teacher.test is None else teacher.test.astype(np.float32)


def _kept(session: Session, found: TeacherFiles, identity: str) -> Logits | None:
    parts = identity.split(runs.BETWEEN)  # in the order of the files
    if len(parts) != len(found.paths):
        return None
    each = [_kept_of(session, *teacher) for teacher in zip(found.paths, found.runs, parts, strict=True)]
    known = [logits for logits in each if logits is not None]
    if len(known) < len(each):
        return None
    return known[0] if len(known) == 1 else np.stack(known, axis=1)


def _kept_of(session: Session, path: Path, run: Run | None, identity: str) -> Logits | None:
    if path.suffix == SUFFIX:
        file = LogitsFile(path, session.splits)
        return file.of("test") if file.has_test and file.identity == identity else None
    if run is None:
        return LogitsCache(session.experiment.cache, session.splits, identity).load("test", _shape(session))
    return cache_of(session, run).load("test", _shape(session)) if run.weights == identity else None


def _shape(session: Session) -> tuple[int, int]:
    return len(session.splits.test), len(session.splits.classes)
