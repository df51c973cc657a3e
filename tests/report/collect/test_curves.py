"""Learning curves of runs in whatever state."""

import json

import numpy as np
import pytest

from kdistill import config as configs
from kdistill.recipes.session import Options
from kdistill.report.collect import subject
from kdistill.report.collect.curves import collect_curves
from kdistill.runs import Experiment


@pytest.fixture
def experiment(tmp_path):
    config = configs.load("quickstart", ["student.monitor=val_accuracy", "student.patience=7"])
    experiment = Experiment(tmp_path / config.name)
    experiment.create(configs.dump(config))
    return experiment


def record(epoch, best, **more):
    values = {"loss": 1 / epoch, "soft": 0.5, "hard": 2 / epoch, "penalty": 0.1, "val_loss": 3.0, "val_nll": 4.0}
    return {"epoch": epoch, "best": best, **values, "val_accuracy": epoch / 10, **more}


def write(experiment, arm, seed, *records, tail=""):
    run = experiment.run(arm, seed)
    run.folder.mkdir(parents=True)
    run.history_file.write_text("".join(json.dumps(each) + "\n" for each in records) + tail)


def drawn(experiment):
    return collect_curves(subject.find(experiment.folder, Options()))[0]


def missing(experiment):
    return collect_curves(subject.find(experiment.folder, Options()))[1]


def test_every_series_is_that_of_the_history(experiment):
    write(experiment, "baseline", 3, record(1, True), record(2, True), record(3, False))
    (found,) = drawn(experiment)
    assert (found.arm, found.monitor, found.patience) == ("baseline", "val_accuracy", 7)
    (curve,) = found.runs
    assert curve.best == 2
    np.testing.assert_array_equal(curve.epochs, [1, 2, 3])
    np.testing.assert_allclose(curve.loss, [1, 1 / 2, 1 / 3])
    np.testing.assert_allclose(curve.hard, [2, 1, 2 / 3])
    np.testing.assert_allclose(curve.val_accuracy, [0.1, 0.2, 0.3])
    for name, value in (("soft", 0.5), ("val_nll", 4)):
        np.testing.assert_allclose(getattr(curve, name), value)


def test_hints_are_those_of_the_history_where_every_epoch_has_them(experiment):
    write(experiment, "distilled", 0, record(1, True, hints=0.3), record(2, True, hints=0.2))
    write(experiment, "baseline", 0, record(1, True))
    hints = {curves.arm: curves.runs[0].hints.tolist() for curves in drawn(experiment)}
    assert hints == {"distilled": [0.3, 0.2], "baseline": []}


def test_a_line_that_is_half_written_is_left_out(experiment):
    write(experiment, "teacher", 0, record(1, True), tail='{"epoch": 2, "lo')
    assert drawn(experiment)[0].runs[0].epochs.tolist() == [1]


def test_runs_without_an_epoch_have_no_curve(experiment):
    write(experiment, "teacher", 0)
    write(experiment, "distilled", 0, {"epoch": 1}, record(2, True))
    assert drawn(experiment) == []


@pytest.mark.parametrize("damage", [lambda epoch: epoch.pop("hard"), lambda epoch: epoch.update(val_nll=None)])
def test_a_figure_that_is_missing_ends_the_curve_and_is_told(experiment, damage):
    records = [record(1, True), record(2, False), record(3, False)]
    write(experiment, "baseline", 0, *records)
    assert missing(experiment) == ""
    damage(records[1])
    write(experiment, "teacher", 3, *records)
    assert [curves.runs[0].epochs.tolist() for curves in drawn(experiment)] == [[1], [1, 2, 3]]
    assert "A curve ends before a damaged line of its history (teacher, seed 3: " in missing(experiment)


def test_without_an_epoch_that_is_said(experiment):
    write(experiment, "teacher", 0)
    assert missing(experiment) == "No epoch has been recorded yet."


@pytest.mark.parametrize("kept", [slice(1, None), slice(None, None, 2), slice(None, None, -1)])
def test_a_curve_ends_where_the_epochs_are_not_in_order(experiment, kept):
    """The plots take the epoch whose weights were kept by its number."""
    write(experiment, "distilled", 0, *[record(1, True), record(2, False), record(3, True)][kept])
    found = [curve for curves in drawn(experiment) for curve in curves.runs]
    assert all(curve.epochs.tolist() == list(range(1, len(curve.epochs) + 1)) for curve in found)
    assert all(curve.best <= len(curve.epochs) for curve in found)
