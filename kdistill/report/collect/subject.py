"""The subject of a report: the experiment, or the winner of a sweep, and its usable runs."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kdistill import config as configs
from kdistill import runs
from kdistill.core import documents
from kdistill.core.documents import Shape
from kdistill.core.errors import DamagedError, KdistillError
from kdistill.core.listener import Listener
from kdistill.datasets import Splits
from kdistill.evaluation.measures import ACCURACY, MEASURES, Measure
from kdistill.recipes.session import Options, Session
from kdistill.runs import Experiment, Run, shapes, survey
from kdistill.runs.experiment import SUMMARY_FILE, SWEEP_FILE, WINNER_FILE, verdict_measure
from kdistill.runs.status import damaged_documents
from kdistill.runs.survey import FoundExperiment, not_usable

Document = dict[str, Any]
FINGERPRINTS = ("fingerprint", "split_fingerprint")  # of the data, and of its division into splits


@dataclass(frozen=True)
class TeacherSource:
    """Where the teacher of a distilled run comes from.

    Attributes:
        identity: of the teacher, or of several together: see `runs.joint_identity`.
        run: the teacher's run, if it is complete and used the same data and the same split; else None.
        paths: the teacher's files where there is no run; they may be missing.
    """

    identity: str
    run: Run | None
    paths: tuple[Path, ...] = ()

    @property
    def own_seed(self) -> int | None:
        """The seed of the teacher where all its files lie in the folder of one seed, as those of members do."""
        places = {path.parents[1] for path in self.paths}
        name = places.pop().name.removeprefix("seed-") if len(self.paths) > 1 and len(places) == 1 else ""
        return int(name) if name.isdecimal() else None


@dataclass
class Subject:
    """The runs that a report is about.

    Attributes:
        home: the session of the experiment.
        session: the session of the runs: `home`, or that of the winning cell of a sweep.
        described: the survey of the experiment's folder: see `survey.describe`.
        runs: for each arm, by seed, the complete runs that match the config.
        teachers: for each distilled run in `runs`, by seed, its teacher.
        left_out: a sentence for each finished run that is not in `runs`, and each file that is damaged.
        sweep: the summary of a finished sweep, `sweep.json`; None where there is none, or it is damaged.
        summary: of the last `reproduce`; empty where there is none, or it is damaged.
    """

    home: Session
    session: Session
    described: FoundExperiment
    runs: dict[str, dict[int, Run]] = field(default_factory=dict)
    teachers: dict[int, TeacherSource] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    sweep: Document | None = None
    summary: Document = field(default_factory=dict)

    @property
    def is_winner(self) -> bool:
        """Whether the runs are those of the winning cell of a sweep."""
        return self.session is not self.home

    @property
    def is_unfinished_sweep(self) -> bool:
        """Whether this is a sweep without a winner: its runs must not be scored on test."""
        own = any(run["arm"] == "distilled" for run in self.described["runs"])
        return bool(self.described["cells"]) and not self.is_winner and not own

    @property
    def config(self) -> configs.Config:
        """The config of the runs."""
        return self.session.config

    @property
    def teachers_together(self) -> int:
        """The number of teachers that form the teacher of a distilled run; 1 for its own."""
        counts = [len(teacher.paths) for teacher in self.teachers.values() if not teacher.run]
        return max([*counts, self.config.teachers_together])

    @cached_property
    def measure(self) -> Measure:
        """The measure of the verdict: that of the sweep for its winner, or else see `verdict_measure`."""
        if self.is_winner and self.sweep:
            return MEASURES[self.sweep.get("measure", ACCURACY.name)]
        return verdict_measure(self.summary, self.config)

    @cached_property
    def manifests(self) -> list[Document]:
        """The manifests of all usable runs."""
        return [run.manifest or {} for of_arm in self.runs.values() for run in of_arm.values()]

    @cached_property
    def data(self) -> tuple[Splits | None, str]:
        """The data that the runs were made on; or None, and a sentence that says why it is not available."""
        try:
            splits = self.session.splits
        except KdistillError as error:
            return None, f"The data cannot be read: {error.message}."
        then = self.manifests[0]["data"] if self.manifests else {}
        if any(then.get(key, getattr(splits, key)) != getattr(splits, key) for key in FINGERPRINTS):
            return None, "The data or its split has changed since the runs were made."
        return splits, ""


def find(folder: Path, options: Options, listener: Listener | None = None) -> Subject:
    """Return the subject of a report on the experiment in a folder.

    Raises:
        ConfigError: the experiment's config is not valid.
        OutputError: the folder cannot be read.
    """
    home = Session(configs.load(folder / "config.yaml"), Experiment(folder), options, listener)
    described = survey.describe(folder)
    damaged = list[str]()
    sweep = _document(folder / SWEEP_FILE, shapes.Sweep, "sweep", damaged)
    session = home
    if (sweep or damaged) and not any(run["arm"] == "distilled" for run in described["runs"]):
        session = _session_of_winner(home) or home
    summary = _document(session.experiment.folder / SUMMARY_FILE, shapes.Summary, "reproduce", damaged) or {}
    subject = Subject(home, session, described, sweep=sweep, summary=summary, left_out=damaged)
    for sentence in damaged:
        session.listener.warning(sentence)
    for arm in ("teacher", *session.config.students):
        subject.runs[arm] = {}
        for run in (session.experiment.run(arm, seed) for seed in session.experiment.seeds()):
            if run.folder.is_dir():
                _add(subject, run)
    for seed, run in subject.runs["distilled"].items():
        subject.teachers[seed] = _teacher_of(session.experiment, run)
    return subject


def _document(path: Path, shape: type[Shape], command: str, damaged: list[str]) -> Document | None:
    """Return a JSON document; None where there is none, or it is damaged, which is added to `damaged`."""
    try:
        return documents.read(path, shape)
    except DamagedError as error:
        damaged.append(f"{path} is damaged: {error}. Run `kdistill {command}` again to write it.")
    return None


def _session_of_winner(home: Session) -> Session | None:
    """Return the session of a sweep's winning cell: the winner's name ends as the name of the cell's folder begins."""
    with contextlib.suppress(KdistillError, OSError):
        name = configs.load(home.experiment.folder / WINNER_FILE).name
        cells = home.experiment.folder / "cells"
        found = [place for place in cells.iterdir() if survey.is_experiment(place)]
        named = [place for place in found if name.endswith(f"-winner-{place.name[:6]}")]
        if len(named) == 1:
            config = configs.load(named[0] / "config.yaml")
            return home.sibling(config, Experiment(named[0], home.experiment.cache))
    return None


