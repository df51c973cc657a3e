"""What finished models say on the test split: kept from before, or else asked for now, which takes TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdistill import runs
from kdistill.core import files
from kdistill.core.errors import ModelError, OutputError
from kdistill.recipes import checks
from kdistill.recipes.session import Session
from kdistill.runs import Run, logits_cache
from kdistill.teachers import logits_file

Logits = NDArray[np.float32]


def of_run(session: Session, run: Run) -> Logits:
    """Return the logits (n, classes) of a complete run on the test split of a session's data.

    Raises:
        ModelError: the model is damaged, or does not fit the data.
    """
    place, key = logits_cache.place_of(run), logits_cache.key(run.model_sha256, session.splits)
    kept = logits_cache.kept(place, key, _shape(session))
    if kept is not None:
        return kept
    setting = session.setting
    from kdistill.recipes import arms

    _, logits = arms.evaluate(setting, run.model_file)
    return _keep(session, place, logits, key)


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
    for path in paths:
        checks.model_is_there(path)
    of_logits = [files.sha256(path) for path in paths if path.suffix == logits_file.SUFFIX]
    key = logits_cache.key(" ".join([identity, *of_logits]), session.splits)
    place = logits_cache.place_in(session.experiment.cache, key)
    kept = logits_cache.kept(place, key, _shape(session, len(paths)))
    if kept is not None:
        return kept
    _ = session.setting  # before anything that needs TensorFlow
    teacher = session.teacher(*paths)
    if not runs.same_teachers(teacher.weights, identity):
        names = ", ".join(map(str, paths))
        raise ModelError(f"{names}: the teacher that is there is no longer the one that taught the students")
    return None if teacher.test is None else _keep(session, place, teacher.test.astype(np.float32), key)


def _shape(session: Session, models: int = 1) -> tuple[int, ...]:
    examples, classes = len(session.splits.test), len(session.splits.classes)
    return (examples, classes) if models == 1 else (examples, models, classes)


def _keep(session: Session, place: Path, logits: Logits, key: str) -> Logits:
    """Keep outputs, unless the folder is someone else's, to be looked at only; return them."""
    try:
        with files.writing(place):
            if place.parent == session.experiment.cache:
                place.parent.mkdir(exist_ok=True)
        logits_cache.keep(place, logits, key)
    except OutputError as error:
        session.options.listener.note(f"The model's outputs are not kept: {error.message}")
    return logits
