"""Pydantic's validation errors as sentences: every problem of a config with its place and what to write instead."""

import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from kdistill.config.schema import EMPTY_LAYERS, MISSING_LAYERS, Config
from kdistill.config.section import MisplacedError
from kdistill.config.yamltext import Marks, Path, shown
from kdistill.core.formatting import closest

HELP = "Run `kdistill config schema` for all keys, or `kdistill config show` for an example."

# Keys that take values of several kinds: pydantic reports a problem for each kind, a person needs one sentence.
EXPECTED = {
    "validation": "a share between 0 and 1, test or given",
    "channels": "1 or 3",
    "drop": "a list of columns, such as [id, date]",
    "keep": "a list of columns, such as [id, date]",
    "separator": "one character, such as ';', or tab",
    "decimal": "'.' or ','",
    "thousands": "'.', ',', a space or an apostrophe",
    "image_size": "[height, width]",
    "teacher_weights": "a list of numbers above 0, such as [2, 1]",
    "teachers": "a list of paths, such as [big.keras, other.keras]",
    "hints": "a list of hints, such as [{teacher: hidden_2, student: hidden_1}]",
    "classes": "{only: [7, 8]} or {without: [3]}",
    "only": "a list of classes, such as [7, 8]",
    "without": "a list of classes, such as [3]",
    "checkpoint_every": "auto, or a whole number of at least 1",
}
# Sections whose keys are the user's own, each with an example.
OWN_KEYS: dict[Path, str] = {
    ("sweep",): "{distill.temperature: [2, 4]}",
    ("data", "class_weights"): "{cat: 5}",
    ("data", "labelled"): "{cat: 20, dog: 20}",
}
# What other programs call some keys, and what people write for them.
ALIASES = {
    "lr": ("training.learning_rate",),
    "bs": ("training.batch_size",),
    "batch": ("training.batch_size",),
    "wd": ("training.weight_decay",),
    "epoch": ("training.epochs",),
    "n_epochs": ("training.epochs",),
    "num_epochs": ("training.epochs",),
    "max_epochs": ("training.epochs",),
    "max_steps": ("training.steps",),
    "num_steps": ("training.steps",),
    "updates": ("training.steps",),
    "iterations": ("training.steps",),
    "opt": ("training.optimizer",),
    "scheduler": ("training.schedule",),
    "lr_schedule": ("training.schedule",),
    "early_stopping": ("training.patience",),
    "T": ("distill.temperature",),
    "temp": ("distill.temperature",),
    "tau": ("distill.temperature",),
    "loss": ("distill.soft_loss",),
    "layers": ("teacher.hidden", "student.hidden"),
    "units": ("teacher.hidden", "student.hidden"),
    "filters": ("teacher.conv", "student.conv"),
    "target": ("data.label",),
    "val": ("data.validation",),
    "val_split": ("data.validation",),
    "validation_split": ("data.validation",),
    "test_split": ("data.test",),
    "weights": ("data.class_weights",),
    "seq": ("data.kind",),
    "metric": ("verdict.measure",),
}
# Pydantic's types of errors; its context fills in the braces.
KINDS = {
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:,.10g}",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text of at least one character",
    "string_too_long": "a name for a folder: letters, digits, '-', '_' and '.', at most 100",
    "string_pattern_mismatch": "a name for a folder: letters, digits, '-', '_' and '.', at most 100",
    "tuple_type": "a list, such as [128, 64]",
    "list_type": "a list of values to try, such as [0.5, 0.9]",  # distill.teachers, the other list, is in EXPECTED
    "dict_type": "a section of `key: value` lines",
    "model_type": "a section of `key: value` lines",
}


def explain(error: ValidationError, values: dict[str, Any], marks: Marks) -> list[str]:
    """Return a line `place: section.key: problem` for each problem, in the order of the config's text."""
    return in_order(located(error, values, marks).values())


def located(error: ValidationError, values: dict[str, Any], marks: Marks) -> dict[Path, str]:
    """Return for the path of each problem its line, as `explain` does."""
    lines: dict[Path, str] = {}
    # The default of a key that depends on a faulty one is no problem of its own.
    every = error.errors(include_url=False)
    found = [problem for problem in every if problem["type"] != "default_factory_not_called"]
    misspelt = {meant for problem in found if (meant := _meant(problem))}
    for problem in found:
        cause = problem.get("ctx", {}).get("error")
        path = cause.location if isinstance(cause, MisplacedError) else _trim(problem, values)
        # A key is missing because it is misspelt: the misspelling is reported alone.
        if (problem["type"] == "missing" and tuple(map(str, path)) in misspelt) or (cause and path[:1] in misspelt):
            continue
        lines.setdefault(path, f"{place(marks, path)}: {'.'.join(map(str, path))}: {_sentence(problem, path)}")
    return lines


