"""Updates and epochs, against counting them one by one."""

import pytest

from kdistill.core.budget import Budget


def counted(updates, per_epoch):
    """Return the number of updates in each epoch."""
    epochs = [0]
    for _ in range(updates):
        if epochs[-1] == per_epoch:
            epochs.append(0)
        epochs[-1] += 1
    return epochs


@pytest.mark.parametrize("updates", [1, 4, 5, 6, 10, 11, 23])
@pytest.mark.parametrize("per_epoch", [1, 5, 7])
def test_epochs_are_full_but_for_the_last(updates, per_epoch):
    budget, expected = Budget(updates, per_epoch), counted(updates, per_epoch)
    assert budget.epochs == len(expected)
    assert [budget.within(number + 1) for number in range(budget.epochs)] == expected
    assert [budget.after(number + 1) for number in range(budget.epochs)] == [
        sum(expected[: number + 1]) for number in range(len(expected))
    ]


def test_updates_and_epochs_in_words():
    assert Budget(6000, 500).words == "6,000 updates: 12 epochs of 500"
    assert Budget(6100, 500).words == "6,100 updates: 13 epochs of 500, the last of 100"
    assert Budget(500, 500).words == "500 updates: 1 epoch"
    assert Budget(1, 500).words == "1 update of the 500 of an epoch"
