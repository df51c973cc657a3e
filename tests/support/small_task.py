"""A task that can be learnt in moments, and runs on it: shared by the tests of the engine and of training."""

import keras
import numpy as np

from kdistill import config as configs
from kdistill import models
from kdistill.datasets import Split
from kdistill.training import losses
from kdistill.training.augmentation import Augmentation
from kdistill.training.fit import Data, Fit

CLASSES, SHAPE = 4, (5, 5)


def splits(examples=150, validation=40, seed=0):
    """Return a train and a validation split of a task that can be learnt."""
    rng = np.random.default_rng(seed)
    total = examples + validation
    labels = rng.integers(0, CLASSES, total).astype(np.int32)
    images = rng.integers(0, 120, (total, *SHAPE))
    images[np.arange(total), labels, labels] += 100
    rows = rng.permutation(total)
    images = images.astype(np.uint8)
    return Split(images, labels, rows[:examples]), Split(images, labels, rows[examples:])


TRAIN, VALIDATION = splits()
TEACHER = np.random.default_rng(1).normal(0, 3, (len(TRAIN), CLASSES)).astype(np.float32)
TEACHER_VALIDATION = TEACHER[: len(VALIDATION)]
HARD = Data(TRAIN, VALIDATION)
SOFT = Data(TRAIN, VALIDATION, TEACHER, TEACHER_VALIDATION)
AUGMENTATION = Augmentation(shift=1, flip=True, crop=1)
OPTIMIZERS = {
    "adam": ["training.optimizer=adam"],
    "amsgrad": ["training.optimizer=adam", "training.amsgrad=true"],
    "adamw": ["training.optimizer=adamw", "training.weight_decay=0.01"],
    "momentum": ["training.optimizer=sgd", "training.momentum=0.9"],
    "rmsprop": ["training.optimizer=rmsprop"],
    "cosine": ["training.schedule=cosine", "training.decay_steps=8", "training.decay_to=0.1"],
    "exponential": ["training.schedule=exponential", "training.decay_steps=3"],
}
"""Overrides of a config, by what they show."""


def student(seed=0, **changes):
    """Return a student of this task; with recurrent layers, rows of pixels are the steps of a sequence."""
    kind = "sequence" if "recurrent" in changes else "image"
    overrides = [f"student.{key}={value}" for key, value in changes.items()]
    arm = configs.load("quickstart", ["student.hidden=[7]", *overrides]).student
    return models.build(arm, "student", SHAPE, CLASSES, 1 / 255, seed, kind=kind)


def big(seed=0):
    """Return a teacher of this task, with a layer that acts otherwise while training."""
    arm = configs.load("quickstart", ["teacher.hidden=[9]", "teacher.dropout=0.5"]).teacher
    model = models.build(arm, "teacher", SHAPE, CLASSES, 1 / 255, seed)
    model.trainable = False
    return model


def fit(model, objective=None, data=HARD, optimizer=None, seed=0, **changes):
    """Return a fit of batches that are all full, unless told otherwise: a short one is compiled by itself."""
    arguments = {"batch_size": 30, "epochs": 3, "patience": None, "monitor": "val_nll", "seed": seed}
    return Fit(
        model,
        optimizer or keras.optimizers.Adam(1e-2),
        objective or losses.hard_objective(),
        data,
        **(arguments | changes),
    )


def train(model, *arguments, **keywords):
    """Train to the end; return the records and the last weights, before the best are restored."""
    run = fit(model, *arguments, **keywords)
    records, last = [], None
    for record in run.epochs():
        records.append(record)
        last = [weight.numpy() for weight in run.engine.model.weights]
    return records, last


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
