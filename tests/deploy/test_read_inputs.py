"""What a model is asked about: images, arrays and tables, good and bad, a few at a time."""

import io
import zipfile

import numpy as np
import own_data
import pytest
from PIL import Image

from kdistill import datasets
from kdistill.core.errors import DataError, ModelError
from kdistill.deploy import read_inputs
from kdistill.deploy.read_inputs import Reader


def read(source, shape, **options):
    """Return all names and all examples."""
    batches = list(Reader(shape, **options).read(str(source)))
    assert all(0 < len(names) == len(examples) <= read_inputs.BATCH_SIZE for names, examples in batches)
    return [name for names, _ in batches for name in names], np.concatenate([examples for _, examples in batches])


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
COLOUR = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)


def test_an_image_of_the_right_size_is_read_as_it_is(tmp_path):
    names, images = read(save(GREY, tmp_path / "a.png"), (8, 8))
    assert names == ["a.png"]
    np.testing.assert_array_equal(images, GREY[None])
    np.testing.assert_array_equal(read(tmp_path / "a.png", (8, 8, 1))[1][..., 0], GREY[None])
    np.testing.assert_array_equal(read(save(COLOUR, tmp_path / "b.PNG"), (8, 8, 3))[1], COLOUR[None])


def test_images_are_read_as_those_that_the_model_was_trained_on(tmp_path):
    """Resized, with an alpha channel: as an `image_folder` is."""
    folder = own_data.write_images(tmp_path / "data", own_data.arrays(shape=(12, 11)))
    save(np.full((9, 9, 4), 128, np.uint8), folder / "test" / "dark" / "glass.png")
    splits = datasets.load(own_data.data("image_folder", folder, image_size=(6, 5), channels=1))
    names, images = read(folder / "test", (6, 5))
    assert "dark/glass.png" in names
    np.testing.assert_array_equal(images, splits.test.take(np.arange(len(splits.test)))[0])


def test_images_of_16_bits_are_read_as_those_that_the_model_was_trained_on(tmp_path):
    found = own_data.arrays(shape=(12, 11), dtype=np.uint16)
    folder = own_data.write_images(
        tmp_path / "data", {name: 16 * array if name[0] == "x" else array for name, array in found.items()}
    )
    splits = datasets.load(own_data.data("image_folder", folder, image_size=(6, 5)))
    _, images = read(folder / "test", (6, 5))
    np.testing.assert_array_equal(images, splits.test.take(np.arange(len(splits.test)))[0])
    assert images.max() > 255


def test_channels_are_made_those_of_the_model(tmp_path):
    grey = read(save(COLOUR, tmp_path / "b.png"), (8, 8))[1][0]
    # ITU-R 601-2, as Pillow documents it.
    np.testing.assert_allclose(grey, COLOUR @ [0.299, 0.587, 0.114], atol=1)
    colour = read(save(GREY, tmp_path / "a.png"), (8, 8, 3))[1][0]
    np.testing.assert_array_equal(colour, np.repeat(GREY[..., None], 3, axis=-1))


def test_images_are_resized_to_height_and_width(tmp_path):
    halves = np.zeros((20, 40), np.uint8)
    halves[:, 20:] = 200
    _, (image,) = read(save(halves, tmp_path / "a.png"), (4, 6))
    assert image.shape == (4, 6)
    assert image[:, 0].tolist() == [0] * 4
    assert image[:, -1].tolist() == [200] * 4


def test_images_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    sideways = np.zeros((16, 16), np.uint8)
    sideways[:, :8] = 255  # what is left in the file is on top for whoever looks at it
    _, (image,) = read(save(sideways, tmp_path / "a.jpg", exif=exif, quality=100), (16, 16))
    assert image[:6].min() > 200
    assert image[10:].max() < 50


