"""The keys `distill.classes` and `distill.adjust_prior`: what they take, what they refuse, and old runs."""

import pytest
import yaml

from kdistill import config as configs
from kdistill.core.errors import ConfigError
from kdistill.runs import specification

CLASSES = tuple("0123456789")


def load(*overrides):
    return configs.load("quickstart", list(overrides))


@pytest.mark.parametrize(
    ("overrides", "left_out"),
    [
        ([], ""),
        (["distill.classes=null"], ""),
        (["distill.classes={without: [3]}"], "3"),
        (["distill.classes={without: ['3']}"], "3"),
        (["distill.classes={only: [8, 7]}"], "01234569"),
        (["distill.classes.only=[7, 8]"], "01234569"),
    ],
)
def test_classes_are_left_out_by_their_names(overrides, left_out):
    assert "".join(load(*overrides).distill.left_out(CLASSES)) == left_out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["distill.classes={}"], "distill.classes: expected one of only and without; received neither"),
        (["distill.classes={only: [7], without: [8]}"], "received both"),
        (["distill.classes=[3]"], "distill.classes: expected {only: [7, 8]} or {without: [3]}; received [3]"),
        (["distill.classes={only: 7}"], "distill.classes.only: expected a list of classes, such as [7, 8]; received 7"),
        (["distill.classes={only: []}"], "expected at least one class; received []"),
        (["distill.classes={only: [7, '7']}"], "7 is named twice"),
        (["distill.classes={onyl: [7]}"], "unknown key 'onyl'; did you mean 'only'?"),
        (["distill.adjust_prior=1"], "distill.adjust_prior: expected true or false; received 1"),
        (["distill.classes={only: [7]}", "data.labelled=50"], "nobody knows their class: set distill.examples"),
        (["distill.adjust_prior=true", *(multi := ["data={dataset: npz, path: x.npz, labels: multi}"])], "is multi"),
        (["distill.classes={only: [7]}", *multi], "distill.classes: is for examples of one class each"),
    ],
)
def test_what_cannot_be_is_refused(overrides, message):
    with pytest.raises(ConfigError) as refused:
        load(*overrides)
    assert message in refused.value.message


def test_the_labelled_examples_may_be_chosen_by_their_class():
    assert load("distill.classes={only: [7]}", "data.labelled=50", "distill.examples=labelled").distill.classes.key


def test_runs_without_the_keys_keep_their_identity():
    config = load("controls=[smoothed, pseudo, shuffled, self, continued]")
    written = yaml.safe_load(configs.dump(config))["distill"]
    assert not {"classes", "adjust_prior"} & set(written)
    for arm in ("baseline", "distilled", *config.controls):
        assert not {"classes", "adjust_prior"} & set(specification(config, arm, 0).get("distill", {}))


def test_only_arms_that_a_model_teaches_depend_on_them():
    controls = "controls=[smoothed, pseudo, shuffled, self, continued]"
    plain, config = load(controls), load(controls, "distill.classes={without: [3]}", "distill.adjust_prior=true")
    for arm in ("distilled", "pseudo", "shuffled", "self"):
        keys = specification(config, arm, 0)["distill"]
        assert (keys["classes"], keys["adjust_prior"]) == ({"without": ["3"]}, True)
    for arm in ("teacher", "baseline", "smoothed", "continued"):
        assert specification(config, arm, 0) == specification(plain, arm, 0)


def test_a_config_is_written_as_it_was_read():
    config = load("distill.classes={only: [8, 7]}", "distill.adjust_prior=true")
    text = configs.dump(config)
    assert yaml.safe_load(text)["distill"]["classes"] == {"only": ["7", "8"]}
    other = load("distill.classes={only: ['7', 8]}", "distill.adjust_prior=true")
    assert specification(other, "distilled", 0) == specification(config, "distilled", 0)
