"""A training run: epochs of segments of batches, early stopping, the best weights.

It takes arrays and plain values, neither config nor files: it yields a record for each epoch and does no input or
output.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.core.errors import DivergedError
from kdistill.core.listener import EpochRecord
from kdistill.core.task import are_labelled
from kdistill.evaluation import measures, metrics, prior
from kdistill.evaluation import predict as evaluation
from kdistill.modelfiles import flops
from kdistill.training.compiled_loop import State, engine_for
from kdistill.training.hints import projections
from kdistill.training.losses import LABELLED, Objective
from kdistill.training.segments import Data, Segments, batches_in_segment


@dataclass
class EarlyStopping:
    """Early stopping by one metric. The first epoch is an improvement; after it only a strictly better value is.

    Attributes:
        monitor: `val_loss` (smaller is better), or `val_` and the name of one of `measures.MEASURES`.
        patience: epochs without improvement after which training stops; None for never.
        best: value of the metric in the best epoch.
        best_epoch: number of the best epoch; 0 before the first.
        epochs_since: epochs after the best one.
        best_weights: weights of the model after the best epoch.
    """

    monitor: str
    patience: int | None
    best: float = float("nan")
    best_epoch: int = 0
    epochs_since: int = 0
    best_weights: list[np.ndarray] | None = None

    def update(self, record: dict, model: keras.Model) -> bool:
        """Update with the record of an epoch; return whether it is the best so far."""
        value = record[self.monitor]
        measure = measures.monitored(self.monitor)
        better = value > self.best if measure and measure.higher_is_better else value < self.best
        if self.best_epoch and not better:
            self.epochs_since += 1
            return False
        self.best, self.best_epoch, self.epochs_since = value, record["epoch"], 0
        self.best_weights = [weight.numpy() for weight in model.weights]
        return True

    def state(self) -> State:
        """Return copies of all attributes that change."""
        names = ("best", "best_epoch", "epochs_since")
        weights = {f"best_weights/{number}": weight for number, weight in enumerate(self.best_weights or [])}
        return {name: np.array(getattr(self, name)) for name in names} | weights

    def restore(self, state: State) -> None:
        """Set the attributes to what `state` returned."""
        self.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])
        self.epochs_since = int(state["epochs_since"])
        count = sum(name.startswith("best_weights/") for name in state)
        self.best_weights = [state[f"best_weights/{number}"] for number in range(count)] or None

    @property
    def patience_left(self) -> int | None:
        """How many more epochs without improvement there may be before training stops; None if it never stops."""
        return None if self.patience is None else self.patience - self.epochs_since


@dataclass
class Progress:
    """The progress of an epoch: examples trained on, the sums of the engine's terms over them, seconds of training."""

    examples: int
    sums: NDArray[np.float64]
    seconds: float = 0.0

    def state(self) -> State:
        """Return copies of all attributes."""
        return {"examples": np.array(self.examples), "sums": self.sums.copy(), "seconds": np.array(self.seconds)}


