"""The commands that read experiments on disk: runs ls, compare. They start no TensorFlow and write nothing."""

from pathlib import Path
from typing import Annotated

import typer

from kdistill.cli import completion
from kdistill.cli.options import Common, with_some_options
from kdistill.cli.output import emit
from kdistill.cli.values import one_of
from kdistill.core.controls import CONTROLS

ARMS = ("teacher", "baseline", "distilled", *CONTROLS)
Experiments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="EXPERIMENT",
        autocompletion=completion.experiments,
        help="Folders, or names below --output-dir, to list run by run; or an output folder, for a summary of all "
        "experiments in it (default: --output-dir)",
    ),
]
First = Annotated[
    str,
    typer.Argument(metavar="A", autocompletion=completion.experiments, help="Folder of an experiment, or its name."),
]
Second = Annotated[
    str,
    typer.Argument(
        metavar="B",
        autocompletion=completion.experiments,
        help="Folder or name of another experiment; differences are B - A.",
    ),
]
app = typer.Typer(no_args_is_help=True, help="List experiments and runs.")
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Read every file to find damage; else large models are checked by size."),
]


@app.command("ls")
@with_some_options("output_dir", "json", "debug")
def runs_ls(
    common: Common,
    experiments: Experiments = None,
    verify: Verify = False,
) -> None:
    """List experiments and their runs: state, accuracy, size, last change."""
    from kdistill.cli.rendering import runs
    from kdistill.runs import survey

    root = common.output_dir
    if experiments and len(experiments) == 1 and survey.is_output_folder(experiments[0], root):
        root, experiments = Path(experiments[0]), None
    if experiments:
        folders = dict.fromkeys(survey.find(name, root) for name in experiments)
        found = [survey.describe(folder, verify) for folder in folders]
    else:
        found = survey.survey(root, verify)
    document = {"output_dir": str(root), "experiments": found}
    emit(document, runs.runs if experiments else runs.experiments, common.json)


@with_some_options("output_dir", "json", "debug")
def compare(
    common: Common,
    first: First,
    second: Second,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(ARMS),
            parser=one_of(ARMS),
            autocompletion=lambda: list(ARMS),
            help="Arm to compare; repeatable (default: all)",
        ),
    ] = None,
) -> None:
    """Compare two experiments: config keys that differ, test scores, and paired differences of equal seeds."""
    from kdistill.cli.rendering import runs
    from kdistill.experiments import compare as comparison
    from kdistill.runs import survey

    a, b = (survey.find(name, common.output_dir) for name in (first, second))
    if a.resolve() == b.resolve():
        raise typer.BadParameter(f"expected two experiments; received {a} twice", param_hint="B")
    emit(comparison.compare(a, b, arm or ()), runs.comparison, common.json)
