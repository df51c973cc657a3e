"""`kdistill config ...`: list, show, check and start config files."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from kdistill.cli.options import Debug, Json, Set, emit
from kdistill.errors import OutputError

app = typer.Typer(no_args_is_help=True, help="List, show, check and start config files.")


@app.command("ls")
def config_ls(json_: Json = False, debug: Debug = False) -> None:
    """List the built-in configs."""
    from kdistill import config as configs
    from kdistill import report

    emit({"configs": configs.summaries()}, report.config_list, json_)


@app.command("show")
def config_show(
    config: Annotated[str | None, typer.Argument(help="A file or a built-in name.")] = None,
    set_: Set = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print the resolved config: a file that runs as it is."""
    from kdistill import config as configs

    resolved = configs.load(config, set_ or ())
    if json_:
        print(json.dumps(resolved.model_dump(mode="json", exclude_unset=False), indent=2))
    else:
        print(configs.dump(resolved), end="")


@app.command("check")
def config_check(
    files: Annotated[list[str], typer.Argument(metavar="CONFIG ...", help="Files or built-in names.")],
    set_: Set = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Check configs; exit with 3 at the first that has problems, naming them all."""
    from kdistill import config as configs
    from kdistill import report

    checked = [{"config": file, "name": configs.load(file, set_ or ()).name, "valid": True} for file in files]
    emit({"configs": checked}, report.config_checks, json_)


@app.command("schema")
def config_schema(debug: Debug = False) -> None:
    """Print the JSON schema of config files, for editors that check and complete YAML."""
    from kdistill import config as configs

    print(json.dumps(configs.json_schema(), indent=2))


@app.command("init")
def config_init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("kdistill.yaml"),
    source: Annotated[str, typer.Option("--from", help="The built-in config to start from.")] = "quickstart",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    debug: Debug = False,
) -> None:
    """Write a commented config to start from."""
    from kdistill import config as configs
    from kdistill.files import write_text, writing

    text = configs.builtin_text(source)
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: this file exists", hint="Use --overwrite, or another path.")
    with writing(path):
        write_text(path, text)
    Console(stderr=True).print(f"Wrote {escape(str(path))}. Next: kdistill reproduce -c {escape(str(path))}")
