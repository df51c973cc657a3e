"""Which images a section's layers take, and how many multiplications its model has, without TensorFlow."""

import pytest

from kdistill import config as configs
from kdistill.config import architecture
from kdistill.core.errors import ConfigError


def section(text):
    return configs.load("quickstart", [f"student={text}"]).student


def test_known_numbers():
    # 28 x 28 positions x 9 x 1 x 16, 14 x 14 x 9 x 16 x 32, then 7 x 7 x 32 x 64 and 64 x 10.
    assert (
        architecture.multiplications(section("{conv: [16, 32], hidden: [64]}"), (28, 28), 10)
        == 112896 + 903168 + 100352 + 640
    )
    assert architecture.multiplications(section("{hidden: [128]}"), (28, 28), 10) == 784 * 128 + 128 * 10


def test_convolutions_need_images():
    architecture.check_layers(section("{hidden: [3]}"), "student", (30,))
    with pytest.raises(ConfigError, match=r"student\.conv: expected images.*received examples of shape \(30,\)"):
        architecture.check_layers(section("{conv: [3]}"), "student", (30,))


def test_images_that_pooling_uses_up_are_refused():
    architecture.check_layers(section("{conv: [3, 3, 3]}"), "teacher", (8, 8))
    with pytest.raises(ConfigError, match=r"teacher\.conv: .*of 8 x 8 pixels nothing is left after block 4") as refused:
        architecture.check_layers(section("{conv: [3, 3, 3, 3, 3]}"), "teacher", (8, 8))
    assert "fewer blocks" in refused.value.hint
    architecture.check_layers(section("{conv: [3, 3, 3, 3, 3], pool: 1}"), "teacher", (8, 8))
    with pytest.raises(ConfigError, match="after block 1"):
        architecture.check_layers(section("{conv: [3], pool: 3}"), "teacher", (28, 2, 3))
