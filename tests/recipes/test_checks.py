"""What is checked before TensorFlow is started."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from kdistill import config as configs
from kdistill.core.errors import ConfigError, OutputError
from kdistill.recipes import checks

SPLITS = SimpleNamespace(per_epoch=100)


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    checks.writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_takes_nothing_is_refused():
    with pytest.raises(OutputError, match="/proc/x/name: nothing can be written to /proc: "):
        checks.writable(Path("/proc/x/name"))


@pytest.mark.parametrize(
    ("override", "arm", "key"),
    [
        ("training.batch_size=101", "teacher", "training.batch_size"),
        ("teacher.batch_size=101", "teacher", "teacher.batch_size"),
        ("student.batch_size=101", "baseline", "student.batch_size"),
        ("student.batch_size=101", "distilled", "student.batch_size"),
    ],
)
def test_a_batch_that_does_not_fit_is_named_by_the_key_that_was_set(override, arm, key):
    with pytest.raises(ConfigError, match=rf"^{key}: expected at most the 100 examples .* received 101$"):
        checks.batch_fits(configs.load("quickstart", [override]), arm, SPLITS)


def test_a_batch_of_the_other_model_is_its_own_affair():
    checks.batch_fits(configs.load("quickstart", ["teacher.batch_size=101"]), "baseline", SPLITS)
    checks.batch_fits(configs.load("quickstart", ["training.batch_size=100"]), "teacher", SPLITS)


@pytest.mark.parametrize(
    ("overrides", "shape", "message"),
    [
        (["augmentation.flip=true"], (30,), r"augmentation: expected images.*received examples of shape \(30,\)"),
        (["augmentation.shift=8"], (8, 9), "augmentation.shift: expected fewer pixels.*8 x 9; received 8"),
        (["augmentation.crop=8"], (9, 8, 3), "augmentation.crop: expected fewer pixels.*9 x 8; received 8"),
    ],
)
def test_an_augmentation_that_does_not_fit_is_refused(overrides, shape, message):
    with pytest.raises(ConfigError, match=message):
        checks.augmentation_fits(configs.load("quickstart", overrides), shape)
    checks.augmentation_fits(configs.load("quickstart"), shape)
    checks.augmentation_fits(configs.load("quickstart", overrides), (28, 28, 3))


def test_only_examples_whose_values_are_numbers_are_mixed():
    mixed = configs.load("quickstart", ["augmentation.mixup=0.2"])
    columns = [{"name": "age"}, {"name": "city", "categories": ["a", "b"]}, {"name": "sex", "categories": ["f", "m"]}]
    images, tokens = (SimpleNamespace(kind=kind, inputs=None) for kind in ("image", "tokens"))
    table = SimpleNamespace(kind="table", inputs={"columns": columns})
    with pytest.raises(ConfigError, match=r"augmentation.mixup: .* received tokens"):
        checks.mixup_fits(mixed, tokens)
    with pytest.raises(ConfigError, match=r"received a table with columns of categories: city, sex$"):
        checks.mixup_fits(mixed, table)
    numbers = SimpleNamespace(kind="table", inputs={"columns": [{"name": "age", "means": [1.0]}]})
    for splits in (images, numbers):
        checks.mixup_fits(mixed, splits)
    for splits in (tokens, table):
        checks.mixup_fits(configs.load("quickstart"), splits)


@pytest.mark.parametrize(("section", "arm"), [("training", "teacher"), ("student", "distilled")])
def test_an_example_is_not_mixed_with_itself_alone(section, arm):
    mixed, alone = "augmentation.mixup=0.2", f"{section}.batch_size=1"
    with pytest.raises(ConfigError, match=rf"^{section}.batch_size: expected at least 2, .* received 1$"):
        checks.batch_is_mixed(configs.load("quickstart", [mixed, alone]), arm)
    checks.batch_is_mixed(configs.load("quickstart", [mixed, f"{section}.batch_size=2"]), arm)
    checks.batch_is_mixed(configs.load("quickstart", [alone]), arm)
