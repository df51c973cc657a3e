"""Examples without labels from files: what they become, and that what is not like train is refused in one message."""

import numpy as np
import own_data
import pytest
from heard import Heard
from PIL import Image

from kdistill import config as configs
from kdistill import datasets
from kdistill.core.errors import DataError
from kdistill.core.task import NO_LABEL
from kdistill.datasets import memory_map

MORE = own_data.arrays(train=15, seed=9)["x_train"]  # (15, 6, 5), bytes


@pytest.fixture
def own(tmp_path):
    return own_data.write_npz(tmp_path / "data.npz")


def load(path, more, dataset="npz", listener=None, **keys):
    return datasets.load(own_data.data(dataset, path, unlabelled=str(more), **keys), listener)


def images(folder, arrays=MORE):
    folder.mkdir()
    for number, image in enumerate(arrays):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return folder


def test_an_array_is_taken_without_any_label(own, tmp_path):
    np.savez(tmp_path / "more.npz", x=MORE)
    heard = Heard()
    splits = load(own, tmp_path / "more.npz", listener=heard)
    taken, labels = splits.added.take(np.arange(15))
    np.testing.assert_array_equal(taken, MORE)
    assert set(labels.tolist()) == {NO_LABEL}
    assert splits.per_epoch == len(splits.train) + 15
    assert f"{tmp_path / 'more.npz'}: 15 unlabelled examples" in heard.notes
    plain = datasets.load(own_data.data("npz", own))
    assert (splits.fingerprint, splits.split_fingerprint) == (plain.fingerprint, plain.split_fingerprint)
    assert datasets.describe(own_data.data("npz", own, unlabelled=str(tmp_path / "more.npz")))["unlabelled"] == 15


@pytest.mark.parametrize("which", ["all", "labelled", "unlabelled"])
def test_examples_of_all_files_are_taken_by_position(which, own, tmp_path, monkeypatch):
    monkeypatch.setattr(memory_map, "IN_MEMORY_BYTES", 0)
    np.savez(tmp_path / "more.npz", x=MORE)
    splits = load(own, tmp_path / "more.npz", labelled=10)
    assert isinstance(splits.added.images, np.memmap)
    known, unlabelled = splits.positions("labelled"), splits.positions("unlabelled")
    own_part = {"all": np.arange(len(splits.train)), "labelled": known, "unlabelled": unlabelled}[which]
    expected, labels = splits.train.take(own_part)
    if which != "labelled":
        expected, labels = np.concatenate([expected, MORE]), np.concatenate([labels, np.full(15, NO_LABEL)])
    examples = splits.examples(which)
    order = np.random.default_rng(0).permutation(len(expected))
    taken, of_taken = examples.take(order)
    np.testing.assert_array_equal(taken, expected[order])
    np.testing.assert_array_equal(of_taken, labels[order])
    assert len(examples) == len(expected)


def test_further_examples_alone_may_be_those_without_label(own, tmp_path):
    np.savez(tmp_path / "more.npz", x=MORE)
    assert len(load(own, tmp_path / "more.npz").examples("unlabelled")) == 15


def test_images_in_a_folder_are_in_the_order_of_their_names(own, tmp_path):
    splits = load(own, images(tmp_path / "more"))
    np.testing.assert_array_equal(splits.added.images, MORE)


def test_images_are_resized_where_those_of_train_are(tmp_path):
    train = own_data.write_images(tmp_path / "own")
    more = images(tmp_path / "more", np.repeat(MORE, 2, axis=1))
    assert load(train, more, "image_folder").added.images.shape == (15, 6, 5)


def test_a_named_data_set_takes_them_too(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "more.npz", x=rng.integers(0, 17, (40, 8, 8)).astype(np.uint8))
    splits = datasets.load(configs.Data(unlabelled=str(tmp_path / "more.npz")))
    assert splits.per_epoch == len(splits.train) + 40 == 1171


def test_changed_examples_are_read_again_and_have_another_fingerprint(own, tmp_path):
    more = tmp_path / "more.npz"
    np.savez(more, x=MORE)
    before = load(own, more).added_fingerprint
    np.savez(more, x=MORE[::-1])
    after = load(own, more)
    assert after.added_fingerprint != before
    np.testing.assert_array_equal(after.added.images, MORE[::-1])


TABLE = "a,colour,kind\n" + "".join(
    f"{n * 7 % 31},{'red' if n % 3 else 'blue'},{'x' if n % 2 else 'y'}\n" for n in range(60)
)


def test_a_table_is_encoded_as_that_of_train(tmp_path):
    (tmp_path / "data.csv").write_text(TABLE)
    (tmp_path / "more.csv").write_text("colour,a,note\nred,3,u\nblue,7,v\ngreen,5,w\n")
    heard = Heard()
    splits = load(tmp_path / "data.csv", tmp_path / "more.csv", "csv", heard, label="kind", test=0.2)
    assert splits.features == ("a", "colour=blue", "colour=red")
    assert splits.added.images.tolist() == [[3, 0, 1], [7, 1, 0], [5, 0, 0]]
    assert any("columns that train has not are ignored: note" in note for note in heard.notes)
    assert any("green" in warning for warning in splits.warnings)


