"""What there is to do, and what came of it, in a form that travels between processes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kdistill.core.errors import KdistillError, bug_message
from kdistill.recipes.session import Options
from kdistill.runs import Result, Run, ScoresOnTest

Document = dict[str, Any]
Outcome = Result | dict[str, ScoresOnTest]  # of a run that was trained, or of a seed that was scored: by arm

WINNER = "winner"  # the cell of a sweep that is chosen

# Exit code of a run whose process was lost: finished, with failed runs. It says nothing of what was wrong.
LOST = 6
# Exit codes of what the user has to mend before any run can be made: config, data or model, output folder.
FATAL = {3, 4, 7}


class TaskKey(NamedTuple):
    """Which task this is, among all that are done together.

    Attributes:
        arm: of the run that is trained; empty where all arms of a seed are scored on the test split.
        seed: of the run, or the one that is scored.
        cell: of a sweep, the settings of the cell, or `WINNER`; empty for the experiment itself.
    """

    arm: str
    seed: int
    cell: str = ""

    @property
    def name(self) -> str:
        """What people see: `teacher seed 0`, `temperature=4 seed 0`, `winner seed 0, scores`."""
        if self.cell in ("", WINNER):
            words = [self.cell, self.arm, f"seed {self.seed}" if self.arm else f"seed {self.seed}, scores"]
        else:  # a cell is its distilled run
            words = ["" if self.arm == "distilled" else self.arm, self.cell, f"seed {self.seed}"]
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Task:
    """One thing that one worker does.

    Attributes:
        key: which task it is.
        config: the resolved config: see `config.resolved`.
        folder: of the experiment, or of the cell of a sweep, that the run belongs to.
        cache: where the teacher's logits are kept.
        options: with which it is done.
        teacher_folder: of a distilled run, or of a seed that is scored, the folder of its teacher's run; None where the
            config names files.
        teacher_seed: of that run.
        needs: the tasks that have to be done before.
    """

    key: TaskKey
    config: Document
    folder: str
    cache: str
    options: Options
    teacher_folder: str | None = None
    teacher_seed: int = 0
    needs: tuple[TaskKey, ...] = ()

    @property
    def teacher(self) -> Run | None:
        """The run that teaches it; None where the config names files."""
        return Run(Path(self.teacher_folder), "teacher", self.teacher_seed) if self.teacher_folder else None

    @property
    def name(self) -> str:
        """What people see of its key."""
        return self.key.name

    @property
    def trains(self) -> bool:
        """Whether it trains a run, rather than scoring all arms of a seed."""
        return bool(self.key.arm)

    def to_json(self) -> Document:
        """Return it as a document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Document) -> "Task":
        """Return the task of which `document` is the document."""
        options = Options(**{**document["options"], "track": tuple(document["options"]["track"])})
        needs = tuple(TaskKey(*need) for need in document["needs"])
        return cls(**{**document, "key": TaskKey(*document["key"]), "needs": needs, "options": options})


def count_runs(tasks: Iterable[Task]) -> int:
    """Return how many of some tasks train a run."""
    return sum(task.trains for task in tasks)


# Asked once for more tasks, when all are done that it may depend on.
FollowUp = Callable[[], Sequence[Task]]


@dataclass(frozen=True)
class Failure:
    """Why a task was not done.

    Attributes:
        message: what happened.
        hint: what to do.
        exit_code: of the error; 1 is a bug.
        details: the traceback of a bug.
        since: the task that it needed, and that failed.
    """

    message: str
    hint: str | None = None
    exit_code: int = 1
    details: str = ""
    since: TaskKey | None = None

    @classmethod
    def of(cls, error: Exception, details: str = "") -> "Failure":
        """Return the failure that an error is."""
        if isinstance(error, KdistillError):
            return cls(error.message, error.hint, error.exit_code)
        return cls(bug_message(error), "Report it, with what --debug shows of it.", 1, details)

    def error(self) -> KdistillError:
        """Return it as an error with the exit code of the one that it was."""
        error = KdistillError(self.message, self.hint)
        error.exit_code = self.exit_code
        if self.details:
            error.add_note(self.details)  # shown with the traceback, by --debug
        return error


@dataclass
class Outcomes:
    """What came of all tasks: a document for each that was done, a failure for each that was not."""

    done: dict[TaskKey, Any] = field(default_factory=dict)
    failed: dict[TaskKey, Failure] = field(default_factory=dict)

    def fail(self, task: Task, failure: Failure) -> None:
        """Record why a task was not done.

        Raises:
            KdistillError: it is a reason that would fail the others too.
        """
        self.failed[task.key] = failure
        if failure.exit_code in FATAL:
            raise failure.error()

    def ready(self, waiting: Sequence[Task], last: Task | None = None) -> Task | None:
        """Return the first task all of whose needs are done; of several, one of the arm that `last` was of.

        Args:
            waiting: tasks in the order in which they should be done.
            last: what the one who asks has done last: for runs of one arm, the step is compiled already.
        """
        ready = [task for task in waiting if all(need in self.done for need in task.needs)]
        alike = [task for task in ready if last is not None and task.key.arm == last.key.arm]
        return next(iter([*alike, *ready]), None)

    def give_up(self, waiting: list[Task]) -> None:
        """Take out of `waiting` the tasks that cannot be done, since one that they need has failed, and record it."""
        for task in list(waiting):
            need = next((need for need in task.needs if need in self.failed), None)
            if need is not None:
                waiting.remove(task)
                self.failed[task.key] = Failure(
                    f"not done, since {need.name} failed", exit_code=self.failed[need].exit_code, since=need
                )