def in_order(lines: Iterable[str]) -> list[str]:
    """Return lines `file:line:column: problem` in the order of the text; lines without numbers come first."""
    return sorted(
        lines, key=lambda line: [int(part) for part in line.split(": ")[0].split(":")[1:] if part.isdecimal()]
    )


def place(marks: Marks, path: Path) -> str:
    """Return where `path` was written, or else the nearest section around it."""
    while path not in marks and path:
        path = path[:-1]
    return marks.get(path, "config")


def unknown_key(path: Path) -> str:
    """Return the sentence for a key that the schema does not have, with a suggestion where there is one."""
    *section, key = map(str, path)
    here = keys_of(tuple(section))
    message = f"unknown key '{key}'"
    if key == "training" and "learning_rate" in here:  # of a model
        return f"{message} here: a model takes the keys of `training` themselves, such as {section[0]}.learning_rate"
    if key not in ALIASES and (meant := did_you_mean(key, here)):
        return f"{message}{meant}"
    elsewhere = keys_named(key) + [name for name in keys_of(()) if name == key and section]
    if own := [last for full in elsewhere if (last := full.rpartition(".")[2]) in here]:
        return f"{message}; did you mean '{own[0]}'?"
    if elsewhere:
        return f"{message} here; did you mean {' or '.join(elsewhere)}?"
    return f"{message}; expected one of {', '.join(here)}"


def no_keys(section: Path) -> str:
    """Return the sentence for a key below a single value, or below a section whose keys are the user's own."""
    name = ".".join(map(str, section))
    if section in OWN_KEYS:
        return f"the keys of {name} are set together, such as {name}={OWN_KEYS[section]}"
    if keys_of((*section, 0)):
        return f"{name} is a list, which is set as a whole: {EXPECTED[str(section[-1])]}"
    return f"{name} is a single value, and has no keys"


def keys_named(word: str) -> list[str]:
    """Return the full keys, such as `training.epochs`, whose last part is a word or what it is short for."""
    if word in ALIASES:
        return list(ALIASES[word])
    return [f"{name}.{found}" for name in keys_of(()) for found in keys_of((name,)) if found == word]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean 'x'?` for the known word that is most similar; an empty text if none is similar."""
    return f"; did you mean '{meant}'?" if (meant := closest(word, known)) else ""


def keys_of(section: Path) -> list[str]:
    """Return the keys of a section of the schema, or of an item of a list; `()` is the top level. Others have none."""
    model: Any = Config
    for name in section:
        field = model.model_fields.get(name) if _is_section(model) else None
        items = get_args(model)[:1] if get_origin(model) is tuple and str(name).isdecimal() else (None,)
        model = field.annotation if field else items[0]
        if isinstance(model, UnionType):  # a section that may be null
            model = get_args(model)[0]
    return list(model.model_fields) if _is_section(model) else []


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)


def _meant(problem: Any) -> Path | None:
    """Return the path of the known key that a misspelt one resembles."""
    if problem["type"] != "extra_forbidden":
        return None
    *section, key = map(str, problem["loc"])
    return (*section, meant) if (meant := closest(key, keys_of(tuple(section)))) else None


def _trim(problem: Any, values: Any) -> Path:
    """Return the part of a location that is in the config or missing there.

    Pydantic appends which kind of value it tried, such as `constrained-int`, also where the value is a section or list.
    """
    path: list[str | int] = []
    for part in problem["loc"]:
        try:
            values = values[part] if isinstance(values, dict | list) else {}[part]
        except (KeyError, IndexError, TypeError):
            if problem["type"] == "missing":
                path.append(part)
            break
        path.append(part)
    return tuple(path)


def _sentence(problem: Any, path: Path) -> str:
    kind, name = problem["type"], str(path[-1]) if path else ""
    context, received = problem.get("ctx", {}), shown(problem["input"])
    if "image_size" in path and kind in {"missing", "too_long"}:
        return f"expected {EXPECTED['image_size']}"
    match kind:
        case "extra_forbidden":
            return unknown_key(path)
        case "missing":
            return MISSING_LAYERS if name == "hidden" else "this key is missing, and has no default"
        case "value_error":
            return str(context["error"])
        case "too_short":
            return "expected at least one value to try; received []" if path[:1] == ("sweep",) else EMPTY_LAYERS
        case "literal_error" if name not in EXPECTED:
            choices = re.findall(r"'([^']*)'", context["expected"])
            meant = did_you_mean(str(problem["input"]).lower(), choices)
            return f"expected one of {', '.join(choices)}; received {received}{meant}"
    expected = EXPECTED.get(name) or (KINDS[kind].format(**context) if kind in KINDS else problem["msg"])
    return f"expected {expected}; received {received}"
