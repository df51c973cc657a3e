"""Tasks and their outcomes, in a form that can be sent between processes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kdistill.core import members
from kdistill.core.errors import KdistillError, bug_message
from kdistill.recipes.session import Options
from kdistill.runs import Result, Run, ScoresOnTest

Document = dict[str, Any]
Outcome = Result | dict[str, ScoresOnTest]  # the result of a trained run, or the scores of a seed by arm

WINNER = "winner"  # as the cell of a task: that of the winner of a sweep

LOST = 6  # exit code of a run whose process was lost: finished, with failed runs
FATAL = {3, 4, 7}  # exit codes of errors that would fail every run: config, data or model, output folder


class TaskKey(NamedTuple):
    """The identity of a task within a command.

    Attributes:
        arm: of the run that is trained, of a teacher's member its name; empty where all arms of a seed are scored on
            the test split.
        seed: of the run, or the seed that is scored.
        cell: of a sweep: the settings of the cell, or `WINNER`; empty for the experiment itself.
    """

    arm: str
    seed: int
    cell: str = ""

    @property
    def name(self) -> str:
        """The task in messages: `teacher seed 0`, `temperature=4 seed 0`, `winner seed 0, scores`."""
        if self.cell in ("", WINNER):
            words = [self.cell, self.arm, f"seed {self.seed}" if self.arm else f"seed {self.seed}, scores"]
        else:  # a cell is its distilled run
            words = ["" if self.arm == "distilled" else self.arm, self.cell, f"seed {self.seed}"]
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Task:
    """The training of one run, or the scoring of one seed.

    Attributes:
        key: the identity of the task.
        config: the resolved config: see `config.resolved`.
        folder: of the experiment, or of the cell of a sweep.
        cache: the folder of the teachers' logits.
        options: of the session.
        teacher_folder: the folder of the run that is the teacher of a distilled run or a scored seed, of several
            members the first; None where the config names teacher files.
        teacher_seed: the seed of that run.
        baselines: the folder of the experiment whose baselines students start from, if they do; None for `folder`.
        needs: the tasks that must be done first.
        after: the tasks that must be over first, done or failed.
    """

    key: TaskKey
    config: Document
    folder: str
    cache: str
    options: Options
    teacher_folder: str | None = None
    teacher_seed: int = 0
    baselines: str | None = None
    needs: tuple[TaskKey, ...] = ()
    after: tuple[TaskKey, ...] = ()

    @property
    def teacher(self) -> Run | None:
        """The run that is the teacher; None where the config names teacher files."""
        return Run(Path(self.teacher_folder), "teacher", self.teacher_seed) if self.teacher_folder else None

    @property
    def name(self) -> str:
        """The task in messages: see `TaskKey`."""
        return self.key.name

    @property
    def trains(self) -> bool:
        """Whether a run is trained, rather than a seed scored."""
        return bool(self.key.arm)

    def to_json(self) -> Document:
        """Return the task as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Document) -> "Task":
        """Return the task of a document by `to_json`."""
        options = Options(**{**document["options"], "track": tuple(document["options"]["track"])})
        keys = {name: tuple(TaskKey(*key) for key in document[name]) for name in ("needs", "after")}
        return cls(**{**document, "key": TaskKey(*document["key"]), **keys, "options": options})


def count_runs(tasks: Iterable[Task]) -> int:
    """Return how many of the tasks train a run."""
    return sum(task.trains for task in tasks)


FollowUp = Callable[[], Sequence[Task]]  # called once, when all earlier tasks are done


@dataclass(frozen=True)
class Failure:
    """Why a task was not done.

    Attributes:
        message: what happened.
        hint: what to do.
        exit_code: of the error; 1 for a bug.
        details: the traceback of a bug.
        since: the failed task that was needed, if that is why.
    """

    message: str
    hint: str | None = None
    exit_code: int = 1
    details: str = ""
    since: TaskKey | None = None

    @classmethod
    def of(cls, error: Exception, details: str = "") -> "Failure":
        """Return an error as a failure."""
        if isinstance(error, KdistillError):
            return cls(error.message, error.hint, error.exit_code)
        return cls(bug_message(error), "Report it, with the output of --debug.", 1, details)

    def error(self) -> KdistillError:
        """Return the failure as an error with its exit code."""
        error = KdistillError(self.message, self.hint)
        error.exit_code = self.exit_code
        if self.details:
            error.add_note(self.details)  # shown with the traceback, by --debug
        return error


@dataclass
class Outcomes:
    """The results of the tasks that were done, and the failures of those that were not."""

    done: dict[TaskKey, Any] = field(default_factory=dict)
    failed: dict[TaskKey, Failure] = field(default_factory=dict)

    def fail(self, task: Task, failure: Failure) -> None:
        """Record why a task was not done.

        Raises:
            KdistillError: the reason would fail the other tasks too.
        """
        self.failed[task.key] = failure
        if failure.exit_code in FATAL:
            raise failure.error()

    def ready(self, waiting: Sequence[Task], last: Task | None = None) -> Task | None:
        """Return the first task whose needs are done, and whose others before it are over; None if there is none.

        A task of the arm of `last`, the worker's last task, comes first: the worker has compiled its training step.
        """
        over = self.done.keys() | self.failed.keys()
        ready = [task for task in waiting if self.done.keys() >= {*task.needs} and over >= {*task.after}]
        # The members of a teacher have the same training step.
        alike = [task for task in ready if last and members.arm_of(task.key.arm) == members.arm_of(last.key.arm)]
        return next(iter([*alike, *ready]), None)

    def drop_blocked(self, waiting: list[Task]) -> None:
        """Remove from `waiting` the tasks that need a failed one, and record them as failed."""
        for task in list(waiting):
            need = next((need for need in task.needs if need in self.failed), None)
            if need is not None:
                waiting.remove(task)
                self.failed[task.key] = Failure(
                    f"not done, since {need.name} failed", exit_code=self.failed[need].exit_code, since=need
                )
