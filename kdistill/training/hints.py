"""Hints: terms of the loss that compare outputs of a layer of the student, its features, with those of a teacher's.

    loss = alpha * soft + (1 - alpha) * hard + sum of weight * hint          `core.hints` declares the kinds of hints

Features are vectors (batch, values) or maps (batch, places, ..., channels). Of maps of different sizes the larger one
is averaged to the places of the smaller one; of different widths the student's features are projected to the teacher's
by an affine map of the last axis, which is trained along: a dense layer, for maps called a 1 x 1 convolution.
Projections are drawn from the run's seed, belong to the state of a run, and are in no saved model.

All is computed in the dtype of the features. What cannot be divided by, such as the length of a vector of zeros, gives
zero with a gradient of zero: rectified features are zero for many examples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from kdistill.models.features import Feature

Shape = tuple[int, ...]
STREAM = 2  # of the seeds of projections; 0 and 1 are those of teacher and student in `models.build`
SMALLEST = 1e-24  # squared length of a vector that has a direction: that of `torch.nn.functional.normalize`
SMALLEST_DISTANCE = 1e-12  # squared, between examples: that of the authors of RKD
ROUNDING = 8  # errors of a squared distance: machine epsilons of the squared lengths of its vectors
ATTENTION, DISTANCES, ANGLES = 1000.0, 25.0, 50.0  # the authors' weights


def mse_hint(teacher: tf.Tensor, student: tf.Tensor, relative: bool = True) -> tf.Tensor:
    """Return the mean squared difference of features of one shape, a scalar: FitNets (Romero et al. 2015, equation 3).

    With `relative` it is divided by the mean square of the teacher's features in the batch, so that a weight does not
    depend on their size: 1 is the loss of a student whose features are zero.
    """
    mse = tf.reduce_mean(tf.math.squared_difference(teacher, student))
    return tf.math.divide_no_nan(mse, tf.reduce_mean(tf.square(teacher))) if relative else mse


def cosine_hint(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Return 1 - the cosine of features of one shape along the last axis, a mean over examples and places: 0 to 2."""
    return 1.0 - tf.reduce_mean(tf.reduce_sum(_directions(teacher) * _directions(student), axis=-1))


