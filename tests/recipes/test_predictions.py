"""Outputs that are kept are not asked for again, and are those of the model; other ones are asked for."""

import numpy as np
import pytest
from heard import Heard
from small_experiment import session

from kdistill import models
from kdistill.core.errors import ModelError
from kdistill.evaluation import predict as evaluation
from kdistill.evaluation.measures import ACCURACY
from kdistill.recipes import predictions
from kdistill.runs import answers_of
from kdistill.teachers.files import find


@pytest.fixture
def asked(monkeypatch):
    """How often a model has been asked about a split."""
    asked, original = [], evaluation.logits

    def logits(predict, split, *more):
        asked.append(len(split))
        return original(predict, split, *more)

    monkeypatch.setattr(evaluation, "logits", logits)
    return asked


def kept(run):
    return run.folder / "outputs.npz"


def test_reproduce_has_kept_the_outputs_of_every_run(experiment_copy, asked):
    own = session(experiment_copy)
    for arm in ("teacher", "baseline", "distilled"):
        run = own.experiment.run(arm, 0)
        model, _ = models.load_classifier(run.model_file, (8, 8), 10)
        expected = model(own.splits.test.images[own.splits.test.rows]).numpy()
        np.testing.assert_allclose(predictions.of_run(own, run), expected, rtol=1e-4, atol=1e-4)
        right = predictions.of_run(own, run).argmax(-1) == own.splits.test.all_labels
        assert right.tolist() == list(answers_of(run, {}, ACCURACY).correct)
    assert asked == []


def test_what_is_missing_is_asked_for_once_and_kept(experiment_copy, asked):
    own = session(experiment_copy)
    run = own.experiment.run("baseline", 0)
    before = predictions.of_run(own, run)
    kept(run).unlink()
    np.testing.assert_array_equal(predictions.of_run(own, run), before)
    np.testing.assert_array_equal(predictions.of_run(own, run), before)
    assert asked == [540]


def test_outputs_of_a_model_that_was_replaced_are_not_taken(experiment_copy, asked):
    own = session(experiment_copy)
    run, other = (own.experiment.run(arm, 0) for arm in ("baseline", "distilled"))
    kept(run).write_bytes(kept(other).read_bytes())
    assert not np.array_equal(predictions.of_run(own, run), predictions.of_run(own, other))
    assert asked == [540]


def test_a_folder_that_cannot_be_written_is_told_of_and_no_more(experiment_copy, monkeypatch):
    listener = Heard()
    own = session(experiment_copy, listener=listener)
    run = own.experiment.run("baseline", 0)
    kept(run).unlink()
    monkeypatch.setattr("kdistill.core.files.replacing", _read_only)
    assert predictions.of_run(own, run).shape == (540, 10)
    assert any("outputs are not kept" in note for note in listener.notes)
    assert not kept(run).exists()


def _read_only(path):
    raise OSError(30, "Read-only file system", str(path))


def test_teachers_from_elsewhere_are_asked_once(experiment_copy, asked):
    own = session(experiment_copy)
    path = own.experiment.run("teacher", 0).model_file
    elsewhere = path.rename(experiment_copy / "elsewhere.keras")
    identity = own.teacher(find([elsewhere])).identity
    asked.clear()
    first = predictions.of_teachers(own, [elsewhere], identity)
    second = predictions.of_teachers(session(experiment_copy), [elsewhere], identity)
    np.testing.assert_array_equal(first, second)
    assert len(asked) <= 1
    with pytest.raises(ModelError, match="expected the teacher that taught the students"):
        predictions.of_teachers(own, [elsewhere], "another")
    elsewhere.unlink()
    with pytest.raises(ModelError, match="no such model file"):
        predictions.of_teachers(own, [elsewhere], identity)