def test_a_folder_is_read_to_its_depth_in_order_and_in_batches(tmp_path):
    for number in range(read_inputs.BATCH_SIZE + 3):
        save(np.full((4, 4), number, np.uint8), tmp_path / f"{number // 40}" / f"{number:03}.png")
    save(GREY, tmp_path / ".hidden" / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    batches = list(Reader((4, 4)).read(str(tmp_path)))
    assert [len(names) for names, _ in batches] == [read_inputs.BATCH_SIZE, 3]
    assert batches[0][0][0] == "0/000.png"
    assert [image[0, 0] for _, images in batches for image in images] == list(range(read_inputs.BATCH_SIZE + 3))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_an_image_that_cannot_be_read_is_named_or_skipped(content, tmp_path):
    save(GREY, tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: this image cannot be read"):
        read(tmp_path, (8, 8))
    reader = Reader((8, 8), skip=True)
    assert [names for names, _ in reader.read(str(tmp_path))] == [["good.png"]]
    assert len(reader.skipped) == 1
    assert "bad.png" in reader.skipped[0]


def test_a_truncated_image_is_not_read_in_part(tmp_path):
    whole = save(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "a.png", (64, 64))


@pytest.mark.parametrize("shape", [(64,), (8, 8, 2), (8, 8, 3, 1)])
def test_a_model_that_takes_no_images_is_not_given_any(shape, tmp_path):
    with pytest.raises(ModelError, match="for images"):
        read(save(GREY, tmp_path / "a.png"), shape)


@pytest.mark.parametrize("save_npz", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", read_inputs.NAMES)
def test_arrays_are_read_a_batch_at_a_time(save_npz, name, tmp_path):
    values = np.random.default_rng(0).normal(size=(150, 3, 2))
    save_npz(tmp_path / "a.npz", **{name: values, "y": np.zeros(3)})
    names, found = read(tmp_path / "a.npz", (3, 2))
    np.testing.assert_array_equal(found, values.astype(np.float32))  # as training data are kept
    assert names == [str(row) for row in range(150)]
    np.testing.assert_array_equal(read(tmp_path / "a.npz", (3, 2, 1))[1][..., 0], found)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["test_images", "train_images", "test_labels"], "test_images"),
        (["X", "y"], "X"),
        (["x_train", "y_train"], "x_train"),
        (["arr_0"], "arr_0"),
        (["X_test", "x"], "x"),
    ],
)
def test_arrays_may_have_the_names_of_training_data(there, taken, tmp_path):
    np.savez(tmp_path / "a.npz", **{name: np.full((1, 2), place) for place, name in enumerate(there)})
    notes = []
    _, rows = read(tmp_path / "a.npz", (2,), note=notes.append)
    assert rows[0, 0] == there.index(taken)
    assert notes == ([] if taken == "x" else [f"{tmp_path / 'a.npz'}: the array {taken} is read."])


def test_names_of_several_sources_begin_with_those_of_the_sources(tmp_path):
    for name in ("a.png", "b.png", "more/c.png", "more/deep/d.png"):
        save(GREY, tmp_path / name)
    np.save(tmp_path / "e.npy", np.stack([GREY, GREY]))
    sources = [str(tmp_path / name) for name in ("a.png", "b.png", "more/", "e.npy")]
    batches = list(Reader((8, 8)).read_all(sources))
    assert [names for names, _ in batches] == [
        [str(tmp_path / "a.png"), str(tmp_path / "b.png")],  # in one batch
        [str(tmp_path / "more/c.png"), str(tmp_path / "more/deep/d.png")],
        [f"{tmp_path / 'e.npy'}:0", f"{tmp_path / 'e.npy'}:1"],
    ]
    assert all((image == GREY).all() for _, images in batches for image in images)
    assert [names for names, _ in Reader((8, 8)).read_all(sources[:1])] == [["a.png"]]


def test_flat_arrays_are_taken_for_what_they_were(tmp_path):
    np.savez(tmp_path / "a.npz", x=COLOUR.reshape(1, -1))
    np.testing.assert_array_equal(read(tmp_path / "a.npz", (8, 8, 3))[1][0], COLOUR)


