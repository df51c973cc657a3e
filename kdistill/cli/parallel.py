"""The options that distribute runs over processes, a Ray cluster, or the elements of a Slurm array job."""

import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kdistill.cli import values
from kdistill.cli.options import Common, Track, open_session, with_options_of
from kdistill.cli.output import write_out
from kdistill.experiments.part import Part

if TYPE_CHECKING:
    from kdistill.experiments.workers import Scale
    from kdistill.recipes.session import Session

MOST_WORKERS = 1024
MOST_PARTS = 100_000


def _a_part(text: str) -> Part:
    number, slash, total = str(text).partition("/")
    if slash and all(digits.isascii() and digits.isdecimal() and len(digits) < 9 for digits in (number, total)):
        part = Part(int(number), int(total))
        if 1 <= part.number <= part.total <= MOST_PARTS:
            return part
    raise typer.BadParameter(f"expected I/N, such as 1/4, with I from 1 to N; received {text!r}")


@dataclass(frozen=True)
class Parallel:
    """The options of commands that make many runs: where, and which of them."""

    workers: Annotated[
        int | None,
        values.number_option(
            1,
            MOST_WORKERS,
            "Processes that train at the same time (default: one for each core, at most one for each seed; with "
            "--engine ray as many as the cluster has room for)",
        ),
    ] = None
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Train in processes on this machine, or on a Ray cluster.")
    ] = "local"
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="auto|HOST:PORT", help="Ray cluster to join (default: start Ray on this machine)"),
    ] = None
    part: Annotated[
        Part | None,
        typer.Option(
            parser=_a_part,
            metavar="I/N",
            help="Make part I of N, every N-th seed (of a sweep, cell and seed); compare nothing. Parts may run at "
            "the same time.",
        ),
    ] = None
    emit_for: Annotated[
        Literal["slurm"] | None,
        typer.Option("--emit", help="Print a batch script that makes the runs in --workers parts; train nothing."),
    ] = None
    track: Track = None

    def scale(self, common: Common) -> "Scale":
        """Return where the runs are made.

        Raises:
            BadParameter: --ray-address or --emit is combined with an option that it excludes.
            ConfigError: the extra that --engine needs is not installed.
        """
        from kdistill.core import extras
        from kdistill.experiments.workers import Scale

        if self.ray_address is not None and self.engine != "ray":
            raise typer.BadParameter("expected --engine ray with it", param_hint="--ray-address")
        if self.engine == "ray":
            extras.check_installed("ray", "--engine ray")
        others = {"--part": self.part is not None, "--engine ray": self.engine == "ray", "--json": common.json}
        for option, given in {**others, "--dry-run": common.dry_run}.items():
            if self.emit_for and given:
                raise typer.BadParameter(f"cannot be combined with {option}", param_hint="--emit")
        return Scale(self.workers, self.engine, self.ray_address)

    def session(self, common: Common) -> AbstractContextManager["Session"]:
        """Return the session of a command. With --part it waits for runs that other parts are training."""
        return open_session(common, wait=self.part is not None, track=self.track)


with_parallel_options = with_options_of(Parallel, "parallel")


def emit_slurm(session: "Session", common: Common, command: list[str], parts: int) -> None:
    """Print the batch script that makes an experiment in parts."""
    from kdistill.cli import slurm

    line = [sys.executable, "-m", "kdistill", *command, *_repeated(session, common)]
    parts, folder = min(parts, slurm.MOST_PARTS), str(Path.cwd())
    write_out(slurm.script(session.config.name, folder, line, parts, session.threads).rstrip("\n"))


def _repeated(session: "Session", common: Common) -> list[str]:
    """Return the common options as given, with the folder and the threads that this machine has chosen."""
    line = ["--config", common.config] if common.config else []
    if common.data:
        line = [str(common.data.absolute()), "--set", f"name={session.config.name}"]
    line += ["--seed", str(common.seed)] if common.seed is not None else []
    repeated = [("--set", text) for text in common.overrides] + [("--track", name) for name in session.options.track]
    line += [word for pair in repeated for word in pair]
    line += ["--output-dir", str(common.output_dir.absolute()), "--threads", str(session.threads)]
    flags = [f"--{name}" for name in ("overwrite", "quiet", "verbose") if getattr(common, name)]
    return [*line, "--device", common.device, *flags]
