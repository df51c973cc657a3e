"""Keras optimizers and learning-rate schedules from a config section."""

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from kdistill.config import Training


def build(training: "Training", steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of an arm's merged `training` section, with its learning-rate schedule.

    A schedule without `decay_steps` decays over all updates of the run, whose epochs have `steps_per_epoch`.
    """
    rate = _learning_rate(training, steps_per_epoch)
    match training.optimizer:
        case "adam":
            return keras.optimizers.Adam(rate, amsgrad=training.amsgrad)
        case "adamw":
            return keras.optimizers.AdamW(rate, amsgrad=training.amsgrad, weight_decay=training.weight_decay)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, momentum=training.momentum)
        case _:
            return keras.optimizers.SGD(rate, momentum=training.momentum)


def learning_rate_after(training: "Training", steps_per_epoch: int, epoch: int) -> float:
    """Return the learning rate at the end of an epoch, counted from 1; `build` describes the other arguments."""
    rate = _learning_rate(training, steps_per_epoch)
    return rate if isinstance(rate, float) else float(rate(training.budget(steps_per_epoch).after(epoch)))


def _learning_rate(
    training: "Training", steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    steps = training.decay_steps or training.budget(steps_per_epoch).updates
    match training.schedule:
        case "cosine":
            return keras.optimizers.schedules.CosineDecay(training.learning_rate, steps, alpha=training.decay_to)
        case "exponential":
            return keras.optimizers.schedules.ExponentialDecay(training.learning_rate, steps, training.decay_rate)
        case _:
            return training.learning_rate
