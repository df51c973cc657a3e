"""A run of training: epochs made of segments of batches, early stopping, the best weights.

It knows arrays and flat values, neither config nor files: it yields a record an epoch, and does no input or output.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.core.errors import DivergedError
from kdistill.core.listener import EpochRecord
from kdistill.evaluation import metrics
from kdistill.evaluation import predict as evaluation
from kdistill.modelfiles import flops
from kdistill.training.compiled_loop import TERMS, State, engine_for
from kdistill.training.losses import Objective
from kdistill.training.segments import Data, Segments, batches_in_segment


@dataclass
class EarlyStopping:
    """Remembers the best epoch by one measure and says when it is too long ago.

    The first epoch is a best one; after that only a strict improvement counts, and a NaN never does.

    Attributes:
        monitor: `val_nll` or `val_loss` (smaller is better), or `val_accuracy` (larger is).
        patience: epochs without improvement after which to stop; None never stops.
        best_epoch: 0 before the first.
        best_weights: of the model at the best epoch.
    """

    monitor: str
    patience: int | None
    best: float = float("nan")
    best_epoch: int = 0
    epochs_since: int = 0
    best_weights: list[np.ndarray] | None = None

    def update(self, record: dict, model: keras.Model) -> bool:
        """Take in the record of an epoch; return whether it is the best so far."""
        value = record[self.monitor]
        better = value > self.best if self.monitor == "val_accuracy" else value < self.best
        if self.best_epoch and not better:
            self.epochs_since += 1
            return False
        self.best, self.best_epoch, self.epochs_since = value, record["epoch"], 0
        self.best_weights = [weight.numpy() for weight in model.weights]
        return True

    def state(self) -> State:
        """Return copies of what it remembers."""
        names = ("best", "best_epoch", "epochs_since")
        weights = {f"best_weights/{number}": weight for number, weight in enumerate(self.best_weights or [])}
        return {name: np.array(getattr(self, name)) for name in names} | weights

    def restore(self, state: State) -> None:
        """Take over what `state` returned."""
        self.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])
        self.epochs_since = int(state["epochs_since"])
        count = sum(name.startswith("best_weights/") for name in state)
        self.best_weights = [state[f"best_weights/{number}"] for number in range(count)] or None

    @property
    def patience_left(self) -> int | None:
        """How many more epochs without improvement are allowed; None for ever."""
        return None if self.patience is None else self.patience - self.epochs_since


@dataclass
class Progress:
    """How far an epoch has come: examples trained on, the sums of `TERMS` over them, the seconds it took."""

    examples: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(TERMS)))
    seconds: float = 0.0

    def state(self) -> State:
        """Return copies of all of it."""
        return {"examples": np.array(self.examples), "sums": self.sums.copy(), "seconds": np.array(self.seconds)}


class Fit:
    """One run of training: a model, its data, and where it has come to.

    Args:
        model: trained in place; it holds the best weights once `epochs` has ended, however it ended.
        optimizer: a fresh Keras optimizer.
        objective: what is minimised, with any regularisation penalty of the model on top.
        data: the splits and, where the objective uses a teacher, its logits.
        batch_size: examples in a step, at most the examples in the training split.
        epochs: how many at most.
        patience: epochs without improvement after which training stops; None for never.
        monitor: what counts as improvement: `val_nll`, `val_accuracy` or `val_loss`.
        seed: the order of the examples in epoch e is drawn from [seed, e], as is their augmentation.
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
    ) -> None:
        self.model = model
        self.objective = objective
        self.data = data
        self.batch_size = batch_size
        self.last_epoch = epochs
        self.seed = seed
        self.stopping = EarlyStopping(monitor, patience)
        self.engine = engine_for(model, optimizer, objective, data.augmentation)
        self.engine.owner = self
        self.epochs_done = 0
        self._progress = Progress()
        self._numbers = {name: tf.constant(value, tf.float32) for name, value in objective.numbers.items()}
        length = batches_in_segment(data.train, batch_size, flops.of_config(model.get_config()))
        self._segments = Segments(data, batch_size, length)

    def epochs(self, between: Callable[[float], None] = lambda done: None) -> Iterator[EpochRecord]:
        """Train, and yield a record after each epoch.

        Args:
            between: called after each segment with the share of the epoch that is done; what it raises ends the run.
                Then and between records, `state` is a state from which another fit goes on as this one would.

        Raises:
            DivergedError: the loss, a weight or the validation score stopped being finite.
        """
        try:
            while self.epochs_done < self.last_epoch and self.stopping.patience_left != 0:
                epoch = self.epochs_done + 1
                means = self._train_epoch(epoch, between)
                yield self._end_epoch(epoch, means)
        finally:
            if self.stopping.best_weights is not None:
                self.model.set_weights(self.stopping.best_weights)
                if self.engine.owner is self:
                    self.engine.model.set_weights(self.stopping.best_weights)

    def _train_epoch(self, epoch: int, between: Callable[[float], None]) -> dict[str, float]:
        """Train on what is left of the examples, in the order of this epoch; return the means of `TERMS` over all."""
        order = self._segments.order(self.seed, epoch)
        progress = self._progress
        while progress.examples < len(order):
            if self.engine.owner is not self:
                raise RuntimeError("a fit of the same shape was made after this one: one has to end before the next")
            started = time.perf_counter()
            segment = self._segments.next(order[progress.examples :])
            means = self.engine.segment(*segment.block, self._numbers, segment.batches, *segment.draws)
            sums = means * (segment.examples / segment.batches)
            progress.sums += sums
            progress.examples += segment.examples
            progress.seconds += time.perf_counter() - started
            if not np.isfinite(sums).all():
                raise DivergedError(
                    f"training diverged: the loss is not a finite number in epoch {epoch}, "
                    f"within examples {progress.examples - segment.examples + 1} to {progress.examples} of {len(order)}"
                )
            between(progress.examples / len(order))
        return dict(zip(TERMS, (progress.sums / len(order)).tolist(), strict=True))

    def _end_epoch(self, epoch: int, means: dict[str, float]) -> EpochRecord:
        """Validate, and turn to the next epoch; return the record of this one."""
        started = time.perf_counter()
        record: Any = {"epoch": epoch, **means, **self._validate(epoch)}
        record["best"] = self.stopping.update(record, self.engine.model)
        record["patience_left"] = self.stopping.patience_left
        record["seconds"] = round(self._progress.seconds + time.perf_counter() - started, 4)
        self.epochs_done, self._progress = epoch, Progress()
        return record

    @property
    def predict(self) -> evaluation.Predict:
        """The compiled function from raw values to logits; after training, those of the best weights."""
        return self.engine.predict

    @property
    def batches_done(self) -> int:
        """How many batches of the epoch that is on have been trained."""
        return -(-self._progress.examples // self.batch_size)

    def state(self) -> State:
        """Return copies of everything that decides how the run goes on: see `restore`.

        Raises:
            DivergedError: a weight is not finite, so that nothing can go on from here.
        """
        if not self.engine.is_finite():
            raise DivergedError(f"training diverged: a weight is not a finite number in epoch {self.epochs_done + 1}")
        done = {"epochs_done": np.array(self.epochs_done)}
        return done | self._progress.state() | self.stopping.state() | self.engine.state()

    def restore(self, state: State) -> None:
        """Take over the state of a fit of the same model, data, optimizer and seed, to go on bit by bit as it would.

        It has the weights and the optimizer's variables (the step, on which schedules depend, among them), the
        layers' random states, how much of the epoch is done with the sums so far, and early stopping's memory. The
        order of the examples needs none: it is drawn anew for each epoch.
        """
        self.epochs_done = int(state["epochs_done"])
        self._progress = Progress(int(state["examples"]), state["sums"].copy(), float(state["seconds"]))
        self.stopping.restore(state)
        self.engine.restore(state)

    def _validate(self, epoch: int) -> dict[str, float]:
        validation = self.data.validation
        logits = evaluation.logits(self.engine.predict, validation)
        if not np.isfinite(logits).all():
            raise DivergedError(f"training diverged: the outputs are not finite numbers after epoch {epoch}")
        if not self.engine.is_finite():
            raise DivergedError(f"training diverged: a weight is not a finite number after epoch {epoch}")
        labels = validation.all_labels
        loss = float(self.objective(labels, self.data.teacher_validation, logits)["loss"])
        if not np.isfinite(loss):
            raise DivergedError(f"training diverged: the validation loss is not a finite number after epoch {epoch}")
        scores = metrics.score(logits, labels)
        return {
            "val_loss": loss,
            "val_nll": scores.nll,
            "val_accuracy": scores.accuracy,
        }
