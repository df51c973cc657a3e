"""Which model a command means: the folder of a run, a model file, or the experiment of a config."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdistill import checks
from kdistill.deploy import records
from kdistill.errors import ModelError
from kdistill.runs import ARMS, Run
from kdistill.sessions import Session

RUN_HINT = "The folder of a run is such as runs/quickstart/seed-0/distilled."


@dataclass(frozen=True)
class Target:
    """A model to be shipped.

    Attributes:
        path: of the model file, or of an export.
        run: which it is the result of, if it is.
    """

    path: Path
    run: Run | None = None

    @property
    def config_file(self) -> Path | None:
        """The config of the experiment that it is in, if it is in one."""
        folder = (self.run.folder if self.run else self.path.parent).absolute()
        # A run is two levels below its experiment, in a sweep four.
        for experiment in folder.parents[1:4:2]:
            if (experiment / "config.yaml").is_file():
                return experiment / "config.yaml"
        return None


def find(path: Path) -> Target:
    """Return what a path means: the folder of a finished run, a model file, or an export.

    Raises:
        ModelError: nothing is there, the run is not finished or damaged, or it is something else.
    """
    path = named(path)
    if not path.is_dir() or (path / records.SAVED_MODEL).is_file():
        records.kind_of(path)
        run = _run(path.parent)
        return Target(path, run if run and run.model_file == path else None)
    run = _run(path)
    if run is None:
        if (path / "config.yaml").is_file():
            raise ModelError(f"{path}: expected the folder of a run; received that of an experiment", RUN_HINT)
        raise ModelError(f"{path}: expected the folder of a run; it has no manifest.json", RUN_HINT)
    return of_run(run)


def named(path: Path) -> Path:
    """Return a path that ends in a name, beside which others can be: `.` and `..` do not."""
    return path.resolve() if path.name in ("", "..") else path


def _run(folder: Path) -> Run | None:
    if not (folder / "manifest.json").exists():
        return None
    seed = folder.absolute().parent.name.removeprefix("seed-")
    return Run(folder, folder.absolute().name, int(seed) if seed.isdecimal() else 0)


def of_run(run: Run) -> Target:
    """Return the model of a run.

    Raises:
        ModelError: it has not finished, or is damaged.
    """
    if not run.finished:
        raise ModelError(
            f"{run.folder}: expected a finished run; this one is not there or not finished",
            hint="Give its training command again: it goes on where it was.",
        )
    if damage := run.damage():
        raise ModelError(f"{run.folder}: {damage}", hint="Make the run again: the same command does it.")
    return Target(run.model_file, run)


def of_experiment(session: Session, arms: Sequence[str] = ARMS) -> list[Target]:
    """Return the finished models of a session's experiment and seed.

    Raises:
        ModelError: there is none of these arms, or one is damaged.
    """
    runs = [session.experiment.run(arm, session.config.seed) for arm in arms]
    found = [of_run(run) for run in runs if run.finished]
    if not found:
        raise ModelError(
            f"{session.experiment.folder}: there is no finished {' or '.join(arms)} run of seed {session.config.seed}",
            hint="Run `kdistill reproduce` with the same -c, --set and --output-dir first, or name the folder of a "
            "run or a model file.",
        )
    return found


def check_data(target: Target, session: Session) -> None:
    """Refuse a model that was made from other data than the session's, as far as that can be told.

    Raises:
        ModelError: the run was trained on other data, or the classes are others, or in another order.
    """
    checks.model_is_there(target.path)
    splits, name = session.splits, session.config.name
    about = ((target.run.manifest or {}) if target.run else {}).get("data", {})
    if about and about.get("fingerprint") != splits.fingerprint:
        raise ModelError(
            f"{target.path}: was trained on other data than that of the config `{name}`",
            hint="Give the -c and --set that the run was made with.",
        )
    names = records.class_names(target.path)
    if names is not None and names != list(splits.classes):
        raise ModelError(
            f"{target.path}: expected a model of the classes {', '.join(splits.classes[:20])}, those of the config "
            f"`{name}`; received one of {', '.join(names[:20])}",
            hint="Give the -c of the data that the model is for.",
        )
