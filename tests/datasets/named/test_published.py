"""The facts about the published data sets, held against the real files where those are at hand."""

import pytest

from kdistill.datasets.named import idx_datasets, published
from kdistill.datasets.named.published import FASHION_MNIST, MNIST


def test_the_real_files_have_the_hashes_written_down(fashion_mnist_dir):
    for file in FASHION_MNIST.files:
        assert idx_datasets.verified(FASHION_MNIST, file, fashion_mnist_dir / file.names[0]).shape == file.shape


@pytest.mark.parametrize("dataset", published.ALL, ids=lambda dataset: dataset.name)
def test_the_facts_are_of_the_right_form(dataset):
    length = {"sha256": 64, "md5": 32}
    assert [file.size for file in dataset.files] == [47040016, 60008, 7840016, 10008]
    assert all(len(bytes.fromhex(file.digest)) * 2 == length[file.algorithm] for file in dataset.files)
    assert dataset.shape == (28, 28)
    assert dataset.examples == {"train": 60_000, "test": 10_000}
    assert len(set(dataset.classes)) == 10
    assert all(url.startswith("https://") and url.endswith("/") for url in dataset.urls)


def test_no_two_files_have_the_same_hash():
    digests = [file.digest for dataset in (FASHION_MNIST, MNIST) for file in dataset.files]
    assert len(set(digests)) == 8
