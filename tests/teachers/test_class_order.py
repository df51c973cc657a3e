"""A teacher whose outputs are in another order of classes, told from one that is merely bad."""

import numpy as np
import pytest

from kdistill.teachers.class_order import another_order, best_order

NAMES = tuple("abcde")
RNG = np.random.default_rng(0)
LABELS = np.arange(200) % 5


def right_of(labels, share):
    """Logits (n, 5) that are right for a share of the examples, and else those of a random class."""
    known = np.where(RNG.random(len(labels)) < share, labels, RNG.integers(5, size=len(labels)))
    return np.eye(5)[known] + 0.01 * RNG.random((len(labels), 5))


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
def test_the_order_that_explains_most_is_found_by_trying_all(share):
    """Against all 120 orders."""
    from itertools import permutations

    logits = right_of(LABELS, share)[:, [3, 0, 1, 2, 4]]
    answers = logits.argmax(-1)
    best = max(permutations(range(5)), key=lambda order: (np.array(order)[LABELS] == answers).mean())
    outputs, accuracy = best_order(logits, LABELS)
    assert tuple(outputs) == best
    assert accuracy == (np.array(best)[LABELS] == answers).mean()


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4], [4, 3, 2, 1, 0], [1, 2, 3, 4, 0]])
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_another_order_is_told_with_the_output_of_each_class_that_moved(order, share):
    logits = right_of(LABELS, share)[:, order]  # output i is that of class order[i]
    text = another_order(logits, LABELS, NAMES)
    for output, label in enumerate(order):
        assert (f"output {output} for {NAMES[label]}" in text) == (output != label)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.0])
def test_a_teacher_in_the_right_order_is_at_most_bad(share):
    assert another_order(right_of(LABELS, share), LABELS, NAMES) is None


def test_few_examples_say_nothing_about_the_order():
    assert another_order(right_of(LABELS[:8], 1.0)[:, [1, 0, 2, 3, 4]], LABELS[:8], NAMES) is None
    assert all(another_order(right_of(LABELS[:40], 0.0), LABELS[:40], NAMES) is None for _ in range(200))
