"""The session of one command, or of one task of a worker: config, experiment folder, data, options, listener.

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
from kdistill.config.formula import of_distillation
from kdistill.core import backend
from kdistill.core.controls import is_taught
from kdistill.core.errors import ConfigError
from kdistill.core.kinds import Example
from kdistill.core.listener import Listener
from kdistill.core.members import MEMBERS_OF_FILES, names
from kdistill.datasets import Split, Splits
from kdistill.datasets.class_weights import class_weights
from kdistill.datasets.split import AnySplit
from kdistill.datasets.transfer_set import Which, chosen, labelled_in
from kdistill.evaluation.measures import MEASURES, Measure
from kdistill.recipes.shared_data import SharedData
from kdistill.recipes.threads import default_threads
from kdistill.runs import Experiment, Run, Status
from kdistill.teachers.files import TeacherFiles

if TYPE_CHECKING:
    from kdistill.teachers.teacher import AnyTeacher

Document = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How runs are made, besides their config. A `Task` carries the options to a worker process.

    Attributes:
        threads: intra-op threads of TensorFlow; None lets `Session.threads` decide.
        device: `auto`, `cpu` or `gpu`.
        overwrite: start afresh the runs that were made from another config, rather than refuse.
        wait: wait for another process that is making the same run, rather than refuse.
        track: names of the trackers that record every epoch: see `trackers`.
    """

    threads: int | None = None
    device: str = "auto"
    overwrite: bool = False
    wait: bool = False
    track: tuple[str, ...] = ()


def _check_replaceable(config: Config) -> None:
    """Refuse files that replace a config's teacher where the config says how many that is, or how its files weigh."""
    if config.teacher.members != 1:
        raise ConfigError(f"teacher.members: {MEMBERS_OF_FILES}", "Add --set teacher.members=1 to this command.")
    if config.distill.teacher_weights:
        raise ConfigError(
            "distill.teacher_weights: they are of the files in distill.teachers, and the command line names others",
            "Name the files with --set distill.teachers=[...], in the order of the weights.",
        )


