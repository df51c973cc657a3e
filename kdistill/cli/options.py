"""What commands share: their common options, the session these open, and how a result is shown."""

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import RenderableType

if TYPE_CHECKING:
    from kdistill.experiments import Session

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a config key, such as distill.T=4."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@dataclasses.dataclass(frozen=True)
class Common:
    """The options that every command on an experiment takes."""

    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="A file, or the name of a built-in config (default: quickstart)"),
    ] = None
    set: Set = None
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the config's seed.")] = None
    output_dir: Annotated[Path, typer.Option(envvar="KDISTILL_OUTPUT_DIR", help="Where experiment folders go.")] = Path(
        "runs"
    )
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start afresh runs that another config made.")] = False
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="KDISTILL_THREADS",
            help="Threads within a training step (default: 1 for small models)",
        ),
    ] = None
    device: Annotated[Literal["auto", "cpu", "gpu"], typer.Option()] = "auto"
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, train nothing.")] = False
    json: Json = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and warnings alone.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each epoch.")] = False
    debug: Debug = False


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Common`, which it receives as its argument `common`."""
    shared = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in dataclasses.fields(Common)
    ]
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "common"
    ]

    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        common = Common(**{field.name: options.pop(field.name) for field in dataclasses.fields(Common)})
        command(common=common, **options)

    wrapped.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
    return wrapped


@contextmanager
def open_session(common: Common) -> Iterator["Session"]:
    """Load the config and open its experiment, with a screen that is taken down whatever happens."""
    from kdistill import config as configs
    from kdistill.experiments import Options, Session
    from kdistill.progress import Screen, console
    from kdistill.runs import Experiment

    top_level = {} if common.seed is None else {"seed": common.seed}
    config = configs.load(common.config, common.set or (), **top_level)
    screen = Screen(console(stderr=True), quiet=common.quiet, verbose=common.verbose)
    options = Options(common.threads, common.device, common.overwrite, screen)
    try:
        yield Session(config, Experiment(common.output_dir / config.name), options)
    finally:
        screen.close()


def emit(document: Mapping[str, Any], render: Callable[[Any], RenderableType], as_json: bool) -> None:
    """Print a result on stdout: as one JSON document, or as `render` shows it to a person."""
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        from kdistill.progress import console

        screen = console()
        if screen.is_terminal:
            screen.print(render(document))
            return
        # Rich fills lines up with blanks, which are noise in a file.
        with screen.capture() as captured:
            screen.print(render(document))
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))
