"""The hints of a config: checked before anything is trained, told of, and given the features of the teacher."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kdistill import modelfiles
from kdistill.config import Config
from kdistill.core import backend
from kdistill.core.errors import ConfigError, KdistillError
from kdistill.core.formatting import counted, dimensions, file_size
from kdistill.core.hints import HINT_LOSSES
from kdistill.recipes.hint_layers import resolved, usable
from kdistill.recipes.session import Document, Options, Session
from kdistill.runs import Experiment

if TYPE_CHECKING:
    from kdistill.models.features import Layer
    from kdistill.teachers.teacher import AnyTeacher
    from kdistill.training.hints import Hint
    from kdistill.training.segments import Data


def one_model(config: Config, teachers: Sequence[Any]) -> None:
    """Refuse hints from several teachers, or from a file of logits; `teachers` are the files, or none for members.

    Raises:
        ConfigError: with the reason.
    """
    if not config.distill.hints:
        return
    count, remedy = len(teachers) or config.teacher.members, "name one `.keras` file"
    if any(str(path).endswith(".npz") for path in teachers):
        received = "a file of logits, which has no layers"
    elif count > 1:
        received = f"{count} teachers, whose layers are different ones"
        remedy = remedy if teachers else "set teacher.members to 1"
    else:
        return
    raise ConfigError(
        f"distill.hints: expected one teacher that is a model; received {received}",
        hint=f"Remove this key, or {remedy}.",
    )


def batch_fits(config: Config, examples: int) -> None:
    """Refuse a batch of one where a hint compares examples; `examples` are those of the training split.

    Raises:
        ConfigError: naming the hint.
    """
    size = min(config.training_for("student").batch_size, examples)
    for number, hint in enumerate(config.distill.hints):
        least = HINT_LOSSES[hint.loss].least
        if size < least:
            raise ConfigError(
                f"distill.hints.{number}.loss: {hint.loss} compares the examples of a batch: expected at least "
                f"{least}; received {size}"
            )


def layers(session: Session, role: str) -> "list[Layer]":
    """Return the layers of the student or the teacher of a config, which are built or loaded for it; starts TensorFlow.

    The data is read only if it is the user's own. Without a teacher there are none.

    Raises:
        ConfigError: the model cannot be built for the data.
        ModelError: a file is missing or not accepted, or does not fit the data.
    """
    config, (shape, classes, kind) = session.config, session.example
    section, files = getattr(config, role), session.teacher_files if role == "teacher" else ()
    if role == "teacher" and not files and not config.teacher.has_layers:
        return []
    backend.start(session.threads, session.options.device)
    from kdistill import models
    from kdistill.models.features import layers_of

    is_own, task = config.data.is_own, config.data.task
    if files:
        modelfiles.check_exists(files[0])
        vocabulary = session.splits.vocabulary if is_own else None
        model, _ = models.load_classifier(files[0], shape, classes, vocabulary, task)
    else:
        scale = session.splits.scale if is_own else 1.0
        model = models.build(section, role, shape, classes, scale, config.seed, kind=kind, task=task)
    return layers_of(model, shape)


def check(session: Session) -> None:
    """Refuse hints between layers that the models of a session do not have, or that do not fit; starts TensorFlow.

    Raises:
        ConfigError: names the hint, or every hint between layers that cannot be, with the reason.
        ModelError: as `layers`.
    """
    hints = session.config.distill.hints
    one_model(session.config, session.teacher_files)
    if hints:
        batch_fits(session.config, session.splits.per_epoch)
    if hints and (theirs := layers(session, "teacher")):
        resolved(hints, theirs, layers(session, "student"))


class Survey(NamedTuple):
    """What `config check` finds: of each role its layers, the problems of hints, and what could not be checked."""

    layers: dict[str, list[Document]]  # `layer`, `kind`, `shape`, and `problem`: why it cannot give a hint, or None
    problems: list[str]
    notes: list[str]


def survey(config: Config) -> Survey:
    """Return the layers that the hints of a config may name, and what is wrong with its hints; starts TensorFlow."""
    session = Session(config, Experiment(Path(config.name)), Options(threads=1, device="cpu"))
    found = Survey({}, [], [])
    try:
        one_model(config, session.teacher_files)
        of_role = {role: layers(session, role) for role in ("teacher", "student")}
        for role, each in of_role.items():
            found.layers[role] = [
                {"layer": layer.name, "kind": layer.kind, "shape": layer.shape, "problem": usable(layer, role) or None}
                for layer in each
            ]
        if of_role["teacher"]:
            resolved(config.distill.hints, of_role["teacher"], of_role["student"])
    except ConfigError as error:
        found.problems.extend(error.message.splitlines())
    except KdistillError as error:
        found.notes.append(f"layers were not looked at: {error.message}")
    return found


def between(session: Session, teacher: "AnyTeacher", is_own: bool = False) -> "dict[Hint, float]":
    """Return the hints of a session's config from an opened teacher, with their weights.

    Args:
        session: of the run.
        teacher: one model.
        is_own: whether it is the student's own baseline, whose layers are those of the student by name.

    Raises:
        ConfigError: the teacher is no single model, or a hint does not fit: see `check`.
    """
    hints = session.config.distill.hints
    if not hints:
        return {}
    one_model(session.config, teacher.paths)
    batch_fits(session.config, session.splits.per_epoch)
    from kdistill.models.features import layers_of

    if is_own:
        hints = tuple(hint.model_copy(update={"teacher": hint.student}) for hint in hints)
    theirs = layers_of(teacher.model, session.splits.shape)  # type: ignore[attr-defined]
    found = resolved(hints, theirs, layers(session, "student"))
    for note in _notes(session, found):
        session.listener.note(note)
    return found


def with_features(session: Session, data: "Data", teacher: "AnyTeacher", hints: "Collection[Hint]") -> "Data":
    """Add the teacher's features, computed once; or, where that cannot be, what computes them while training."""
    from kdistill.teachers import features

    if not hints:
        return data
    wanted = [hint.target for hint in hints]
    size = features.size_of(wanted, session.splits.per_epoch)
    if data.augmentation is None and size <= features.MOST_CACHED:
        kept = features.on(teacher, wanted, session.transfer_set)  # type: ignore[arg-type]
        return dataclasses.replace(data, features_train=kept)
    if data.augmentation is None:
        session.listener.note(
            f"Hints: the teacher's outputs would take {file_size(size)}, and at most "
            f"{file_size(features.MOST_CACHED)} are kept: they are computed in every epoch"
        )
    return dataclasses.replace(data, guide=features.guide(teacher, wanted), teachers=())  # type: ignore[arg-type]


def _notes(session: Session, hints: "Mapping[Hint, float]") -> list[str]:
    """Return how each hint compares, and what has no part in it."""
    notes = []
    for hint in hints:
        changed = (
            "" if not hint.projected else f", projected to {hint.teacher_shape[-1]} by a layer that is trained along"
        )
        sizes = {hint.teacher_shape[:-1], hint.student_shape[:-1]}
        changed += f", the larger map averaged to {dimensions(hint.places)}" if len(sizes) > 1 else ""
        notes.append(
            f"Hint {hint.loss}: teacher {hint.teacher} ({dimensions(hint.teacher_shape)}), student {hint.student} "
            f"({dimensions(hint.student_shape)}){changed}"
        )
    plan = session.config.training_for("student")
    last = session.splits.per_epoch % plan.batch_size
    for loss in {hint.loss: None for hint in hints}:
        if 0 < last < HINT_LOSSES[loss].least:
            notes.append(f"The last batch of each epoch has {counted(last, 'example')}, of which {loss} says nothing")
    if plan.monitor == "val_loss":
        notes.append("Early stopping watches val_loss, which has no hints: they are computed in training alone")
    return notes