def test_bad_arrays_are_refused(tmp_path):
    def problem(shape=(2,), **arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(DataError) as caught:
            read(tmp_path / "a.npz", shape)
        return caught.value.message

    assert "expected an array `x` or `x_test`; it holds a, b" in problem(a=np.zeros((1, 2)), b=np.zeros((1, 2)))
    assert "expected examples of shape (2,); received (3,)" in problem(x=np.zeros((1, 3)))
    # As many values, but rows and columns are others.
    assert "expected examples of shape (2, 3); received (3, 2)" in problem((2, 3), x=np.zeros((1, 3, 2)))
    assert "x[1, 0] is nan: expected finite numbers" in problem(x=np.array([[0, 0], [np.nan, 0]]))
    assert "x[0, 1] is 1e+300: expected finite numbers" in problem(x=np.array([[0, 1e300]]))
    assert "x: expected numbers; received the type <U1" in problem(x=np.array([["a", "b"]]))
    assert "could carry code: expected numbers" in problem(x=np.array([[object(), 1]], dtype=object))
    assert "expected rows one after another; received shape (3, 2) in Fortran's order" in problem(
        x=np.asfortranarray(np.zeros((3, 2)))
    )
    assert "expected rows one after another; received shape ()" in problem(x=np.float32(1))


def test_an_array_in_a_file_of_its_own(tmp_path):
    x = np.random.default_rng(0).random((150, 4, 3))
    np.save(tmp_path / "a.npy", x)
    names, rows = read(tmp_path / "a.npy", (4, 3))
    assert names == [str(number) for number in range(150)]
    np.testing.assert_array_equal(rows, x.astype(np.float32))
    with pytest.raises(DataError, match=r"a.npy: expected examples of shape \(3, 4\); received \(4, 3\)") as refused:
        read(tmp_path / "a.npy", (3, 4))
    assert "np.moveaxis(x, 1, -1)" in refused.value.hint
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    with pytest.raises(DataError, match=r"a.npy: the header is damaged"):
        read(tmp_path / "a.npy", (4, 3))
    np.save(tmp_path / "b.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match="could carry code"):
        read(tmp_path / "b.npy", (1,))
    (tmp_path / "c.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"c.npy: the header is damaged"):
        read(tmp_path / "c.npy", (1,))


def test_channels_that_come_first_are_moved_and_that_is_said(tmp_path):
    x = np.random.default_rng(0).random((5, 3, 4, 6)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x)
    said = []
    _, rows = read(tmp_path / "a.npz", (4, 6, 3), note=said.append)
    np.testing.assert_array_equal(rows, np.moveaxis(x, 1, -1))
    assert "first axis of an example is taken for the channels" in said[0]


def test_tokens_are_whole_numbers_that_the_model_knows(tmp_path):
    x = np.array([[0, 4], [2, 9]])
    for place, write in ((tmp_path / "a.npy", np.save), (tmp_path / "a.csv", write_table)):
        write(place, x)
        _, rows = read(place, (2,), vocabulary=10)
        np.testing.assert_array_equal(rows, x)
        assert rows.dtype == np.int32
        with pytest.raises(DataError, match=r"\[1, 1\] is 9.*: expected tokens, whole numbers from 0 to 8"):
            read(place, (2,), vocabulary=9)
        write(place, x + 0.5)
        with pytest.raises(DataError, match=r"\[0, 0\] is 0.5: expected tokens"):
            read(place, (2,), vocabulary=10)


def write_table(path, x):
    path.write_text("a,b\n" + "\n".join(",".join(map(str, row)) for row in x.tolist()) + "\n")


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.ones((100, 8)))
    whole = path.read_bytes()
    for content in (b"", whole[:200], whole.replace(b"\x00" * 5 + b"\xf0\x3f", b"\x01" * 7, 3)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz: expected a whole \.npz archive"):
            read(path, (8,))


def test_an_array_shorter_than_it_says_is_refused(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.ones((100, 8)))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue()[:-100])
    with pytest.raises(
        DataError, match=r"x: the header is damaged: shape \(100, 8\) of float64 does not take 6428 bytes"
    ):
        read(tmp_path / "a.npz", (8,))


def test_a_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\ufeffa, b,label,c\n1,2,cat,3\n\n-4.5,5e-1,dog,6\n", encoding="utf-8")
    names, rows = read(path, (3,), drop=["label"])
    assert names == ["0", "1"]
    np.testing.assert_array_equal(rows, np.array([[1, 2, 3], [-4.5, 0.5, 6]], np.float32))


def test_a_table_on_standard_input_is_read_as_it_comes(monkeypatch):
    """No more is taken than fills a batch: whoever writes need not have ended."""

    def lines():
        yield "a,b\n"
        for number in range(read_inputs.BATCH_SIZE):
            yield f"{number},0\n"
        raise AssertionError("read on")

    monkeypatch.setattr("sys.stdin", lines())
    names, rows = next(Reader((2,)).read("-"))
    assert len(names) == len(rows) == read_inputs.BATCH_SIZE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a table that begins with the names of its columns; received nothing"),
        ("1,2\n3,4\n", "expected a first line with the names of the columns; received numbers"),
        ("a,a\n", "expected different names of columns; received more than once: a"),
        ("a,b,c\n1,2,3\n", "expected 2 columns of features"),
        ("a,b\n1,2\n3\n", "line 3: expected 2 cells; received 1"),
        ("a,b\n1,x\n", "line 2, column 'b': expected a finite number; received 'x'"),
        ('a,b\n1,"2"3\n', "line 2: cannot be read as CSV"),
        ("a,b\n1,nan\n", "values are missing: b (1 of 1); the first is in line 2"),
        ("a,b\n1,1e60\n", "received '1e60'"),
        ("a,b\n1,1_0\n", "received '1_0'"),
        ("a,b\n1,\n", "values are missing: b (1 of 1); the first is in line 2"),
        ("a,b\n", "expected rows below the names of the columns; there are none"),
        ("a,b\n1,2\0\n", "a NUL byte at position 7"),
        ("1.5,2\n3,4\n", "the first line looks like data: 1.5, 2"),
    ],
)
def test_bad_tables_are_refused(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.csv", (2,))
    assert message in caught.value.message


def test_a_column_that_is_not_there_cannot_be_dropped(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="there is no column 'label' to drop; the columns are a, b"):
        read(tmp_path / "a.csv", (2,), drop=["label"])


def test_text_that_is_not_utf8_is_read_as_latin_1_and_told(tmp_path):
    (tmp_path / "a.csv").write_bytes("a;bé\n1,5;2\n".encode("latin-1"))
    notes = []
    _, rows = read(tmp_path / "a.csv", (2,), features=("a", "bé"), note=notes.append)
    assert rows.tolist() == [[1.5, 2]]
    (note,) = notes
    assert "separated by semicolons; the decimal mark is a comma; it is not UTF-8, and read as latin-1" in note


def test_other_sources_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    for source, message in (("a.txt", "received 'a.txt'"), ("no.png", "no such file"), ("empty", "there are none")):
        with pytest.raises(DataError, match=message):
            read_inputs.check(str(tmp_path / source))
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="standard input is closed"):
        read_inputs.check("-")


