"""Where data sets are looked for, in which order."""

from pathlib import Path

import pytest

from kdistill.datasets import search_paths
from kdistill.datasets.search_paths import Place


@pytest.fixture
def _no_variables(monkeypatch, tmp_path):
    for variable in ("KDISTILL_CACHE_DIR", "KDISTILL_DATA_DIR", "XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("_no_variables")
def test_the_cache_is_in_the_home_folder(tmp_path):
    assert search_paths.cache_dir() == tmp_path / ".cache" / "kdistill"


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize(("value", "expected"), [("/xdg", "/xdg/kdistill"), ("relative", None), ("", None)])
def test_the_cache_follows_xdg_where_that_is_absolute(monkeypatch, tmp_path, value, expected):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert search_paths.cache_dir() == Path(expected or tmp_path / ".cache" / "kdistill")


@pytest.mark.usefixtures("_no_variables")
def test_the_own_variable_comes_before_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("KDISTILL_CACHE_DIR", "~/own")
    assert search_paths.cache_dir() == tmp_path / "own"
    assert search_paths.cached("mnist") == tmp_path / "own" / "datasets" / "mnist"


@pytest.mark.usefixtures("_no_variables")
def test_the_order_of_the_search(monkeypatch, tmp_path):
    monkeypatch.setenv("KDISTILL_DATA_DIR", "/env")
    monkeypatch.setenv("KERAS_HOME", "/keras")
    assert search_paths.search("/named", "mnist") == [
        Place("data.dir", Path("/named/mnist")),
        Place("data.dir", Path("/named")),
        Place("KDISTILL_DATA_DIR", Path("/env/mnist")),
        Place("KDISTILL_DATA_DIR", Path("/env")),
        Place("cache", tmp_path / ".cache/kdistill/datasets/mnist"),
        Place("Keras cache", Path("/keras/datasets/mnist")),
        Place("Keras cache", Path("/keras/datasets")),
    ]


@pytest.mark.usefixtures("_no_variables")
def test_without_variables_the_caches_are_left(tmp_path):
    folders = [place.folder for place in search_paths.search(None, "fashion-mnist")]
    keras = tmp_path / ".keras" / "datasets"
    assert folders == [
        tmp_path / ".cache/kdistill/datasets/fashion-mnist",
        keras / "fashion-mnist",
        keras,
    ]


def test_a_folder_named_twice_is_searched_once_and_first(monkeypatch):
    monkeypatch.setenv("KDISTILL_DATA_DIR", "/same")
    found = search_paths.search("/same", "mnist")
    assert [place.origin for place in found[:3]] == ["data.dir", "data.dir", "cache"]
    assert len({place.folder for place in found}) == len(found)
