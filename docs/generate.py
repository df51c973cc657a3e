"""Writes `docs/reference/cli.md` and `config.md` from the command line and the schema: `python docs/generate.py`.

It also writes `kdistill/cli/completion.json`, from which a shell completes configs and their keys.
`tests/docs/test_docs_reference.py` fails while one of these files is stale.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

REFERENCE = Path(__file__).parent / "reference"
sys.path.insert(0, str(REFERENCE.parents[1]))

from kdistill import config as configs  # noqa: E402
from kdistill.cli import app, completion  # noqa: E402
from kdistill.cli.options import Common  # noqa: E402
from kdistill.config.distill_schema import Distill  # noqa: E402
from kdistill.config.formula import soft_term  # noqa: E402
from kdistill.config.hints import Hint  # noqa: E402
from kdistill.config.schema import ARCHITECTURE, Config  # noqa: E402
from kdistill.config.training_schema import TrainingKeys  # noqa: E402
from kdistill.core.hints import HINT_LOSSES, LETTER_P, LETTERS  # noqa: E402
from kdistill.core.soft_losses import DECLARED, STANDARDIZED, SoftLoss, declared  # noqa: E402

NOTE = "<!-- Generated from the program by `python docs/generate.py`: do not edit this page. -->"
OF_SOME = ("data", "teacher", "teacher_logits")  # fields that only some commands have, which list them as their own
COMMON = ["--" + name.replace("_", "-") for name in Common.__dataclass_fields__ if name not in OF_SOME]


def pages() -> dict[Path, str]:
    """Return the text of each generated page by its path."""
    return {REFERENCE / "cli.md": cli_page(), REFERENCE / "config.md": config_page(), completion.FILE: completions()}


def completions() -> str:
    """Return what a shell completes: the built-in configs, and every config key with values to choose from."""
    schema = Config.model_json_schema()
    keys: dict[str, list[str]] = {}
    for key, field in schema["properties"].items():
        section = _section(field, schema)
        inner = section["properties"] if section else {}
        keys |= {f"{key}.{name}": _values(each) for name, each in inner.items()} or {key: _values(field)}
    del keys["sweep"]
    return json.dumps({"configs": configs.builtin_names(), "keys": keys}, indent=1) + "\n"


def _values(field: Mapping[str, Any]) -> list[str]:
    """Return the values that complete a key: its choices, or else its default."""
    kinds = [field, *field.get("anyOf", [])]
    choices = [json.loads(json.dumps(value)) for kind in kinds for value in kind.get("enum", ())]
    choices += [kind["const"] for kind in kinds if "const" in kind]
    choices += [value for kind in kinds if kind.get("type") == "boolean" for value in (True, False)]
    if "default" in field and field["default"] not in choices:
        choices.append(field["default"])
    texts = [choice if isinstance(choice, str) else json.dumps(choice, separators=(",", ":")) for choice in choices]
    return [text for text in texts if text]


def cli_page() -> str:
    """Return the reference of all commands, their arguments and options."""
    commands = dict(_commands(typer.main.get_command(app), "kdistill"))
    lines = [
        NOTE,
        "",
        "# Commands",
        "",
        "`kdistill COMMAND --help` prints the same. [files.md](files.md) has exit codes and environment variables.",
        "",
        "| command | |",
        "|---|---|",
        *(f"| [`{name}`](#{_anchor(name)}) | {_cell(command.help)} |" for name, command in commands.items()),
        "",
        "## Common options",
        "",
        "Every command on an experiment has these options; a command that has only some of them lists these.",
        "",
        *_options([option for option in commands["kdistill baseline"].params if _is_common(option)]),
    ]
    for name, command in commands.items():
        lines += ["", f"## {name}", "", _plain(command.help), "", "```text", _usage(name, command), "```"]
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
        own = [option for option in options if not _is_common(option)]
        shared = [option.opts[0] for option in options if _is_common(option)]
        if arguments:
            lines += ["", *_options(arguments)]
        if own:
            lines += ["", *_options(own)]
        if len(shared) == len(COMMON):
            lines += ["", "Also all [common options](#common-options)."]
        elif shared:
            lines += ["", f"Also these [common options](#common-options): {', '.join(f'`{name}`' for name in shared)}."]
    return "\n".join(lines) + "\n"


def config_page() -> str:
    """Return the reference of all config keys, section by section."""
    schema = Config.model_json_schema()
    sections = {key: field for key, field in schema["properties"].items() if _section(field, schema)}
    lines = [
        NOTE,
        "",
        "# Config keys",
        "",
        "One YAML file describes an experiment; unknown keys are errors. `kdistill config init mine.yaml` writes a "
        "config with every key, `kdistill config check` lists every mistake with its line, `kdistill config schema` "
        "prints the JSON schema.",
        "",
        "## Top level",
        "",
        *_keys({key: field for key, field in schema["properties"].items() if key not in sections}, schema),
    ]
    for key, field in sections.items():
        lines += ["", f"## {key}", "", _plain(Config.model_fields[key].description), ""]
        keys = _section(field, schema)["properties"]
        if key in ("teacher", "student"):
            own = {name: each for name, each in keys.items() if name not in TrainingKeys.model_fields}
            if key == "student":
                own = {name: each for name, each in own.items() if name not in ARCHITECTURE}
                lines += ["The same keys as [teacher](#teacher), without `preprocessing`."]
            else:
                lines += ["Also every key of [training](#training) except `checkpoint_every`, for this model.", ""]
            keys = own
        lines += _keys(keys, schema) if keys else []
        lines += ["", *_soft_losses(), "", *_hints(schema)] if key == "distill" else []
    return "\n".join(lines) + "\n"


def _soft_losses() -> list[str]:
    """Return a table of the soft losses as they are declared."""
    rows = [_row(loss, Distill(soft_loss=loss.name)) for loss in DECLARED.values()]
    rows.append(_row(declared("kl", True), Distill(standardize=True), "standardize: true", STANDARDIZED.source))
    return [
        "The soft losses with their defaults. The authors' own loss is `factor` times the one that is minimised here, "
        "which matters to `sgd` alone: their learning rates are for a loss so much larger.",
        "",
        "| soft_loss | soft term | alpha | factor | needs | source |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def _hints(schema: Mapping[str, Any]) -> list[str]:
    """Return the keys of a hint, and a table of the kinds of hints as they are declared."""
    rows = []
    for loss in HINT_LOSSES.values():
        term = Hint(teacher="l", student="k", loss=loss.name, weight=1).term().removeprefix("1 * ")
        of = "vectors and maps" if loss.of == "any" else loss.of
        cells = (f"`{loss.name}`", f"{loss.text[0].upper()}{loss.text[1:]}", f"`{term}`", of, loss.source)
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return [
        "A hint, an item of `hints`, has these keys; the [guide](../how-to/hints.md) has an example.",
        "",
        *_keys(schema["$defs"]["Hint"]["properties"], schema),
        "",
        f"{LETTERS}; {LETTER_P}. Vectors have one axis, maps several, of which the last is that of the channels.",
        "",
        "| loss | compares | hint of weight 1 | for | source |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _row(loss: SoftLoss, keys: Distill, name: str = "", source: str = "") -> str:
    soft = soft_term(keys)
    needs = ["labels"] if loss.needs_labels else []
    needs += [f"{need.least} {'classes' if need.of == 'classes' else 'examples in a batch'}" for need in loss.needs]
    needs += [] if loss.multi_label else ["one class for each example"]
    cells = [
        f"`{name or loss.name}`",
        f"`{soft}`",
        f"{loss.alpha:.3g}",
        f"{loss.factor:g}",
        ", ".join(needs) or "-",
        source or loss.source,
    ]
    return f"| {' | '.join(map(_cell, cells))} |"


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the command of every command below a group."""
    for own, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {own}")
        else:
            yield f"{name} {own}", command