def test_columns_are_taken_by_their_names_where_these_are_known(tmp_path):
    (tmp_path / "a.csv").write_text("c,label,a,b,id\n3,cat,1,2,7\n6,dog,4,5,8\n")
    notes = []
    names, rows = read(tmp_path / "a.csv", (3,), features=("a", "b", "c"), note=notes.append)
    np.testing.assert_array_equal(rows, [[1, 2, 3], [4, 5, 6]])
    assert names == ["0", "1"]
    (note,) = notes
    assert note.endswith("ignored, not among the model's features: label, id.")
    read(tmp_path / "a.csv", (3,), features=("a", "b", "c"), drop=["label", "id"], note=notes.append)
    assert len(notes) == 1
    with pytest.raises(DataError, match="the columns that the model was trained on: d, e are missing; received c"):
        read(tmp_path / "a.csv", (3,), features=("a", "d", "e"))
    with pytest.raises(DataError, match="b is missing"):
        read(tmp_path / "a.csv", (3,), features=("a", "b", "c"), drop=["b"])


@pytest.mark.parametrize(
    "header", [b"{'a': ((          \n", b"(" * 5000, b"{'descr': (), 'fortran_order': False, 'shape': (1, 3), }\n"]
)
def test_headers_that_are_none_are_refused(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"a\.npz: x: the header is damaged"):
        read(tmp_path / "a.npz", (3,))


def test_a_member_that_is_no_array_is_none(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x", b"")
    with pytest.raises(DataError, match="expected an array `x` or `x_test`"):
        read(tmp_path / "a.npz", (3,))


def test_a_model_of_images_of_16_bits_takes_no_others(tmp_path):
    deep = Reader((8, 8), inputs=read_inputs.Inputs.of({"bits": 16}))
    (_, images), *_ = deep.read(str(save(GREY.astype(np.uint16) * 60, tmp_path / "deep.png")))
    np.testing.assert_array_equal(images[0], GREY.astype(int) * 60)
    with pytest.raises(DataError, match=r"shallow.png: expected an image of 16 bits"):
        list(deep.read(str(save(GREY, tmp_path / "shallow.png"))))


@pytest.mark.parametrize(("largest", "is_refused"), [(255, True), (1, True), (4095, False), (None, False)])
def test_a_model_that_is_made_for_8_bits_takes_no_images_of_16(tmp_path, largest, is_refused):
    path = save(GREY.astype(np.uint16) * 60, tmp_path / "deep.png")
    if is_refused:
        with pytest.raises(DataError, match=r"deep.png: expected an image of 8 bits.*; received 16"):
            read(path, (8, 8), largest=largest)
        read(save(GREY, tmp_path / "plain.png"), (8, 8), largest=largest)
    else:
        np.testing.assert_array_equal(read(path, (8, 8), largest=largest)[1][0], GREY.astype(int) * 60)
