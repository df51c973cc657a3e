"""The command that makes a page of an experiment."""

from contextlib import closing
from typing import Annotated

import typer

from kdistill.cli import values
from kdistill.cli.options import Common, with_some_options
from kdistill.cli.output import emit

MOST_IMAGES = 100

ExperimentName = Annotated[
    str | None,
    typer.Argument(
        metavar="EXPERIMENT", help="A folder, or a name below --output-dir (default: that of the newest run)"
    ),
]
Images = Annotated[
    int,
    typer.Option(
        parser=values.whole_number(0, MOST_IMAGES),
        metavar="N",
        help="How many images (or rows) to show of those that distillation fixed, and of those that it broke.",
    ),
]


@with_some_options("output_dir", "threads", "device", "json", "quiet", "debug")
def report(common: Common, experiment: ExperimentName = None, images: Images = 6) -> None:
    """Make a page of an experiment, with pictures: report.html (one file) and report.md, in its folder."""
    from kdistill.cli.rendering import results as reports
    from kdistill.cli.rendering.screen import Screen, console
    from kdistill.recipes.session import Options
    from kdistill.report.collect import collector
    from kdistill.report.pages import write
    from kdistill.runs import survey

    root = common.output_dir
    folder = survey.newest(root) if experiment is None else survey.find(experiment, root)
    with closing(Screen(console(stderr=True), quiet=common.quiet)) as screen:
        material = collector.collect(folder, Options(common.threads, common.device), images, screen)
        document = write.write(folder, material)
    emit(document, reports.page, common.json)
