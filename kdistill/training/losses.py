"""The distillation loss as pure functions of logits, with the factor T^2, for the tasks of `core.task`.

    loss = alpha * soft + (1 - alpha) * hard, and the hints of `hints`, each with its weight
    soft = T^2 * mean_batch KL(p_t || p_s)      p_t = softmax(z_t / T_t), p_s = softmax(z_s / T); T_t = T by default
    hard = mean_batch w_y * cross_entropy(y, softmax(z_s))                w_y = 1, or the weight of the class y

An example without a label has no hard term. `hard` is then the mean over the labelled examples, as `soft` is that over
all of them, so that alpha keeps its meaning: of a batch, the sum over the labelled examples divided by the number of
them that is expected, the batch times their share of the training examples. Divided by the number that happens to be
in the batch, an example would count for more in a batch with few labels, and the gradients' mean over batches would not
be that of the objective; divided by the batch, the weight of the hard term would shrink with the share of labels.

of multi-label data, where each class of an example has its own probability (p = sigmoid(z), y = 0 or 1):

    soft = T^2 * mean_batch sum_classes KL(Bernoulli(p_t) || Bernoulli(p_s))      p_t = sigmoid(z_t / T_t), ...
    hard = mean_batch sum_classes binary_cross_entropy(y, sigmoid(z_s))

These are sums over the classes, since that is the KL divergence and the cross-entropy of all of an example's labels
together if the classes are independent given the example: for one class they are those of the logits (0, z).

Of examples mixed by `mixup`, an example's cross-entropy is l times that of its own label plus 1 - l times that of the
other one, each with the weight of its class: without such weights, the cross-entropy of the mixed label.

Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), arXiv:1503.02531: section 2,
equation 1 for the softened probabilities, its last paragraph for T^2 (`t_squared`). With several teachers p_t is the
mean of their softened probabilities (section 1, on ensembles).

Other soft losses are `mse_loss`, which matches logits, and those of `decoupled`, `correlation` and `weighted`; what
they have in common is in `softened`, and `core.soft_losses` declares the keys, the formula and the needs of each.

All is computed from logits through `log_softmax` or `log_sigmoid`, in the dtype of the student's logits, so that logits
of +-1e4 give finite values and gradients. The inputs are not checked: models, data and config have been checked before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import tensorflow as tf

from kdistill.core.soft_losses import DECLARED, WARMUP
from kdistill.core.task import MULTI, NO_LABEL, SINGLE, Task
from kdistill.training.correlation import dist_loss
from kdistill.training.decoupled import dkd_loss, nkd_loss
from kdistill.training.hints import Hint
from kdistill.training.mixup import MixedLabels
from kdistill.training.softened import (
    Factor,
    Shares,
    factor_of,
    kl,
    mean_of_teachers,
    softened,
    standardized,
    t_squared,
)
from kdistill.training.weighted import wsld_loss, wttm_loss

Terms = dict[str, tf.Tensor]
Weights: TypeAlias = tuple[float, ...] | tf.Tensor
# Among the numbers of an objective; without weights of classes all examples count the same. LABELLED is the share of
# examples that have a label; without it all have one.
WEIGHTS, HINT_WEIGHTS, LABELLED = "class_weights", "hint_weights", "labelled"


def kl_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: Factor,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
    shares: Shares = None,
) -> tf.Tensor:
    """Return the soft loss of Hinton et al. (2015): T^2 * KL(teacher || student) at temperature T, a batch mean.

    Args:
        teacher_logits: (batch, classes), or of several teachers (batch, teachers, classes).
        student_logits: (batch, classes).
        temperature: T, above 0; it softens both models unless `teacher_temperature` is given.
        teacher_temperature: T_t, above 0; T by default.
        scale: the factor of the divergence; T^2 by default.
        shares: of several teachers in the mean: see `softened.mean_of_teachers`.

    Returns:
        A scalar in nats, at least 0 up to rounding.
    """
    loss = tf.reduce_mean(kl(*softened(teacher_logits, student_logits, temperature, teacher_temperature, shares)))
    return factor_of(temperature, scale) * loss


def bernoulli_kl_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: Factor,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
    shares: Shares = None,
) -> tf.Tensor:
    """Return the soft loss of multi-label data: T^2 * KL(teacher || student) of each class, summed; a batch mean.

    Of several teachers the mean probability of each class is the target. Arguments and unit are those of `kl_loss`.
    """
    divided = teacher_logits / (temperature if teacher_temperature is None else teacher_temperature)
    each = tf.zeros_like(student_logits)
    for sign in (1.0, -1.0):  # the two outcomes: log p = log_sigmoid(z), log (1 - p) = log_sigmoid(-z)
        teacher = mean_of_teachers(tf.math.log_sigmoid(sign * divided), student_logits, shares)
        each += tf.exp(teacher) * (teacher - tf.math.log_sigmoid(sign * student_logits / temperature))
    loss = tf.reduce_mean(tf.reduce_sum(each, axis=-1))
    return factor_of(temperature, scale) * loss


def mse_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: Factor = 1.0,
    teacher_temperature: Factor | None = None,
    scale: Factor | None = None,
    shares: Shares = None,
) -> tf.Tensor:
    """Return T^2 * mean_classes (z_t / T_t - z_s / T)^2, a batch mean; for T_t = T, T cancels.

    It is the loss of Ba and Caruana, "Do Deep Nets Really Need to be Deep?" (2014), and of Kim et al., "Comparing
    Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation" (2021). For logits of equal
    means, T^2 * KL tends to half of it as T grows (Hinton et al. 2015, section 2.1); unlike KL it also matches means.

    Args:
        teacher_logits: (batch, classes), or of several teachers (batch, teachers, classes), which are averaged.
        student_logits: (batch, classes).
        temperature: T, above 0; it divides both models' logits unless `teacher_temperature` is given.
        teacher_temperature: T_t, above 0; T by default.
        scale: the factor of the squared differences; T^2 by default.
        shares: of several teachers in the mean: see `softened.mean_of_teachers`.

    Returns:
        A scalar in squared logits, at least 0.
    """
    teacher = teacher_logits / (temperature if teacher_temperature is None else teacher_temperature)
    if len(teacher.shape) > len(student_logits.shape):
        teacher = _together(teacher, shares)
    mse = tf.reduce_mean(tf.math.squared_difference(teacher, student_logits / temperature))
    return factor_of(temperature, scale) * mse


def _together(teachers: tf.Tensor, shares: Shares) -> tf.Tensor:
    """Return the mean (batch, classes) of several teachers' logits (batch, teachers, classes)."""
    if shares is None:
        return tf.reduce_mean(teachers, axis=-2)
    return tf.reduce_sum(teachers * tf.cast(shares, teachers.dtype)[:, None], axis=-2)


