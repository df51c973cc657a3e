"""What is wrong with a config, in sentences: all problems at once, each with its place and what to write instead."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from kdistill.config.schema import EMPTY_LAYERS, MISSING_LAYERS, Config
from kdistill.config.section import MisplacedError
from kdistill.config.yamltext import Marks, Path, shown

HELP = "Run `kdistill config schema` for all keys, or `kdistill config show` for an example."

# Values that may be of two kinds: pydantic has a problem for each, a person has one.
EXPECTED = {
    "validation": "a share between 0 and 1, test or given",
    "channels": "1 or 3",
    "image_size": "[height, width]",
    "teachers": "a list of paths, such as [big.keras, other.keras]",
    "checkpoint_every": "auto, or a whole number of at least 1",
}

BOUNDS = {
    "gt": ("greater_than", "a number above {}"),
    "ge": ("greater_than_equal", "a number of at least {}"),
    "lt": ("less_than", "a number below {}"),
    "le": ("less_than_equal", "a number of at most {}"),
}

KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text of at least one character",
    "tuple_type": "a list, such as [128, 64]",
    "list_type": "a list of values to try, such as [0.5, 0.9]",  # the other list, of teachers, is among EXPECTED
    "dict_type": "a section of `key: value` lines",
    "model_type": "a section of `key: value` lines",
}


def explain(error: ValidationError, values: dict[str, Any], marks: Marks) -> list[str]:
    """Return a line `place: section.key: problem` for each problem, in the order of the text where it has one."""
    lines: dict[Path, str] = {}
    found = error.errors(include_url=False)
    misspelt = {meant for problem in found if (meant := _meant(problem))}
    for problem in found:
        if _is_told_otherwise(problem, values, misspelt):
            continue
        cause = _cause(problem)
        path = cause.location if isinstance(cause, MisplacedError) else _trim(problem["loc"], values)
        key = ".".join(map(str, path))
        line = f"{place(marks, path)}: {key}: {_sentence(problem, path, values)}"
        lines.setdefault(path, line)
    return in_order(lines.values())


def _cause(problem: Any) -> Exception | None:
    """Return the error that a validator of the schema's own has raised."""
    cause: Exception | None = problem.get("ctx", {}).get("error")
    return cause


def in_order(lines: Iterable[str]) -> list[str]:
    """Return lines `place: problem` in the order of the text where they have a place in one."""
    return sorted(lines, key=_position)


def _meant(problem: Any) -> Path | None:
    """Return the path of the key that a misspelt one may have meant."""
    if problem["type"] != "extra_forbidden":
        return None
    *section, key = map(str, problem["loc"])
    close = difflib.get_close_matches(key, keys_of(tuple(section)), n=1)
    return (*section, close[0]) if close else None


def _is_told_otherwise(problem: Any, values: Any, misspelt: set[Path]) -> bool:
    """Whether a problem follows from another: a key missing that is misspelt, a list short of its bad elements."""
    if problem["type"] == "missing":
        return tuple(problem["loc"]) in misspelt
    if isinstance(cause := _cause(problem), MisplacedError):
        return cause.location[:1] in misspelt
    if problem["type"] == "too_short":
        for part in problem["loc"]:
            values = values[part]
        return len(values) > 0
    return False


def _position(line: str) -> list[int]:
    """Return the numbers of `file:line:column:`; a line without them comes first."""
    return [int(part) for part in line.split(": ")[0].split(":")[1:] if part.isdecimal()]


def place(marks: Marks, path: Path) -> str:
    """Return where `path` stands, or the nearest section around it that stands somewhere."""
    while path not in marks and path:
        path = path[:-1]
    return marks.get(path, "config")


def unknown_key(path: Path) -> str:
    """Return the sentence for a key that the schema does not have, with what may have been meant."""
    *section, key = map(str, path)
    here = keys_of(tuple(section))
    message = f"unknown key '{key}'"
    if key == "training" and "learning_rate" in here:  # of a model
        return f"{message} here: a model takes the keys of `training` themselves, such as {section[0]}.learning_rate"
    if meant := did_you_mean(key, here):
        return f"{message}{meant}"
    elsewhere = [
        f"{name}.{found}"
        for name in keys_of(())
        for found in keys_of((name,))
        if found == key or (key == "T" and found == "temperature")
    ]
    if not section and key in Config.model_fields:
        return message
    elsewhere += [name for name in keys_of(()) if name == key and section]
    if elsewhere:
        return f"{message} here; did you mean {' or '.join(elsewhere)}?"
    return f"{message}; expected one of {', '.join(here)}"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean 'x'?` for the known word that is most like another; nothing if none is."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def keys_of(section: Path) -> list[str]:
    """Return the keys of a section of the schema: `()` is the top; none for something that is no section."""
    model: Any = Config
    for name in section:
        field = model.model_fields.get(name) if _is_section(model) else None
        model = field.annotation if field else None
    return list(model.model_fields) if _is_section(model) else []


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)


def _trim(location: Iterable[str | int], values: Any) -> Path:
    """Return the part of a location that names places in the config: pydantic adds which kind of a value it tried."""
    path: list[str | int] = []
    for part in location:
        if not isinstance(values, dict | list):
            break
        path.append(part)
        if isinstance(values, dict):
            values = values.get(part)
        else:
            values = values[part] if isinstance(part, int) and part < len(values) else None
    return tuple(path)


def _sentence(problem: Any, path: Path, values: Any) -> str:
    received = problem["input"]
    name = str(path[-1]) if path else ""
    if "image_size" in path and problem["type"] in {"missing", "too_long"}:
        return f"expected {EXPECTED['image_size']}"
    match problem["type"]:
        case "extra_forbidden":
            return unknown_key(path)
        case "missing" if name == "hidden":
            return MISSING_LAYERS
        case "missing":
            return "this key is missing, and has no default"
        case "value_error":
            return str(problem["ctx"]["error"])
        case "string_pattern_mismatch" | "string_too_long":
            return (
                "expected a name for a folder: letters, digits, '-', '_' and '.', at most 100; "
                f"received {shown(received)}"
            )
        case "too_short":
            return "expected at least one value to try; received []" if path[0] == "sweep" else EMPTY_LAYERS
    if name in EXPECTED:
        return f"expected {EXPECTED[name]}; received {shown(received)}"
    return f"expected {_expected(problem)}; received {shown(received)}{_close(problem)}"


def _expected(problem: Any) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "literal_error":
        return "one of " + ", ".join(_choices(problem))
    for limit, (kind, text) in BOUNDS.items():
        if problem["type"] == kind:
            return text.format(f"{context[limit]:g}")
    return KINDS.get(problem["type"], problem["msg"])


def _choices(problem: Any) -> list[str]:
    path: Any = Config
    for part in problem["loc"]:
        field = path.model_fields[part]
        path = field.annotation
    return [str(choice) for choice in get_args(path)]


def _close(problem: Any) -> str:
    if problem["type"] != "literal_error" or not isinstance(problem["input"], str):
        return ""
    return did_you_mean(problem["input"].lower(), _choices(problem))
