"""The section `augmentation`: what mixup rules out, what it adds to formulas, and that its absence changes nothing."""

import pytest

from kdistill import config as configs
from kdistill import runs
from kdistill.core.errors import ConfigError

MIXED = "augmentation.mixup=0.2"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("augmentation.mixup=-0.1", "augmentation.mixup: expected a number of at least 0; received -0.1"),
        ("augmentation.mixup=101", "augmentation.mixup: expected a number of at most 100; received 101"),
        ("augmentation.mixup=true", "augmentation.mixup: expected a number; received true"),
        ("augmentation.mixup=yes please", "augmentation.mixup: expected a number; received 'yes please'"),
    ],
)
def test_other_values_are_refused(override, message):
    with pytest.raises(ConfigError) as refused:
        configs.load("quickstart", [override])
    assert message in refused.value.message


@pytest.mark.parametrize("loss", ["dkd", "nkd", "wsld"])
def test_losses_that_need_one_label_are_refused_under_mixup(loss):
    with pytest.raises(ConfigError, match=f"distill.soft_loss: {loss} needs one label.*augmentation.mixup.*kl, mse"):
        configs.load("quickstart", [f"distill.soft_loss={loss}", MIXED])
    configs.load("quickstart", [f"distill.soft_loss={loss}", "augmentation.flip=true"])


@pytest.mark.parametrize("loss", ["kl", "mse", "dist"])
def test_other_losses_go_with_mixup(loss):
    assert configs.load("quickstart", [f"distill.soft_loss={loss}", MIXED]).augmentation.changes_images


def test_shuffled_outputs_and_mixup_do_not_go_together():
    with pytest.raises(ConfigError, match="remove shuffled, or the augmentation"):
        configs.load("quickstart", ["controls=[shuffled]", MIXED])


def test_mixup_is_part_of_a_run_only_if_it_is_on():
    moved = [configs.load("quickstart", ["augmentation.shift=1", *more]) for more in ([], ["augmentation.mixup=0"])]
    specs = [runs.specification(config, "baseline", 0)["augmentation"] for config in moved]
    assert specs == [{"shift": 1, "flip": False, "crop": None}] * 2
    assert "mixup" not in configs.dump(moved[0])
    mixed = configs.load("quickstart", [MIXED])
    assert runs.specification(mixed, "baseline", 0)["augmentation"]["mixup"] == 0.2
    assert "mixup: 0.2" in configs.dump(mixed)
    for arm in runs.ARMS:
        assert runs.specification(configs.load("quickstart", ["augmentation.mixup=0.0"]), arm, 0, "w") == (
            runs.specification(configs.load("quickstart"), arm, 0, "w")
        )


def test_the_formula_says_what_is_mixed():
    mixed, plain = configs.load("quickstart", [MIXED]), configs.load("quickstart")
    words = "mixup: l * one example and label + (1 - l) * another, l from Beta(0.2, 0.2)"
    assert mixed.formula_end("baseline") == f"; {words}"
    assert f"# {words}" in configs.described(mixed)
    assert plain.formula_end("baseline") == ""
