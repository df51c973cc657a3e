"""Folders of images: which files they are, what classes they have, and what is done about those that are damaged."""

import os
import shutil

import numpy as np
import own_data
import pytest
from heard import Heard
from PIL import Image

from kdistill.core.errors import ConfigError, DataError
from kdistill.datasets.user import load


@pytest.fixture
def folder(tmp_path):
    return own_data.write_images(tmp_path / "images", own_data.arrays(validation=10))


def read(folder, listener=None, **keys):
    return load.read(own_data.data("image_folder", folder, **keys), listener)


def by_class(x, y):
    """Images in the order in which folders are read: by class, then by name."""
    order = np.argsort(y, kind="stable")
    return x[order], y[order]


def test_parts_classes_and_pixels(folder):
    found, source = own_data.arrays(validation=10), read(folder)
    assert source.classes == own_data.CLASSES
    for part, ending in (("train", "train"), ("test", "test"), ("validation", "val")):
        images, labels = by_class(found[f"x_{ending}"], found[f"y_{ending}"])
        np.testing.assert_array_equal(getattr(source, part).images, images)
        np.testing.assert_array_equal(getattr(source, part).labels, labels)
    assert source.scale == 1 / 255


def test_a_folder_without_parts_holds_the_classes(folder):
    source = read(folder / "train", test=0.25)
    assert source.classes == own_data.CLASSES
    assert (len(source.train), len(source.test)) == (30, 10)


def test_val_is_another_name_but_not_beside_validation(folder):
    (folder / "validation").rename(folder / "val")
    assert len(read(folder).validation) == 10
    (folder / "validation").mkdir()
    with pytest.raises(DataError, match="expected one of validation and val; received both"):
        read(folder)


def test_size_and_channels_are_those_of_the_images_unless_given(folder):
    assert read(folder, image_size=(3, 4)).train.images.shape == (40, 3, 4)
    assert read(folder, channels=3).train.images.shape == (40, 6, 5, 3)
    notes = Heard()
    Image.new("RGB", (9, 8)).save(folder / "train" / "light" / "zz.png")
    assert read(folder, notes).train.images.shape == (41, 6, 5, 3)
    assert any("2 sizes: all are resized to 6 x 5" in note for note in notes.notes)


def test_subfolders_are_read_and_hidden_things_and_other_files_are_not(folder):
    notes, dark = Heard(), folder / "train" / "dark"
    (dark / "more").mkdir()
    (dark / "000.png").rename(dark / "more" / "000.png") if (dark / "000.png").exists() else None
    (dark / ".hidden.png").write_bytes(b"")
    (dark / "readme.txt").write_text("")
    (folder / "train" / ".cache").mkdir()
    (folder / "test" / ".DS_Store").write_bytes(b"")
    source = read(folder, notes)
    assert len(source.train) == 40
    assert source.classes == own_data.CLASSES
    assert any("1 file is ignored: it does not have the suffix of an image" in note for note in notes.notes)


def spoil(folder, count):
    """Make the first images of each class unreadable, one empty, one of text and so on; return their names."""
    found = sorted((folder / "train" / "dark").iterdir())[:count]
    for number, path in enumerate(found):
        path.write_bytes(b"text" * number)
    return [str(path) for path in found]


def test_images_that_cannot_be_read_are_named_and_counted(folder):
    names = spoil(folder, 7)
    with pytest.raises(DataError, match="7 images cannot be read") as raised:
        read(folder)
    for name in names[:5]:
        assert name in raised.value.message
    assert "and 2 more" in raised.value.message
    assert names[6] not in raised.value.message
    assert "on_error=skip" in raised.value.hint


def test_damage_in_the_pixels_is_found_too(folder):
    path = folder / "test" / "light" / "new.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"1 image cannot be read: .*new.png"):
        read(folder)
    assert read(folder, on_error="skip").skipped == 1


def test_they_can_be_skipped_and_are_counted(folder):
    names = spoil(folder, 2)
    source = read(folder, on_error="skip")
    assert (len(source.train), source.skipped) == (38, 2)
    assert source.train.labels.tolist() == [0] * 18 + [1] * 20
    (warning,) = [text for text in source.warnings if "cannot be read" in text]
    assert "2 images" in warning
    assert all(name in warning for name in names)
    # What was skipped before is not accepted because it is in the cache now.
    with pytest.raises(DataError, match="2 images cannot be read"):
        read(folder)


def test_a_class_of_which_nothing_can_be_read_is_no_class(folder):
    spoil(folder, 20)
    with pytest.raises(DataError, match=r"expected images that can be read in dark: 20 images"):
        read(folder, on_error="skip")


