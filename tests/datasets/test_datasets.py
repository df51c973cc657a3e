"""Data sets as the rest of the program sees them: a config's `data` section in, splits out."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from kdistill import datasets
from kdistill.config import Data
from kdistill.core.errors import ConfigError, DataError


def data(dataset="digits", **changed):
    return Data(dataset=dataset, **changed)


@pytest.fixture
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))


def test_the_digits_are_divided_in_three():
    splits = datasets.load(data())
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [1131, 126, 540]
    rows = [*splits.train.rows, *splits.validation.rows, *splits.test.rows]
    assert sorted(rows) == list(range(1797))
    assert (splits.shape, splits.scale, len(splits.classes)) == ((8, 8), 1 / 16, 10)


def test_the_test_part_is_the_same_for_every_config():
    first, other = (datasets.load(data(validation=v, split_seed=s)) for v, s in ((0.1, 0), (0.3, 7)))
    assert np.array_equal(first.test.rows, other.test.rows)
    assert first.fingerprint == other.fingerprint
    assert first.split_fingerprint != other.split_fingerprint


def test_validation_may_be_test():
    splits = datasets.load(data(validation="test"))
    assert splits.validation_is_test
    assert len(splits.train) == 1257


def test_a_fraction_too_small_for_the_classes_is_a_config_error():
    with pytest.raises(ConfigError, match=r"data\.validation"):
        datasets.load(data(validation=0.001))


@pytest.mark.parametrize("below", [True, False], ids=["parent", "folder"])
def test_fashion_mnist_is_read(fashion_mnist_dir, below):
    folder = fashion_mnist_dir.parent if below else fashion_mnist_dir
    splits = datasets.load(data("fashion_mnist", dir=str(folder)))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [54000, 6000, 10000]
    images, labels = splits.test.take(np.arange(3))
    assert images.shape == (3, 28, 28)
    assert images.dtype == np.uint8
    assert [splits.classes[label] for label in labels] == ["Ankle boot", "Pullover", "Trouser"]
    assert np.bincount(splits.validation.labels[splits.validation.rows]).tolist() == [600] * 10
    assert splits.fingerprint == "ce9ec1726649b753542b5e35e6e4be1e602cd6e0e4baf986bf71b06dc9caecfc"


@pytest.mark.usefixtures("_own_cache")
def test_fashion_mnist_is_not_taken_for_mnist(fashion_mnist_dir):
    message = f"train-images-idx3-ubyte.gz in {fashion_mnist_dir} is Fashion-MNIST, not MNIST"
    with pytest.raises(DataError, match=message) as error:
        datasets.load(data("mnist", dir=str(fashion_mnist_dir)))
    assert error.value.exit_code == 4


@pytest.mark.usefixtures("_own_cache")
def test_a_damaged_copy_of_fashion_mnist_is_named(fashion_mnist_dir, tmp_path):
    for path in fashion_mnist_dir.iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    damaged = tmp_path / "t10k-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:100_000])
    with pytest.raises(DataError, match=f"{damaged}: the compressed data is damaged or cut off") as error:
        datasets.load(data("fashion_mnist", dir=str(tmp_path)))
    assert "kdistill data fetch fashion_mnist" in error.value.hint
    info = datasets.info("fashion_mnist", str(tmp_path))
    assert info["found"]
    assert not info["intact"]
    assert damaged.name in info["problem"]


@pytest.mark.usefixtures("_own_cache")
def test_a_data_dir_without_the_files_is_an_error_and_no_download(tmp_path):
    with pytest.raises(DataError, match="MNIST is in none of the folders searched") as error:
        datasets.load(data("mnist", dir=str(tmp_path)))
    assert error.value.exit_code == 4
    assert str(tmp_path) in error.value.message


def test_every_data_set_describes_itself_alike():
    keys = [set(datasets.info(name)) for name in datasets.names()]
    assert keys[0] == keys[1] == keys[2]


def test_importing_the_package_loads_nothing_slow():
    program = (
        "import sys, kdistill.datasets; "
        "slow = {'tensorflow', 'keras', 'sklearn', 'scipy'} & set(sys.modules); assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=300)
