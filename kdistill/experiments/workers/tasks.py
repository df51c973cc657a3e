"""What there is to do, and what came of it, in a form that travels between processes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kdistill.core.errors import KdistillError

Document = dict[str, Any]

# Exit code of a run whose process was lost: finished, with failed runs. It says nothing of what was wrong.
LOST = 6
# Exit codes of what the user has to mend before any run can be made: config, data or model, output folder.
FATAL = {3, 4, 7}


@dataclass(frozen=True)
class Task:
    """One thing that one worker does.

    Attributes:
        name: unique among the tasks that are done together, and shown to people: `seed-0/teacher`.
        kind: `train` one run, or `score` all arms of a seed on the test split.
        config: the resolved config: see `config.resolved`.
        folder: of the experiment, or of the cell of a sweep, that the run belongs to.
        cache: where the teacher's logits are kept.
        seed: of the run.
        arm: of a run that is to be trained.
        teacher_file: of a distilled run, its teacher, if that is a run too.
        given: the files of its teachers otherwise.
        needs: names of the tasks that have to be done before.
        threads: intra-op threads.
        device: `auto`, `cpu` or `gpu`.
        overwrite: start a run afresh that another config made.
        wait: for another process that is at work on the same run, rather than refuse.
        track: the trackers that hear of the epochs: see `trackers`.
    """

    name: str
    kind: Literal["train", "score"]
    config: Document
    folder: str
    cache: str
    seed: int
    threads: int
    device: str = "auto"
    arm: str = ""
    teacher_file: str | None = None
    given: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    overwrite: bool = False
    wait: bool = False
    track: tuple[str, ...] = ()

    def to_json(self) -> Document:
        """Return it as a document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Document) -> "Task":
        """Return the task of which `document` is the document."""
        tuples = {key: tuple(document[key]) for key in ("needs", "given", "track")}
        return cls(**{**document, **tuples})


def count_runs(tasks: Iterable[Task]) -> int:
    """Return how many of some tasks train a run."""
    return sum(task.kind == "train" for task in tasks)


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
        since: the name of a task that it needed, and that failed.
    """

    message: str
    hint: str | None = None
    exit_code: int = 1
    details: str = ""
    since: str = ""

    @classmethod
    def of(cls, error: Exception, details: str = "") -> "Failure":
        """Return the failure that an error is."""
        if isinstance(error, KdistillError):
            return cls(error.message, error.hint, error.exit_code)
        first_line = f"{type(error).__name__}: {error}".splitlines()[0]
        return cls(f"this is a bug in kdistill: {first_line}", "Report it, with what --debug shows of it.", 1, details)

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

    done: dict[str, Document] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)

    def fail(self, task: Task, failure: Failure) -> None:
        """Record why a task was not done.

        Raises:
            KdistillError: it is a reason that would fail the others too.
        """
        self.failed[task.name] = failure
        if failure.exit_code in FATAL:
            raise failure.error()

    def ready(self, waiting: Sequence[Task], last: Task | None = None) -> Task | None:
        """Return the first task all of whose needs are done; of several, one of the arm that `last` was of.

        Args:
            waiting: tasks in the order in which they should be done.
            last: what the one who asks has done last: for runs of one arm, the step is compiled already.
        """
        ready = [task for task in waiting if all(need in self.done for need in task.needs)]
        alike = [task for task in ready if last is not None and task.arm == last.arm]
        return next(iter([*alike, *ready]), None)

    def give_up(self, waiting: list[Task]) -> None:
        """Take out of `waiting` the tasks that cannot be done, since one that they need has failed, and record it."""
        for task in list(waiting):
            need = next((need for need in task.needs if need in self.failed), None)
            if need is not None:
                waiting.remove(task)
                self.failed[task.name] = Failure(
                    f"not done, since {need} failed", exit_code=self.failed[need].exit_code, since=need
                )
