"""One command, or one worker, at work on one experiment: its config, its folder, its data, its options.

What can fail quickly (config, folder, data, a missing teacher) is checked before TensorFlow is imported, which takes
seconds; where nothing is left to do it is not imported at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdistill import datasets, runs
from kdistill.config import Config
from kdistill.core import backend
from kdistill.core.listener import Listener
from kdistill.datasets import Splits
from kdistill.recipes.shared_data import SharedData
from kdistill.recipes.threads import default_threads
from kdistill.runs import Experiment, Run, Status
from kdistill.teachers.files import TeacherFiles

if TYPE_CHECKING:
    from kdistill.teachers.teacher import AnyTeacher

Document = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What a process is told that makes runs, besides their config. A `Task` carries it to another process.

    Attributes:
        threads: intra-op threads; None lets `Session.threads` decide.
        device: `auto`, `cpu` or `gpu`.
        overwrite: start afresh those runs that another config made.
        wait: for another process that is at work on the same run, rather than refuse.
        track: the trackers that hear of the epochs: see `trackers`.
    """

    threads: int | None = None
    device: str = "auto"
    overwrite: bool = False
    wait: bool = False
    track: tuple[str, ...] = ()


class Session:
    """One command at work on one experiment. Data and TensorFlow are fetched when they are first needed.

    Args:
        config: what the experiment is.
        experiment: its folder.
        options: what else the command was told.
        listener: hears how it goes.
        shared: what was read before, by other sessions of this process.
        teacher_files: named on the command line, instead of those of the config.
        name: what the one run that is made is called, if not by its arm and seed.
    """

    def __init__(
        self,
        config: Config,
        experiment: Experiment,
        options: Options | None = None,
        listener: Listener | None = None,
        shared: SharedData | None = None,
        teacher_files: Sequence[Path] = (),
        name: str = "",
    ) -> None:
        self.config = config
        self.experiment = experiment
        self.options = options or Options()
        self.listener = listener or Listener()
        self.shared = shared or SharedData()
        self.teacher_files = tuple(teacher_files) or tuple(map(Path, config.distill.teachers))
        self.name = name

    def sibling(self, config: Config, experiment: Experiment, options: Options | None = None) -> "Session":
        """Return the session of another config and folder, with the same options; what was read is shared."""
        return Session(config, experiment, options or self.options, self.listener, self.shared)

    def title(self, run: Run) -> str:
        """Return what a run is called."""
        return self.name or run.title

    @property
    def splits(self) -> Splits:
        """The data; the first use finds and verifies it, and downloads it if need be."""
        return self.shared.splits(self.config.data, self.listener)

    @property
    def example(self) -> tuple[tuple[int, ...], int]:
        """The shape of an example and the number of classes: known of a named data set, read of the user's own."""
        if self.config.data.is_own:
            return self.splits.shape, len(self.splits.classes)
        return datasets.static_shape(self.config.data.dataset)

    @property
    def formula(self) -> str:
        """The loss of the distilled arm."""
        return self.config.distill.formula(len(self.config.distill.teachers))

    @cached_property
    def threads(self) -> int:
        """Intra-op threads: as told, or else as the runs here were made with, or else as suits the models."""
        told = self.options.threads or self.experiment.threads()
        return told or default_threads(self.config, self.example, self.teacher_files)

    def start(self) -> None:
        """Load the data, then start TensorFlow: before anything is imported that needs it."""
        _ = self.splits
        if not backend.started():
            self.listener.note("Starting TensorFlow")
        backend.start(self.threads, self.options.device)

    def teacher(self, found: TeacherFiles) -> "AnyTeacher":
        """Return the teacher in a file, or the teachers in several, opened and checked; starts TensorFlow."""
        self.start()
        return self.shared.teacher(self.config, self.splits, self.experiment.cache, found, self.listener)

    def specification(self, arm: str, seed: int, teacher_weights: str | None = None) -> Document:
        """Return everything that a run of this session depends on; see `runs.specification`. Reads the user's data."""
        fingerprint = self.splits.fingerprint if self.config.data.is_own else None
        return runs.specification(self.config, arm, seed, teacher_weights, fingerprint)

    def judge(self, run: Run, teacher_weights: str | None = None) -> Status:
        """Return whether a run counts as one of this session's config.

        Args:
            run: of the session's experiment.
            teacher_weights: for a distilled run, of its teacher.

        Raises:
            OutputError: it was made from another config, and may not be overwritten.
        """
        status = runs.judge(run, self.specification(run.arm, run.seed, teacher_weights))
        if not self.options.overwrite:
            runs.refuse_other_config(run, status)
        return status
