"""The scheduler, with a executor that does nothing: what is done when, how often, and what ends everything."""

import pytest
from heard import Heard

from kdistill.core import signals
from kdistill.core.errors import KdistillError
from kdistill.core.listener import Note, Planned
from kdistill.core.signals import Received
from kdistill.experiments.workers import Failure, Outcomes, Task, TaskKey
from kdistill.experiments.workers.events import Done, Interrupted, Lost
from kdistill.experiments.workers.scheduler import Scheduler
from kdistill.recipes.session import Options

DONE = Done({})


class FakeExecutor:
    """Has room for two tasks, and says of each what it was told to, one event each time it is listened to."""

    max_attempts = 2

    def __init__(self, says, last_words=()):
        self.says, self.last_words = {key: list(events) for key, events in says.items()}, last_words
        self.begun, self.running, self.stopped = [], [], False

    def has_room(self):
        return len(self.running) < 2

    def last_task(self):
        return None

    def submit(self, task):
        self.begun.append(task.key.arm)
        self.running.append(task)

    def events(self):
        for task in list(self.running):
            event = self.says.get(task.key, [DONE]).pop(0) if task.key in self.says else DONE
            if isinstance(event, Done | Failure | Lost):
                self.running.remove(task)
            yield task, event

    def stop(self):
        self.stopped = True
        yield from zip(self.running, self.last_words, strict=False)


def of(arm, *needs):
    return Task(TaskKey(arm, 0), {}, "nowhere", "cache", Options(), needs=tuple(TaskKey(need, 0) for need in needs))


CHAIN = [of("teacher"), of("baseline"), of("distilled", "teacher", "baseline"), of("", "distilled")]


def run(executor, tasks=CHAIN, follow_up=tuple, signum=None):
    watch, outcomes, received = Heard(), Outcomes(), Received()
    received.signum = signum
    try:
        Scheduler(executor, outcomes, watch).run(tasks, follow_up, received)
    except (KdistillError, signals.Stopped) as error:
        return watch, outcomes, error
    return watch, outcomes, None


def failed(code=5):
    return Failure("no", exit_code=code)


def lost(how="it died"):
    return Lost(how)


def test_tasks_are_done_after_those_they_need_and_the_follow_up_after_all():
    asked = []

    def follow_up():
        asked.append(True)
        return [of("self")]

    executor = FakeExecutor({})
    watch, outcomes, _ = run(executor, follow_up=follow_up)
    assert executor.begun == ["teacher", "baseline", "distilled", "", "self"]
    assert [key.arm for key in outcomes.done] == executor.begun
    assert asked == [True]
    told = [(event.done, event.total) for event in watch.of_kind(Planned)]
    assert told == [(0, 3), (2, 3), (3, 3), (3, 3), (3, 4), (4, 4)]
    assert not executor.stopped


@pytest.mark.parametrize(("attempts", "times"), [(2, "twice"), (4, "4 times")])
def test_a_lost_task_is_done_again_until_it_was_lost_too_often(attempts, times):
    executor = FakeExecutor({TaskKey("teacher", 0): [lost()] * attempts})
    executor.max_attempts = attempts
    watch, outcomes, _ = run(executor)
    assert watch.warnings == ["teacher seed 0: it died; the task is repeated"] * (attempts - 1)
    assert watch.failures == ["teacher seed 0"]
    assert outcomes.failed[TaskKey("teacher", 0)] == Failure(f"it died, {times}", exit_code=6)
    assert list(outcomes.done) == [TaskKey("baseline", 0)]
    again = FakeExecutor({TaskKey("teacher", 0): [lost()] * (attempts - 1) + [DONE]})
    again.max_attempts = attempts
    assert run(again)[1].failed == {}
    assert again.begun.count("teacher") == attempts


def test_what_needs_a_failed_task_is_given_up_and_the_others_go_on():
    executor = FakeExecutor({TaskKey("baseline", 0): [failed()]})
    watch, outcomes, _ = run(executor, [*CHAIN, of("self", "teacher")])
    assert executor.begun == ["teacher", "baseline", "self"]
    assert watch.failures == ["baseline seed 0"]
    distilled, scores = outcomes.failed[TaskKey("distilled", 0)], outcomes.failed[TaskKey("", 0)]
    assert distilled == Failure("not done, since baseline seed 0 failed", exit_code=5, since=TaskKey("baseline", 0))
    assert scores == Failure("not done, since distilled seed 0 failed", exit_code=5, since=TaskKey("distilled", 0))


def test_a_failure_that_would_fail_the_others_too_stops_them_and_tells_their_last_failures():
    executor = FakeExecutor({TaskKey("teacher", 0): [failed(4)], TaskKey("baseline", 0): [Note("t")]})
    executor.last_words = [failed()]
    watch, _, error = run(executor)
    assert (str(error), error.exit_code, executor.stopped) == ("no", 4, True)
    assert watch.failures == ["teacher seed 0", "baseline seed 0"]


def test_a_signal_stops_what_is_being_done_and_says_what_has_a_checkpoint():
    epochs = {TaskKey(arm, 0): [Note("t")] for arm in ("teacher", "baseline")}
    executor = FakeExecutor(epochs, [Interrupted(), lost()])
    _, _, error = run(executor, signum=15)
    assert executor.begun == ["teacher", "baseline"]
    assert error.where == (
        "stopped, with a checkpoint each: teacher seed 0; stopped before the first checkpoint: baseline seed 0"
    )
    executor = FakeExecutor(epochs, [DONE, failed()])
    watch, _, error = run(executor, signum=15)
    assert error.where == ""
    assert watch.failures == ["baseline seed 0"]


def test_a_checkpoint_of_before_is_not_claimed_of_a_task_that_was_done_after_it():
    executor = FakeExecutor({TaskKey("teacher", 0): [Interrupted(), lost(), DONE]})
    scheduler = Scheduler(executor, Outcomes(), Heard())
    scheduler.run(CHAIN, tuple, Received())
    assert scheduler._stop() == ""
