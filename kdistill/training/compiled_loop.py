"""The compiled training step, in a compiled loop over batches.

At batch 32 the arithmetic of a small network takes a fraction of the time of one call into TensorFlow. So the loop over
the batches of a segment is compiled too, with XLA, and Python is entered once in about a hundred batches.
"""

import json
from collections import OrderedDict

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kdistill.core import backend
from kdistill.evaluation import predict
from kdistill.models.features import WithFeatures
from kdistill.training.augmentation import Augmentation
from kdistill.training.losses import Objective
from kdistill.training.mixup import MixedLabels

ENGINES_KEPT = 8

# Arrays by name, as a checkpoint stores them.
State = dict[str, np.ndarray]

# What a step returns, in this order; `loss` includes the penalty of regularisation.
TERMS = ("loss", "soft", "hard", "penalty")
HINT_TERM = "hints"  # after them, where there are hints


class Engine:
    """A model and an optimizer with their compiled step, shared by successive runs.

    Compilation takes longer than a short run. So runs that differ only in their seed, their learning rate or the
    objective's numbers share an engine; each run begins by copying its state into it (`start`).

    Args:
        model: the model to train; the engine trains a copy.
        optimizer: the optimizer; the engine uses a copy.
        objective: the loss; its numbers are passed to `segment` instead.
        augmentation: of the images in a step, if any; mixed examples are made before it.
        projections: of the student's features, if the objective has hints; the engine trains a copy: see `hints`.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective,
        augmentation: Augmentation | None = None,
        projections: keras.Model | None = None,
    ) -> None:
        self.model = keras.models.clone_model(model, clone_function=_trainable_copy, recursive=True)
        self.projections = projections and keras.models.clone_model(projections)
        self.optimizer = optimizer.__class__.from_config(optimizer.get_config())
        self.optimizer.build(_trained(self.model, self.projections))
        self.terms = (*TERMS, HINT_TERM) if objective.hints else TERMS
        self._hinted = WithFeatures(self.model, [hint.source for hint in objective.hints])
        self.predict = predict.predictor(self.model)
        self._augmentation = augmentation
        self._objective = objective
        # AutoGraph's rewriting of Python would take as long as all the rest of tracing.
        self._xla_segment = tf.function(self._loop, jit_compile=True, autograph=False)
        self._plain_segment = tf.function(self._loop, autograph=False)
        self.compiled = True
        if not _suits_xla(self.model):
            self._disable_xla()
        self.owner: object = None  # the fit whose state the engine holds

    def start(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer, projections: keras.Model | None = None
    ) -> None:
        """Copy the weights, random states and optimizer state of a new run into the engine."""
        optimizer.build(_trained(model, projections))
        sources = [*model.variables, *optimizer.variables, *(projections.variables if projections else ())]
        for source, target in zip(sources, self._variables().values(), strict=True):
            target.assign(source.value)

    def state(self) -> State:
        """Return copies of all that a step changes: weights, random states, the optimizer's variables."""
        return {name: variable.numpy() for name, variable in self._variables().items()}

    def restore(self, state: State) -> None:
        """Set all variables to what `state` of an engine of the same shape returned."""
        for name, variable in self._variables().items():
            variable.assign(state[name])

    def _variables(self) -> dict[str, keras.Variable]:
        groups = {"model": self.model.variables, "optimizer": self.optimizer.variables}
        if self.projections:
            groups["projections"] = self.projections.variables
        return {f"{group}/{n}": variable for group, variables in groups.items() for n, variable in enumerate(variables)}

    def is_finite(self) -> bool:
        """Whether every weight is finite."""
        weights = [*self.model.weights, *(self.projections.weights if self.projections else ())]
        return all(np.isfinite(weight.numpy()).all() for weight in weights)

    def segment(self, images, labels, targets, numbers, batches, draws=None, mixed=None) -> NDArray[np.float64]:  # type: ignore[no-untyped-def]
        """Train on the first `batches` batches of a segment; return the sums of `terms` over them.

        Args:
            images: (segment, batch, *shape), raw values.
            labels: (segment, batch), or (segment, batch, classes) of multi-label data, int32.
            targets: of the teacher, float32: its logits (segment, batch, classes), of several teachers (segment, batch,
                teachers, classes), without one (segment, batch, 0); then, for each hint, its features (segment, batch,
                *target.shape).
            numbers: `Objective.numbers_in` an epoch, as float32 tensors.
            batches: how many batches to train on; the rest of the segment is padding.
            draws: (segment, batch, 5) of `Augmentation.draw`, if images are augmented in the step.
            mixed: `MixedLabels` (segment, batch, ...), if the images are mixed.
        """
        arguments = (images, labels, targets, numbers, tf.constant(batches), draws, mixed)
        if self.compiled:
            try:
                return self._xla_segment(*arguments).numpy().astype(np.float64)
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
                # XLA cannot compile a layer. Compilation fails before any batch is trained on.
                self._disable_xla()
        return self._plain_segment(*arguments).numpy().astype(np.float64)

    def _disable_xla(self) -> None:
        self.compiled = False
        for layer in self.model._flatten_layers():
            if isinstance(layer, FastDropout):
                layer.generator = "auto_select"

    def _loop(self, images, labels, targets, numbers, batches, draws, mixed):  # type: ignore[no-untyped-def]
        weights = _trained(self.model, self.projections)

        def step(batch, sums):  # type: ignore[no-untyped-def]
            seen = images[batch] if draws is None else self._augmentation.apply(images[batch], draws[batch])
            more = mixed and MixedLabels(*(values[batch] for values in mixed))
            teacher_logits, *teacher_features = (values[batch] for values in targets)
            with tf.GradientTape() as tape:
                student_logits, features = self._forward(seen)
                terms = self._objective(labels[batch], teacher_logits, student_logits, numbers, more)
                hints = [self._objective.hint_term(teacher_features, features, numbers)] if features else []
                penalty = tf.add_n([0.0, *self.model.losses])
                total = tf.add_n([terms["loss"], *hints]) + penalty
            self.optimizer.apply(tape.gradient(total, weights), weights)
            return batch + 1, sums + tf.stack([total, terms["soft"], terms["hard"], penalty, *hints])

        _, sums = tf.while_loop(lambda batch, _: batch < batches, step, (0, tf.zeros(len(self.terms))))
        return sums

    def _forward(self, seen: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the student's logits, and for each hint its features, projected."""
        if self.projections is None:
            return self.model(seen, training=True), []
        logits, *features = self._hinted(seen, training=True)
        return logits, keras.tree.flatten(self.projections(features))


class FastDropout(keras.layers.Dropout):
    """Keras's Dropout with a random generator that is fast under XLA on a CPU.

    With TensorFlow's default generator an epoch of a 784-128-10 network takes eight times as long. The layer has the
    same state as Keras's and exists only inside an engine: models are saved with Keras's own.
    """

    generator = "threefry"  # available under XLA only

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Drop inputs at random if `training`; otherwise return them unchanged."""
        if not training or self.rate == 0:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        return tf.nn.experimental.stateless_dropout(
            inputs, self.rate, seed, rng_alg=self.generator, noise_shape=self.noise_shape
        )


def _suits_xla(model: keras.Model) -> bool:
    """Whether a model is compiled with XLA: all are, except those with convolutions or pooling on a CPU.

    On a CPU, XLA's convolutions are slower than TensorFlow's, which use oneDNN and Eigen. A step of conv: [16, 32],
    hidden: [64] on 28 x 28 images took 66 ms with XLA and 3.5 ms without at batch 32, 400 ms and 14 ms at batch 128
    (one thread); of a separable net with batch normalisation 34 ms and 4.7 ms at batch 32.
    """
    kinds = {type(layer).__name__ for layer in model._flatten_layers()}
    return bool(backend.gpus()) or not any("Conv" in kind or "Pooling" in kind for kind in kinds)


def _trained(model: keras.Model, projections: keras.Model | None) -> list[keras.Variable]:
    """Return what a step changes by its gradient."""
    return [*model.trainable_variables, *(projections.trainable_variables if projections else ())]


def _trainable_copy(layer: keras.Layer) -> keras.Layer:
    kind = FastDropout if type(layer) is keras.layers.Dropout else type(layer)
    return kind.from_config(layer.get_config())


_engines: OrderedDict[str, Engine] = OrderedDict()


def engine_for(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    objective: Objective,
    augmentation: Augmentation | None = None,
    projections: keras.Model | None = None,
) -> Engine:
    """Return an engine with the state of a new run: one that a run of the same shape has compiled, if there is one."""
    key = _shape_of(model, optimizer, objective, augmentation)
    if key not in _engines:
        _engines[key] = Engine(model, optimizer, objective, augmentation, projections)
        if len(_engines) > ENGINES_KEPT:
            _engines.popitem(last=False)
    _engines.move_to_end(key)
    _engines[key].start(model, optimizer, projections)
    return _engines[key]


def _shape_of(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    objective: Objective,
    augmentation: Augmentation | None,
) -> str:
    optimizer_config = optimizer.get_config()
    del optimizer_config["name"]  # numbered by Keras
    if isinstance(optimizer_config["learning_rate"], float):  # a variable, so part of the state
        del optimizer_config["learning_rate"]
    shape = [
        _without_seeds(model.get_config()),
        type(optimizer).__name__,
        optimizer_config,
        objective.soft_loss,
        objective.standardize,
        objective.task,
        repr(augmentation),
        repr(objective.hints),  # and so the projections
    ]
    return json.dumps(shape, sort_keys=True, default=str)


def _without_seeds(config: object) -> object:
    if isinstance(config, dict):
        return {key: _without_seeds(value) for key, value in config.items() if key != "seed"}
    if isinstance(config, list | tuple):
        return [_without_seeds(value) for value in config]
    return config
