"""One command, or one worker, at work on one experiment: what is missing is made, what is there is used.

What can fail quickly (config, folder, data, a missing teacher) is checked before TensorFlow is imported, which takes
seconds; where nothing is left to do it is not imported at all.
"""

import contextlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdistill import arithmetic, backend, checks, datasets, files, modelfiles, runs
from kdistill.config import Config, dump
from kdistill.datasets import Splits
from kdistill.errors import ModelError, OutputError
from kdistill.listener import Listener
from kdistill.runs import Experiment, Run

if TYPE_CHECKING:
    from kdistill.config import Data
    from kdistill.recipes import Setting
    from kdistill.teachers import Teacher

Document = dict[str, Any]

SUMMARY = "summary.json"
OTHER_TEACHER = (
    "Run `kdistill train-teacher --overwrite` with the same -c, --set and --seed first, "
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
    """

    threads: int | None = None
    device: str = "auto"
    overwrite: bool = False
    listener: Listener = field(default_factory=Listener)
    wait: bool = False


class Shelf:
    """What the sessions of one process have read and can use again: data sets, and one teacher with its logits."""

    def __init__(self) -> None:
        self._splits: dict[str, Splits] = {}
        self._teacher: tuple[object, Teacher] | None = None

    def splits(self, data: "Data", listener: Listener) -> Splits:
        """Return a data set, divided; the first use finds and verifies it, and downloads it if need be."""
        key = data.model_dump_json()
        if key not in self._splits:
            self._splits[key] = datasets.load(data, listener)
        return self._splits[key]

    def teacher(self, setting: "Setting", path: Path) -> "Teacher":
        """Return the opened and checked teacher at `path`. One at a time is kept: its logits take room."""
        from kdistill.recipes import open_teacher

        found = path.stat()
        key = (path, found.st_mtime_ns, found.st_size, setting.splits.fingerprint, setting.splits.split_fingerprint)
        if self._teacher is None or self._teacher[0] != key:
            self._teacher = (key, open_teacher(setting, path))
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
            from kdistill.recipes import Setting

            self._setting = Setting(self.config, splits, self.experiment, threads, self.options.listener)
        return self._setting

    @cached_property
    def threads(self) -> int:
        """Intra-op threads: as told, or else as the runs here were made with, or else as suits the models."""
        return self.options.threads or self.experiment.threads() or default_threads(self.config, self.example)

    def teacher(self, path: Path) -> "Teacher":
        """Return the opened and checked teacher at `path`."""
        return self.shelf.teacher(self.setting, path)

    def train(self, arm: str, seed: int, teacher_file: Path | None = None) -> Document:
        """Return the result of one run, which is trained now if it is not complete.

        Args:
            arm: `teacher`, `baseline` or `distilled`.
            seed: of the run.
            teacher_file: for a distilled run, its teacher, unless it is this experiment's own.

        Raises:
            OutputError: the folder cannot be used, or holds a run of another config.
            ModelError: there is no teacher to distil from.
        """
        self.experiment.check_usable()
        run = self.experiment.run(arm, seed)
        weights = None
        if arm == "distilled":
            teacher_file = teacher_file or self.own_teacher(seed)
            checks.model_is_there(teacher_file)
            checks.not_its_own_teacher(run, teacher_file)
            weights = self._weights(teacher_file)
        if not self.options.wait:
            run.check_free()
        if self._is_done(run, weights):
            return self._reused(run)
        checks.writable(self.experiment.folder)
        checks.batch_fits(self.config, arm, self.splits)
        checks.models_fit(self.config, run, self.splits.shape)
        setting = self.setting
        from kdistill import recipes

        if arm == "teacher":
            recipes.check_student(setting)
        self.experiment.create(dump(self.config))
        with run.locked(self.options.wait):
            if self._is_done(run, weights):  # another process has just made it
                return self._reused(run)
            if arm == "distilled" and teacher_file:
                result = recipes.distill(setting, seed, self.teacher(teacher_file))
            else:
                result = recipes.train_teacher(setting, seed) if arm == "teacher" else recipes.baseline(setting, seed)
        self._drop_stale_summary(seed)
        return result

    def _drop_stale_summary(self, seed: int) -> None:
        """Remove a summary of this seed: the run that was just made is not the one that it was computed from."""
        summary = self.experiment.folder / SUMMARY
        try:
            stale = seed in json.loads(summary.read_bytes())["seeds"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return  # there is none, or nothing that could be taken for one
        if stale:
            with files.writing(summary):
                summary.unlink()

    def _reused(self, run: Run) -> Document:
        self.options.listener.note(f"{run.arm}, seed {run.seed}: complete, reused")
        return self._taken_up(run)

    def _taken_up(self, run: Run) -> Document:
        run.tidy()
        result = run.result or {}
        for warning in result["warnings"]:
            self.options.listener.warning(warning)
        return result

    def evaluate(self, run: Run, reuse: bool = True) -> Document:
        """Return the test scores of a complete run; those stored beside it will do, unless `reuse` is false."""
        teacher_file = self._teacher_of(run)
        weights = self._weights(teacher_file) if teacher_file else None
        if reuse and (known := run.test_scores(weights)):
            return known
        setting = self.setting
        from kdistill import recipes

        teacher = self.teacher(teacher_file) if teacher_file else None
        model_sha256 = run.model_sha256
        scores, correct = recipes.evaluate(setting, run.model_file, teacher)
        try:
            run.record_test(scores, weights, correct.tolist(), model_sha256)
        except OutputError as error:  # it may be someone else's experiment, to be looked at only
            self.options.listener.note(f"The scores are not kept: {error.message}")
        return scores

    def scores(self, run: Run) -> Document | None:
        """Return the test scores of a complete run, as far as they are known without any computation."""
        teacher_file = self._teacher_of(run)
        return run.test_scores(self._weights(teacher_file) if teacher_file else None)

    def finished(self, arm: str, seed: int, teacher_file: Path | None = None) -> Document | None:
        """Return the result of a run that is complete and was made as this session would make it; else None.

        Args:
            teacher_file: for a distilled run, its teacher, which may not be there yet.

        Raises:
            OutputError: it was made from another config, and may not be overwritten.
        """
        run = self.experiment.run(arm, seed)
        weights = None
        if teacher_file is not None:
            weights = _recorded_weights(teacher_file)
            if weights is None:
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
                hint=f"Run `kdistill train-teacher` with the same -c, --set and --seed {seed} first, "
                "or give --teacher PATH.",
            )
        spec = self.specification("teacher", seed)
        runs.check_no_conflict(run, spec, hint=OTHER_TEACHER)
        return run.model_file

    def _weights(self, teacher_file: Path) -> str:
        """Return the fingerprint of a teacher's weights: read from its run where it has one."""
        return _recorded_weights(teacher_file) or self.teacher(teacher_file).weights

    def _teacher_of(self, run: Run) -> Path | None:
        """Return whom a student is compared with: who taught the distilled one of its seed, or else its own teacher.

        A file that is no longer the teacher that it was is not taken for it.
        """
        if run.arm == "teacher":
            return None
        own = self.experiment.run("teacher", run.seed)
        candidates = [own.model_file] if own.is_complete() else []
        distilled = self.experiment.run("distilled", run.seed).manifest or {}
        weights = distilled.get("spec", {}).get("teacher_weights")
        if weights is None:
            return candidates[0] if candidates else None
        if distilled.get("teacher_file"):
            candidates.append(self.experiment.folder / distilled["teacher_file"])
        for path in candidates:
            with contextlib.suppress(ModelError):  # it has gone, or is damaged
                if self._weights(path) == weights:
                    return path
        self.options.listener.warning(
            f"Seed {run.seed}: the teacher that taught the distilled student is no longer there: agreement is left out."
        )
        return None


def _recorded_weights(teacher_file: Path) -> str | None:
    """Return the fingerprint of the weights of a teacher that is the model of a complete run; else None."""
    run = Run(teacher_file.parent, "teacher", 0)
    if run.model_file != teacher_file or not run.is_complete():
        return None
    return (run.result or {})["weights_sha256"]


def default_threads(config: Config, example: tuple[tuple[int, ...], int]) -> int:
    """Return the intra-op threads that suit the larger of the two models; `example` is a session's."""
    shape, classes = example
    flops = []
    for role in ("teacher", "student"):
        arm = getattr(config, role)
        if arm.model:
            multiplications = arithmetic.of_config(modelfiles.check(Path(arm.model)).config)
        else:
            multiplications = arithmetic.of_arm(arm, shape, classes)
        flops.append(backend.step_flops(multiplications, config.training_for(role).batch_size))
    return backend.threads_for(max(flops))
