"""Logits are found again by model and data, whole; whatever else lies in their place is as good as nothing."""

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from kdistill.core import errors
from kdistill.runs import LogitsCache, Run

SPLITS = SimpleNamespace(fingerprint="data", split_fingerprint="rows")
LOGITS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
SHAPE = (5, 3)


@pytest.fixture
def cache(tmp_path):
    """Of a run in an experiment's folder, with its logits on the test split."""
    run = Run(tmp_path / "seed-0" / "baseline", "baseline", 0)
    run.folder.mkdir(parents=True)
    cache = LogitsCache(tmp_path / "cache", SPLITS, "model", run)
    cache.store("test", LOGITS)
    return cache


@pytest.fixture
def place(cache):
    return cache.run.folder / "outputs.npz"


def test_what_was_kept_comes_back_to_the_last_bit(cache, place):
    np.testing.assert_array_equal(cache.load("test", SHAPE), LOGITS)
    assert list(place.parent.iterdir()) == [place]
    assert not cache.folder.exists()


def test_what_version_0_1_0_kept_beside_a_run_is_found(cache, place):
    key = hashlib.sha256(b"model\ndata\nrows").hexdigest()
    np.savez(place, logits=LOGITS + 1, key=np.array(key))
    np.testing.assert_array_equal(cache.load("test", SHAPE), LOGITS + 1)


@pytest.mark.parametrize("change", ["model", "fingerprint", "split_fingerprint"])
def test_logits_of_another_model_or_other_data_are_not_taken(cache, change):
    model = "another" if change == "model" else "model"
    other = SimpleNamespace(**{**vars(SPLITS), change: "another"})
    assert replace(cache, splits=other, model=model).load("test", SHAPE) is None
    assert cache.load("validation", SHAPE) is None


def test_logits_of_another_shape_or_type_are_not_taken(cache, place):
    key = np.array(cache.key("test"))
    assert cache.load("test", (5, 4)) is None
    np.savez(place, logits=LOGITS.astype(np.float64), key=key)
    assert cache.load("test", SHAPE) is None
    np.savez(place, logits=np.full_like(LOGITS, np.nan), key=key)
    assert cache.load("test", SHAPE) is None


def test_damage_is_as_good_as_nothing_at_every_byte(cache, place):
    whole = place.read_bytes()
    assert cache.load("test", SHAPE) is not None
    for end in range(0, len(whole), 7):
        place.write_bytes(whole[:end])
        assert cache.load("test", SHAPE) is None
    at = whole.index(LOGITS.tobytes())
    for position in range(at, at + LOGITS.nbytes):
        place.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert cache.load("test", SHAPE) is None


def test_a_pickle_is_never_read(cache, place):
    np.savez(place, logits=np.array([{}], dtype=object), key=np.array(cache.key("test")))
    assert cache.load("test", (1,)) is None


def test_the_folder_of_a_run_that_has_gone_is_not_made_again(cache, place):
    place.unlink()
    place.parent.rmdir()
    with pytest.raises(errors.OutputError, match="cannot write"):
        cache.store("test", LOGITS)
    assert not place.parent.exists()


def test_what_is_not_beside_a_run_of_the_experiment_has_a_name_of_its_own_in_the_cache(cache, tmp_path):
    own, other = LogitsCache(cache.folder, SPLITS, "a"), LogitsCache(cache.folder, SPLITS, "b")
    outside = replace(cache, model="c", run=Run(tmp_path.parent / "elsewhere", "teacher", 0))
    for number, each in enumerate([own, other, own, outside, cache]):
        for split in ("train", "validation") if each is cache else ("test",):
            each.store(split, LOGITS + number)
    assert len(list(cache.folder.iterdir())) == 5
    np.testing.assert_array_equal(own.load("test", SHAPE), LOGITS + 2)
    np.testing.assert_array_equal(outside.load("test", SHAPE), LOGITS + 3)
    np.testing.assert_array_equal(cache.load("test", SHAPE), LOGITS)
