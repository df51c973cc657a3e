"""What is told of data from their path alone: format, parts, label column, size of images."""

import numpy as np
import own_data
import pytest
from PIL import Image

from kdistill.core.errors import DataError
from kdistill.datasets.user import recognize as module
from kdistill.datasets.user.recognize import recognize


def table(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


NUMBERS = ["1.5,2.5,0", "2.5,1.5,1", "3.5,0.5,1"]


@pytest.mark.parametrize(
    ("header", "rows", "label"),
    [
        ("a,Label,b", NUMBERS, "Label"),
        ("target,a,b", NUMBERS, "target"),
        ("a,b,kind", ["1.5,2.5,red", "2.5,?,blue"], "kind"),
        ("a;b;kind", ["1,5;2,5;red", "2,5;;blue"], "kind"),
        ("id,place,class", ["1,here,x", "2,there,y"], "class"),
    ],
)
def test_a_label_column_is_told_by_its_name_or_as_the_last_one_of_text(tmp_path, header, rows, label):
    found = recognize(table(tmp_path / "t.csv", header, rows))
    assert found.section == {
        "dataset": "csv",
        "path": str(tmp_path / "t.csv"),
        "label": label,
        "test": 0.2,
        "validation": 0.2,
    }
    assert any(repr(label) in reason for reason in found.reasons)
    assert found.examples == len(rows)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("a,b,c", NUMBERS),  # numbers alone
        ("a,kind,b", ["1,red,2", "2,blue,1"]),  # text that is not the last column
        ("a,place,kind", ["1,here,red", "2,there,blue"]),  # two columns of text
        ("label,target,kind", ["1,0,red", "2,1,blue"]),  # two usual names
    ],
)
def test_where_several_columns_may_have_the_labels_they_are_named(tmp_path, header, rows):
    with pytest.raises(DataError, match=f"the columns are {header.replace(',', ', ')}$") as refused:
        recognize(table(tmp_path / "t.csv", header, rows))
    assert "--set data.label=" in refused.value.hint


def test_what_is_given_wins_and_is_left_out(tmp_path):
    path = table(tmp_path / "t.csv", "1.5,2.5,0", NUMBERS)
    with pytest.raises(DataError, match="looks like data"):
        recognize(path)
    found = recognize(path, {"header": False, "label": "3", "test": 0.5, "validation": 0.3})
    assert found.section == {"dataset": "csv", "path": str(path)}
    assert found.reasons == []


def test_parts_of_tables_and_archives_are_found(tmp_path):
    for name in ("train", "test", "valid"):
        table(tmp_path / f"{name}.csv", "a,b,y", NUMBERS)
    assert recognize(tmp_path).section == {
        "dataset": "csv",
        "path": str(tmp_path),
        "label": "y",
        "validation": "given",
    }
    path = own_data.write_npz(tmp_path / "mine.npz", **own_data.arrays(validation=10))
    assert recognize(path).section == {"dataset": "npz", "path": str(path), "validation": "given"}
    arrays = own_data.arrays(train=40, test=0)
    np.savez(path, **arrays)
    found = recognize(path)
    assert found.section["test"] == found.section["validation"] == 0.2
    assert found.examples == 40
    assert len(found.reasons) == 2


def test_of_many_examples_a_tenth_is_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FEW", 20)
    assert recognize(own_data.write_npz(tmp_path / "mine.npz")).section["validation"] == 0.1


def test_a_folder_of_images_has_the_size_that_the_teacher_takes(tmp_path):
    path = own_data.write_images(tmp_path / "mine")  # 6 x 5, grey
    assert recognize(path).section == {"dataset": "image_folder", "path": str(path), "validation": 0.2}
    assert "image_size" not in recognize(path, taken=(6, 5, 3)).section
    assert "image_size" not in recognize(path, taken=(None, None, 3)).section
    found = recognize(path, taken=(12, 10, 1))
    assert found.section["image_size"] == [12, 10]
    assert found.section["channels"] == 1
    assert "image_size" not in recognize(path, {"image_size": [3, 3]}, (12, 10, 1)).section
    for image in list(path.rglob("*.png")):
        image.rename(image.with_suffix(".PNG"))
    assert recognize(path).section["dataset"] == "image_folder"


def test_large_images_are_made_smaller_unless_a_teacher_takes_them(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_text("no image")
        Image.new("RGB", (256, 128)).save(tmp_path / name / "1.png")
    found = recognize(tmp_path)
    assert found.section["image_size"] == [32, 64]
    assert found.section["test"] == 0.2
    assert any("128 x 256" in reason and "32 x 64" in reason for reason in found.reasons)
    assert "image_size" not in recognize(tmp_path, taken=(128, 256, 3)).section


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a.keras", "--teacher"), ("a.zip", "Unpack"), ("a.npy", "numpy.savez"), ("a.what", ""), ("a", "")],
)
def test_other_files_are_refused_with_what_to_do(tmp_path, name, hint):
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=r"expected an \.npz file, a \.csv") as refused:
        recognize(tmp_path / name)
    assert hint in (refused.value.hint or "")


def test_a_folder_without_data_names_an_archive_in_it(tmp_path):
    with pytest.raises(DataError, match="without images and tables"):
        recognize(tmp_path)
    own_data.write_npz(tmp_path / "mine.npz")
    with pytest.raises(DataError) as refused:
        recognize(tmp_path)
    assert str(tmp_path / "mine.npz") in refused.value.hint
