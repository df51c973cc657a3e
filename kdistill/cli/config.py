"""`kdistill config ...`: list, show, check and create config files."""

import json
import os
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from kdistill.cli import completion, values
from kdistill.cli.lazy import Lazy
from kdistill.cli.options import ConfigOption, Debug, Json, Set, TeacherLogits, Teachers, named, with_teachers
from kdistill.cli.output import emit, write_out
from kdistill.cli.rendering.console import console
from kdistill.core.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from kdistill.cli.rendering import configs as rendered
else:  # it loads NumPy
    rendered = Lazy("kdistill.cli.rendering.configs")

OneConfig = Annotated[
    str | None,
    typer.Argument(metavar="CONFIG", autocompletion=completion.configs, help="A file or a built-in name."),
]
SomeConfigs = Annotated[
    list[str] | None,
    typer.Argument(metavar="CONFIG", autocompletion=completion.configs, help="Files or built-in names."),
]
NewFile = Annotated[
    str | None,
    typer.Argument(metavar="FILE", help="File to write; - is stdout (default: kdistill.yaml, or named after the data)"),
]
CopyOf = Annotated[
    str | None, typer.Option("--from", metavar="NAME", help="Built-in config to copy (default: every key)")
]
FittedTo = Annotated[
    Path | None, values.path_option("Your data, to which the config is fitted: the one that `reproduce DATA` makes.")
]
Layers = Annotated[
    bool,
    typer.Option(
        "--layers",
        help="List the layers of teacher and student that distill.hints may name, with the shapes of their outputs. "
        "A config with hints is checked against them without this option too.",
    ),
]
app = typer.Typer(no_args_is_help=True, help="List, show, check and create config files.")


@app.command("ls")
def config_ls(json_: Json = False, debug: Debug = False) -> None:
    """List the built-in configs."""
    from kdistill import config as configs

    emit({"configs": configs.summaries()}, rendered.listed, json_)


@app.command("show")
def config_show(
    config: OneConfig = None,
    option: ConfigOption = None,
    set_: Set = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print a config with all its keys, as a file that runs, and the loss that it minimises as a comment."""
    from kdistill import config as configs

    if config is not None and option is not None:
        raise typer.BadParameter(f"expected one config; received {config} and {option}", param_hint="-c")
    resolved = configs.load(option if config is None else config, set_ or ())
    write_out(json.dumps(configs.resolved(resolved), indent=2) if json_ else configs.described(resolved))


@app.command("check")
def config_check(
    files: SomeConfigs = None,
    option: ConfigOption = None,
    set_: Set = None,
    layers: Layers = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Check configs and list all their problems; the exit code is 3 if there are any."""
    from kdistill import config as configs

    named = [*(files or []), *([] if option is None else [option])]
    if not named:
        raise typer.BadParameter("expected at least one config; received none", param_hint="CONFIG")
    checked = [_checked(name, set_ or [], layers) for name in named]
    emit({"configs": checked}, rendered.checked, json_)
    if problems := [line for entry in checked for line in entry["problems"]]:
        raise ConfigError("\n".join(problems), hint=configs.HELP)


def _checked(source: str, overrides: list[str], layers: bool) -> dict[str, Any]:
    from kdistill.config import checking

    config, problems = checking.check(source, overrides)
    notes = []
    if config and not config.teacher.has_layers and not config.distill.teachers:
        notes = ["there is no teacher: `kdistill distill` needs --teacher or --teacher-logits"]
    named = {}
    if config and not problems and (layers or config.distill.hints):
        from kdistill.recipes import hints  # only here: it loads TensorFlow

        found = hints.survey(config)
        problems, named = [f"{source}: {line}" for line in found.problems], {"layers": found.layers}
        notes += found.notes
    name = config.name if config and not problems else None
    return {"config": source, "name": name, "valid": not problems, "problems": problems, "notes": notes, **named}


@app.command("schema")
def config_schema(debug: Debug = False) -> None:
    """Print the JSON schema of config files, for editors that check and complete YAML."""
    from kdistill import config as configs

    write_out(json.dumps(configs.json_schema(), indent=2))


@app.command("init")
def config_init(
    path: NewFile = None,
    source: CopyOf = None,
    data: FittedTo = None,
    teacher: Teachers = None,
    teacher_logits: TeacherLogits = None,
    set_: Set = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    debug: Debug = False,
) -> None:
    """Write a config to start from: every key, with a comment on each."""
    starter = Starter(source, data, named(teacher, teacher_logits), set_ or [])
    path = path or starter.file
    text = starter.text(None if path == "-" else path)
    if path == "-":
        write_out(text.rstrip())
        return
    _write_new(values.a_path(path), text, overwrite)
    shown = escape(shlex.quote(path))
    console(stderr=True).print(f"Wrote {shown}. Next: kdistill reproduce -c {shown}", soft_wrap=True)


@dataclass(frozen=True)
class Starter:
    """What `config init` is asked for.

    Attributes:
        source: the name of a built-in config to copy.
        data: the data that the config is for.
        teachers: files of teachers.
        overrides: texts `section.key=value`.
    """

    source: str | None
    data: Path | None
    teachers: Sequence[Path]
    overrides: Sequence[str]

    @property
    def file(self) -> str:
        """The file that is written where none is named."""
        from kdistill import config as configs
        from kdistill.experiments.proposal import stem_of

        return f"{configs.name_of(stem_of(self.data))}.yaml" if self.data else "kdistill.yaml"

    def text(self, file: str | None) -> str:
        """Return the text of the config, whose name is that of the file; None for standard output."""
        from kdistill import config as configs

        if self.data is None:
            if self.teachers or self.overrides:
                raise typer.BadParameter(
                    "expected --data with --teacher, --teacher-logits and --set", param_hint="--data"
                )
            return configs.starter_text(file, self.source)
        if self.source is not None:
            raise typer.BadParameter(f"expected --data or --from; received {self.data} and {self.source}")
        from kdistill.cli.rendering.screen import Screen
        from kdistill.experiments import proposal

        overrides = with_teachers(self.overrides, self.teachers)
        with closing(Screen()) as screen:
            return proposal.as_text(self.data, overrides, file, screen)


def _write_new(path: Path, text: str, overwrite: bool) -> None:
    from kdistill.core.files import write_text

    if os.path.isdir(path):
        raise OutputError(f"{path}: expected a file to write; this is a folder", hint=f"Try {path / 'kdistill.yaml'}.")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path}: this file exists", hint="Use --overwrite, or another path.")
    if not os.path.isdir(path.parent):
        raise OutputError(f"{path}: cannot be written: there is no folder {path.parent}", hint="Make the folder first.")
    try:
        write_text(path, text)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
