"""The key `controls`: the control arms that an experiment has besides baseline and distilled student."""

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from kdistill.config.section import MisplacedError
from kdistill.core.controls import CONTROLS, SHUFFLED_AMONG
from kdistill.core.formatting import closest, setting

Options = dict[str, float | str | None]
_NAMES = list(CONTROLS)
_OPTIONS = ", ".join(f"{{{of.name}: {of.option}}}" for of in CONTROLS.values() if of.option is not None)
ABOUT = f"Control arms, which tell the cause: {', '.join(_NAMES)}; with their options {_OPTIONS}."
_SCHEMA = {
    "type": "array",
    "items": {
        "anyOf": [
            {"enum": _NAMES},
            {"type": "object", "properties": {"smoothed": {"type": "number"}, "shuffled": {"enum": SHUFFLED_AMONG}}},
        ]
    },
}


def _read(value: Any) -> Options:
    """Return the option of each control of a list of names, or of names with an option: `shuffled: all`."""
    if isinstance(value, dict):
        value = [{name: option} for name, option in value.items()]
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of {', '.join(_NAMES)}; received {setting(value)}")
    options: Options = {}
    for entry in value:
        name, option = _entry(entry)
        if name in options:
            raise ValueError(f"{name} is named twice")
        options[name] = option
    return options


def _entry(entry: Any) -> tuple[str, float | str | None]:
    """Return name and option of one control."""
    plain = not isinstance(entry, dict)
    names = [entry] if plain else list(entry)
    name = names[0] if len(names) == 1 else entry
    if not isinstance(name, str) or name not in CONTROLS:
        meant = closest(name, _NAMES) if isinstance(name, str) else None
        suggestion = f"; did you mean '{meant}'?" if meant else ""
        raise ValueError(f"expected {', '.join(_NAMES)}; received {setting(name)}{suggestion}")
    control = CONTROLS[name]
    if plain or (entry[name] is None and control.option is None):
        return name, control.option
    if problem := control.problem(entry[name]):
        raise ValueError(f"{name}: {problem}; received {setting(entry[name])}")
    return name, entry[name]


def check(controls: Options, augmented: bool) -> None:
    """Refuse a control whose soft targets cannot be had: `shuffled` takes the outputs for other, unchanged images.

    Raises:
        MisplacedError: with the reason.
    """
    if augmented and "shuffled" in controls:
        why = "the teacher is asked about each image as augmentation changes it, so no output of another can be taken"
        raise MisplacedError("controls", "shuffled", f"{why}; remove shuffled, or the augmentation")


def _written(options: Options) -> list[Any]:
    """Return the controls as they are written in a config, with an option only where it is not the default."""
    return [name if option == CONTROLS[name].option else {name: option} for name, option in options.items()]


Controls = Annotated[Options, BeforeValidator(_read), PlainSerializer(_written), WithJsonSchema(_SCHEMA)]