def attention_hint(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Return 1000 times the mean squared difference of two attention maps of equal sizes, of any numbers of channels.

    An attention map is the mean of the squares over the channels, as a vector of length 1 for each example: Zagoruyko
    and Komodakis (2017), equation 2, in the form and with the weight of mdistiller's `AT.py`.
    """
    return ATTENTION * tf.reduce_mean(tf.math.squared_difference(_attention(teacher), _attention(student)))


def rkd_hint(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Return 25 * huber(distances) + 50 * huber(angles) of vectors (batch, values) of any two numbers of values.

    Distances between examples are divided by their mean over pairs, angles are the cosines at each example between
    every two others; Huber's loss has a width of 1 and is a mean over all pairs, or triplets: Park et al. (2019),
    equations 4 to 9, in the form and with the weights of mdistiller's `RKD.py`. A single example has neither: 0.
    """
    theirs, ours = (_distances(features) for features in (teacher, student))
    return DISTANCES * _huber(ours - theirs) + ANGLES * _angle_loss(ours, theirs)


# By the names of `core.hints.HINT_LOSSES`.
HINTS: dict[str, Callable[..., tf.Tensor]] = {
    "mse": mse_hint,
    "cosine": cosine_hint,
    "attention": attention_hint,
    "rkd": rkd_hint,
}


@dataclass(frozen=True)
class Hint:
    """One hint between two layers whose shapes are known.

    Attributes:
        teacher: name of the teacher's layer.
        student: name of the student's layer.
        teacher_shape: of the teacher's features for one example.
        student_shape: of the student's.
        loss: a key of `HINTS`.
        projected: whether the student's features are projected to the width of the teacher's.
        relative: mse: divided by the mean square of the teacher's features.
    """

    teacher: str
    student: str
    teacher_shape: Shape
    student_shape: Shape
    loss: str = "mse"
    projected: bool = False
    relative: bool = True

    @property
    def places(self) -> Shape:
        """The sizes at which maps are compared: along each axis the smaller one; empty for vectors."""
        return tuple(map(min, self.teacher_shape[:-1], self.student_shape[:-1]))

    @property
    def target(self) -> Feature:
        """The teacher's features as they are compared."""
        return Feature(self.teacher, (*self.places, self.teacher_shape[-1]))

    @property
    def source(self) -> Feature:
        """The student's features before they are projected."""
        return Feature(self.student, (*self.places, self.student_shape[-1]))

    def __call__(self, teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
        """Return the hint of the teacher's features (batch, *target.shape) and the student's, projected."""
        more = {"relative": self.relative} if self.loss == "mse" else {}
        return HINTS[self.loss](teacher, student, **more)


def projections(hints: Sequence[Hint], seed: int) -> keras.Model | None:
    """Return a model from the student's features, pooled, to the features that are compared; None without hints.

    The weights are drawn as those of a dense layer of Keras, from the seed and the number of the hint.
    """
    if not hints:
        return None
    seeds = np.random.SeedSequence([STREAM, seed]).generate_state(len(hints))
    inputs = [keras.Input(hint.source.shape) for hint in hints]
    layers = [
        keras.layers.Dense(
            hint.teacher_shape[-1], kernel_initializer=keras.initializers.GlorotUniform(seed=int(drawn) & 0x7FFFFFFF)
        )
        if hint.projected
        else keras.layers.Identity()
        for hint, drawn in zip(hints, seeds, strict=True)
    ]
    outputs = [layer(features) for layer, features in zip(layers, inputs, strict=True)]
    return keras.Model(inputs, outputs, name="projections")


def _directions(vectors: tf.Tensor) -> tf.Tensor:
    """Return vectors, along the last axis, divided by their lengths; zero, also its gradient, for one of no length."""
    squared = tf.reduce_sum(tf.square(vectors), axis=-1, keepdims=True)
    has_length = squared > SMALLEST
    return tf.where(has_length, vectors * tf.math.rsqrt(tf.where(has_length, squared, 1.0)), 0.0)


def _attention(features: tf.Tensor) -> tf.Tensor:
    """Return the attention (batch, places) of a map."""
    means = tf.reduce_mean(tf.square(features), axis=-1)
    return _directions(tf.reshape(means, (tf.shape(means)[0], -1)))


def _distances(vectors: tf.Tensor) -> tf.Tensor:
    """Return the distances (batch, batch) between vectors, divided by their mean over pairs; 0 of those too close.

    They are computed from inner products, in a tenth of the time of differences. Vectors that are closer to each other
    than rounding errors have no distance.
    """
    centred = vectors - tf.reduce_mean(vectors, axis=0)
    products = tf.matmul(centred, centred, transpose_b=True)
    own = tf.linalg.diag_part(products)
    sizes = own[:, tf.newaxis] + own
    squared = sizes - 2.0 * products
    are_apart = squared > SMALLEST_DISTANCE + ROUNDING * np.finfo(vectors.dtype.as_numpy_dtype).eps * sizes
    distances = tf.where(are_apart, tf.sqrt(tf.where(are_apart, squared, 1.0)), 0.0)
    distances = tf.linalg.set_diag(distances, tf.zeros_like(own))
    count = tf.cast(tf.shape(vectors)[0], vectors.dtype)
    return tf.math.divide_no_nan(distances * count * (count - 1.0), tf.reduce_sum(distances))


@tf.custom_gradient
def _angle_loss(ours: tf.Tensor, theirs: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor, None]]]:
    """Return the mean of Huber's loss of the angles that follow from distances (batch, batch); see `rkd_hint`.

    The gradient with respect to `ours` by hand takes half the time: with the distances r, d cos[b, a, c] / d r[b, a] is
    1 / r[b, c] - cos[b, a, c] / r[b, a], likewise for c, and d cos[b, a, c] / d r[a, c] -r[a, c] / (r[b, a] r[b, c]).
    """
    inverse = tf.math.reciprocal_no_nan(ours)
    cosines = _cosines(ours)
    difference = cosines - _cosines(theirs)
    slope = tf.clip_by_value(difference, -1.0, 1.0)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        at = tf.reduce_sum(slope * (inverse[:, tf.newaxis] - cosines * inverse[:, :, tf.newaxis]), axis=2)
        across = tf.reduce_sum(slope * inverse[:, :, tf.newaxis] * inverse[:, tf.newaxis], axis=0)
        whole = tf.where(ours > 0.0, 2.0 * at, 0.0) - ours * across
        return whole * (upstream / tf.cast(tf.size(slope), slope.dtype)), None

    return tf.reduce_mean(slope * (difference - 0.5 * slope)), gradient


def _cosines(distances: tf.Tensor) -> tf.Tensor:
    """Return the cosines (batch, batch, batch) at each example between two others, by the law of cosines."""
    squared, inverse = tf.square(distances), tf.math.reciprocal_no_nan(distances)
    products = 0.5 * (squared[:, :, tf.newaxis] + squared[:, tf.newaxis] - squared)
    return products * inverse[:, :, tf.newaxis] * inverse[:, tf.newaxis]


def _huber(difference: tf.Tensor) -> tf.Tensor:
    """Return the mean of Huber's loss with a width of 1."""
    slope = tf.clip_by_value(difference, -1.0, 1.0)
    return tf.reduce_mean(slope * (difference - 0.5 * slope))
