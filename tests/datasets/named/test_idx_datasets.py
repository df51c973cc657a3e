"""Data sets in four files: where they are found, what is refused, what is downloaded."""

import dataclasses
import gzip
import json
import os

import numpy as np
import pytest
import tiny_mnist
from heard import Heard

from kdistill.core.errors import DataError
from kdistill.core.listener import Downloading
from kdistill.datasets import search_paths
from kdistill.datasets.named import idx_datasets, published

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Caches of this test's own; return the folder of the data set in the project's."""
    monkeypatch.setenv("KDISTILL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "cache" / "datasets" / "mnist"


@pytest.fixture
def site(tmp_path):
    """A folder that is downloaded from, as a file: URL."""
    return tmp_path / "site"


@pytest.fixture
def tiny(cache, site, monkeypatch):
    """A small data set that is known, and nowhere yet."""
    tiny = tiny_mnist.make(urls=[site.as_uri() + "/"])
    other = tiny_mnist.make("other", "Other Tiny", "other", "sha256", archive=None, seed=1)
    monkeypatch.setattr(published, "ALL", (tiny.facts, other.facts))
    return tiny


@pytest.fixture
def other():
    """Another data set with the same file names."""
    return tiny_mnist.make("other", "Other Tiny", "other", "sha256", archive=None, seed=1)


def assert_is(source, tiny):
    np.testing.assert_array_equal(source.train.images, tiny.arrays["x_train"])
    np.testing.assert_array_equal(source.train.labels, tiny.arrays["y_train"])
    np.testing.assert_array_equal(source.test.images, tiny.arrays["x_test"])
    np.testing.assert_array_equal(source.test.labels, tiny.arrays["y_test"])
    assert source.train.labels.dtype == np.int32
    assert source.classes == tiny_mnist.CLASSES
    assert source.scale == 1 / 255


@pytest.mark.parametrize("compress", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize("below", ["", "mnist"], ids=["itself", "subfolder"])
@pytest.mark.parametrize("origin", ["data.dir", "KDISTILL_DATA_DIR"])
def test_a_named_folder_or_its_subfolder_is_read(tiny, tmp_path, monkeypatch, compress, below, origin):
    folder = tmp_path / "data"
    tiny.write(folder / below, compress)
    if origin == "KDISTILL_DATA_DIR":
        monkeypatch.setenv(origin, str(folder))
    source = idx_datasets.read(tiny.facts, str(folder) if origin == "data.dir" else None)
    assert_is(source, tiny)
    assert source.label_files[0].startswith(str(folder / below / NAMES[1]))


def test_files_may_be_compressed_in_part(tiny, tmp_path):
    folder = tiny.write(tmp_path / "data")
    packed = folder / f"{NAMES[0]}.gz"
    (folder / NAMES[0]).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert_is(idx_datasets.read(tiny.facts, str(folder)), tiny)


def test_the_caches_are_read(tiny, cache, tmp_path):
    keras = tmp_path / "keras" / "datasets"
    tiny.write_archive(keras)
    assert_is(idx_datasets.read(tiny.facts, None), tiny)
    tiny.write(keras / "mnist")
    assert idx_datasets.read(tiny.facts, None).label_files[0].startswith(str(keras / "mnist"))
    tiny.write(cache)
    assert idx_datasets.read(tiny.facts, None).label_files[0].startswith(str(cache))


def test_an_incomplete_folder_is_passed_over(tiny, cache, tmp_path):
    (tiny.write(tmp_path / "data") / f"{NAMES[3]}.gz").unlink()
    tiny.write(cache)
    ear = Heard()
    assert idx_datasets.read(tiny.facts, str(tmp_path / "data"), ear).label_files[0].startswith(str(cache))
    assert ear.notes == [f"data.dir: {tmp_path / 'data'} does not have Tiny MNIST; it is read from {cache}"]


def test_a_data_dir_that_has_the_files_needs_no_note(tiny, tmp_path):
    ear = Heard()
    idx_datasets.read(tiny.facts, str(tiny.write(tmp_path / "data")), ear)
    assert ear.notes == []


def test_a_data_dir_without_the_files_rules_out_a_download(tiny, cache, site, tmp_path):
    tiny.write(site)
    with pytest.raises(DataError, match=r"Nothing is downloaded, since data\.dir is set") as error:
        idx_datasets.read(tiny.facts, str(tmp_path / "absent"))
    assert f"{tmp_path / 'absent'} (data.dir): no such folder" in error.value.message
    assert not cache.exists()


def test_without_files_and_network_all_folders_and_ways_out_are_named(tiny, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("KDISTILL_DATA_DIR", str(tmp_path / "env"))
    (tmp_path / "env").write_text("a file")
    (tiny.write(tmp_path / "keras" / "datasets") / f"{NAMES[0]}.gz").unlink()
    (tmp_path / "keras" / "datasets" / "mnist").mkdir()
    with pytest.raises(DataError) as error:
        idx_datasets.read(tiny.facts, None)
    message, hint = error.value.message, error.value.hint
    assert "Tiny MNIST is in none of the folders searched" in message
    assert f"{tmp_path / 'env'} (KDISTILL_DATA_DIR): not a folder" in message
    assert f"{cache} (cache): no such folder" in message
    assert "keras/datasets/mnist (Keras cache): none of the files" in message
    assert f"keras/datasets (Keras cache): incomplete, without {NAMES[0]}" in message
    assert f"The download failed: {tiny.facts.urls[0]}{NAMES[0]}.gz: " in message
    for way in ("data.dir", "KDISTILL_DATA_DIR", "kdistill data fetch mnist", tiny.facts.urls[0], "mnist.npz"):
        assert way in hint


def test_an_unreadable_folder_is_named(tiny, tmp_path, monkeypatch):
    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", denied)
    with pytest.raises(DataError, match=r"\(data.dir\): cannot be read: Permission denied"):
        idx_datasets.read(tiny.facts, str(tmp_path))


def test_an_impossible_folder_name_is_no_crash(tiny):
    with pytest.raises(DataError, match=r"cannot be read: .*null"):
        idx_datasets.read(tiny.facts, "a\0b")


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_found_by_the_hash(tiny, tmp_path, name):
    path = tiny.write(tmp_path / "data", compress=False) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: {name}: expected the MD5 [0-9a-f]+ .* received") as error:
        idx_datasets.read(tiny.facts, str(tmp_path / "data"))
    assert error.value.hint == "Delete it and run `kdistill data fetch mnist`."


def test_a_truncated_file_is_named(tiny, tmp_path):
    path = tiny.write(tmp_path / "data") / f"{NAMES[2]}.gz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=f"{path}: .* cut off"):
        idx_datasets.read(tiny.facts, str(tmp_path / "data"))


def test_another_data_set_is_recognised(tiny, other, tmp_path):
    folder = other.write(tmp_path / "data")
    message = f"{NAMES[0]}.gz in {folder} is Other Tiny, not Tiny MNIST"
    with pytest.raises(DataError, match=message) as error:
        idx_datasets.read(tiny.facts, str(folder))
    assert "subfolder `mnist`" in error.value.hint
    tiny.write(folder)
    message = f"{NAMES[0]}.gz in {folder} is Tiny MNIST, not Other Tiny"
    with pytest.raises(DataError, match=message):
        idx_datasets.read(other.facts, str(folder))


def test_the_subfolder_prevails_over_another_data_set_above_it(tiny, other, tmp_path):
    folder = other.write(tmp_path / "data")
    tiny.write(folder / "mnist")
    assert_is(idx_datasets.read(tiny.facts, str(folder)), tiny)


def test_another_data_set_in_an_archive_is_recognised(tiny, other, tmp_path):
    path = tiny.write_archive(tmp_path / "data", **other.arrays)
    with pytest.raises(DataError, match=f"mnist.npz in {path.parent} is Other Tiny"):
        idx_datasets.read(tiny.facts, str(path.parent))


def test_a_changed_archive_is_found_by_the_hash(tiny, tmp_path):
    path = tiny.write_archive(tmp_path / "data", y_test=np.zeros(20, np.uint8))
    with pytest.raises(DataError, match=f"{path}: {NAMES[3]}: expected the MD5"):
        idx_datasets.read(tiny.facts, str(path.parent))


def test_what_is_nowhere_is_downloaded_once(tiny, cache, site, monkeypatch):
    tiny.write(site)
    ear = Heard()
    assert_is(idx_datasets.read(tiny.facts, None, ear), tiny)
    assert list(dict.fromkeys(event.name for event in ear.of_kind(Downloading))) == [f"{name}.gz" for name in NAMES]
    assert sorted(os.listdir(cache)) == sorted(f"{name}.gz" for name in NAMES)
    monkeypatch.setattr(idx_datasets, "fetch", lambda *_: pytest.fail("downloaded again"))
    assert_is(idx_datasets.read(tiny.facts, None), tiny)


def test_fetch_downloads_what_is_missing_or_damaged(tiny, cache, site):
    tiny.write(site)
    names = [f"{name}.gz" for name in NAMES]
    first = {"title": "Tiny MNIST", "folder": str(cache), "downloaded": names}
    assert idx_datasets.fetch(tiny.facts) == first
    assert idx_datasets.fetch(tiny.facts)["downloaded"] == []
    assert idx_datasets.fetch(tiny.facts, force=True) == first
    (cache / names[0]).unlink()
    (cache / names[1]).write_bytes(b"damaged")
    assert idx_datasets.fetch(tiny.facts)["downloaded"] == names[:2]
    assert_is(idx_datasets.read(tiny.facts, None), tiny)


def test_fetch_accepts_plain_files_but_never_leaves_a_damaged_one_in_front(tiny, cache, site):
    tiny.write(site)
    tiny.write(cache, compress=False)
    assert idx_datasets.fetch(tiny.facts)["downloaded"] == []
    (cache / NAMES[0]).write_bytes(b"damaged")
    (cache / f"{NAMES[1]}.gz").write_bytes(b"damaged")
    assert idx_datasets.fetch(tiny.facts)["downloaded"] == [f"{name}.gz" for name in NAMES[:2]]
    assert_is(idx_datasets.read(tiny.facts, None), tiny)


def test_what_is_downloaded_is_verified(tiny, other, cache, site):
    other.write(site)
    with pytest.raises(DataError, match="not the right one: is Other Tiny, not Tiny MNIST"):
        idx_datasets.fetch(tiny.facts)
    assert list(cache.iterdir()) == []


def test_an_interrupted_fetch_goes_on_with_the_files_that_are_missing(tiny, cache, site):
    tiny.write(site)

    def interrupt(event, _):
        if event.name.startswith(NAMES[2]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        idx_datasets.fetch(tiny.facts, Heard(interrupt))
    assert sorted(os.listdir(cache)) == [f"{NAMES[0]}.gz", f"{NAMES[1]}.gz"]
    assert idx_datasets.fetch(tiny.facts)["downloaded"] == [f"{NAMES[2]}.gz", f"{NAMES[3]}.gz"]


def test_a_mirror_is_tried_where_the_first_address_fails(tiny, site, tmp_path):
    tiny.write(site)
    urls = ((tmp_path / "gone").as_uri() + "/", *tiny.facts.urls)
    assert len(idx_datasets.fetch(dataclasses.replace(tiny.facts, urls=urls))["downloaded"]) == 4


def test_a_cache_that_cannot_be_made_is_reported(tiny, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"the cache folder .* cannot be made") as error:
        idx_datasets.fetch(tiny.facts)
    assert "KDISTILL_CACHE_DIR" in error.value.hint


def test_info_of_a_data_set_that_is_nowhere(tiny):
    info = idx_datasets.info(tiny.facts)
    assert (info["found"], info["intact"], info["folder"], info["bytes"]) == (False, False, None, None)
    assert [entry["problem"] for entry in info["searched"]] == ["no such folder"] * 3
    json.dumps(info)


def test_info_tells_what_is_in_each_folder(tiny, cache, tmp_path):
    folder = tiny.write(tmp_path / "data")
    tiny.write_archive(tmp_path / "keras" / "datasets")
    info = idx_datasets.info(tiny.facts, str(folder))
    assert (info["found"], info["intact"], info["folder"]) == (True, True, str(folder))
    assert info["examples"] == tiny_mnist.EXAMPLES
    assert info["classes"] == list(tiny_mnist.CLASSES)
    assert info["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert [(entry["named_by"], entry["found"]) for entry in info["searched"]] == [
        (search_paths.CONFIGURED, False),
        (search_paths.CONFIGURED, True),
        (search_paths.OWN_CACHE, False),
        ("Keras cache", False),
        ("Keras cache", True),
    ]
    assert info["searched"][-1]["files"] == ["mnist.npz"]
    assert info["searched"][-1]["intact"]
    assert json.loads(json.dumps(info)) == info


@pytest.mark.parametrize("damage", ["change", "dangle", "mix up"])
def test_info_reports_damage_and_raises_nothing(tiny, other, tmp_path, damage):
    path = tiny.write(tmp_path / "data") / f"{NAMES[1]}.gz"
    if damage == "change":
        path.write_bytes(gzip.compress(b"other"))
    elif damage == "dangle":
        path.unlink()
        path.symlink_to("nowhere")
    else:
        other.write(tmp_path / "data")
    info = idx_datasets.info(tiny.facts, str(tmp_path / "data"))
    assert info["found"]
    assert not info["intact"]
    reason = {"change": "cut off", "dangle": "No such file", "mix up": "is Other Tiny, not Tiny MNIST"}[damage]
    assert reason in info["problem"]


def test_info_downloads_nothing(tiny, site, cache):
    tiny.write(site)
    assert not idx_datasets.info(tiny.facts)["found"]
    assert not cache.exists()
