"""Experiments for the tests of workers, and what is asked of them."""

import killing
from heard import Heard

from kdistill import config as configs
from kdistill.core.listener import EpochDone
from kdistill.experiments.workers.scheduler import Scheduler
from kdistill.recipes.session import Options, Session
from kdistill.runs import Experiment

SHORT = ["training.epochs=3", "teacher.hidden=[16]", "student.dropout=0.2", "training.batch_size=67"]
LONG = ["student.epochs=400", "student.patience=null", "teacher.epochs=2", "teacher.hidden=[16]"]
LONG += ["training.batch_size=67"]  # 15 batches of the 1,005 examples: a short one would be compiled by itself


def on_epoch_of(act):
    """Return a listener that calls `act` with the name of a task and the record of each of its epochs."""
    return Heard(lambda event, name: act(name, event.record) if isinstance(event, EpochDone) else None)


def session(folder, overrides=SHORT, listener=None):
    config = configs.load("quickstart", overrides)
    return Session(config, Experiment(folder / config.name), Options(threads=1), listener or Heard())


def do(place, tasks, outcomes, watch, follow_up=tuple):
    """Do tasks in a place; return how many at most were done at the same time."""
    with place as opened:
        Scheduler(opened, outcomes, watch).run(tasks, follow_up, opened.received)
        return opened.size


def outcomes_of(folder, seeds):
    experiment = Experiment(folder / "quickstart")
    return [
        killing.outcome(experiment.run(arm, seed)) for seed in seeds for arm in ("teacher", "baseline", "distilled")
    ]


def without_place(document):
    return {key: value for key, value in document.items() if key != "run_info"}