def test_a_table_without_names_has_the_columns_but_the_label(tmp_path):
    lines = [line.split(",") for line in TABLE.splitlines()[1:]]
    (tmp_path / "data.csv").write_text("".join(f"{a},{len(c)},{k}\n" for a, c, k in lines))
    (tmp_path / "more.csv").write_text("3,4\n7,3\n")
    keys = {"label": "3", "header": False, "test": 0.2}
    assert load(tmp_path / "data.csv", tmp_path / "more.csv", "csv", **keys).added.images.tolist() == [[3, 4], [7, 3]]
    with pytest.raises(DataError, match="has the label column '3'"):
        load(tmp_path / "data.csv", tmp_path / "data.csv", "csv", **keys)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("a,colour,kind\n1,red,x\n", "has the label column 'kind'"),
        ("a\n1\n", "expected the columns of train: colour is missing"),
        ("a,colour\n", "expected rows"),
        ("a,colour\n,red\n", "values are missing: a"),
        ("a,colour\nten,red\n", "line 2, column 'a'.*: expected a finite number; received 'ten'"),
        ("a,colour\n" + "5000,red\n" * 30, "are on another scale"),
    ],
)
def test_a_table_that_is_not_like_train_is_refused(more, message, tmp_path):
    (tmp_path / "data.csv").write_text(TABLE)
    (tmp_path / "more.csv").write_text(more)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "data.csv", tmp_path / "more.csv", "csv", label="kind", test=0.2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": MORE, "y": np.zeros(15)}, r"has labels \(y\): expected `x`"),
        ({"x": MORE, "train_labels": np.zeros(15)}, r"has labels \(train_labels\)"),
        ({"images": MORE}, "expected an array `x`; it holds images"),
        ({"x": MORE[:, :4]}, "expected examples of shape 6 x 5, as train has; received 4 x 5"),
        ({"x": MORE[..., None]}, "received 6 x 5 x 1"),
        ({"x": MORE / 255}, "expected values of the type uint8, as train has; received float32"),
        ({"x": (MORE // 60).astype(np.uint8)}, "are on another scale than those of train"),
        ({"x": MORE[:0]}, "expected examples; received an array of shape"),
        ({"x": np.float32(3)}, "expected examples; received an array of shape"),
    ],
)
def test_an_archive_that_is_not_like_train_is_refused(arrays, message, own, tmp_path):
    np.savez(tmp_path / "more.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(own, tmp_path / "more.npz")


def test_images_of_other_size_colours_or_depth_are_refused(own, tmp_path):
    with pytest.raises(DataError, match=r"000.png: expected examples of shape 6 x 5, as train has; received 12 x 5"):
        load(own, images(tmp_path / "large", np.repeat(MORE, 2, axis=1)))
    with pytest.raises(DataError, match="received 6 x 5 x 3"):
        load(own, images(tmp_path / "coloured", np.stack([MORE] * 3, axis=-1)))
    with pytest.raises(DataError, match="expected values of the type uint8"):
        load(own, images(tmp_path / "deep", MORE.astype(np.uint16) * 256))


def test_folders_of_classes_are_refused(own, tmp_path):
    folder = own_data.write_images(tmp_path / "own")
    with pytest.raises(DataError, match=r"has a folder for each class \(dark, light\)"):
        load(folder, folder / "test", "image_folder")


def test_what_cannot_be_read_at_all_is_refused(own, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "more.csv").write_text("a\n1\n")
    for name, message in [
        ("none.npz", "there is no such file or folder"),
        ("empty", "there are none in this folder"),
        ("more.csv", "a table for dataset csv, and dataset is npz"),
    ]:
        with pytest.raises(DataError, match=message):
            load(own, tmp_path / name)


def test_tokens_that_train_does_not_have_are_refused(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 9, (60, 4))
    path = own_data.write_npz(
        tmp_path / "data.npz",
        x_train=tokens[:40],
        y_train=np.arange(40) % 2,
        x_test=tokens[40:],
        y_test=np.arange(20) % 2,
    )
    np.savez(tmp_path / "more.npz", x=tokens + 1)
    with pytest.raises(DataError, match="expected tokens from 0 to 8, as train has; received 9"):
        load(path, tmp_path / "more.npz", kind="tokens")
    assert len(load(path, tmp_path / "more.npz", kind="tokens", vocabulary=10).added) == 60


def test_held_out_examples_among_the_unlabelled_ones_are_warned_of(own, tmp_path):
    plain = datasets.load(own_data.data("npz", own))
    np.savez(tmp_path / "more.npz", x=np.concatenate([MORE, plain.test.images[:3]]))
    assert any(
        "3 of the 20 examples of test are among the unlabelled ones" in w
        for w in load(own, tmp_path / "more.npz").warnings
    )


def test_multi_label_data_take_them(tmp_path):
    rng = np.random.default_rng(0)
    path = own_data.write_npz(
        tmp_path / "data.npz", y_train=rng.integers(0, 2, (40, 3)), y_test=rng.integers(0, 2, (20, 3))
    )
    np.savez(tmp_path / "more.npz", x=MORE)
    splits = load(path, tmp_path / "more.npz", labels="multi")
    assert splits.examples("all").all_labels[-15:].tolist() == [[NO_LABEL] * 3] * 15