class Session:
    """One command on one experiment. The data is read, and TensorFlow started, when first needed.

    Args:
        config: of the experiment.
        experiment: the folder that its runs are written to.
        options: how runs are made.
        listener: receives notes, warnings and the progress of the training.
        shared: data sets and a teacher that other sessions of this process have opened.
        teacher_files: teachers named on the command line, which replace those of the config.
        name: the name of the session's run in notes and errors; by default its arm and seed.

    Attributes:
        baselines: the experiment from whose baselines students start, where they do; its own, unless it is set.

    Raises ConfigError if files are named, and the config has a teacher of several members, or weights of teachers.
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
        if teacher_files:
            _check_replaceable(config)
        self.teacher_files = tuple(teacher_files) or tuple(map(Path, config.distill.teachers))
        self.name = name
        self.baselines = experiment

    def sibling(self, config: Config, experiment: Experiment, options: Options | None = None) -> "Session":
        """Return the session of another config and folder, with the same options, which shares the opened data."""
        return Session(config, experiment, options or self.options, self.listener, self.shared)

    def title(self, run: Run) -> str:
        """Return the name of a run in notes and errors."""
        return self.name or run.title

    @property
    def splits(self) -> Splits:
        """The splits of the data; the first use finds and verifies it, and downloads it if need be."""
        return self.shared.splits(self.config.data, self.listener)

    @property
    def example(self) -> Example:
        """What models of the data are built for; only the user's own data is read for it."""
        if self.config.data.is_own:
            return self.splits.example
        return Example(*datasets.static_shape(self.config.data.dataset), "image")

    @property
    def formula(self) -> str:
        """The formula of the loss of the distilled arm."""
        return self.formula_of(self.teachers_together) + self.config.formula_end("distilled")

    @property
    def teachers_together(self) -> int:
        """How many models form the teacher of a student."""
        return len(self.teacher_files) or self.config.teacher.members

    def members(self, teacher: Run) -> list[Run]:
        """Return the runs that form a teacher together, of which it is the first."""
        return [teacher.of_arm(name) for name in names(self.config.teacher.members)]

    def formula_of(self, teachers: int) -> str:
        """Return the formula of the loss of the distilled arm, with a number of teachers."""
        data = self.config.data
        return of_distillation(self.config.distill, teachers, data.class_weights, data.task, data.has_unlabelled)

    def class_weights_of(self, arm: str) -> dict[str, float] | None:
        """Return the weight of each class in an arm's hard term, in the order of labels: see `datasets.class_weights`.

        They are counted over the examples whose labels the arm learns from. None: all examples count the same.
        """
        chosen = self.config.data.class_weights
        if chosen is None:
            return None
        classes = self.splits.classes
        return dict(zip(classes, class_weights(chosen, self.labelled_of(arm), classes).tolist(), strict=True))

    @property
    def transfer_set(self) -> Which:
        """The training examples on which a model teaches the student; raises what `of_classes` does."""
        return chosen(self.config.distill, self.splits)

    def examples_of(self, arm: str) -> AnySplit:
        """Return what an arm is trained on: where some of train have no label, what it needs labels for has those."""
        return self.splits.examples(self.transfer_set) if is_taught(arm) else self.labelled_of(arm)

    def labelled_of(self, arm: str) -> Split:
        """Return the training examples whose labels an arm may learn from: of a teacher that knows them all, all."""
        knows = self.splits.known if arm == "teacher" and self.config.teacher.examples == "all" else None
        return knows or labelled_in(self.splits, self.transfer_set if is_taught(arm) else "labelled")

    @property
    def measure(self) -> Measure:
        """The measure by which arms are compared, and a cell of a sweep is chosen."""
        return MEASURES[self.config.verdict.measure]

    @cached_property
    def threads(self) -> int:
        """Intra-op threads: of the options, or else of the experiment's runs so far, or else as suits the models."""
        chosen = self.options.threads or self.experiment.threads()
        return chosen or default_threads(self.config, self.example, self.teacher_files)

    def start(self) -> None:
        """Load the data, then start TensorFlow. Call this before importing anything that needs TensorFlow."""
        _ = self.splits
        if not backend.started():
            self.listener.note("Starting TensorFlow")
        self.threads = backend.start(self.threads, self.options.device)  # those in force, which the first call decides

    def teacher(self, found: TeacherFiles) -> "AnyTeacher":
        """Open and check the teacher in a file, or the teachers in several; starts TensorFlow."""
        self.start()
        return self.shared.teacher(self.config, self.splits, self.experiment.cache, found, self.listener)

    def start_of(self, run: Run) -> Run | None:
        """Return the baseline from whose weights a run starts; None where it starts from others."""
        return self.baselines.run("baseline", run.seed) if self.config.starts_from_baseline(run.arm) else None

    def specification(self, arm: str, seed: int, teacher_weights: str | None = None) -> Document:
        """Return the specification of a run: see `runs.specification`. The user's own data is read for it.

        A baseline that is still to be trained is the one that the run started from.
        """
        fingerprint, run = self.splits.fingerprint if self.config.data.is_own else None, self.experiment.run(arm, seed)
        unlabelled = self.splits.added_fingerprint if self.config.data.unlabelled else None
        weights = (start.weights or run.started_from) if (start := self.start_of(run)) else None
        return runs.specification(self.config, arm, seed, teacher_weights, fingerprint, unlabelled, weights)

    def judge(self, run: Run, teacher_weights: str | None = None) -> Status:
        """Return the status of a run of the session's experiment under the session's config: see `runs.judge`.

        Raises:
            OutputError: the run was made from another config, and may not be overwritten.
        """
        status = runs.judge(run, self.specification(run.arm, run.seed, teacher_weights))
        if not self.options.overwrite:
            runs.refuse_other_config(run, status)
        return status
