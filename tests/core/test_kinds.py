"""The kinds of examples: which shapes they have, and how they mark a fingerprint."""

import pytest

from kdistill.core import kinds


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [("table", {1}), ("tokens", {1}), ("sequence", {1, 2}), ("image", {2, 3}), ("volume", {3, 4})],
)
def test_the_number_of_axes_of_a_kind(kind, fitting):
    assert {axes for axes in range(6) if kinds.fits(kind, (2,) * axes)} == fitting


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("table", (4,), True),
        ("sequence", (9,), False),
        ("sequence", (9, 4), True),
        ("image", (9, 4), False),
        ("image", (9, 4, 1), True),
        ("volume", (3, 4, 5), False),
        ("volume", (3, 4, 5, 2), True),
    ],
)
def test_an_axis_after_the_places_has_the_channels(kind, shape, expected):
    assert kinds.has_channels(kind, shape) is expected


def test_tables_and_images_do_not_mark_a_fingerprint():
    """Runs of versions without kinds keep their identity."""
    assert kinds.marked("ab", "table") == kinds.marked("ab", "image") == "ab"
    marked = {kinds.marked("ab", "sequence"), kinds.marked("ab", "tokens", 5), kinds.marked("ab", "tokens", 6)}
    assert len(marked) == 3
    assert {kinds.unmarked(text)[0] for text in marked} == {"ab"}
    assert kinds.unmarked("ab") == ("ab", "")
