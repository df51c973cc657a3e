"""Hints between the layers of two models: which fit, and why others are refused."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdistill.config.hints import Hint as Declared
from kdistill.core.errors import ConfigError
from kdistill.core.formatting import closest, dimensions
from kdistill.core.hints import AUTO, CONV, DENSE, HINT_LOSSES, NONE, HintLoss

if TYPE_CHECKING:
    from kdistill.models.features import Layer
    from kdistill.training.hints import Hint

CHECK = "Run `kdistill config check` for all layers with their shapes."


def resolved(hints: Sequence[Declared], teacher: "Sequence[Layer]", student: "Sequence[Layer]") -> "dict[Hint, float]":
    """Return hints between layers whose shapes are known, with their weights.

    Args:
        hints: of the config.
        teacher: the layers of the teacher: see `models.features.layers_of`.
        student: those of the student.

    Raises:
        ConfigError: names every hint that cannot be, with the reason.
    """
    found: dict[Hint, float] = {}
    problems: list[str] = []
    for number, hint in enumerate(hints):
        try:
            found[_resolved(hint, teacher, student)] = hint.weight
        except _UnfitError as unfit:
            problems.append(f"distill.hints.{number}.{unfit.key}: {unfit}")
    if problems:
        raise ConfigError("\n".join(problems), hint=CHECK)
    return found


class _UnfitError(Exception):
    """Why a hint cannot be, and the key to change."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def _resolved(hint: Declared, teacher: "Sequence[Layer]", student: "Sequence[Layer]") -> "Hint":
    from kdistill.training.hints import Hint

    loss = HINT_LOSSES[hint.loss]
    theirs, ours = (
        _shape(role, getattr(hint, role), known) for role, known in (("teacher", teacher), ("student", student))
    )
    _check_kinds(hint, loss, theirs, ours)
    return Hint(
        hint.teacher, hint.student, theirs, ours, loss.name, _projects(hint, theirs, ours), hint.normalize != NONE
    )


def usable(layer: "Layer", role: str) -> str:
    """Return why a hint cannot name a layer, as the end of a sentence; empty if it can."""
    if layer.calls > 1:
        return f"it is called {layer.calls} times for an example, so that it has several outputs (a shared layer)"
    if layer.shape is None:
        return "it has several outputs, or one of no fixed shape"
    if not layer.channels_last and len(layer.shape) > 1:
        return "maps of this model have their channels first; only those with channels last are compared"
    if role == "student" and not layer.learns:
        return "nothing before it is trained, so that a hint has no effect"
    return ""


def _shape(role: str, name: str, layers: "Sequence[Layer]") -> tuple[int, ...]:
    """Return the shape of the outputs of a layer."""
    known = {layer.name: layer for layer in layers}
    if name not in known:
        among = [each for each in known if each.rpartition("/")[2] == name]
        if among:
            raise _UnfitError(role, f"several layers of the {role} have the name {name}; write {' or '.join(among)}")
        meant = closest(name, list(known))
        usual = [layer.name for layer in layers if not usable(layer, role)]
        text = f"; did you mean '{meant}'?" if meant else f"; expected one of {', '.join(usual)}"
        raise _UnfitError(role, f"the {role} has no layer '{name}'{text}")
    if why := usable(known[name], role):
        raise _UnfitError(role, f"the layer {name} of the {role} cannot give a hint: {why}")
    return known[name].shape or ()


def _check_kinds(hint: Declared, loss: HintLoss, theirs: tuple[int, ...], ours: tuple[int, ...]) -> None:
    """Refuse a map with a vector, and a kind of hint that is for the other."""
    both = f"teacher {hint.teacher} ({dimensions(theirs)}), student {hint.student} ({dimensions(ours)})"
    if len(theirs) != len(ours):
        raise _UnfitError("student", f"expected outputs with as many dimensions as the teacher's; received {both}")
    if loss.of == "maps" and len(theirs) == 1:
        raise _UnfitError("loss", f"{loss.name} is for maps, which have places and channels; received vectors: {both}")
    if loss.of == "maps" and math.prod(map(min, theirs[:-1], ours[:-1])) == 1:
        raise _UnfitError("loss", f"{loss.name} of a single place is 1, whatever the map is: {both}")
    if loss.of == "vectors" and len(theirs) > 1:
        raise _UnfitError("loss", f"{loss.name} is for vectors, one for each example; received maps: {both}")


def _projects(hint: Declared, theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Return whether the student's outputs are projected."""
    if not HINT_LOSSES[hint.loss].projects:
        return False
    widths = f"teacher {hint.teacher} ({dimensions(theirs)}), student {hint.student} ({dimensions(ours)})"
    is_equal = theirs[-1] == ours[-1]
    if hint.projection == NONE and not is_equal:
        raise _UnfitError("projection", f"without one, both layers need the same width; received {widths}")
    wanted, of = (CONV, "maps") if len(theirs) > 1 else (DENSE, "vectors")
    if hint.projection not in (AUTO, NONE, wanted):
        raise _UnfitError("projection", f"the projection of {of} is {wanted}; received {hint.projection}: {widths}")
    return hint.projection != NONE and not (hint.projection == AUTO and is_equal)
