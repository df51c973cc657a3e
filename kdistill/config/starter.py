"""The config that `config init` writes: every key, with its description from the schema as a comment."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from kdistill.config.data_schema import DATA_READERS, Data
from kdistill.config.distill_schema import DISTILL_READERS, Distill
from kdistill.config.loading import builtin_text, name_of
from kdistill.config.schema import Config, Model
from kdistill.config.section import Section
from kdistill.config.training_schema import READERS, Training, TrainingKeys
from kdistill.core.soft_losses import DECLARED

# The values that differ from the defaults: a small experiment with a clear result.
VALUES: dict[str, Any] = {
    "seeds": 3,
    "controls": [],
    "data": {"dataset": "fashion_mnist"},
    "teacher": {"hidden": [512, 512], "dropout": 0.3},
    "student": {"hidden": [32]},
    "training": {"batch_size": 128, "epochs": 60, "patience": 8},
}
HEADER = """\
# A kdistill experiment: a teacher, and a student that is trained alone (baseline) and by distillation.
#
#   kdistill config check {file}
#   kdistill reproduce -c {file}
#
# Every key is listed. Only the layers of teacher and student are required (hidden, conv or model). Keys that are
# commented out have no effect with the data set, soft loss, optimizer and schedule chosen here: setting one is an
# error.
"""
WIDTH, COMMENT_AT = 116, 36
PLAIN = re.compile(r"[A-Za-z/]([A-Za-z0-9 ._/-]*[A-Za-z0-9._/-])?")  # text that needs no quotes


def starter_text(
    file: str | None, source: str | None = None, values: Mapping[str, Any] | None = None, notes: Sequence[str] = ()
) -> str:
    """Return the text of a valid config to start from, with `name` set to that of the file.

    Args:
        file: the file that it will be written to; None if unknown: then `name` is commented out.
        source: the name of a built-in config to copy; None for a config of every key, with a comment on each.
        values: by section and key, what differs from the defaults; None for a small experiment.
        notes: sentences on them, for the head of the file.
    """
    values = VALUES if values is None else values
    name = name_of(Path(file or "mine.yaml").stem)
    if source is not None:
        return re.sub(r"^name: .*$", f"name: {_as_yaml(name)}", builtin_text(source), count=1, flags=re.MULTILINE)
    about = [f"#\n# Chosen for {values['data']['path']}:", *(f"# - {note}" for note in notes)] if notes else []
    lines = ["\n".join([HEADER.format(file=file or "FILE").rstrip("\n"), *about, ""])]
    for key, field in Config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            lines += ["", f"# {field.description}", f"{key}:", *_section(kind, values.get(key, {}))]
        elif key == "name":
            lines += _line("name" if file else "# name", name, field)
        else:
            lines += _line(key, values.get(key, field.default), field)
    return "\n".join(lines) + "\n"


def _as_yaml(text: str) -> str:
    """Return text, quoted if YAML would not read it as it is."""
    return text if PLAIN.fullmatch(text) and text.lower() not in {"true", "false", "null"} else json.dumps(text)


def _section(kind: type[Section], values: dict[str, Any]) -> list[str]:
    """Return the lines of a section; the training keys that a model may override are one line."""
    lines = []
    for key, field in kind.model_fields.items():
        if issubclass(kind, Model) and key in TrainingKeys.model_fields:
            continue
        mark = "# " if _is_without_effect(kind, key, values) else ""
        default = field.get_default(call_default_factory=True, validated_data=values)
        lines += _line(f"  {mark}{key}", values.get(key, default), field)
    if issubclass(kind, Model):
        lines += _line("  # learning_rate", 1e-3, None, "Any key of `training` may be set for this model alone.")
    return lines


def _is_without_effect(kind: type[Section], key: str, values: dict[str, Any]) -> bool:
    if kind is Data:
        return key in DATA_READERS and values["dataset"] not in DATA_READERS[key]
    if issubclass(kind, Distill):
        return Distill.model_fields["soft_loss"].default not in DISTILL_READERS.get(key, DECLARED)
    if key not in READERS:
        return False
    choice, readers = READERS[key]
    return values.get(choice, Training.model_fields[choice].default) not in readers


def _line(key: str, value: Any, field: FieldInfo | None, text: str = "") -> list[str]:
    """Return the lines of `key: value  # description`, with the choices of the value, wrapped."""
    if field is not None:
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        text = f"{field.description or ''} {'One of ' + ', '.join(choices) + '.' if choices else ''}".strip()
    start = f"{key}: {_as_yaml(value) if isinstance(value, str) else json.dumps(value)}".ljust(COMMENT_AT - 1)
    first, *rest = textwrap.wrap(text, WIDTH - COMMENT_AT)
    return [f"{start} # {first}", *(f"{' ' * COMMENT_AT}# {line}" for line in rest)]
