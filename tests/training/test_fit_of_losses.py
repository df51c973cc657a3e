"""Fits with the soft losses beside kl: the warm-up, taking a run up within it, numbers that share an engine."""

import keras
import numpy as np
import pytest
from small_task import SOFT, TEACHER_VALIDATION, VALIDATION, assert_same, fit, student, train

from kdistill.core.soft_losses import DECLARED
from kdistill.training import compiled_loop, losses, segments

WARMING = losses.distillation_objective(0.5, 4.0, soft_loss="dkd", own={"warmup": 4})


def test_a_run_that_goes_on_within_the_warm_up_ends_bit_by_bit_the_same(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_BATCHES", 2)
    whole, states, records = fit(student(), WARMING, SOFT, epochs=5), [], []
    for record in whole.epochs(after_segment=lambda done: states.append(whole.state())):
        records.append(record)
    for state in (states[1], states[4], states[8]):  # in epoch 1, after the first segment of 2, in 3
        other = fit(student(), WARMING, SOFT, epochs=5)
        other.restore(state)
        rest = list(other.epochs())
        for ours, theirs in zip(rest, records[-len(rest) :], strict=True):
            assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
        assert_same(other.model.get_weights(), whole.model.get_weights())


def test_the_soft_term_rises_epoch_by_epoch_and_validation_has_all_of_it():
    """Nothing is learnt here, so that epochs differ in the warm-up alone."""
    records, _ = train(student(), WARMING, SOFT, keras.optimizers.SGD(0.0), epochs=5)
    soft = np.array([record["soft"] for record in records])
    np.testing.assert_allclose(soft / soft[-1], [0.25, 0.5, 0.75, 1, 1], rtol=1e-5)
    for record in records:
        assert record["loss"] == pytest.approx(0.5 * record["soft"] + 0.5 * record["hard"], rel=1e-5)
    full = losses.distillation_objective(0.5, 4.0, soft_loss="dkd", own={"warmup": 0})
    logits = fit(student()).engine.predict(VALIDATION.images[VALIDATION.rows]).numpy()
    expected = float(full(VALIDATION.all_labels, TEACHER_VALIDATION, logits)["loss"])
    assert [record["val_loss"] for record in records] == pytest.approx([expected] * 5, rel=1e-5)


def test_losses_that_differ_in_their_own_numbers_share_an_engine():
    compiled_loop._engines.clear()
    for own in ({}, {"target": 2.0, "other": 0.5, "warmup": 0}, {"warmup": 3}):
        objective = losses.distillation_objective(0.5, 2.0, soft_loss="dkd", own=own)
        train(student(), objective, SOFT, epochs=2)
    (shared,) = compiled_loop._engines.values()
    assert shared._xla_segment.experimental_get_tracing_count() == 1


def test_standardised_logits_have_an_engine_of_their_own():
    fits = [fit(student(), losses.distillation_objective(0.5, 2.0, standardize=each), SOFT) for each in (False, True)]
    assert fits[0].engine is not fits[1].engine


@pytest.mark.slow
@pytest.mark.parametrize("name", DECLARED)
def test_a_student_learns_from_a_teacher_alone(name):
    """Here the teacher's logits are noise, which a student of this size can only begin to fit."""
    objective = losses.distillation_objective(1.0, 2.0, soft_loss=name, own={"warmup": 0} if name == "dkd" else None)
    records, _ = train(student(hidden="[32]"), objective, SOFT, epochs=8)
    assert objective.soft_loss == name
    assert records[-1]["soft"] < records[0]["soft"]
