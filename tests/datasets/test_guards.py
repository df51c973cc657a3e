"""What looks like a mistake in the data, and what does not."""

import pytest

from kdistill.datasets import guards


@pytest.mark.parametrize(("examples", "told"), [(1, True), (49, True), (50, False), (5000, False)])
def test_a_small_validation_split_is_told(examples, told):
    found = guards.small_validation(examples)
    assert bool(found) == told
    assert all(f"has {examples} examples" in text for text in found)
