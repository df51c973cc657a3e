"""What is done to raw values, in words."""

import pytest

from kdistill.core.scaling import Standardization, described


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (1.0, "as they are"),
        (1 / 255, "multiplied by 0.00392157"),
        (Standardization((0.0,), (1.0,)), "standardised by mean and variance of the training examples"),
    ],
)
def test_it_is_said_what_is_done(scale, words):
    assert described(scale) == words
