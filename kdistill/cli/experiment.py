"""The commands that train, score and compare."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from kdistill.cli import values
from kdistill.cli.options import Common, Debug, Json, Track, open_session, with_common_options
from kdistill.cli.output import emit
from kdistill.cli.parallel import Parallel, emit_slurm, with_parallel_options

if TYPE_CHECKING:
    from kdistill.config import Config

MOST_SEEDS = 1000
SOME_FAILED = 6  # exit code: finished, with failed runs


Seeds = Annotated[
    str | None,
    typer.Option(metavar="N|LIST", help="How many, counted up from the seed, or a list: 0,3,7 (default: the config's)"),
]
TeacherSeeds = Annotated[
    str | None,
    typer.Option(metavar="N|LIST", help="Of the teachers, taken in turn: 1 teaches all seeds (default: each its own)"),
]
SeedsOfCells = Annotated[
    str | None,
    typer.Option(metavar="N|LIST", help="How many of every cell, or a list: 0,3,7 (default: the config's)"),
]
GridOption = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        metavar="KEY=V1,V2",
        help="A config key and the values to try; repeatable: every combination is tried (default: those under "
        "`sweep` in the config)",
    ),
]


def _train(common: Common, arm: str, track: Sequence[str] | None, teachers: Sequence[Path] = ()) -> None:
    from kdistill.cli.rendering import results
    from kdistill.experiments import dry_run
    from kdistill.experiments import reproduce as experiments

    with open_session(common, track=track, teachers=teachers) as session:
        seed = session.config.seed
        if common.dry_run:
            emit(dry_run.training(session, [arm], [seed]), results.plan, common.json)
            return
        document = experiments.train(session, arm, seed)
    emit(document, results.training, common.json)


@with_common_options
def train_teacher(common: Common, track: Track = None) -> None:
    """Train the teacher and save it."""
    _train(common, "teacher", track)


@with_common_options
def baseline(common: Common, track: Track = None) -> None:
    """Train the student on labels alone: what distillation has to beat."""
    _train(common, "baseline", track)


@with_common_options
def distill(
    common: Common,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            parser=values.a_path,
            metavar="PATH",
            help="A `.keras` file instead of this experiment's teacher; repeatable: several teach together.",
        ),
    ] = None,
    teacher_logits: Annotated[
        Path | None,
        typer.Option(
            parser=values.a_path_to(".npz"),
            metavar="PATH",
            help="An `.npz` file with the logits of a teacher made by any program (see `kdistill data export`).",
        ),
    ] = None,
    track: Track = None,
) -> None:
    """Train the student against the teacher: loss = alpha * soft + (1 - alpha) * hard."""
    _train(common, "distilled", track, [*(teacher or ()), *([teacher_logits] if teacher_logits else [])])


@with_common_options
def evaluate(
    common: Common,
    models: Annotated[
        list[Path] | None,
        typer.Argument(parser=values.a_path, metavar="MODEL", help="`.keras` files instead of finished runs."),
    ] = None,
) -> None:
    """Score the finished runs of one seed, or the model files named, on the test split."""
    from kdistill.cli.rendering import results
    from kdistill.experiments import dry_run
    from kdistill.recipes import evaluate

    with open_session(common) as session:
        if common.dry_run:
            emit(dry_run.scoring(session, session.config.seed, models or []), results.scoring_plan, common.json)
            return
        document = evaluate.evaluate(session, session.config.seed, models or [])
    emit(document, results.evaluation, common.json)


@with_common_options
@with_parallel_options
def reproduce(common: Common, parallel: Parallel, seeds: Seeds = None, teacher_seeds: TeacherSeeds = None) -> None:
    """Do it all: teacher, baseline and distilled student for every seed, and compare them."""
    from kdistill.cli.rendering import results
    from kdistill.experiments import dry_run
    from kdistill.experiments import reproduce as experiments
    from kdistill.runs import ARMS

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
            emit(dry_run.training(session, ARMS, chosen, teachers, part), results.plan, common.json)
            return
        document = (
            experiments.make_part(session, chosen, teachers, part, scale)
            if part
            else experiments.reproduce(session, chosen, teachers, scale)
        )
    _finish(document, results.part if part else results.reproduction, common)


@with_common_options
@with_parallel_options
def sweep(common: Common, parallel: Parallel, grid: GridOption = None, seeds: SeedsOfCells = None) -> None:
    """Try every combination of some settings, choose on validation, and score the winner on the test split."""
    from kdistill.cli.rendering import results
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
    _finish(document, results.part if part else heatmap.sweep, common)


def _finish(document: Mapping[str, Any], render: Callable[[Any], RenderableType], common: Common) -> None:
    """Print the result of many runs; the exit code says whether some failed."""
    emit(document, render, common.json)
    if document["failed"]:
        raise typer.Exit(SOME_FAILED)


def _seeds(text: str | None, config: "Config", option: str = "--seeds") -> list[int]:
    if text is None:
        return _counted_up(config.seed, config.seeds, option)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    numbers = [int(part) for part in parts if part.isdecimal() and len(part) <= len(str(values.LARGEST_SEED))]
    if not parts or len(numbers) < len(parts) or len(set(numbers)) < len(numbers):
        raise _bad_seeds(option, f"a number of seeds, or different seeds with commas (0,3,7); received {text!r}")
    if "," not in text:
        if not 1 <= numbers[0] <= MOST_SEEDS:
            raise _bad_seeds(option, f"1 to {MOST_SEEDS} seeds; received {text}")
        return _counted_up(config.seed, numbers[0], option)
    if max(numbers) > values.LARGEST_SEED:
        raise _bad_seeds(option, f"seeds of at most {values.LARGEST_SEED}; received {max(numbers)}")
    return numbers


def _listed(seeds: list[int]) -> str:
    """Return seeds as a list that `_seeds` reads as the same ones: a single number would be how many."""
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


def _counted_up(first: int, count: int, option: str) -> list[int]:
    if first + count - 1 > values.LARGEST_SEED:
        raise _bad_seeds(option, f"seeds of at most {values.LARGEST_SEED}; received {count} counted up from {first}")
    return list(range(first, first + count))


def _bad_seeds(option: str, text: str) -> typer.BadParameter:
    return typer.BadParameter(f"expected {text}", param_hint=option)


def doctor(json_: Json = False, debug: Debug = False) -> None:
    """Print versions, devices, threads, folders and extras: what a bug report needs."""
    from kdistill.cli.doctor import collect
    from kdistill.cli.rendering import results

    emit(collect(), results.facts, json_)
