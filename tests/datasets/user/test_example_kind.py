"""Kinds of the user's arrays: declared, or told from the shape and said; their scaling against NumPy's."""

import re

import numpy as np
import own_data
import pytest
from heard import Heard

from kdistill import datasets
from kdistill.core.errors import ConfigError, DataError
from kdistill.core.scaling import Standardization, Tokens
from kdistill.runs import differences

FLOATS = np.float32


@pytest.fixture
def load(tmp_path):
    def load(x, listener=None, **keys):
        count = len(x)
        labels = np.arange(count) % 2
        np.savez(tmp_path / "a.npz", x_train=x, y_train=labels, x_test=x[: count // 2], y_test=labels[: count // 2])
        keys = {"validation": 0.25, **keys}
        return datasets.load(own_data.data("npz", tmp_path / "a.npz", **keys), listener)

    return load


def values(*shape, dtype=FLOATS):
    """Return values of which each of the last axis has its own mean and deviation."""
    rng = np.random.default_rng(0)
    places = np.arange(1, shape[-1] + 1)
    return (rng.normal(size=shape) * places**3 + 100 * places).astype(dtype)


def notes_of(load, x, **keys):
    heard = Heard()
    found = load(x, heard, **keys)
    return found, [note for note in heard.notes if "taken for" in note]


@pytest.mark.parametrize(
    ("shape", "keys", "kind", "axes"),
    [
        ((40, 6), {}, "table", (0,)),
        ((40, 12, 3), {}, "sequence", (0, 1)),
        ((40, 6, 5), {}, "image", (0, 1, 2)),
        ((40, 6, 5), {"kind": "sequence"}, "sequence", (0, 1)),
        ((40, 6, 5), {"channel_axis": -1}, "sequence", (0, 1)),
        ((40, 12, 3), {"kind": "image"}, "image", (0, 1, 2)),
        ((40, 12), {"kind": "sequence"}, "sequence", (0, 1)),
        ((40, 6, 5, 3), {}, "image", (0, 1, 2)),
        ((40, 4, 5, 6), {"kind": "volume"}, "volume", (0, 1, 2, 3)),
        ((40, 4, 5, 6, 2), {}, "volume", (0, 1, 2, 3)),
    ],
    ids=str,
)
def test_each_channel_is_standardised_by_the_mean_and_variance_of_train(load, shape, keys, kind, axes):
    splits = load(values(*shape), **keys)
    assert splits.kind == kind
    train = splits.train.images[splits.train.rows].astype(np.float64)
    np.testing.assert_allclose(splits.scale.mean, np.atleast_1d(train.mean(axes)), rtol=1e-6)
    np.testing.assert_allclose(splits.scale.variance, np.atleast_1d(train.var(axes)), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (values(40, 12, 3), "12 x 3 are taken for sequences of 12 steps with 3 features.*set data.kind: image"),
        (values(40, 6, 5), "6 x 5 are taken for images of 6 x 5 pixels; for sequences.*set data.kind: sequence"),
        (values(40, 6, 6, 6), "6 x 6 pixels with 6 channels; for volumes, set data.kind: volume"),
        (np.random.default_rng(0).random((40, 6, 6)), None),
        (values(40, 6, 5, dtype=np.uint8), None),
        (values(40, 6, 5, 3), None),
        (values(40, 5, 5, 5, 2), None),
    ],
)
def test_what_is_told_from_the_shape_is_said_every_time_and_what_is_declared_is_not(load, x, said):
    for _ in range(2):
        splits, notes = notes_of(load, x)
        assert len(notes) == (said is not None)
        if said:
            assert re.search(said, notes[0])
    assert notes_of(load, x, kind=splits.kind)[1] == []


@pytest.mark.parametrize(
    ("x", "keys", "message"),
    [
        (values(40, 6, 5), {"kind": "table"}, r"data.kind: expected \(n, features\) for kind table; .* \(40, 6, 5\)"),
        (values(40, 6), {"kind": "image"}, r"data.kind: expected \(n, height, width\) or"),
        (values(40, 6, 5, 3), {"kind": "sequence"}, "data.kind: expected"),
        (values(40, 6), {"channel_axis": 1}, "data.channel_axis: expected an array with an axis of channels"),
        (values(40, 6, 5), {"kind": "image", "channel_axis": -1}, "data.channel_axis: expected"),
        (values(40, 6, 5), {"channel_axis": 3}, r"data.channel_axis: x_train has the shape \(40, 6, 5\); received 3"),
    ],
)
def test_a_kind_that_does_not_fit_the_shape_is_refused(load, x, keys, message):
    with pytest.raises(ConfigError, match=message):
        load(x, **keys)


@pytest.mark.parametrize("dtype", [np.uint8, FLOATS])
def test_channels_that_come_first_are_moved_last(load, dtype):
    x = values(40, 3, 8, 6, dtype=dtype)
    splits = load(x, channel_axis=1)
    np.testing.assert_array_equal(splits.train.images, np.moveaxis(x, 1, -1))
    assert splits.shape == (8, 6, 3)
    assert load(values(40, 3, 12), channel_axis=1).kind == "sequence"
    with pytest.raises(DataError, match="looks like channels first") as refused:
        load(x)
    assert "data.channel_axis: 1" in refused.value.hint
    assert load(x, kind="volume").shape == (3, 8, 6)


def tokens(count=40, length=9, most=50):
    x = np.random.default_rng(0).integers(0, most, (count, length))
    x[0] = most - 1
    return x


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, FLOATS])
def test_tokens_are_kept_as_they_are(load, dtype):
    x = tokens().astype(dtype)
    splits = load(x, kind="tokens")
    assert splits.scale == Tokens(50)
    assert splits.train.images.dtype == np.int32
    np.testing.assert_array_equal(splits.train.images, x)
    assert load(x, kind="tokens", vocabulary=60).vocabulary == 60


