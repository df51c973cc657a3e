"""What commands share: their common options, and the session that these open."""

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdistill.cli import values
from kdistill.core.errors import OutputError

if TYPE_CHECKING:
    from kdistill.recipes.session import Session

Tracker = StrEnum("Tracker", ["tensorboard"])  # Typer takes no list of a Literal
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a config key, such as distill.T=4; repeatable."),
]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="CONFIG", help="A file, or the name of a built-in config."),
]
Track = Annotated[
    list[Tracker] | None,
    typer.Option(
        "--track",
        metavar="|".join(Tracker),
        help="Write the figures of every epoch for TensorBoard, into the folder of each run",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@dataclasses.dataclass(frozen=True)
class Common:
    """What a person types with every command on an experiment. `Options` are what goes on from here to the runs."""

    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", metavar="CONFIG", help="A file, or the name of a built-in config (default: quickstart)"
        ),
    ] = None
    set: Set = None
    seed: Annotated[
        int | None,
        typer.Option(
            parser=values.whole_number(0, values.LARGEST_SEED), metavar="N", help="Instead of the config's seed."
        ),
    ] = None
    output_dir: Annotated[
        Path,
        typer.Option(
            parser=values.a_path, metavar="FOLDER", envvar="KDISTILL_OUTPUT_DIR", help="Where experiment folders go."
        ),
    ] = Path("runs")
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make again, from the start, runs that another config made.")
    ] = False
    threads: Annotated[
        int | None,
        typer.Option(
            parser=values.whole_number(1, values.MOST_THREADS),
            metavar="N",
            envvar="KDISTILL_THREADS",
            help="Threads within a training step (default: those of the runs that are there; else 1 for small models, "
            "every core for large ones)",
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "gpu"],
        typer.Option(help="Where to compute: auto is a GPU if there is one."),
    ] = "auto"
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything and print the plan; train, score, download, write nothing."),
    ] = False
    json: Json = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and warnings alone.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each epoch.")] = False
    debug: Debug = False


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Common`, which it receives as its argument `common`."""
    return with_options_of(Common, "common")(command)


def with_some_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command only these options of `Common`; the others have their defaults."""
    return with_options_of(Common, "common", names)


def with_options_of(
    kind: type, argument: str, names: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the fields of a dataclass as options, after its own.

    Args:
        kind: the dataclass.
        argument: of the command, which receives an instance.
        names: of the fields, if not all.
    """
    fields = [field for field in dataclasses.fields(kind) if not names or field.name in names]
    shared = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        given = inspect.signature(command).parameters.values()
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in given if each.name != argument]

        @functools.wraps(command)
        def wrapped(**options: Any) -> None:
            received = kind(**{field.name: options.pop(field.name) for field in fields})
            command(**{argument: received}, **options)

        wrapped.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
        return wrapped

    return decorate


@contextmanager
def open_session(
    common: Common, wait: bool = False, track: Sequence[str] | None = None, teachers: Sequence[Path] = ()
) -> Iterator["Session"]:
    """Load the config and open its experiment, with a screen that is taken down whatever happens.

    Args:
        common: the options of the command.
        wait: for other commands that are at work on the same runs, rather than refuse.
        track: the trackers that hear of the epochs.
        teachers: files that were named instead of those of the config.
    """
    from kdistill import config as configs
    from kdistill.cli.rendering.screen import Screen, console
    from kdistill.core import extras
    from kdistill.recipes.session import Options, Session
    from kdistill.runs import Experiment

    trackers = tuple(dict.fromkeys(map(str, track or ())))
    for name in trackers:
        extras.check_installed(name, f"--track {name}")
    config = configs.load(common.config, common.set or (), **_top_level(common))
    _check_folder(common.output_dir)
    monitors = {role: config.training_for(role).monitor for role in ("teacher", "student")}
    with closing(Screen(console(stderr=True), common.quiet, common.verbose, monitors)) as screen:
        options = Options(common.threads, common.device, common.overwrite, wait, trackers)
        yield Session(config, Experiment(common.output_dir / config.name), options, screen, teacher_files=teachers)


def _top_level(common: Common) -> dict[str, int]:
    return {} if common.seed is None else {"seed": common.seed}


def _check_folder(folder: Path) -> None:
    for place in (folder, *folder.parents):
        if os.path.exists(place) and not os.path.isdir(place):  # unlike Path's own, these never raise
            raise OutputError(
                f"--output-dir {folder}: expected a folder; {place} is a file", hint="Choose another --output-dir."
            )
