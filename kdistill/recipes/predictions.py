"""Logits of finished models on the test split: read from the cache, or else computed, which starts TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill import runs
from kdistill.core.errors import ModelError, OutputError
from kdistill.recipes.session import Session
from kdistill.runs import LogitsCache, Run
from kdistill.runs.specification import SEPARATOR
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
    try:
        cache.store("test", logits)
    except OutputError as error:  # the experiment may be another user's, and read-only
        session.listener.note(f"The model's outputs are not kept: {error.message}")
    return logits


def cache_of(session: Session, run: Run) -> LogitsCache:
    """Return the cache of the logits of a run's model file as it is now."""
    return LogitsCache(session.experiment.cache, session.splits, str(run.model_sha256), run)


def of_teachers(session: Session, paths: Sequence[Path], identity: str) -> Logits | None:
    """Return the logits of teachers from files on the test split: (n, classes), or (n, teachers, classes) of several.

    `identity` is their joint identity when they taught: see `runs.joint_identity`. The result is None where a file of
    logits has none for the test split.

    Raises:
        ModelError: a file is missing or damaged, or its teacher has changed since.
    """
    found = files.find(paths, runs.shares_of(identity))
    found.check_exist()
    kept = kept_of(session, found, identity)
    if kept is not None:
        return kept
    teacher = session.teacher(found)
    if not runs.same_teachers(teacher.identity, identity):
        names = ", ".join(map(str, paths))
        raise ModelError(f"{names}: expected the teacher that taught the students; the file now holds another one")
    return None if teacher.test is None else teacher.test.astype(np.float32)


def kept_of(session: Session, found: TeacherFiles, identity: str) -> Logits | None:
    """Return what `of_teachers` does if the logits of all teachers can be read without TensorFlow; else None."""
    parts = identity.split(SEPARATOR)  # in the order of the files
    if len(parts) != len(found.paths):
        return None
    each = [
        _kept_of(session, *teacher)
        for teacher in zip(found.paths, found.runs, map(runs.without_share, parts), strict=True)
    ]
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
