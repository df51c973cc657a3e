"""One command, or one worker, at work on one experiment: what is missing is made, what is there is used.

What can fail quickly (config, folder, data, a missing teacher) is checked before TensorFlow is imported, which takes
seconds; where nothing is left to do it is not imported at all.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdistill import datasets, modelfiles, runs
from kdistill.config import Config, architecture, dump
from kdistill.core import backend, files
from kdistill.core.errors import ModelError, OutputError
from kdistill.core.listener import Listener
from kdistill.datasets import Splits
from kdistill.modelfiles.flops import of_config
from kdistill.recipes import checks
from kdistill.runs import Experiment, Run, logits_cache
from kdistill.runs.experiment import SUMMARY_FILE
from kdistill.teachers import logits_file

if TYPE_CHECKING:
    from kdistill.config import Data
    from kdistill.recipes.arms import Setting
    from kdistill.teachers.teacher import AnyTeacher

Document = dict[str, Any]

OTHER_TEACHER = (
    "Run `kdistill train-teacher --overwrite` with the same -c, --set, --output-dir and --seed first, "
    "or give another --output-dir, or --teacher PATH."
)


@dataclass(frozen=True)
class Options:
    """What a command was told besides its config.

    Attributes:
        threads: intra-op threads; None lets `backend.threads_for` decide.
        device: `auto`, `cpu` or `gpu`.
        overwrite: start afresh those runs that another config made.
        listener: hears how it goes.
        wait: for another process that is at work on the same run, rather than refuse.
        track: the trackers that hear of the epochs: see `trackers`.
        name: what the one run that is made is called; else its arm and seed.
    """

    threads: int | None = None
    device: str = "auto"
    overwrite: bool = False
    listener: Listener = field(default_factory=Listener)
    wait: bool = False
    track: tuple[str, ...] = ()
    name: str = ""


class Shelf:
    """What the sessions of one process have read and can use again: data sets, and one teacher with its logits."""

    def __init__(self) -> None:
        self._splits: dict[str, Splits] = {}
        self._teacher: tuple[object, AnyTeacher] | None = None

    def splits(self, data: "Data", listener: Listener) -> Splits:
        """Return a data set, divided; the first use finds and verifies it, and downloads it if need be."""
        key = data.model_dump_json()
        if key not in self._splits:
            self._splits[key] = datasets.load(data, listener)
        return self._splits[key]

    def teacher(self, setting: "Setting", paths: Sequence[Path]) -> "AnyTeacher":
        """Return the opened and checked teacher, or teachers. One at a time is kept: its logits take room."""
        from kdistill.recipes.arms import open_teacher

        for path in paths:
            checks.model_is_there(path)
        found = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
        config, splits = setting.config, setting.splits
        asked = (config.teacher.preprocessing, config.augmentation.changes_images)
        key = (found, splits.fingerprint, splits.split_fingerprint, asked)
        if self._teacher is None or self._teacher[0] != key:
            self._teacher = None  # before another one takes room
            self._teacher = (key, open_teacher(setting, *paths))
        return self._teacher[1]


class Session:
    """One command at work on one experiment. Data and TensorFlow are fetched when they are first needed.

    Args:
        config: what the experiment is.
        experiment: its folder.
        options: what else the command was told.
        shelf: what was read before, by other sessions of this process.
    """

    def __init__(self, config: Config, experiment: Experiment, options: Options, shelf: Shelf | None = None) -> None:
        self.config = config
        self.experiment = experiment
        self.options = options
        self.shelf = shelf or Shelf()
        self.named_teachers: Sequence[Path] = ()  # on the command line, instead of those of the config
        self._setting: Setting | None = None

    @property
    def splits(self) -> Splits:
        """The data; the first use finds and verifies it, and downloads it if need be."""
        return self.shelf.splits(self.config.data, self.options.listener)

    @property
    def example(self) -> tuple[tuple[int, ...], int]:
        """The shape of an example and the number of classes: known of a named data set, read of the user's own."""
        if self.config.data.is_own:
            return self.splits.shape, len(self.splits.classes)
        return datasets.static_shape(self.config.data.dataset)

    def specification(self, arm: str, seed: int, teacher_weights: str | None = None) -> Document:
        """Return everything that a run of this session depends on; see `runs.specification`. Reads the user's data."""
        fingerprint = self.splits.fingerprint if self.config.data.is_own else None
        return runs.specification(self.config, arm, seed, teacher_weights, fingerprint)

    def sibling(self, config: Config, experiment: Experiment) -> "Session":
        """Return the session of another config and folder, with the same options; what was read is shared."""
        return Session(config, experiment, self.options, self.shelf)

    @property
    def setting(self) -> "Setting":
        """What the recipes need; the first use loads the data, then starts TensorFlow."""
        if self._setting is None:
            splits = self.splits
            if not backend.started():
                self.options.listener.note("Starting TensorFlow")
            threads = backend.start(self.threads, self.options.device)
            from kdistill.recipes.arms import Setting

            told, track, name = self.options.listener, self.options.track, self.options.name
            self._setting = Setting(self.config, splits, self.experiment, threads, told, track, name)
        return self._setting

    @cached_property
    def threads(self) -> int:
        """Intra-op threads: as told, or else as the runs here were made with, or else as suits the models."""
        return (
            self.options.threads
            or self.experiment.threads()
            or default_threads(self.config, self.example, self.named_teachers or self.given_teachers())
        )

    def teacher(self, *paths: Path) -> "AnyTeacher":
        """Return the opened and checked teacher at a path, or the teachers at several."""
        return self.shelf.teacher(self.setting, paths)

    def given_teachers(self) -> list[Path]:
        """Return the files of the teachers that the config names instead of this experiment's own."""
        return [Path(path) for path in self.config.distill.teachers]

    @property
    def formula(self) -> str:
        """The loss of the distilled arm."""
        return self.config.distill.formula(len(self.config.distill.teachers))

    def train(self, arm: str, seed: int, *teacher_files: Path) -> Document:
        """Return the result of one run, which is trained now if it is not complete.

        Args:
            arm: `teacher`, `baseline` or `distilled`.
            seed: of the run.
            teacher_files: for a distilled run, its teachers, unless they are those of the config, or else this
                experiment's own.

        Raises:
            OutputError: the folder cannot be used, or holds a run of another config.
            ModelError: there is no teacher to distil from.
        """
        self.experiment.check_usable()
        run = self.experiment.run(arm, seed)
        weights = None
        if arm == "distilled":
            self.named_teachers = teacher_files
            teacher_files = teacher_files or tuple(self.given_teachers()) or (self.own_teacher(seed),)
            checks.teachers_are_there(run, teacher_files)
            weights = self._weights(teacher_files)
        if not self.options.wait:
            run.check_free()
        if self._is_done(run, weights):
            return self._reused(run)
        checks.writable(self.experiment.folder)
        checks.batch_fits(self.config, arm, self.splits)
        checks.augmentation_fits(self.config, self.splits.shape)
        checks.models_fit(self.config, run, self.splits.shape)
        setting = self.setting
        from kdistill.recipes import arms

        if arm == "teacher":
            arms.check_student(setting)
        self.experiment.create(dump(self.config))
        with run.locked(self.options.wait):
            if self._is_done(run, weights):  # another process has just made it
                return self._reused(run)
            if arm == "distilled":
                result = arms.distill(setting, seed, self.teacher(*teacher_files))
            else:
                result = arms.train_teacher(setting, seed) if arm == "teacher" else arms.baseline(setting, seed)
        self._drop_stale_summary(seed)
        return result

    def _drop_stale_summary(self, seed: int) -> None:
        """Remove a summary of this seed: the run that was just made is not the one that it was computed from."""
        summary = self.experiment.folder / SUMMARY_FILE
        try:
            stale = seed in json.loads(summary.read_bytes())["seeds"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return  # there is none, or nothing that could be taken for one
        if stale:
            with files.writing(summary):
                summary.unlink()

    def _reused(self, run: Run) -> Document:
        self.options.listener.note(f"{self.options.name or run.title}: complete, reused")
        return self._taken_up(run)

    def _taken_up(self, run: Run) -> Document:
        run.tidy()
        result = run.result or {}
        for warning in result["warnings"]:
            self.options.listener.warning(warning)
        return result

    def evaluate(self, run: Run, reuse: bool = True) -> Document:
        """Return the test scores of a complete run; those stored beside it will do, unless `reuse` is false."""
        teacher_files = self._teachers_of(run)
        weights = self._weights(teacher_files) if teacher_files else None
        if reuse and (known := run.test_scores(weights)):
            return known
        setting = self.setting
        from kdistill.recipes import arms

        teacher = self.teacher(*teacher_files) if teacher_files else None
        model_sha256 = run.model_sha256
        scores, logits = arms.evaluate(setting, run.model_file, teacher)
        correct = logits.argmax(axis=-1) == self.splits.test.all_labels
        try:
            run.record_test(scores, weights, correct.tolist(), model_sha256)
            logits_cache.keep(logits_cache.place_of(run), logits, logits_cache.key(model_sha256, self.splits))
        except OutputError as error:  # it may be someone else's experiment, to be looked at only
            self.options.listener.note(f"The scores are not kept: {error.message}")
        return scores

    def scores(self, run: Run) -> Document | None:
        """Return the test scores of a complete run, as far as they are known without any computation."""
        teacher_files = self._teachers_of(run)
        return run.test_scores(self._weights(teacher_files) if teacher_files else None)

    def evaluate_teachers(self, paths: Sequence[Path]) -> Document:
        """Return the test scores of teachers that are no runs of this experiment: see `recipes.evaluate_teacher`."""
        setting = self.setting
        from kdistill.recipes import arms

        return arms.evaluate_teacher(setting, self.teacher(*paths))

    def finished(self, arm: str, seed: int, teacher_files: Sequence[Path] = ()) -> Document | None:
        """Return the result of a run that is complete and was made as this session would make it; else None.

        Args:
            teacher_files: for a distilled run, its teachers, which may not be there yet.

        Raises:
            OutputError: it was made from another config, and may not be overwritten.
        """
        run = self.experiment.run(arm, seed)
        weights = None
        if teacher_files:
            weights = _recorded_weights(teacher_files)
            if weights is None:
                self.check_no_conflict(run, run.taught_by)  # whoever that was, the config may be another
                return None
        if not self._is_done(run, weights):
            return None
        return self._taken_up(run)

    def check_no_conflict(self, run: Run, teacher_weights: str | None) -> None:
        """Refuse a run of another config, unless it may be overwritten; see `runs.check_no_conflict`."""
        if not self.options.overwrite:
            spec = self.specification(run.arm, run.seed, teacher_weights)
            runs.check_no_conflict(run, spec)

    def _is_done(self, run: Run, teacher_weights: str | None) -> bool:
        self.check_no_conflict(run, teacher_weights)
        spec = self.specification(run.arm, run.seed, teacher_weights)
        if run.conflict(spec):
            return False
        if damage := run.damage():
            self.options.listener.warning(f"{run.folder}: {damage}; the run is made again")
            return False
        return run.finished

    def own_teacher(self, seed: int) -> Path:
        """Return the model file of this experiment's finished teacher.

        Raises:
            ModelError: there is none; says which command makes it.
            OutputError: it was made from another config.
        """
        run = self.experiment.run("teacher", seed)
        if not run.is_complete():
            reason = run.damage() or "not there, or not finished"
            raise ModelError(
                f"{run.folder}: distill needs a finished teacher; {reason}",
                hint=f"Run `kdistill train-teacher` with the same -c, --set, --output-dir and --seed {seed} "
                "first, or give --teacher PATH.",
            )
        spec = self.specification("teacher", seed)
        runs.check_no_conflict(run, spec, hint=OTHER_TEACHER)
        return run.model_file

    def _weights(self, teacher_files: Sequence[Path]) -> str:
        """Return the fingerprint of a teacher, or of several: read from their runs where they have some."""
        if recorded := _recorded_weights(teacher_files):
            return recorded
        self.check_logits(teacher_files)
        return self.teacher(*teacher_files).weights

    def check_logits(self, teacher_files: Sequence[Path]) -> None:
        """Refuse files of logits whose arrays are not of the shapes that the data ask for, before TensorFlow starts.

        Raises:
            ModelError: naming the file and the array.
        """
        for path in teacher_files:
            if path.suffix == logits_file.SUFFIX:
                logits_file.LogitsFile(path, self.splits, shapes_only=True)

    def _teachers_of(self, run: Run) -> list[Path]:
        """Return whom a student is compared with: who taught the distilled one of its seed, or else its own teacher.

        A file that is no longer the teacher that it was is not taken for it.
        """
        if run.arm == "teacher":
            return []
        own = self.experiment.run("teacher", run.seed)
        candidates = [[own.model_file]] if own.is_complete() else []
        distilled = self.experiment.run("distilled", run.seed)
        weights = distilled.taught_by
        if weights is None:
            return candidates[0] if candidates else []
        if places := runs.teacher_files(distilled.manifest or {}):
            candidates.append([self.experiment.folder / place for place in places])
        for paths in candidates:
            with contextlib.suppress(ModelError):  # one has gone, or is damaged
                if runs.same_teachers(self._weights(paths), weights):
                    return paths
        self.options.listener.warning(
            f"Seed {run.seed}: the teacher that taught the distilled student is no longer there: agreement is left out."
        )
        return []


def _recorded_weights(teacher_files: Sequence[Path]) -> str | None:
    """Return the fingerprint of teachers that are the models of complete runs; None if one is not."""
    recorded = [runs.recorded_weights(path) for path in teacher_files]
    known = [weights for weights in recorded if weights is not None]
    return runs.joint_weights(known) if len(known) == len(recorded) else None


def default_threads(config: Config, example: tuple[tuple[int, ...], int], teacher_files: Sequence[Path] = ()) -> int:
    """Return the intra-op threads that suit the larger of the two models; `example` is a session's.

    Teachers from files are asked, and not trained. That counts with every step where images are augmented, and else
    where asking them once is more than the student's training may come to.
    """
    shape, classes = example
    flops, multiplications = {}, {}
    for role in ("teacher", "student"):
        section = getattr(config, role)
        computed = _of_file(Path(section.model)) if section.model else architecture.of_section(section, shape, classes)
        multiplications[role] = computed
        flops[role] = backend.step_flops(multiplications[role], config.training_for(role).batch_size)
    plan = config.training_for("student")
    asked = sum(_of_file(path) for path in teacher_files if path.suffix == ".keras")
    if config.augmentation.changes_images or asked > 3 * multiplications["student"] * plan.epochs:
        flops["files"] = backend.step_flops(asked, plan.batch_size) // 3
    return backend.threads_for(max(flops.values()))


def _of_file(path: Path) -> int:
    return of_config(modelfiles.config(path))