def test_a_table_that_looks_like_tokens_stays_one_and_that_is_said(load):
    splits, notes = notes_of(load, tokens())
    assert splits.kind == "table"
    assert isinstance(splits.scale, Standardization)
    assert "taken for numbers" in notes[0]
    assert "data.kind: tokens" in notes[0]
    counted = tokens()
    counted[:, 2] %= 5  # one column has another range
    for table in (counted, tokens().astype(FLOATS), tokens(length=4), tokens() - 1, tokens(most=3)):
        assert notes_of(load, table)[1] == []


@pytest.mark.parametrize(("wrong", "shown"), [(-1, "-1"), (1.5, "1.5"), (np.nan, "nan"), (2.0**24, "16777216")])
def test_values_that_are_no_tokens_are_refused(load, wrong, shown):
    x = tokens().astype(np.float64)
    x[3, 4] = wrong
    with pytest.raises(DataError, match=rf"x_train\[3, 4\] is {shown}.*expected tokens, .* 0 to 16777215"):
        load(x, kind="tokens")


def test_tokens_that_train_does_not_have_need_a_declared_vocabulary(tmp_path):
    x, labels = tokens(), np.arange(40) % 2
    path = tmp_path / "a.npz"
    np.savez(path, x_train=x, y_train=labels, x_test=x + 3, y_test=labels)
    with pytest.raises(DataError, match=r"x_test: expected tokens from 0 to 49.*received 52") as refused:
        datasets.load(own_data.data("npz", path, kind="tokens"))
    assert "data.vocabulary: 53" in refused.value.hint
    with pytest.raises(ConfigError, match=r"data.vocabulary: expected at least 53: .*x_test has 52; received 51"):
        datasets.load(own_data.data("npz", path, kind="tokens", vocabulary=51))
    assert datasets.load(own_data.data("npz", path, kind="tokens", vocabulary=53)).vocabulary == 53


def test_another_kind_is_other_data_and_a_declared_one_that_was_told_is_not(load):
    x = values(40, 12, 3)
    told, declared, image = load(x), load(x, kind="sequence"), load(x, kind="image")
    assert told.fingerprint == declared.fingerprint != image.fingerprint
    old, new = ({"data": {"fingerprint": splits.fingerprint}} for splits in (image, told))
    assert differences(old, new) == ["data.kind: was table or image, is now sequence"]
    # The hash of versions without kinds, in which all were images.
    assert told.fingerprint == f"{image.fingerprint} sequence"
    assert len({load(tokens(), kind="tokens", vocabulary=size).fingerprint for size in (50, 51)}) == 2