def _add(subject: Subject, run: Run) -> None:
    """Add a run if it is usable; note why a finished one is not."""
    try:
        problem = not_usable(subject.config, run)
    except KdistillError as error:
        problem = f"cannot be read: {error.message}"
    if problem is None:
        subject.runs[run.arm][run.seed] = run
    elif not run.finished:
        subject.left_out += [f"{run.title}: {damage}." for damage in damaged_documents(run)]
    else:
        subject.left_out.append(f"{run.title} is left out: it {problem}.")


def _teacher_of(experiment: Experiment, distilled: Run) -> TeacherSource:
    """Return the teacher of a run: the experiment's own of the same seed, another run, or files from elsewhere."""
    identity = distilled.taught_by or ""
    own = experiment.run("teacher", distilled.seed)
    data = (distilled.manifest or {}).get("data") or {}
    paths = tuple(experiment.folder / place for place in runs.teacher_files(distilled.manifest or {}))
    for path in dict.fromkeys((own.model_file, *(paths if len(paths) == 1 else ()))):
        run = runs.run_of_model(path)
        if run and run.weights == identity:
            about = (run.manifest or {}).get("data") or {}
            # The test scores of a teacher trained on other data, or on another split, are those of other examples.
            if all(about.get(key) == data.get(key) for key in FINGERPRINTS):
                return TeacherSource(identity, run)
    return TeacherSource(identity, None, paths)


def listed_seeds(seeds: Sequence[int]) -> str:
    """Return ascending seeds as a list; of more than twelve the first two and the last."""
    return ", ".join(map(str, seeds)) if len(seeds) <= 12 else f"{seeds[0]}, {seeds[1]}, ..., {seeds[-1]}"
