"""The optimizers: the class and the numbers that the config names, and schedules by their closed forms."""

import keras
import numpy as np
import pytest

from kdistill import config as configs
from kdistill.training import optimizers

STEPS = 10


def build(*overrides):
    plan = configs.load("quickstart", ["training.epochs=4", "training.learning_rate=0.02", *overrides]).training
    return optimizers.build(plan, STEPS)


@pytest.mark.parametrize(
    ("overrides", "kind", "settings"),
    [
        (["training.optimizer=adam"], keras.optimizers.Adam, {"amsgrad": False}),
        (["training.optimizer=adam", "training.amsgrad=true"], keras.optimizers.Adam, {"amsgrad": True}),
        (
            ["training.optimizer=adamw", "training.weight_decay=0.3"],
            keras.optimizers.AdamW,
            {"weight_decay": 0.3, "amsgrad": False},
        ),
        (["training.optimizer=rmsprop", "training.momentum=0.4"], keras.optimizers.RMSprop, {"momentum": 0.4}),
        (["training.optimizer=sgd", "training.momentum=0.9"], keras.optimizers.SGD, {"momentum": 0.9}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_optimizer_is_the_one_that_the_config_names(overrides, kind, settings):
    optimizer = build(*overrides)
    assert type(optimizer) is kind
    found = optimizer.get_config()
    assert found["learning_rate"] == pytest.approx(0.02)
    assert {key: found[key] for key in settings} == settings


def rates(optimizer, steps):
    return [float(optimizer._learning_rate(step)) for step in steps]


def test_cosine_goes_to_its_end_over_the_whole_run_unless_told_otherwise():
    steps = np.array([0, 10, 20, 40, 99])
    half = (1 + np.cos(np.pi * np.minimum(steps / 40, 1))) / 2
    np.testing.assert_allclose(rates(build("training.schedule=cosine"), steps), 0.02 * half, rtol=1e-5, atol=1e-9)
    told = build("training.schedule=cosine", "training.decay_steps=20", "training.decay_to=0.1")
    half = (1 + np.cos(np.pi * np.minimum(steps / 20, 1))) / 2
    np.testing.assert_allclose(rates(told, steps), 0.02 * (0.9 * half + 0.1), rtol=1e-5)


def test_cosine_ends_with_the_last_update():
    steps = np.array([0, 10, 33, 35])
    half = (1 + np.cos(np.pi * np.minimum(steps / 33, 1))) / 2
    plan = configs.load("quickstart", ["training.steps=33", "training.schedule=cosine"]).training
    rate = plan.learning_rate
    np.testing.assert_allclose(rates(optimizers.build(plan, STEPS), steps), rate * half, rtol=1e-5, atol=1e-9)
    assert optimizers.learning_rate_after(plan, STEPS, 4) == pytest.approx(0, abs=1e-9)
    near = rate * (1 + np.cos(np.pi * 30 / 33)) / 2
    assert optimizers.learning_rate_after(plan, STEPS, 3) == pytest.approx(near, rel=1e-5)


def test_exponential_falls_by_its_rate_each_decay_steps():
    steps = np.array([0, 5, 10, 30])
    optimizer = build("training.schedule=exponential", "training.decay_steps=10", "training.decay_rate=0.5")
    np.testing.assert_allclose(rates(optimizer, steps), 0.02 * 0.5 ** (steps / 10), rtol=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "exponential"])
@pytest.mark.parametrize("key", ["epochs", "steps"])
def test_the_most_epochs_and_updates_of_a_config_make_a_schedule(schedule, key):
    plan = configs.load("quickstart", [f"training.schedule={schedule}", f"training.{key}={10**9}"]).training
    assert rates(optimizers.build(plan, STEPS), [0]) == pytest.approx([plan.learning_rate])
