"""The command `report`."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from kdistill.cli import completion, values
from kdistill.cli.lazy import Lazy
from kdistill.cli.options import Common, with_some_options
from kdistill.cli.output import emit

if TYPE_CHECKING:
    from kdistill.cli.rendering import results
else:  # it loads NumPy
    results = Lazy("kdistill.cli.rendering.results")

MOST_IMAGES = 100

ExperimentName = Annotated[
    str | None,
    typer.Argument(
        metavar="EXPERIMENT",
        autocompletion=completion.experiments,
        help="A folder, or a name below --output-dir (default: that of the newest run)",
    ),
]
Images = Annotated[
    int,
    values.number_option(
        0,
        MOST_IMAGES,
        "Images or rows to show that only the distilled student predicts correctly, and that only the baseline does.",
    ),
]


@with_some_options("output_dir", "threads", "device", "json", "quiet", "debug")
def report(common: Common, experiment: ExperimentName = None, images: Images = 6) -> None:
    """Write a report of an experiment, with plots, into its folder: report.html (one file) and report.md."""
    from kdistill.cli.rendering.screen import Screen
    from kdistill.recipes.session import Options
    from kdistill.report.collect import collector
    from kdistill.report.pages import write
    from kdistill.runs import survey

    root = common.output_dir
    folder = survey.newest(root) if experiment is None else survey.find(experiment, root)
    with closing(Screen(quiet=common.quiet)) as screen:
        material = collector.collect(folder, Options(common.threads, common.device), images, screen)
        document = write.write(folder, material)
    emit(document, results.page, common.json)