def hard_loss(
    labels: tf.Tensor,
    student_logits: tf.Tensor,
    class_weights: Weights | None = None,
    labelled: Factor | None = None,
    parts: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return the mean cross-entropy of integer `labels` (batch,) under `student_logits` (batch, classes), in nats.

    With `class_weights` (classes,) each example counts as often as the weight of its label says. The sum is divided by
    the number of examples, as by Keras's `class_weight`, not by the sum of their weights, as by PyTorch: a batch
    with more of the rare class has a larger loss, so that the gradients' mean over batches is that of the whole split.
    With `labelled`, the share of examples that have a label, those with `task.NO_LABEL` add nothing to the sum, which
    is divided by the expected number of labelled ones, likewise. `parts` (batch,) multiply the examples' losses.
    """
    known = labels if labelled is None else tf.maximum(labels, 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=known, logits=student_logits)
    if class_weights is not None:
        losses *= tf.gather(tf.cast(class_weights, losses.dtype), known)
    return _mean(losses, labels != NO_LABEL, labelled, parts)


def bernoulli_hard_loss(
    labels: tf.Tensor, student_logits: tf.Tensor, labelled: Factor | None = None, parts: tf.Tensor | None = None
) -> tf.Tensor:
    """Return the mean over the batch of the binary cross-entropies of `labels` (batch, classes), summed, in nats.

    For `labelled` and `parts` see `hard_loss`; an unlabelled example has `task.NO_LABEL` for every class.
    """
    targets = tf.cast(labels, student_logits.dtype)
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=student_logits)
    return _mean(tf.reduce_sum(each, axis=-1), labels[:, 0] != NO_LABEL, labelled, parts)


def _mean(
    losses: tf.Tensor, has_label: tf.Tensor, labelled: Factor | None, parts: tf.Tensor | None = None
) -> tf.Tensor:
    """Return the mean of losses (batch,), or the sum of those with a label divided by their expected number."""
    if parts is not None:
        losses *= tf.cast(parts, losses.dtype)
    if labelled is None:
        return tf.reduce_mean(losses)
    return tf.reduce_mean(tf.where(has_label, losses, tf.zeros_like(losses))) / labelled


Loss: TypeAlias = Callable[..., tf.Tensor]
# By `distill.soft_loss` in the config: `core.soft_losses` has the declaration of each.
SOFT_LOSSES: dict[str, Loss] = {
    "kl": kl_loss,
    "mse": mse_loss,
    "dkd": dkd_loss,
    "nkd": nkd_loss,
    "dist": dist_loss,
    "wttm": wttm_loss,
    "wsld": wsld_loss,
}
# By the name of the task: the hard loss, and the soft losses.
LOSSES: dict[str, tuple[Loss, dict[str, Loss]]] = {
    SINGLE.name: (hard_loss, SOFT_LOSSES),
    MULTI.name: (bernoulli_hard_loss, {"kl": bernoulli_kl_loss, "mse": mse_loss}),
}


@dataclass(frozen=True)
class Objective:
    """What a training step minimises: `alpha * soft + (1 - alpha) * hard` with hints, or the hard loss alone."""

    soft_loss: str | None = None  # a key of `SOFT_LOSSES`; None for the hard loss alone
    # alpha and the numbers that the soft loss reads; `WEIGHTS` of the classes and of hints, if there are any.
    numbers: dict[str, float | tuple[float, ...]] = field(default_factory=dict)
    task: str = SINGLE.name  # a key of `LOSSES`
    standardize: bool = False  # the logits of the soft term: see `softened.standardized`
    warmup: float = 0  # epochs over which the soft term rises to `scale`
    hints: tuple[Hint, ...] = ()

    @property
    def uses_teacher(self) -> bool:
        """Whether the teacher's logits are needed."""
        return self.soft_loss is not None

    def numbers_in(self, epoch: int) -> dict[str, float | tuple[float, ...]]:
        """Return the numbers of an epoch, the first being 1; validation takes those after the warm-up."""
        if epoch >= self.warmup:
            return self.numbers
        return self.numbers | {"scale": float(self.numbers["scale"]) * epoch / self.warmup}  # type: ignore[arg-type]

    def __call__(
        self,
        labels: tf.Tensor,
        teacher_logits: tf.Tensor,
        student_logits: tf.Tensor,
        numbers: dict[str, Any] | None = None,
        mixed: MixedLabels | None = None,
    ) -> Terms:
        """Return the scalars `loss` without hints, `soft` (0 for the hard loss alone) and `hard`.

        Args:
            labels: (batch,) integers, or (batch, classes) of multi-label data.
            teacher_logits: (batch, classes) or (batch, teachers, classes); ignored for the hard loss alone.
            student_logits: (batch, classes).
            numbers: used instead of the objective's own, also if there are none. In a compiled step, which runs with
                other numbers share, these are tensors.
            mixed: the other labels of mixed examples, of which `labels` are the first.
        """
        of_soft: dict[str, Any] = dict(self.numbers if numbers is None else numbers)
        of_soft.pop(HINT_WEIGHTS, None)
        of_labels, of_teacher = LOSSES[self.task]
        of_hard = {key: of_soft.pop(key) for key in (WEIGHTS, LABELLED) if key in of_soft}
        if mixed is None:
            hard = of_labels(labels, student_logits, **of_hard)
        else:
            pairs = ((labels, mixed.weights), (mixed.others, 1.0 - mixed.weights))
            hard = tf.add_n([of_labels(which, student_logits, **of_hard, parts=parts) for which, parts in pairs])
        if self.soft_loss is None:
            return {"loss": hard, "soft": tf.zeros_like(hard), "hard": hard}
        alpha = of_soft.pop("alpha")
        if DECLARED[self.soft_loss].needs_labels:
            of_soft["labels"] = labels
        if self.standardize:
            teacher_logits, student_logits = standardized(teacher_logits), standardized(student_logits)
        soft = of_teacher[self.soft_loss](teacher_logits, student_logits, **of_soft)
        return {"loss": alpha * soft + (1.0 - alpha) * hard, "soft": soft, "hard": hard}

    def hint_term(
        self,
        teacher_features: Sequence[tf.Tensor],
        student_features: Sequence[tf.Tensor],
        numbers: Mapping[str, Any] | None = None,
    ) -> tf.Tensor:
        """Return the sum of the hints, each with its weight, a scalar.

        Args:
            teacher_features: (batch, *target.shape) of each hint.
            student_features: likewise, projected.
            numbers: used instead of the objective's own.
        """
        weights = (self.numbers if numbers is None else numbers)[HINT_WEIGHTS]
        pairs = zip(teacher_features, student_features, strict=True)
        each = [hint(*pair) for hint, pair in zip(self.hints, pairs, strict=True)]
        return tf.reduce_sum(tf.cast(weights, each[0].dtype) * tf.stack(each))


def hard_objective(class_weights: tuple[float, ...] | None = None, task: Task = SINGLE) -> Objective:
    """Return the objective of the teacher and the baseline: the labels alone, with weights (classes,) if any."""
    return Objective(numbers=_weights(class_weights), task=task.name)


def _weights(class_weights: tuple[float, ...] | None) -> dict[str, float | tuple[float, ...]]:
    return {} if class_weights is None else {WEIGHTS: class_weights}


def distillation_objective(
    alpha: float,
    temperature: float = 1.0,
    teacher_temperature: float | None = None,
    scale_by_t_squared: bool = True,
    soft_loss: str = "kl",
    class_weights: tuple[float, ...] | None = None,
    task: Task = SINGLE,
    standardize: bool = False,
    own: Mapping[str, float] | None = None,
    hints: Mapping[Hint, float] | None = None,
    shares: tuple[float, ...] = (),
) -> Objective:
    """Return the objective of the distilled arm: `alpha * soft + (1 - alpha) * hard`, and hints.

    Args:
        alpha: weight of the soft loss, in [0, 1]. Other tools, such as Keras's examples, call the weight of the hard
            loss alpha.
        temperature: T, above 0; a loss that divides no logits ignores it and the next two.
        teacher_temperature: T_t, above 0; T by default.
        scale_by_t_squared: multiply the soft loss by T^2.
        soft_loss: a key of `SOFT_LOSSES`.
        class_weights: (classes,) of the hard loss; None: all examples count the same.
        task: of the labels.
        standardize: standardise the logits of the soft term.
        shares: of several teachers in their mean, in the order of their logits; none: all weigh the same.
        own: the numbers that this soft loss alone reads, by `Key.name` of its declaration; by default the authors'.
        hints: hints with their weights; none by default.
    """
    loss = DECLARED[soft_loss]
    numbers: dict[str, float | tuple[float, ...]] = {"alpha": alpha, **_weights(class_weights)}
    numbers |= {"shares": shares} if shares else {}
    numbers |= _of_temperature(temperature, teacher_temperature, scale_by_t_squared) if loss.divides else {}
    mine = {key.name: key.default for key in loss.keys} | dict(own or {})
    warmup = mine.pop(WARMUP, 0)
    numbers |= {HINT_WEIGHTS: tuple(hints.values())} if hints else {}
    return Objective(soft_loss, {**numbers, **mine}, task.name, standardize, warmup, tuple(hints or ()))


def _of_temperature(
    temperature: float, teacher_temperature: float | None, scale_by_t_squared: bool
) -> dict[str, float]:
    return {
        "temperature": temperature,
        "teacher_temperature": teacher_temperature or temperature,
        "scale": t_squared(temperature) if scale_by_t_squared else 1.0,
    }
