"""Experiments for the tests of workers, and a listener that remembers, and may act on, what it hears."""

import killing

from kdistill import config as configs
from kdistill.listener import Listener
from kdistill.runs import Experiment
from kdistill.sessions import Options, Session

SHORT = ["training.epochs=3", "teacher.hidden=[16]", "student.dropout=0.2", "training.batch_size=39"]
LONG = ["student.epochs=400", "student.patience=null", "teacher.epochs=2", "teacher.hidden=[16]"]
LONG += ["training.batch_size=39"]  # of the 1131 examples, 29 batches: a short one would be compiled by itself


class Watch(Listener):
    """Remembers what it hears, and may act on it."""

    def __init__(self, on_epoch=lambda record: None):
        self.warnings, self.failures, self.notes, self.planned_ = [], [], [], []
        self.started = []
        self.on_epoch = on_epoch

    def warning(self, text):
        self.warnings.append(text)

    def note(self, text):
        self.notes.append(text)

    def run_started(self, arm, seed, epochs, patience, history=(), examples=0):
        self.started.append((arm, seed))

    def run_failed(self, name, message):
        self.failures.append((name, message))

    def epoch(self, record):
        self.on_epoch(record)


class Aimed(Watch):
    """Does something at each epoch of a named task."""

    def __init__(self, act, name=""):
        super().__init__(lambda record: act(name, record))
        self.act = act

    def of(self, name):
        return Aimed(self.act, name)


def session(folder, overrides=SHORT, listener=None):
    config = configs.load("quickstart", overrides)
    return Session(config, Experiment(folder / config.name), Options(threads=1, listener=listener or Watch()))


def outcomes_of(folder, seeds):
    experiment = Experiment(folder / "quickstart")
    return [
        killing.outcome(experiment.run(arm, seed)) for seed in seeds for arm in ("teacher", "baseline", "distilled")
    ]


def without_place(document):
    return {key: value for key, value in document.items() if key != "run_info"}
