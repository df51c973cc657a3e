"""What is shown of a user's own data."""

import io

import pytest
from rich.console import Console

from kdistill.cli.rendering import data


def shown(**changed):
    info = {
        "folder": "/data/mine.npz",
        "examples": {"train": 3000, "validation": 2, "test": 1},
        "shape": [6, 5],
        "classes": ["a", "b"],
        "per_class": {"train": [1500, 1500], "validation": [1, 1], "test": [0, 1]},
        "type": "uint8",
        "scaling": "multiplied by 0.00392157",
        "warnings": [],
        "kind": "image",
        **changed,
    }
    console = Console(file=io.StringIO(), width=120)
    console.print(data.own_data({"npz": info}))
    return console.file.getvalue()


def test_examples_are_shown_by_class_and_split():
    text = shown()
    for part in (
        "/data/mine.npz",
        "3,000 train, 2 validation, 1 test",
        "6 x 5, 2 classes",
        "uint8, multiplied by",
        "train + validation + test",
        "a: 1,500 + 1 + 0",
        "b: 1,500 + 1 + 1",
    ):
        assert part in text
    assert "warnings" not in text


def test_warnings_are_shown():
    assert "2 images [bad]" in shown(warnings=["2 images [bad]"])


@pytest.mark.parametrize(("count", "told"), [(50, False), (53, True)])
def test_a_long_list_of_classes_is_cut_short(count, told):
    names = [f"class-{number}" for number in range(count)]
    text = shown(classes=names, per_class={part: [1] * count for part in ("train", "validation", "test")})
    assert ("and 3 more" in text) == told
    assert ("class-49:" in text, "class-50:" in text) == (True, False)


def test_an_export_names_its_first_classes_on_a_line():
    console = Console(file=io.StringIO(), width=2000)
    document = {"file": "a.npz", "shape": [8, 8]}
    console.print(data.exported({**document, "classes": [f"c{number}" for number in range(1060)]}))
    text = console.file.getvalue()
    assert f"1,060: {', '.join(f'c{number}' for number in range(50))} and 1,010 more " in text
    console.print(data.exported({**document, "classes": ["a", "b"]}))
    assert "2: a, b " in console.file.getvalue()
    assert "8 x 8" in console.file.getvalue()
