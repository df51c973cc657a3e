"""The command line: options in, one call, a rendered result out."""

from typing import Annotated

import typer

import kdistill
from kdistill.cli import config, data, deploy, experiment, report, runs
from kdistill.cli.boundary import Boundary
from kdistill.cli.output import write_out
from kdistill.core import signals

app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil a large neural-network classifier into a small one, and prove whether that helped.",
)
app.command()(experiment.reproduce)
app.command()(experiment.sweep)
app.command()(experiment.train_teacher)
app.command()(experiment.baseline)
app.command()(experiment.distill)
app.command()(experiment.evaluate)
app.command()(report.report)
app.command()(deploy.export)
app.command()(deploy.benchmark)
app.command()(deploy.predict)
app.command()(runs.compare)
app.add_typer(runs.app, name="runs")
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.command()(experiment.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        write_out(f"kdistill {kdistill.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line."""
    signals.raise_on_termination()
    app()
