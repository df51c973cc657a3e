"""An experiment of a moment on the digits, finished for one seed: shared by the tests of what is said of one."""

import dataclasses
import shutil

import pytest

from kdistill import config as configs
from kdistill.deploy import parity, runtimes
from kdistill.experiments import reproduce
from kdistill.recipes.session import Options, Session
from kdistill.runs import Experiment

# 67 divides the 1,005 training examples: a short batch at the end of an epoch would be compiled by itself.
SHORT = ["training.epochs=1", "teacher.hidden=[16]", "training.batch_size=67"]
SET = [part for text in SHORT for part in ("--set", text)]


def session(folder, *overrides, source="quickstart", listener=None, teacher_files=(), **options):
    config = configs.load(source, [*SHORT, *overrides])
    experiment = Experiment(folder / config.name)
    return Session(config, experiment, Options(**options), listener, teacher_files=teacher_files)


def with_few_pictures(report):
    """Return a report without most of its plots: for tests of what is written where."""
    missing = {**report.missing, **dict.fromkeys(("curves", "reliability", "confusion", "softened"), "Left out.")}
    predictions = dataclasses.replace(report.predictions, reliability=(), confusion=None, softened=None)
    return dataclasses.replace(report, curves=(), predictions=predictions, missing=missing)


@pytest.fixture(scope="session")
def finished_experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    reproduce.reproduce(session(folder), [0])
    return folder


@pytest.fixture
def experiment_copy(finished_experiment, tmp_path):
    """The folder of a finished experiment, to change."""
    shutil.copytree(finished_experiment, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def in_this_process(monkeypatch):
    """Open SavedModels here: a fresh TensorFlow takes seconds."""
    monkeypatch.setattr(
        parity,
        "outputs_of",
        lambda path, form, split, threads: parity.outputs_on(split, runtimes.open_model(path, threads)),
    )