@pytest.mark.parametrize(
    ("train", "test", "validation"),
    [
        ("Training", "Testing", "Valid"),
        ("TRAIN", "test", "dev"),
        ("training_set", "test-set", "validation_set"),
        ("seg_train", "seg_test", "seg_dev"),
        ("trainset", "testset", "valset"),
        ("train", "test", "eval"),
    ],
)
def test_parts_have_any_of_their_usual_names(folder, train, test, validation):
    plain, notes = read(folder), Heard()
    for part, name in (("train", train), ("test", test), ("validation", validation)):
        (folder / part).rename(folder / f"x-{part}")
        (folder / f"x-{part}").rename(folder / name)
    assert read(folder, notes).fingerprint == plain.fingerprint
    told = f"Parts of the data: train is {train}, test is {test}, validation is {validation}"
    assert told in notes.notes
    described = load.describe(own_data.data("image_folder", folder))
    assert told in described["notes"]  # also when the cache has the arrays


def test_evaluation_without_a_test_part_is_the_test_part(folder):
    (folder / "validation").rename(folder / "set-aside")
    (folder / "test").rename(folder / "Eval")
    source = read(folder)
    assert (len(source.test), source.validation) == (20, None)


def test_a_folder_that_holds_one_alone_is_looked_into(folder, tmp_path):
    plain = read(folder)
    inner = tmp_path / "download" / "archive" / "photos"
    inner.parent.mkdir(parents=True)
    folder.rename(inner)
    (tmp_path / "download" / "__MACOSX").mkdir()
    assert read(tmp_path / "download").fingerprint == plain.fingerprint
    for part in ("train", "test"):  # seg_train/seg_train/class, as in some archives
        (inner / part).rename(inner / "inner")
        (inner / part).mkdir()
        (inner / "inner").rename(inner / part / f"the_{part}")
    assert read(tmp_path / "download").fingerprint == plain.fingerprint
    assert read(inner / "train", test=0.2).classes == own_data.CLASSES


def test_folders_that_are_no_part_are_named(folder):
    (folder / "raw").mkdir()
    notes = Heard()
    read(folder, notes)
    assert "Folders that are no part, and are not read: raw" in notes.notes


def test_two_folders_for_one_part_are_refused(folder):
    (folder / "Training").mkdir()
    with pytest.raises(DataError, match=r"expected one of train and Training; received both"):
        read(folder)


@pytest.mark.parametrize("names", [("first", "second", "third"), ("fold1", "test", "val")])
def test_classes_that_hold_folders_alone_are_refused(folder, names):
    """They are parts or folds under names that are not known: what is in them may be the classes."""
    for part, name in zip(("train", "test", "validation"), names, strict=True):
        (folder / part).rename(folder / f"x-{part}")
        (folder / f"x-{part}").rename(folder / name)
    with pytest.raises(DataError, match=r"expected a folder of images for each class; .*hold folders alone") as raised:
        read(folder, test=0.2)
    assert "call them train, validation and test" in raised.value.hint


def test_a_class_with_one_folder_inside_is_a_class(folder):
    inner = folder / "train" / "dark" / "dark"
    (folder / "train" / "dark").rename(folder / "x")
    (folder / "train" / "dark").mkdir()
    (folder / "x").rename(inner)
    assert read(folder).classes == own_data.CLASSES


def test_classes_with_numbers_as_names_are_in_the_order_of_numbers(folder):
    for part in ("train", "test", "validation"):
        (folder / part / "dark").rename(folder / part / "10")
        (folder / part / "light").rename(folder / part / "9")
    source = read(folder)
    assert source.classes == ("9", "10")
    assert source.train.images[source.train.labels == 0].mean() > 150


def test_images_of_16_bits_keep_their_values(tmp_path):
    found, notes = own_data.arrays(dtype=np.uint16), Heard()
    for part in ("train", "test"):
        found[f"x_{part}"] = 16 * found[f"x_{part}"]
    folder = own_data.write_images(tmp_path / "deep", found)
    source = read(folder, notes)
    assert source.train.images.dtype == np.float32
    np.testing.assert_array_equal(source.train.images, by_class(found["x_train"], found["y_train"])[0])
    assert source.scale is None
    assert source.inputs == {"bits": 16}
    assert "The images have 16 bits: their values are kept as they are" in notes.notes
    assert not any("255" in warning for warning in source.warnings)
    Image.new("L", (5, 6)).save(folder / "test" / "dark" / "shallow.png")
    with pytest.raises(DataError, match=r"one depth; 60 have 16 bits and 1 have 8. Those with 8 are .*shallow.png"):
        read(folder)


