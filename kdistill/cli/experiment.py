"""The commands that train and score runs, and `doctor`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from kdistill.cli import completion, values
from kdistill.cli.lazy import Lazy
from kdistill.cli.options import (
    Common,
    Debug,
    Json,
    Track,
    open_session,
    with_common_options,
    with_data_options,
    with_teacher_options,
)
from kdistill.cli.output import emit
from kdistill.cli.parallel import Parallel, emit_slurm, with_parallel_options

if TYPE_CHECKING:
    from kdistill.cli.rendering import results
    from kdistill.config import Config
else:  # it loads NumPy
    results = Lazy("kdistill.cli.rendering.results")

MOST_SEEDS = 1000
SOME_FAILED = 6  # exit code: finished, with failed runs


Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="N|LIST",
        help="Number of seeds, counted up from `seed`, or a list: 0,3,7 (default: the config's `seeds`)",
    ),
]
TeacherSeeds = Annotated[
    str | None,
    typer.Option(
        metavar="N|LIST", help="Seeds of the teachers, in turn; 1: one teacher for all (default: one for each)"
    ),
]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=V1,V2",
        autocompletion=completion.settings,
        help="A config key and its values; repeatable: every combination is trained (default: `sweep` in the config)",
    ),
]


def _train(common: Common, arm: str, track: Sequence[str] | None, teachers: Sequence[Path] = ()) -> None:
    from kdistill.experiments import dry_run
    from kdistill.experiments import reproduce as experiments

    with open_session(common, track=track, teachers=teachers) as session:
        seed = session.config.seed
        if common.dry_run:
            emit(dry_run.training(session, [arm], [seed]), results.plan, common.json)
            return
        document = experiments.train(session, arm, seed)
    emit(document, partial(results.training, verbose=common.verbose), common.json)


@with_data_options
def train_teacher(common: Common, track: Track = None) -> None:
    """Train the teacher."""
    _train(common, "teacher", track)


@with_data_options
def baseline(common: Common, track: Track = None) -> None:
    """Train the student on labels only, as the reference for distillation."""
    _train(common, "baseline", track)


@with_teacher_options
def distill(common: Common, track: Track = None) -> None:
    """Train the student on the teacher's outputs and labels: loss = alpha * soft + (1 - alpha) * hard."""
    if common.data is None:  # runs of other teachers may be in an experiment: these are not in its config
        _train(replace(common, teacher=None, teacher_logits=None), "distilled", track, common.teachers)
    else:
        _train(common, "distilled", track)


@with_common_options
def evaluate(
    common: Common,
    models: Annotated[
        list[Path] | None,
        values.path_argument("MODEL", "`.keras` files to score instead of finished runs."),
    ] = None,
) -> None:
    """Score the finished runs of one seed, or model files, on the test split."""
    from kdistill.experiments import dry_run, one_seed
    from kdistill.recipes import evaluate

    with open_session(common) as session:
        if common.dry_run:
            emit(dry_run.scoring(session, session.config.seed, models or []), results.scoring_plan, common.json)
            return
        document = one_seed.evaluated(session, evaluate.evaluate(session, session.config.seed, models or []))
    emit(document, results.evaluation, common.json)
    if document["failed"]:
        raise evaluate.failure(document["failed"])


@with_teacher_options
@with_parallel_options
def reproduce(common: Common, parallel: Parallel, seeds: Seeds = None, teacher_seeds: TeacherSeeds = None) -> None:
    """Train teacher, baseline and distilled student for every seed, and compare them on the test split."""
    from kdistill.experiments import dry_run
    from kdistill.experiments import reproduce as experiments

    scale, part = parallel.scale(common), parallel.part
    with parallel.session(common) as session:
        chosen = _seeds(seeds, session.config)
        teachers = _seeds(teacher_seeds, session.config, "--teacher-seeds") if teacher_seeds else None
        if parallel.emit_for:
            more = ["--teacher-seeds", _listed(teachers)] if teachers else []
            command = ["reproduce", "--seeds", _listed(chosen), *more]
            emit_slurm(session, common, command, parallel.workers or len(chosen))
            return
        if common.dry_run:
            arms = ("teacher", *session.config.students)
            emit(dry_run.training(session, arms, chosen, teachers, part), results.plan, common.json)
            return
        document = (
            experiments.make_part(session, chosen, teachers, part, scale)
            if part
            else experiments.reproduce(session, chosen, teachers, scale)
        )
    _finish(document, results.part if part else partial(results.reproduction, verbose=common.verbose), common)


@with_teacher_options
@with_parallel_options
def sweep(common: Common, parallel: Parallel, grid: Grid = None, seeds: Seeds = None) -> None:
    """Train every combination of some settings, select the best on validation, and score it on the test split."""
    from kdistill.cli.rendering import sweep as heatmap
    from kdistill.experiments import dry_run, sweep_grid
    from kdistill.experiments import sweep as sweeps

    scale, part = parallel.scale(common), parallel.part
    with parallel.session(common) as session:
        chosen = _seeds(seeds, session.config)
        planned = sweep_grid.plan(session, sweep_grid.axes(session.config, grid or []))
        if parallel.emit_for:
            command = ["sweep", *(each for text in grid or () for each in ("--grid", text)), "--seeds", _listed(chosen)]
            emit_slurm(session, common, command, parallel.workers or len(planned.cells) * len(chosen))
            return
        if common.dry_run:
            emit(dry_run.sweep(planned, chosen, part), heatmap.plan, common.json)
            return
        document = sweeps.make_part(planned, chosen, part, scale) if part else sweeps.sweep(planned, chosen, scale)
    _finish(document, results.part if part else partial(heatmap.sweep, verbose=common.verbose), common)


def _finish(document: Mapping[str, Any], render: Callable[[Any], RenderableType], common: Common) -> None:
    """Print the result of many runs; exit with 6 if some failed."""
    emit(document, render, common.json)
    if document["failed"]:
        raise typer.Exit(SOME_FAILED)


def _seeds(text: str | None, config: "Config", option: str = "--seeds") -> list[int]:
    """Return the seeds of a list, or a number of seeds counted up from that of the config."""
    read_seed = values.whole_number(0, values.LARGEST_SEED)
    try:
        if text and "," in text:
            seeds = [read_seed(part) for part in text.split(",") if part.strip()]
        else:
            count = config.seeds if text is None else values.whole_number(1, MOST_SEEDS)(text)
            seeds = list(range(config.seed, config.seed + count))
            read_seed(str(seeds[-1]))
    except typer.BadParameter as error:
        error.message += "; give a number of seeds, or different seeds with commas (0,3,7)"
        error.param_hint = option
        raise
    if not seeds or len(set(seeds)) < len(seeds):
        raise typer.BadParameter(f"expected different seeds with commas (0,3,7); received {text!r}", param_hint=option)
    return seeds


def _listed(seeds: list[int]) -> str:
    """Return seeds as a list that `_seeds` reads as the same ones: a single number would be their count."""
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


def doctor(json_: Json = False, debug: Debug = False) -> None:
    """Print versions, devices, folders and extras, for a bug report."""
    from kdistill.cli.doctor import collect

    emit(collect(), results.facts, json_)