class Fit:
    """A training run: a model, its data, and the progress so far.

    Args:
        model: trained in place; it has the best weights after `epochs` has ended, also by an exception.
        optimizer: a new Keras optimizer.
        objective: the loss; the model's regularisation penalty is added to it.
        data: the splits and the teacher's logits, if the objective needs them.
        batch_size: examples in a step, at most those of an epoch.
        epochs: the maximum.
        last_batches: batches in the last of them; None for all, as in the others.
        patience: epochs without improvement after which training stops; None for never.
        monitor: the metric of early stopping: see `EarlyStopping`; it must be defined on the validation split.
        seed: the order and augmentation of the examples in epoch e are drawn from [seed, e].
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective,
        data: Data,
        *,
        batch_size: int,
        epochs: int,
        patience: int | None,
        monitor: str,
        seed: int,
        last_batches: int | None = None,
    ) -> None:
        self.model = model
        self.objective = objective
        self.data = data
        self.batch_size = batch_size
        self.last_epoch, self._last_batches = epochs, last_batches
        self.seed = seed
        self.stopping = EarlyStopping(monitor, patience)
        self.engine = engine_for(model, optimizer, objective, data.in_step, projections(objective.hints, seed))
        self.engine.owner = self
        self.epochs_done = 0
        self._progress = self._no_progress()
        self._labelled = _share_of_labelled(data)
        features = sum(math.prod(hint.target.shape) for hint in objective.hints)
        length = batches_in_segment(data, batch_size, flops.of_config(model.get_config()), features)
        self._segments = Segments(data, batch_size, length)

    def epochs(self, after_segment: Callable[[float], None] = lambda done: None) -> Iterator[EpochRecord]:
        """Train, and yield a record after each epoch.

        Args:
            after_segment: called after each segment with the share of the epoch that is done; an exception ends the
                run. During `after_segment`, and between epochs, `state` returns a state to resume from.

        Raises:
            DivergedError: the loss, a weight or a validation metric is not finite.
        """
        try:
            while self.epochs_done < self.last_epoch and self.stopping.patience_left != 0:
                epoch = self.epochs_done + 1
                means = self._train_epoch(epoch, after_segment)
                yield self._end_epoch(epoch, means)
        finally:
            if self.stopping.best_weights is not None:
                self.model.set_weights(self.stopping.best_weights)
                if self.engine.owner is self:
                    self.engine.model.set_weights(self.stopping.best_weights)

    def _train_epoch(self, epoch: int, after_segment: Callable[[float], None]) -> dict[str, float]:
        """Train on the remaining examples of an epoch; return the means of the terms over all its examples."""
        order = self._segments.order(self.seed, epoch, self._last_batches if epoch == self.last_epoch else None)
        progress = self._progress
        of_epoch = self.objective.numbers_in(epoch) | self._labelled
        numbers = {name: tf.constant(value, tf.float32) for name, value in of_epoch.items()}
        while progress.examples < len(order):
            if self.engine.owner is not self:
                raise RuntimeError("a fit of the same shape was made after this one: one has to end before the next")
            started = time.perf_counter()
            segment = self._segments.next(order[progress.examples :])
            of_batches = self.engine.segment(*segment.block, numbers, segment.batches, segment.draws, segment.mixed)
            sums = of_batches * (segment.examples / segment.batches)  # from sums of batch means to sums over examples
            progress.sums += sums
            progress.examples += segment.examples
            progress.seconds += time.perf_counter() - started
            if not np.isfinite(sums).all():
                raise DivergedError(
                    f"training diverged: the loss is not a finite number in epoch {epoch}, "
                    f"within examples {progress.examples - segment.examples + 1} to {progress.examples} of {len(order)}"
                )
            after_segment(progress.examples / len(order))
        return dict(zip(self.engine.terms, (progress.sums / len(order)).tolist(), strict=True))

    def _end_epoch(self, epoch: int, means: dict[str, float]) -> EpochRecord:
        """Validate, update early stopping and return the record of the epoch."""
        started = time.perf_counter()
        record: Any = {"epoch": epoch, **means, **self._validate(epoch)}
        record["best"] = self.stopping.update(record, self.engine.model)
        record["patience_left"] = self.stopping.patience_left
        record["seconds"] = round(self._progress.seconds + time.perf_counter() - started, 4)
        self.epochs_done, self._progress = epoch, self._no_progress()
        return record

    def _no_progress(self) -> Progress:
        return Progress(0, np.zeros(len(self.engine.terms)))

    @property
    def predict(self) -> evaluation.Predict:
        """The compiled function from raw values to logits; after training, with the best weights."""
        return self.engine.predict

    @property
    def batches_done(self) -> int:
        """The number of trained batches of the current epoch."""
        return -(-self._progress.examples // self.batch_size)

    def state(self) -> State:
        """Return copies of all that `restore` needs; raise DivergedError if a weight is not finite."""
        if not self.engine.is_finite():
            raise DivergedError(f"training diverged: a weight is not a finite number in epoch {self.epochs_done + 1}")
        done = {"epochs_done": np.array(self.epochs_done)}
        return done | self._progress.state() | self.stopping.state() | self.engine.state()

    def restore(self, state: State) -> None:
        """Resume, bit for bit, from the `state` of a fit of the same model, data, optimizer and seed.

        The state has the weights, the optimizer's variables (with the step, on which schedules depend), the layers'
        random states, the progress of the epoch and early stopping. The order of the examples is drawn again.
        """
        self.epochs_done = int(state["epochs_done"])
        self._progress = Progress(int(state["examples"]), state["sums"].copy(), float(state["seconds"]))
        self.stopping.restore(state)
        self.engine.restore(state)

    def _validate(self, epoch: int) -> dict[str, float]:
        validation = self.data.validation
        logits = prior.moved(evaluation.logits(self.engine.predict, validation), self.data.prior)
        if not np.isfinite(logits).all():
            raise DivergedError(f"training diverged: the outputs are not finite numbers after epoch {epoch}")
        if not self.engine.is_finite():
            raise DivergedError(f"training diverged: a weight is not a finite number after epoch {epoch}")
        labels = validation.all_labels
        loss = float(self.objective(labels, self.data.teacher_validation, logits)["loss"])
        if not np.isfinite(loss):
            raise DivergedError(f"training diverged: the validation loss is not a finite number after epoch {epoch}")
        scores = metrics.score(logits, labels)
        record = {"val_loss": loss, "val_nll": scores.nll, "val_accuracy": scores.accuracy}
        watched = measures.monitored(self.stopping.monitor)  # None: the loss itself
        for measure in filter(None, (measures.main_of(scores.measures), watched)):
            if (value := scores.measures[measure.name]) is not None:
                record[f"{measures.VALIDATION}{measure.name}"] = value
        return record


def _share_of_labelled(data: Data) -> dict[str, float]:
    """Return the share of labelled examples, by its name; with labels for all the step is compiled without it."""
    share = float(are_labelled(data.train.all_labels).mean())
    return {} if share == 1 else {LABELLED: share or 1.0}
