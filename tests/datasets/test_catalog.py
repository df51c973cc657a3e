"""The data sets by name."""

import pytest
import tiny_mnist

from kdistill.config.data_schema import NAMED, Data
from kdistill.core.errors import ConfigError
from kdistill.datasets import catalog
from kdistill.datasets.named import published


def test_the_names_are_those_a_config_may_use():
    assert set(catalog.names()) == set(NAMED)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("digits", ((8, 8), 10)), ("fashion_mnist", ((28, 28), 10)), ("mnist", ((28, 28), 10))],
)
def test_the_shape_is_known_without_reading(name, expected):
    assert catalog.static_shape(name) == expected


@pytest.mark.parametrize("call", [catalog.static_shape, catalog.info, catalog.fetch])
def test_an_unknown_name_is_a_config_error(call):
    known = ", ".join(catalog.names())
    with pytest.raises(ConfigError, match=rf"expected one of {known}; received 'cifar'"):
        call("cifar")


def test_a_data_set_is_added_in_one_line(monkeypatch, tmp_path):
    tiny = tiny_mnist.make("tiny", "Tiny", "tiny", archive=None)
    monkeypatch.setattr(published, "ALL", (*published.ALL, tiny.facts))
    monkeypatch.setitem(catalog.CATALOG, "tiny", catalog.published_dataset(tiny.facts))
    monkeypatch.setenv("KDISTILL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    folder = tiny.write(tmp_path / "tiny")
    assert catalog.static_shape("tiny") == (tiny_mnist.SHAPE, len(tiny_mnist.CLASSES))
    assert catalog.info("tiny")["folder"] == str(folder)
    splits = catalog.load(Data.model_construct(dataset="tiny", validation=0.25))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (60, 20, 20)
    assert splits.shape == tiny_mnist.SHAPE
