"""The key `controls`: its short forms, its mistakes, and what a resolved config says of it."""

import pytest

from kdistill import config as configs
from kdistill.core.controls import CONTROLS
from kdistill.core.errors import ConfigError


def loaded(*controls, more=()):
    return configs.load("quickstart", [f"controls=[{', '.join(controls)}]", *more])


def test_names_and_options():
    config = loaded("smoothed", "pseudo", "{shuffled: all}", "self", "continued")
    assert config.controls == {"smoothed": 0.1, "pseudo": None, "shuffled": "all", "self": None, "continued": None}
    assert config.students == ("baseline", "distilled", "smoothed", "pseudo", "shuffled", "self", "continued")
    assert configs.resolved(config)["controls"] == ["smoothed", "pseudo", {"shuffled": "all"}, "self", "continued"]
    assert configs.Config.model_validate(configs.resolved(config)) == config


def test_without_controls_a_config_is_that_of_earlier_versions():
    assert "controls" not in configs.resolved(configs.load("quickstart"))


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        (["psuedo"], "did you mean 'pseudo'?"),
        (["pseudo", "pseudo"], "pseudo is named twice"),
        (["smoothed", "{smoothed: 0.2}"], "smoothed is named twice"),
        (["{smoothed: 2}"], "smoothed: expected a number between 0 and 1, such as smoothed: 0.1; received 2"),
        (["{smoothed: true}"], "received true"),
        (["{shuffled: classes}"], "shuffled: expected one of class, all; received classes"),
        (["{pseudo: 1}"], "pseudo: it takes no value; received 1"),
        (["3"], f"expected {', '.join(CONTROLS)}; received 3"),
        (["{pseudo: null, self: null}"], "received {"),
    ],
)
def test_mistakes_are_one_line(controls, said):
    with pytest.raises(ConfigError) as error:
        loaded(*controls)
    assert said in error.value.message
    assert "\n" not in error.value.message


def test_other_shapes_are_refused():
    for text in ("controls=pseudo", "controls=null"):
        with pytest.raises(ConfigError, match=r"expected a list of smoothed, pseudo"):
            configs.load("quickstart", [text])


def test_shuffled_outputs_and_augmentation_do_not_go_together():
    with pytest.raises(ConfigError, match="no output of another can be taken; remove shuffled, or the augmentation"):
        loaded("shuffled", more=["augmentation.shift=1"])
    assert loaded("pseudo", more=["augmentation.shift=1"]).controls == {"pseudo": None}
