"""The commands that train, score and compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdistill.cli.options import Common, Debug, Json, open_session, with_common_options
from kdistill.cli.output import emit

if TYPE_CHECKING:
    from kdistill.config import Config


def _train(common: Common, arm: str, teacher: Path | None = None) -> None:
    from kdistill import experiments, report

    with open_session(common) as session:
        seed = session.config.seed
        if common.dry_run:
            emit(experiments.plan(session, [arm], [seed], teacher), report.plan, common.json)
            return
        document = experiments.train(session, arm, seed, teacher)
    emit(document, report.training, common.json)


@with_common_options
def train_teacher(common: Common) -> None:
    """Train the teacher and save it."""
    _train(common, "teacher")


@with_common_options
def baseline(common: Common) -> None:
    """Train the student on labels alone: what distillation has to beat."""
    _train(common, "baseline")


@with_common_options
def distill(
    common: Common,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A `.keras` file instead of this experiment's teacher."),
    ] = None,
) -> None:
    """Train the student against the teacher: loss = alpha * soft + (1 - alpha) * hard."""
    _train(common, "distilled", teacher)


@with_common_options
def evaluate(
    common: Common,
    models: Annotated[list[Path] | None, typer.Argument(metavar="[MODEL ...]", help="`.keras` files.")] = None,
) -> None:
    """Score the finished runs of one seed, or the model files named, on the test split."""
    from kdistill import experiments, report

    with open_session(common) as session:
        document = experiments.evaluate(session, session.config.seed, models or [])
    emit(document, report.evaluation, common.json)


@with_common_options
def reproduce(
    common: Common,
    seeds: Annotated[
        str | None,
        typer.Option(help="How many, counted up from the seed, or a list: 0,3,7 (default: the config's)"),
    ] = None,
) -> None:
    """Do it all: teacher, baseline and distilled student for every seed, and compare them."""
    from kdistill import experiments, report

    with open_session(common) as session:
        chosen = _seeds(seeds, session.config)
        if common.dry_run:
            emit(experiments.plan(session, experiments.ARMS, chosen), report.plan, common.json)
            return
        document = experiments.reproduce(session, chosen)
    emit(document, report.reproduction, common.json)


def _seeds(text: str | None, config: "Config") -> list[int]:
    if text is None:
        return [config.seed + offset for offset in range(config.seeds)]
    parts = [part.strip() for part in text.split(",") if part.strip()]
    numbers = [int(part) for part in parts if part.isdecimal()]
    if not parts or len(numbers) < len(parts) or len(set(numbers)) < len(numbers):
        raise typer.BadParameter(
            f"expected a number of seeds, or different seeds with commas (0,3,7); received {text!r}",
            param_hint="--seeds",
        )
    if "," in text:
        return numbers
    if not 1 <= numbers[0] <= 1000:
        raise typer.BadParameter("expected 1 to 1000 seeds", param_hint="--seeds")
    return [config.seed + offset for offset in range(numbers[0])]


def doctor(json_: Json = False, debug: Debug = False) -> None:
    """Print versions, devices, threads, folders and extras: what a bug report needs."""
    from kdistill import diagnosis, report

    emit(diagnosis.collect(), report.facts, json_)
