"""Outputs are found again by model and data, whole; whatever else lies in their place is as good as nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from kdistill.core import errors
from kdistill.runs import Run, logits_cache

SPLITS = SimpleNamespace(fingerprint="data", split_fingerprint="rows")
LOGITS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
KEY = logits_cache.key("model", SPLITS)


@pytest.fixture
def place(tmp_path):
    place = logits_cache.place_of(Run(tmp_path, "baseline", 0))
    logits_cache.keep(place, LOGITS, KEY)
    return place


def test_what_was_kept_comes_back_to_the_last_bit(place):
    np.testing.assert_array_equal(logits_cache.kept(place, KEY, (5, 3)), LOGITS)
    assert [path.name for path in place.parent.iterdir()] == ["outputs.npz"]


@pytest.mark.parametrize("change", ["model", "fingerprint", "split_fingerprint"])
def test_outputs_of_another_model_or_other_data_are_not_taken(place, change):
    model = "another" if change == "model" else "model"
    other = SimpleNamespace(**{**vars(SPLITS), change: "another"})
    assert logits_cache.kept(place, logits_cache.key(model, other), (5, 3)) is None


def test_outputs_of_another_shape_or_type_are_not_taken(place):
    assert logits_cache.kept(place, KEY, (5, 4)) is None
    np.savez(place, logits=LOGITS.astype(np.float64), key=np.array(KEY))
    assert logits_cache.kept(place, KEY, (5, 3)) is None
    np.savez(place, logits=np.full_like(LOGITS, np.nan), key=np.array(KEY))
    assert logits_cache.kept(place, KEY, (5, 3)) is None


def test_damage_is_as_good_as_nothing_at_every_byte(place):
    whole = place.read_bytes()
    assert logits_cache.kept(place, KEY, (5, 3)) is not None
    for end in range(0, len(whole), 7):
        place.write_bytes(whole[:end])
        assert logits_cache.kept(place, KEY, (5, 3)) is None
    at = whole.index(LOGITS.tobytes())
    for position in range(at, at + LOGITS.nbytes):
        place.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert logits_cache.kept(place, KEY, (5, 3)) is None


def test_a_pickle_is_never_read(place):
    np.savez(place, logits=np.array([{}], dtype=object), key=np.array(KEY))
    assert logits_cache.kept(place, KEY, (1,)) is None


def test_a_folder_that_has_gone_is_not_made_again(tmp_path):
    with pytest.raises(errors.OutputError, match="cannot write"):
        logits_cache.keep(tmp_path / "gone" / "outputs.npz", LOGITS, KEY)
    assert not (tmp_path / "gone").exists()


def test_outputs_in_a_cache_have_names_by_what_they_are_of(tmp_path):
    names = {logits_cache.place_in(tmp_path, logits_cache.key(model, SPLITS)).name for model in ("a", "b", "a")}
    assert len(names) == 2