def test_what_is_transparent_is_told(folder):
    notes = Heard()
    Image.new("RGBA", (5, 6)).save(folder / "train" / "light" / "clear.png")
    source = read(folder, notes, channels=1)
    assert "1 image has an alpha channel: what is transparent is laid over white" in notes.notes
    assert (source.train.images.reshape(len(source.train), -1).min(axis=1) == 255).sum() == 1
    assert source.inputs is None


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda folder: (folder / "train" / "empty").mkdir(), "train: classes without images: empty"),
        (lambda folder: (folder / "test" / "grey").mkdir(), "test: classes that are not in .*train: grey"),
        (
            lambda folder: [path.unlink() for path in folder.glob("test/*/*")],
            "expected images that can be read in test",
        ),
    ],
)
def test_classes_that_do_not_agree(folder, make, problem):
    make(folder)
    with pytest.raises(DataError, match=problem):
        read(folder)


def test_places_that_hold_no_images(tmp_path):
    with pytest.raises(DataError, match="there is no such file or folder"):
        read(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder; this is a file"):
        read(tmp_path / "file")
    with pytest.raises(DataError, match="expected a folder of images for each class"):
        read(tmp_path)


def test_a_test_part_is_needed_once(folder):
    with pytest.raises(ConfigError, match=r"has a test part; received 0\.2"):
        read(folder, test=0.2)
    shutil.move(folder / "train", folder / "images")
    with pytest.raises(ConfigError, match="has no test part") as raised:
        read(folder / "images")
    assert "data.test: 0.2" in raised.value.hint


def test_parts_without_classes_are_not_taken_for_classes(folder):
    for image in sorted((folder / "train").glob("*/*.png")):
        image.rename(folder / "train" / f"{image.parent.name}-{image.name}")
    for name in own_data.CLASSES:
        (folder / "train" / name).rmdir()
    with pytest.raises(DataError, match="train: expected a folder of images for each class"):
        read(folder, test=0.2)


def test_images_without_classes_are_told_where_to_go(folder):
    loose = folder / "loose"
    loose.mkdir()
    for image in sorted((folder / "test").glob("*/*.png")):
        image.rename(loose / f"{image.parent.name}-{image.name}")
    with pytest.raises(DataError, match="received 20 images and no folders") as raised:
        read(loose, test=0.2)
    assert "Put the images of each class into a folder with its name, such as loose/cat/1.jpg" in raised.value.hint
    shutil.rmtree(folder / "test")
    loose.rename(folder / "test")
    with pytest.raises(DataError, match="test: expected a folder of images for each class") as raised:
        read(folder)
    assert "kdistill predict" in raised.value.hint


def test_parts_beside_a_folder_of_train_are_found_unless_test_is_a_share(folder):
    whole, beside = read(folder), read(folder / "train")
    assert beside.fingerprint == whole.fingerprint
    assert "test is " in beside.notes[0]
    assert (len(read(folder / "train", test=0.25).test), len(beside.test)) == (10, 20)


def test_names_that_are_no_text(folder):
    bad = os.fsdecode(b"\xff")
    (folder / "train" / "dark" / f"{bad}.png").write_bytes(b"")
    warnings = read(folder, on_error="skip").warnings
    assert "udcff.png" in warnings[0]
    warnings[0].encode()  # can be printed
    (folder / "train" / "dark").rename(folder / "train" / bad)
    with pytest.raises(DataError, match="names of folders are those of classes, and are not text in UTF-8") as raised:
        read(folder)
    raised.value.message.encode()


def test_folders_that_servers_bring_along_are_no_classes(folder):
    for place in (folder / "train" / "@eaDir", folder / "train" / "__MACOSX", folder / "train" / "dark" / "@eaDir"):
        place.mkdir()
        Image.new("L", (3, 3)).save(place / "a.png")
    source = read(folder)
    assert (source.classes, len(source.train)) == (own_data.CLASSES, 40)


def test_if_no_image_can_be_read_none_are_to_be_skipped(tmp_path):
    for name in own_data.CLASSES:
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "1.jpg").write_text("<html>")
    with pytest.raises(DataError, match="2 images cannot be read") as raised:
        read(tmp_path, test=0.5)
    assert "on_error" not in raised.value.hint


def test_a_class_may_be_called_train(folder):
    (folder / "train" / "dark").rename(folder / "train" / "train")
    assert read(folder / "train", test=0.2).classes == ("light", "train")
