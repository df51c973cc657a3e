"""What a fit can be taken up from: the same end, bit by bit, from every state of every kind of run."""

import numpy as np
import pytest
from small_task import (
    AUGMENTATION,
    OPTIMIZERS,
    SOFT,
    TEACHER_VALIDATION,
    TRAIN,
    VALIDATION,
    assert_same,
    big,
    fit,
    student,
)

from kdistill import config as configs
from kdistill.core.errors import DivergedError
from kdistill.evaluation import predict
from kdistill.training import compiled_loop, losses, optimizers, segments
from kdistill.training.segments import Data

RESUMED = {
    **{name: (settings, {}) for name, settings in OPTIMIZERS.items()},
    "dropout, cosine": (OPTIMIZERS["cosine"], {"dropout": 0.4, "max_norm": 1.5, "l2": 0.001}),
    "recurrent": ([], {"recurrent": "[4, 3]", "dropout": 0.3}),
    "augmented": ([], {"dropout": 0.4}),
    "batch norm": ([], {"batch_norm": "true", "dropout": 0.2}),
    "convolutions": ([], {"conv": "[3,4]", "separable": "true", "batch_norm": "true", "dropout": 0.3}),
    "convolutions, augmented": ([], {"conv": "[3]", "batch_norm": "true", "dropout": 0.3}),
}
ASKED = Data(TRAIN, VALIDATION, None, TEACHER_VALIDATION, (predict.predictor(big()),), AUGMENTATION)

# Compiling takes seconds: by default all kinds of state in two runs, with XLA and without.
TOGETHER = ("dropout, cosine", "convolutions, augmented")
ALONE = [pytest.param(name, marks=pytest.mark.campaign) for name in RESUMED if name not in TOGETHER]


def through_a_file(state, path):
    np.savez(path, **state)
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TOGETHER, *ALONE])
def test_a_fit_that_goes_on_from_any_state_ends_bit_by_bit_the_same(name, monkeypatch, tmp_path):
    """Three segments an epoch: a state is taken between all of them, and after each epoch."""
    monkeypatch.setattr(segments, "SEGMENT_BATCHES", 2)
    settings, changes = RESUMED[name]
    data = ASKED if "augmented" in name else SOFT
    plan = configs.load("quickstart", [*settings, "training.learning_rate=0.05"]).training

    objective = losses.distillation_objective(0.7, 3.0)

    def fresh():
        ends = {"epochs": 3, "last_batches": 3, "patience": 2}
        return fit(student(**changes), objective, data, optimizers.build(plan, 5), seed=3, **ends)

    whole, states = fresh(), []
    records = []
    for record in whole.epochs(after_segment=lambda done: states.append(whole.state())):
        records.append(record)
        states.append(whole.state())
    assert len(states) >= 8
    for number, state in enumerate(states):
        if number == 4:
            compiled_loop._engines.clear()  # as in a new process
        other = fresh()
        other.restore(through_a_file(state, tmp_path / "state.npz"))
        done = int(state["epochs_done"])
        rest = list(other.epochs())
        assert [record["epoch"] for record in rest] == [record["epoch"] for record in records[done:]]
        for ours, theirs in zip(rest, records[done:], strict=True):
            assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
        assert_same(other.model.get_weights(), whole.model.get_weights())
        last, expected = other.state(), whole.state()
        del last["seconds"], expected["seconds"]
        assert last.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(last[key], value, err_msg=key)


def test_a_state_is_a_copy():
    run = fit(student())
    epochs = run.epochs()
    next(epochs)
    state = run.state()
    kept = {name: value.copy() for name, value in state.items()}
    next(epochs)
    for name, value in kept.items():
        np.testing.assert_array_equal(state[name], value)
    assert int(run.state()["epochs_done"]) == 2


def test_there_is_no_state_to_keep_once_a_weight_is_infinite():
    run = fit(student())
    run.engine.model.weights[0].assign(np.full(run.engine.model.weights[0].shape, np.inf))
    with pytest.raises(DivergedError, match="a weight is not a finite number in epoch 1"):
        run.state()


def test_a_weight_that_is_infinite_is_divergence_even_where_the_outputs_are_finite():
    """A dead unit hides it: 0 times infinity is met only when the unit comes back."""
    run = fit(student(hidden=[3]), epochs=1)
    monitor = run.engine.predict
    run.engine.predict = lambda images: monitor(images) * 0
    run.engine.is_finite = lambda: False
    with pytest.raises(DivergedError, match="a weight is not a finite number after epoch 1"):
        list(run.epochs())


def test_a_fit_that_was_over_has_nothing_to_do():
    run = fit(student(), epochs=2)
    list(run.epochs())
    other = fit(student(), epochs=2)
    other.restore(run.state())
    assert list(other.epochs()) == []
    assert_same(other.model.get_weights(), run.model.get_weights())