def _is_common(option: Any) -> bool:
    declared = {field.name: field for field in Common.__dataclass_fields__.values()}
    known = declared.get(option.name)
    return option.param_type_name == "option" and known is not None and option.opts[0] in COMMON


def _usage(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    shown = [_argument(each) if each.required else f"[{_argument(each)}]" for each in arguments]
    return " ".join([name, "[OPTIONS]", *shown])


def _argument(argument: Any) -> str:
    return (argument.metavar or argument.name.upper()) + (" ..." if argument.nargs != 1 else "")


def _options(options: list[Any]) -> list[str]:
    kind = "argument" if options and options[0].param_type_name == "argument" else "option"
    rows = []
    for option in options:
        is_argument = option.param_type_name == "argument"
        spelt = _argument(option) if is_argument else ", ".join(option.opts)
        value = "" if is_argument or option.is_flag else f" {option.metavar or _choices(option) or option.name.upper()}"
        shown = "`" + f"{spelt}{value}".replace("|", "\\|") + "`"
        rows.append(f"| {shown} | {_cell(option.help)}{_default(option)} |")
    return [f"| {kind} | |", "|---|---|", *rows]


def _choices(option: Any) -> str:
    """Return the values of an option that takes only certain words, joined by `|`; else an empty string."""
    return "|".join(re.findall(r"'([^']+)'", option.bare_type()))  # such as typing.Literal['local', 'ray']


def _default(option: Any) -> str:
    """Return in brackets whether an option is required, its default, whether it repeats, and its variable."""
    more = []
    if option.required:
        more.append("required")
    elif not (option.param_type_name == "option" and option.is_flag) and option.default not in (None, (), []):
        more.append(f"default: `{option.default}`")
    if option.param_type_name == "option" and option.multiple and not re.search("repeat|several", option.help or ""):
        more.append("may be repeated")
    if option.envvar:
        more.append(f"or `{option.envvar}`")
    return f" ({'; '.join(more)})" if more else ""


def _keys(fields: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, field in fields.items():
        default = f"`{json.dumps(field['default'])}`" if "default" in field else "-"
        rows.append(f"| `{key}` | {_kind(field, schema)} | {default} | {_cell(field['description'])} |")
    return ["| key | value | default | |", "|---|---|---|---|", *rows]


def _section(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    return schema["$defs"].get(field.get("$ref", "").removeprefix("#/$defs/"))


BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
KINDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "null": "null"}


def _kind(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return a description of the values of a key."""
    if "anyOf" in field:
        return " or ".join(_kind(choice, schema) for choice in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{choice}`" for choice in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        return "section"
    match field.get("type"):
        case "array" if "prefixItems" in field:
            return f"[{', '.join('whole number' for _ in field['prefixItems'])}]"
        case "array" if "$ref" in field["items"]:
            return "list of sections"
        case "array":
            return f"list of: {_kind(field['items'], schema)}" if field.get("items") else "list"
        case "object":
            return "keys, each with a list of values"
    bounds = " and ".join(f"{text} {_number(field[limit])}" for limit, text in BOUNDS.items() if limit in field)
    return f"{KINDS[field['type']]}{' ' if bounds else ''}{bounds}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _plain(text).replace("|", "\\|")


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
