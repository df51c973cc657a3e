"""The command line: options in, one call, a rendered result out."""

import contextlib
import io
import os
import sys
from typing import Annotated

import typer

import kdistill
from kdistill.cli import completion, config, data, deploy, experiment, report, runs
from kdistill.cli.boundary import Boundary
from kdistill.cli.output import write_out
from kdistill.core import signals

app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distil a large classifier into a small one, and test whether distillation helped.",
)
TRAIN = (experiment.reproduce, experiment.sweep, experiment.train_teacher, experiment.baseline, experiment.distill)
USE = (experiment.evaluate, report.report, deploy.export, deploy.benchmark, deploy.predict, runs.compare)
for command in (*TRAIN, *USE, experiment.doctor):
    app.command()(command)
app.add_typer(runs.app, name="runs")
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        write_out(f"kdistill {kdistill.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that precede a command."""


def main() -> None:
    """Run the command line."""
    signals.raise_on_termination()
    before = completion.rejoin(os.environ)
    if not before:
        app()
    answers = io.StringIO()
    try:
        with contextlib.redirect_stdout(answers):
            app()
    finally:
        sys.stdout.write(completion.cut_off(answers.getvalue(), before))
