import pytest

from kdistill.core.formatting import number, percent, points
from kdistill.report.content import text


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [(0.0043, "+0.43"), (-0.0173, "-1.73"), (0.0, "+0.00"), (-0.0, "+0.00"), (0.00001, "+0.001"), (-0.00002, "-0.002")],
)
def test_points_have_a_sign_and_never_show_a_difference_as_none(fraction, shown):
    assert points(fraction) == shown


def test_what_is_not_there_is_a_dash():
    assert (number(None), percent(None), percent(float("nan"))) == ("-", "-", "-")
    assert (number(0.5), percent(0.125)) == ("0.5000", "12.5 %")


def test_labels_are_one_short_line_that_keeps_its_direction():
    assert text.short("a\n b\tc") == "a b c"
    assert text.short("x" * 200, 10) == "x" * 9 + "…"
    assert text.short("\u202eturned\u2066 round") == "turned round"


def test_characters_that_no_page_can_hold_are_replaced():
    assert text.writable("a\x00b\udc80c\x1b\n\t") == "a\ufffdb\ufffdc\ufffd\n\t"
