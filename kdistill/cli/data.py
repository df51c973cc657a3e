"""`kdistill data ...`: find, check and download data sets."""

import difflib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdistill.cli import values
from kdistill.cli.lazy import Lazy
from kdistill.cli.options import ConfigOption, Debug, Json, Set, config_option
from kdistill.cli.output import emit
from kdistill.core.errors import DataError

if TYPE_CHECKING:
    from kdistill.cli.rendering import data as inventory
else:  # it loads NumPy
    inventory = Lazy("kdistill.cli.rendering.data")

app = typer.Typer(no_args_is_help=True, help="Find, check and download data sets.")

SearchFirst = Annotated[Path | None, values.path_option("Folder to search first.", "FOLDER", "--dir")]
DataOf = Annotated[str | None, config_option("Show the data of this config; your own data are read.")]


Images = Annotated[
    Path | None,
    typer.Option(
        "--images",
        parser=values.a_path_to(".png"),
        metavar="FILE",
        help="Draw a few training images of each class into this `.png` file.",
    ),
]


@app.command("info")
def data_info(
    names: Annotated[list[str] | None, typer.Argument(metavar="DATASET", help="Data sets (default: all)")] = None,
    folder: SearchFirst = None,
    config: DataOf = None,
    images: Images = None,
    set_: Set = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Show whether data sets are there and intact, and which folders are searched; or describe a config's data."""
    from kdistill import datasets

    if config is not None or set_ or images:
        if names or folder:
            raise typer.BadParameter("expected no DATASET and no --dir with -c, --set or --images", param_hint="-c")
        _show_data_of(config, set_ or [], images, json_)
        return
    chosen = [_dataset(name) for name in names or datasets.names()]
    found = {name: datasets.info(name, str(folder) if folder else None) for name in chosen}
    emit(found, inventory.named_data, json_)


@app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set.")],
    force: Annotated[bool, typer.Option("--force", help="Download it again.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Download a data set into the cache, and verify it."""
    from kdistill import datasets
    from kdistill.cli.rendering.screen import Screen

    with closing(Screen()) as screen:
        document = datasets.fetch(_dataset(name), screen, force)
    emit(document, inventory.fetched, json_)


@app.command("export")
def data_export(
    file: Annotated[
        Path, typer.Argument(parser=values.a_path_to(".npz"), metavar="FILE", help="The `.npz` file to write.")
    ],
    config: ConfigOption = None,
    set_: Set = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write the data of a config as NumPy arrays, in the order in which `distill --teacher-logits` expects logits."""
    from kdistill import config as configs
    from kdistill import datasets
    from kdistill.cli.rendering.screen import Screen

    with closing(Screen()) as screen:
        splits = datasets.load(configs.load(config, set_ or ()).data, screen)
        document = datasets.export(splits, file)
    emit(document, inventory.exported, json_)


def _show_data_of(source: str | None, overrides: list[str], images: Path | None, json_: bool) -> None:
    from kdistill import config as configs
    from kdistill import datasets
    from kdistill.cli.rendering.screen import Screen

    data = configs.load(source, overrides).data
    with closing(Screen()) as screen:
        found = datasets.describe(data, screen) if data.is_own else datasets.info(data.dataset, data.dir)
        if data.has_unlabelled and not data.is_own and not datasets.needs_download(data):
            found |= datasets.counts_of_labels(datasets.load(data, screen))
        if images:
            from kdistill.datasets import contact_sheet

            if datasets.needs_download(data):
                raise DataError(f"{data.dataset}: not here", hint=f"Run `kdistill data fetch {data.dataset}` first.")
            # What is said of one's own data is in the description.
            screen.note(contact_sheet.draw(datasets.load(data, None if data.is_own else screen), images))
        emit({data.dataset: found}, inventory.own_data if data.is_own else inventory.named_data, json_)


def _dataset(name: str) -> str:
    from kdistill import datasets

    known = datasets.names()
    plain = name.strip().lower().replace("-", "_")
    if plain not in known:
        close = difflib.get_close_matches(plain, known, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise typer.BadParameter(f"expected one of {', '.join(known)}; received {name!r}{meant}", param_hint="DATASET")
    return plain
