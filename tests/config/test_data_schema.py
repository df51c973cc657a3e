"""The section `data`: which keys go with which data set."""

import pytest

from kdistill import config as configs
from kdistill.config.data_schema import DATA_READERS, NAMED, OWN, Data
from kdistill.core.errors import ConfigError


def load(*overrides):
    return configs.load("quickstart", overrides)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["data.path=x"], "data.path: only dataset npz or image_folder or csv reads it; dataset is digits"),
        (["data.dataset=npz", "data.path=x", "data.dir=y"], "data.dir: only dataset digits or fashion_mnist or mnist"),
        (["data.dataset=npz", "data.path=x", "data.channels=1"], "data.channels: only dataset image_folder reads it"),
        (["data.dataset=npz"], "data.path: dataset npz needs it"),
        (["data.dataset=npz", "data.path=''"], "data.path: dataset npz needs it"),
        (["data.dataset=csv", "data.path=x"], "data.label: dataset csv needs it"),
        (["data.validation=given"], "data.validation: digits has no validation part"),
        (["data.dataset=image_folder", "data.path=x", "data.image_size=[1,2,3]"], "expected [height, width]"),
        (["data.dataset=image_folder", "data.path=x", "data.image_size=9"], "expected [height, width]; received 9"),
        (["data.dataset=image_folder", "data.path=x", "data.image_size=[0,9]"], "data.image_size.0: expected a number"),
        (["data.dataset=image_folder", "data.path=x", "data.channels=true"], "data.channels: expected 1 or 3"),
        (["data.dataset=image_folder", "data.path=x", "data.on_error=skp"], "did you mean 'skip'?"),
        (["data.test=1.0"], "data.test: expected a number below 1; received 1"),
        (["data.class_weights=balance"], "data.class_weights: expected balanced, null, or weights above 0 by class"),
        (["data.class_weights={cat: 0}"], "received cat: 0"),
        (["data.class_weights={cat: .inf}"], "data.class_weights: expected balanced, null, or weights above 0"),
        (["data.class_weights={cat: true}"], "received cat: true"),
        (["data.class_weights=[1, 2]"], "data.class_weights: expected balanced, null, or weights above 0"),
        (["data.class_weights={}"], "data.class_weights: expected balanced, null, or weights above 0"),
    ],
)
def test_data_keys_go_with_the_data_set(overrides, problem):
    with pytest.raises(ConfigError) as raised:
        load(*overrides)
    assert problem in raised.value.message


def test_a_data_key_may_be_null_where_nothing_reads_it():
    assert load("data.path=null", "data.label=null").data.dataset == "digits"


def test_every_data_key_has_readers_of_the_schema():
    for key, readers in DATA_READERS.items():
        assert key in Data.model_fields
        assert set(readers) <= set(NAMED) | set(OWN) == set(Data.model_fields["dataset"].annotation.__args__)
