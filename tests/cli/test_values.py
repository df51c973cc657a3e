"""Values of options: what is read, and that each refusal says what was expected and received."""

from pathlib import Path

import pytest
import typer

from kdistill.cli import values


def refused(read, text):
    with pytest.raises(typer.BadParameter) as raised:
        read(text)
    return raised.value.message


@pytest.mark.parametrize(("text", "number"), [("0", 0), (" 7 ", 7), ("007", 7), ("10", 10)])
def test_whole_numbers_are_read(text, number):
    assert values.whole_number(0, 10)(text) == number


@pytest.mark.parametrize("text", ["", "-1", "11", "1.0", "1e1", "0x1", "\u0663", "9" * 5000, "one"])
def test_other_text_is_no_whole_number(text):
    assert refused(values.whole_number(0, 10), text) == f"expected a whole number from 0 to 10; received {text!r}"


def test_paths_are_read_and_empty_ones_refused():
    assert values.a_path("a b") == Path("a b")
    assert refused(values.a_path, " ") == "expected a path; received ' '"


def test_paths_of_one_kind():
    read = values.a_path_to(".npz")
    assert read("x.npz") == Path("x.npz")
    for text in ("x.npy", "npz", ".npz"):
        assert refused(read, text) == f"expected the path of a .npz file; received {text!r}"
