"""Mixup: each example of a batch, and its label, is mixed with another one of the batch.

    x = l * x_i + (1 - l) * x_j      y = l * y_i + (1 - l) * y_j      l = max(b, 1 - b), b from Beta(a, a)

Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018), arXiv:1710.09412, section 2. In distillation
the teacher is asked about the mixed example: Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent" (2022), arXiv:2106.05237, where it is called function matching.

The weight l is drawn for each example rather than for each batch. That it is at least 1/2 changes no distribution,
since Beta(a, a) is symmetric and the order of an epoch is random; so each example is the larger part of one mixed
example an epoch. The other one, j, is the next of the batch that has a label if i has one, and has none if i has none;
after the last comes the first. So a mixed example has both labels or none, and the hard term stays a mean over the
labelled examples. An example that is the only one of its kind in a batch is mixed with itself.

As of other augmentation, the weights are drawn from the seed and the epoch alone, so that a checkpoint needs no state.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

STREAM = 2  # weights are drawn from [seed, epoch, STREAM]


class MixedLabels(NamedTuple):
    """The second labels of a batch of mixed examples, and the weights (batch,) of the first ones."""

    others: tf.Tensor
    weights: tf.Tensor


def draw(alpha: float, seed: int, epoch: int, examples: int) -> NDArray[np.float32]:
    """Return the weight (examples,) of each example in its mixed one, from 1/2 to 1, in an epoch.

    `alpha` is the parameter a of Beta(a, a), above 0.
    """
    drawn = np.random.default_rng([seed, epoch, STREAM]).beta(alpha, alpha, examples)
    # For an alpha next to 0 NumPy gives 0 / 0 in place of 0 or 1, which is the limit.
    drawn = np.nan_to_num(drawn, nan=1.0)
    return np.maximum(drawn, 1.0 - drawn).astype(np.float32)


def partners(has_label: NDArray[np.bool_], batch_size: int) -> NDArray[np.int32]:
    """Return the position (n,) of the example that each one is mixed with.

    Args:
        has_label: (n,), of examples in the order of their batches.
        batch_size: the last batch may be shorter.
    """
    groups = np.arange(len(has_label)) // batch_size * 2 + has_label
    members = np.argsort(groups, kind="stable")
    is_last = np.append(np.diff(groups[members]) != 0, True)
    following = np.roll(members, -1)
    following[is_last] = members[np.roll(is_last, 1)]
    found = np.empty(len(members), np.int32)
    found[members] = following
    return found


def mix(examples: tf.Tensor, positions: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the mixed examples, float32.

    Args:
        examples: (batch, *shape), raw values.
        positions: (batch,) of the examples that they are mixed with.
        weights: (batch,), of the examples themselves.
    """
    each = tf.reshape(weights, [-1] + [1] * (len(examples.shape) - 1))
    own, others = (tf.cast(values, tf.float32) for values in (examples, tf.gather(examples, positions)))
    return each * own + (1.0 - each) * others
