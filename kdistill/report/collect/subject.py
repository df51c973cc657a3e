"""What a page is about: the experiment, or the winner of a sweep, and those of its runs that count."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kdistill import config as configs
from kdistill import runs
from kdistill.core.errors import KdistillError
from kdistill.core.listener import Listener
from kdistill.datasets import Splits
from kdistill.recipes.session import Options, Session
from kdistill.runs import ARMS, Experiment, Run, survey
from kdistill.runs.experiment import SUMMARY_FILE, SWEEP_FILE, WINNER_FILE
from kdistill.runs.survey import FoundExperiment, not_usable

Document = dict[str, Any]
FINGERPRINTS = ("fingerprint", "split_fingerprint")  # of the data, and of what they are used for


@dataclass(frozen=True)
class Taught:
    """Who taught a distilled run.

    Attributes:
        identity: of the teacher, or of several: see `runs.joint_weights`.
        run: where the teacher is a complete run, on the same data and their same division.
        paths: of the files otherwise; they may have gone.
    """

    identity: str
    run: Run | None
    paths: tuple[Path, ...] = ()


@dataclass
class Subject:
    """The runs that a page is about.

    Attributes:
        home: the session of the experiment.
        session: of the runs that are told of: of `home`, or of the cell that a sweep has chosen.
        described: the experiment's folder: see `survey.describe`.
        runs: of each arm, by seed, the complete ones that the config vouches for.
        taught: of each distilled run in `runs`, by seed, its teacher.
        left_out: why other runs do not count, a sentence each.
        sweep: what `sweep` has said at its end; None where there is none, or it has not come to it.
    """

    home: Session
    session: Session
    described: FoundExperiment
    runs: dict[str, dict[int, Run]] = field(default_factory=dict)
    taught: dict[int, Taught] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    sweep: Document | None = None

    @property
    def is_winner(self) -> bool:
        """Whether the runs are those of the cell that a sweep has chosen."""
        return self.session is not self.home

    @property
    def is_unfinished_sweep(self) -> bool:
        """Whether this is a sweep of which nothing has been chosen: its runs are not to be scored on test."""
        own = any(run["arm"] == "distilled" for run in self.described["runs"])
        return bool(self.described["cells"]) and not self.is_winner and not own

    @property
    def config(self) -> configs.Config:
        """Of the runs that are told of."""
        return self.session.config

    @property
    def whole(self) -> list[int]:
        """The seeds of which a baseline and a distilled run count."""
        return [seed for seed in self.runs["distilled"] if seed in self.runs["baseline"]]

    @cached_property
    def manifests(self) -> list[Document]:
        """Those of all runs that count."""
        return [run.manifest or {} for of_arm in self.runs.values() for run in of_arm.values()]

    @cached_property
    def data(self) -> tuple[Splits | None, str]:
        """The data that the runs were made on, or None and a sentence that says why it is not to be had."""
        try:
            splits = self.session.splits
        except KdistillError as error:
            return None, f"The data cannot be read: {error.message}."
        then = self.manifests[0]["data"] if self.manifests else {}
        if any(then.get(key, getattr(splits, key)) != getattr(splits, key) for key in FINGERPRINTS):
            return None, "The data, or their division, are no longer those on which the runs were made."
        return splits, ""


def find(folder: Path, options: Options, listener: Listener | None = None) -> Subject:
    """Return what a page on the experiment in a folder is about.

    Raises:
        ConfigError: its config is not valid.
        OutputError: it cannot be read.
    """
    home = Session(configs.load(folder / "config.yaml"), Experiment(folder), options, listener)
    described = survey.describe(folder)
    sweep = document(folder / SWEEP_FILE)
    session = home
    if sweep and not any(run["arm"] == "distilled" for run in described["runs"]):
        session = _of_winner(home) or home
    subject = Subject(home, session, described, sweep=sweep)
    for arm in ARMS:
        subject.runs[arm] = {}
        for run in (session.experiment.run(arm, seed) for seed in session.experiment.seeds()):
            if run.folder.is_dir():
                _take(subject, run)
    for seed, run in subject.runs["distilled"].items():
        subject.taught[seed] = _taught(session.experiment, run)
    return subject


def document(path: Path) -> Document | None:
    """Return a JSON document that a command has written; None where there is none, or it is something else."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        read = json.loads(path.read_bytes())
        if isinstance(read, dict):
            return read
    return None


def _of_winner(home: Session) -> Session | None:
    """Return the session of the cell that a sweep has chosen: its config's name ends as that of the folder begins."""
    with contextlib.suppress(KdistillError, OSError):
        name = configs.load(home.experiment.folder / WINNER_FILE).name
        cells = home.experiment.folder / "cells"
        found = [place for place in cells.iterdir() if survey.is_experiment(place)]
        named = [place for place in found if name.endswith(f"-winner-{place.name[:6]}")]
        if len(named) == 1:
            config = configs.load(named[0] / "config.yaml")
            return home.sibling(config, Experiment(named[0], home.experiment.cache))
    return None


def _take(subject: Subject, run: Run) -> None:
    """Take in a run that counts; tell of any other why it does not."""
    try:
        problem = not_usable(subject.config, run)
    except KdistillError as error:
        problem = f"cannot be read: {error.message}"
    if problem is None:
        subject.runs[run.arm][run.seed] = run
    elif run.finished:
        subject.left_out.append(f"{run.title}: it {problem}.")


def _taught(experiment: Experiment, distilled: Run) -> Taught:
    """Return who taught a run: the experiment's own teacher of its seed, another run, or files from elsewhere."""
    identity = distilled.taught_by or ""
    own = experiment.run("teacher", distilled.seed)
    data = (distilled.manifest or {}).get("data") or {}
    paths = tuple(experiment.folder / place for place in runs.teacher_files(distilled.manifest or {}))
    for path in dict.fromkeys((own.model_file, *(paths if len(paths) == 1 else ()))):
        run = runs.run_of_model(path)
        if run and run.weights == identity:
            about = (run.manifest or {}).get("data") or {}
            # One that was trained on other data, or on another division of them, has its test scores on those.
            if all(about.get(key) == data.get(key) for key in FINGERPRINTS):
                return Taught(identity, run)
    return Taught(identity, None, paths)


def reproduced(folder: Path) -> Document | None:
    """Return what the last `reproduce` said, if none of its runs was made again since."""
    return document(folder / SUMMARY_FILE)


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Return ascending seeds in words, the middle of many left out."""
    return ", ".join(map(str, seeds)) if len(seeds) <= 12 else f"{seeds[0]}, {seeds[1]}, ..., {seeds[-1]}"
