"""`kdistill data ...` through the real CLI."""

import json
from functools import partial

import command_line
import numpy as np
import pytest

from kdistill.datasets.named import idx_datasets
from kdistill.datasets.named.download import UnavailableError


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


run = partial(command_line.run, "data")


def test_info_shows_where_was_looked():
    info = json.loads(run("info", "--json").stdout)
    assert info["digits"]["intact"] is True
    shown = run("info").stdout
    assert "fashion_mnist" in shown
    assert not shown.endswith("\n\n")


def test_a_folder_is_named_absolutely(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "here") in run("info", "mnist", "--dir", "here").stdout
    run("info", "--dir", "", code=2)


def test_hyphens_and_slips_in_names():
    assert "fashion_mnist" in run("info", "fashion-mnist").stdout
    assert "did you mean fashion_mnist?" in run("fetch", "fashion_mnits", code=2).stderr


def test_a_failed_fetch_says_how_to_provide_the_files(monkeypatch):
    def fail(*arguments):
        raise UnavailableError("no network")

    monkeypatch.setattr(idx_datasets, "download", fail)
    refused = run("fetch", "fashion-mnist", code=4).stderr
    assert "no network" in refused
    assert "KDISTILL_DATA_DIR" in refused
    assert "train-images-idx3-ubyte" in refused


def test_export_writes_the_data_of_a_config_and_says_how_to_know_it(tmp_path):
    shown = run("export", tmp_path / "d.npz", "-c", "quickstart", "--set", "data.validation=0.3").stdout
    document = json.loads(run("export", tmp_path / "d.npz", "--json").stdout)
    assert document["fingerprint"] in shown
    assert document["examples"] == {"train": 1257, "test": 540}
    with np.load(tmp_path / "d.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"x_train", "y_train", "x_test", "y_test", "classes", "fingerprint"}
    assert "expected the path of a .npz file" in run("export", tmp_path / "d.csv", code=2).stderr
    assert "nowhere" in run("export", tmp_path / "nowhere" / "d.npz", code=7).stderr
