"""The options that several commands share, and the session that these open."""

import dataclasses
import functools
import inspect
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdistill.cli import completion, values
from kdistill.core.errors import OutputError

if TYPE_CHECKING:
    from kdistill.cli.rendering.screen import Screen
    from kdistill.config import Config
    from kdistill.recipes.session import Session
    from kdistill.recipes.shared_data import SharedData

Tracker = StrEnum("Tracker", ["tensorboard"])  # Typer takes no list of a Literal
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.settings,
        help="Override a config key, such as distill.T=4; repeatable.",
    ),
]


def config_option(text: str) -> Any:
    """Return the option that names a config."""
    return typer.Option("--config", "-c", metavar="CONFIG", autocompletion=completion.configs, help=text)


ConfigOption = Annotated[str | None, config_option("Config file, or name of a built-in config.")]
Track = Annotated[
    list[Tracker] | None,
    typer.Option(metavar="|".join(Tracker), help="Log every epoch for TensorBoard, in the folder of each run."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


Teachers = Annotated[
    list[Path] | None,
    typer.Option(
        parser=values.a_teacher,
        metavar="FILE",
        help="A `.keras` file to use as the teacher; repeatable: several form an ensemble.",
    ),
]
TeacherLogits = Annotated[
    Path | None,
    typer.Option(
        parser=values.a_path_to(".npz"),
        metavar="FILE",
        help="An `.npz` file with a teacher's logits, made by any program (see `kdistill data export`).",
    ),
]


@dataclasses.dataclass(frozen=True)
class Common:
    """The options of every command on an experiment."""

    data: Annotated[
        Path | None,
        values.path_argument(
            "DATA",
            "Your data, instead of -c: a folder of images, an `.npz`, a `.csv`. A config that fits them is made, "
            "printed, and kept in the experiment's folder.",
        ),
    ] = None
    config: Annotated[str | None, config_option("Config file, or name of a built-in config (default: quickstart)")] = (
        None
    )
    teacher: Teachers = None
    teacher_logits: TeacherLogits = None
    set: Set = None
    seed: Annotated[int | None, values.number_option(0, values.LARGEST_SEED, "Seed, instead of the config's.")] = None
    output_dir: Annotated[
        Path,
        values.path_option("Folder that holds a folder for each experiment.", "FOLDER", envvar="KDISTILL_OUTPUT_DIR"),
    ] = Path("runs")
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Retrain runs that another config made.")] = False
    threads: Annotated[
        int | None,
        values.number_option(
            1,
            values.MOST_THREADS,
            "Threads of a training step (default: as in the runs that exist; else 1 for small models, every core for "
            "large ones)",
            envvar="KDISTILL_THREADS",
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "gpu"], typer.Option(help="Where to compute; auto is a GPU if there is one.")
    ] = "auto"
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check everything and print the plan; train, score, download nothing; write own data's cache alone.",
        ),
    ] = False
    json: Json = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and warnings.")] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print a line for each epoch, and all figures behind a verdict.")
    ] = False
    debug: Debug = False

    @property
    def teachers(self) -> list[Path]:
        """The teachers that the command line names."""
        return named(self.teacher, self.teacher_logits)

    @property
    def overrides(self) -> list[str]:
        """The overrides of config keys, that of the teachers among them."""
        return with_teachers(self.set, self.teachers)


def with_options_of(
    kind: type, argument: str, names: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the fields of a dataclass as options, after its own.

    Args:
        kind: the dataclass.
        argument: name of the command's parameter that receives an instance.
        names: of the fields that become options; the others keep their defaults. Empty for all fields.
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


_NAMES = [field.name for field in dataclasses.fields(Common)]
_OF_TEACHERS = ("teacher", "teacher_logits")
with_teacher_options = with_options_of(Common, "common")
with_data_options = with_options_of(Common, "common", [name for name in _NAMES if name not in _OF_TEACHERS])
with_common_options = with_options_of(
    Common, "common", [name for name in _NAMES if name not in (*_OF_TEACHERS, "data")]
)


def with_some_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command these options of `Common`."""
    return with_options_of(Common, "common", names)


@contextmanager
def open_session(
    common: Common, wait: bool = False, track: Sequence[str] | None = None, teachers: Sequence[Path] = ()
) -> Iterator["Session"]:
    """Load the config and open its experiment, with a screen that is closed at the end.

    Args:
        common: the options of the command.
        wait: whether to wait for other processes that train the same runs, rather than refuse.
        track: names of the trackers that log the epochs.
        teachers: files that replace the teachers of the config.
    """
    from kdistill import config as configs
    from kdistill.cli.rendering.screen import Screen
    from kdistill.core import extras
    from kdistill.recipes.session import Options, Session
    from kdistill.recipes.shared_data import SharedData
    from kdistill.runs import Experiment

    trackers = tuple(dict.fromkeys(map(str, track or ())))
    for name in trackers:
        extras.check_installed(name, f"--track {name}")
    _check_folder(common.output_dir)
    with closing(Screen(quiet=common.quiet, verbose=common.verbose)) as screen:
        shared = SharedData()
        config = _config(common, shared, screen)
        screen.monitors = {role: config.training_for(role).monitor for role in ("teacher", "student")}
        for sentence in configs.unreached(config, common.set or ()):
            screen.warning(sentence)
        options = Options(common.threads, common.device, common.overwrite, wait, trackers)
        yield Session(config, Experiment(common.output_dir / config.name), options, screen, shared, teachers)


def _config(common: Common, shared: "SharedData", screen: "Screen") -> "Config":
    """Return the config of a command: of -c, or one that is made for its data."""
    from kdistill import config as configs

    top = {} if common.seed is None else {"seed": common.seed}
    if common.data is None:
        return configs.load(common.config, common.overrides, **top)
    if common.config is not None:
        raise typer.BadParameter(
            f"expected DATA or -c; received {common.data} and -c {common.config}. Other data in a config are set with "
            "--set data.path=PATH",
            param_hint="DATA",
        )
    from kdistill.experiments import proposal

    overrides = common.overrides
    made = proposal.propose(common.data, overrides, common.output_dir, shared, screen)
    config = configs.from_values(made.values, str(common.data), overrides, **top)
    folder = common.output_dir / config.name
    screen.note(proposal.told(made, overrides, str(common.data), folder / "config.yaml", common.dry_run))
    return config


def named(teacher: Sequence[Path] | None, logits: Path | None) -> list[Path]:
    """Return the teachers that a command line names."""
    return [*(teacher or ()), *([logits] if logits else [])]


def with_teachers(overrides: Sequence[str] | None, teachers: Sequence[Path]) -> list[str]:
    """Return overrides with teachers of the command line, if any, as those of the config."""
    files = json.dumps([os.path.abspath(file) for file in teachers], ensure_ascii=False)
    return [*(overrides or ()), *([f"distill.teachers={files}"] if teachers else [])]


def _check_folder(folder: Path) -> None:
    for place in (folder, *folder.parents):
        if os.path.exists(place) and not os.path.isdir(place):  # unlike the methods of Path, these never raise
            raise OutputError(
                f"--output-dir {folder}: expected a folder; {place} is a file", hint="Choose another --output-dir."
            )
