"""The model that a command's argument means: of a run's folder, a model file, or the experiment of a config."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdistill import modelfiles
from kdistill.core import members
from kdistill.core.errors import ModelError
from kdistill.core.scaling import NONE
from kdistill.deploy import export_records, formats
from kdistill.recipes.raw_values import preprocessing_of
from kdistill.recipes.session import Session
from kdistill.runs import ARMS, Run, judge, run_at
from kdistill.teachers import doubts, files


@dataclass(frozen=True)
class Target:
    """A model file or an export."""

    path: Path
    run: Run | None = None  # whose model it is, if a run has made it
    preprocessing: str = NONE  # how raw values are scaled in front of the model: `scaling.affine`

    @property
    def config_file(self) -> Path | None:
        """The config of the experiment that the file lies in; None if it lies in none."""
        folder = (self.run.folder if self.run else self.path.parent).absolute()
        # A run is two levels below its experiment, in a sweep four.
        found = (experiment / "config.yaml" for experiment in folder.parents[1:4:2])
        return next((path for path in found if path.is_file()), None)


def find(path: Path) -> Target:
    """Return the model of a path: the folder of a finished run, a model file, or an export; else raise ModelError."""
    path = resolve_dots(path)
    if not path.is_dir() or (path / formats.SAVED_MODEL).is_file():
        formats.format_of(path)
        run = _run(path.parent)
        return Target(path, run if run and run.model_file == path else None)
    run = _run(path)
    if run is None:
        if (path / "config.yaml").is_file():
            raise ModelError(f"{path}: expected the folder of a run; received that of an experiment", _runs_in(path))
        raise ModelError(f"{path}: expected the folder of a run; it has no manifest.json", formats.RUN_HINT)
    return of_run(run)


def _runs_in(experiment: Path) -> str:
    """Return a hint with the folder of a finished run of an experiment, the distilled one if there is one."""
    found = [Run(path.parent, path.parent.name, 0) for path in sorted(experiment.glob("seed-*/*/manifest.json"))]
    finished = sorted((run for run in found if run.finished), key=lambda run: run.arm != "distilled")
    return f"The folder of a run is such as {finished[0].folder}." if finished else "It has no finished run."


def resolve_dots(path: Path) -> Path:
    """Return the absolute path of `.` or `..`, which have no name; other paths unchanged."""
    return path.resolve() if path.name in ("", "..") else path


def _run(folder: Path) -> Run | None:
    if not (folder / "manifest.json").exists():
        return None
    seed = folder.absolute().parent.name.removeprefix("seed-")
    return replace(run_at(folder.parent, folder.absolute().name, int(seed) if seed.isdecimal() else 0), folder=folder)


def of_run(run: Run) -> Target:
    """Return the model of a run; raise ModelError if the run is not finished, or damaged."""
    status = judge(run)
    if status.damage:
        raise ModelError(f"{run.folder}: {status.damage}", hint="Make the run again: the same command does it.")
    if not status.counts:
        raise ModelError(
            f"{run.folder}: expected a finished run; this one is missing or not finished",
            hint="Give its training command again: it resumes the run.",
        )
    return Target(run.model_file, run)


def about_members(target: Target) -> str | None:
    """Return what has to be said of a model that is one of a teacher's members: an ensemble is no single file."""
    run = target.run
    if run is None or run.arm != "teacher" or not (run.member > 1 or run.of_arm("teacher-2").folder.is_dir()):
        return None
    return (
        f"{target.path} is one member of a teacher of several. Their ensemble is no single file: it can be scored "
        "(`kdistill evaluate`) and taught to a student (`kdistill distill`), which is one"
    )


def of_experiment(session: Session, arms: Sequence[str] = ARMS) -> list[Target]:
    """Return the finished models of a session's experiment and seed; ModelError if there is none, or one is damaged."""
    names = [name for arm in arms for name in (_members(session) if arm == "teacher" else [arm])]
    runs = [session.experiment.run(name, session.config.seed) for name in names]
    found = [of_run(run) for run in runs if run.finished]
    if not found:
        raise ModelError(
            f"{session.experiment.folder}: there is no finished {' or '.join(arms)} run of seed {session.config.seed}",
            hint="Run `kdistill reproduce` with the same -c, --set and --output-dir first, or name the folder of a "
            "run or a model file.",
        )
    return found


def _members(session: Session) -> list[str]:
    return members.names(session.config.teacher.members)


def of_teachers(run: Run) -> list[Target]:
    """Return the teachers of a distilled run, or of a baseline's distilled run; an empty list for a teacher.

    Missing files and files of logits are included.
    """
    if run.arm == "teacher":
        return []
    own = run.of_arm("teacher")
    taught = files.that_taught(run.of_arm("distilled"))
    if not taught:
        return [Target(own.model_file)] if judge(own).counts else []
    return [Target(_as_typed(path, own.model_file), None, scaling) for path, scaling in taught]


def _as_typed(place: Path, own: Path) -> Path:
    if place == own.absolute():
        return own
    return place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place


def with_preprocessing(target: Target, session: Session) -> Target:
    """Return a target with the scaling of a teacher's raw values: see `preprocessing_of`."""
    return replace(target, preprocessing=preprocessing_of(session, target.path))


def check_data(target: Target, session: Session) -> None:
    """Raise ModelError if a model is known to be made from other data than the session's.

    It has other classes, was trained on or exported for other data, or may have been trained on this test split.
    """
    modelfiles.check_exists(target.path)
    splits, name = session.splits, session.config.name
    about, made = ((target.run.manifest or {}) if target.run else {}).get("data", {}), "trained on"
    if target.path.suffix != ".keras":
        record = export_records.read(target.path)
        about, made = record.get("data", {}) if record else {}, "exported for"
    hint = "Give the -c and --set that it was made with."
    if about and about.get("fingerprint") != splits.fingerprint:
        raise ModelError(f"{target.path}: was {made} other data than that of the config `{name}`", hint=hint)
    # Data with a test part of their own have the same test split for every `data.validation` and `data.split_seed`.
    if about and session.config.data.test is not None and about.get("split_fingerprint") != splits.split_fingerprint:
        raise ModelError(
            f"{target.path}: was {made} another split of the data of the config `{name}`: its training examples may "
            "be in this test split",
            hint=hint,
        )
    of_config = f"The data are those of the config `{name}`: give the -c of the data that the model is for."
    doubts.check_classes(target.path, splits, "model", of_config, strict=True)
