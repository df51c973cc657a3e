import io
import re
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import Image

from kdistill.report.plots.figure import COLOURS, Plot, drawing

NAME = "$\\frac{1}{0}$ <b>&\"'"


def plot(name="a", title="What it shows", label=NAME):
    with drawing(300, 200) as (figure, axes):
        axes.plot([0, 1], [0, 1], "o", color=COLOURS["baseline"], label=label)
        axes.set_xlabel("epoch")
        axes.legend()
    return Plot(name, title, 'alt <text> "quoted"', figure)


def ids(svg):
    return {element.get("id") for element in ElementTree.fromstring(svg).iter()} - {None}


def references(svg):
    return set(re.findall(r"url\(#([^)]*)\)", svg)) | set(re.findall(r'href="#([^"]*)"', svg))


def test_an_svg_is_well_formed_and_has_an_alternative_text():
    root = ElementTree.fromstring(plot().svg)
    assert root.tag.endswith("svg")
    assert (root.get("role"), root.get("aria-label")) == ("img", 'alt <text> "quoted"')
    assert (float(root.get("width")), float(root.get("height"))) == (300, 200)


def test_text_stays_text_and_a_dollar_starts_no_formula():
    texts = ["".join(element.itertext()).strip() for element in ElementTree.fromstring(plot().svg).iter()]
    assert NAME in texts
    assert "epoch" in texts


def test_colours_are_those_of_the_page():
    svg = plot().svg
    assert "var(--baseline)" in svg
    assert "var(--ink)" in svg
    assert "var(--sans)" in svg
    assert not [colour for colour in COLOURS.values() if colour in svg]


def test_two_plots_of_a_page_share_no_id_and_refer_to_their_own():
    first, second = plot("a").svg, plot("b").svg
    assert ids(first)
    assert not ids(first) & ids(second)
    assert references(first) <= ids(first)
    assert references(second) <= ids(second)
    assert references(second)


def test_the_same_plot_is_the_same_file():
    assert plot().svg == plot().svg
    assert plot().png == plot().png


def test_an_svg_holds_neither_dates_nor_addresses_but_its_namespace():
    assert set(re.findall(r"https?://[^\"' ]*", plot().svg)) == {"http://www.w3.org/2000/svg"}


def test_a_png_has_its_title_above_the_figure():
    one, three = (Image.open(io.BytesIO(plot(title=title).png)) for title in ("short", "many words " * 10))
    assert one.width == three.width
    assert one.height < three.height
    assert one.convert("RGB").getpixel((one.width - 1, 0)) == (255, 255, 255)
    title = one.convert("L").crop((0, 0, one.width, 30))
    assert title.getextrema()[0] < 60  # there is ink


def test_making_a_png_leaves_no_title_in_the_svg():
    drawn = plot()
    before = drawn.svg
    assert drawn.png
    assert drawn.svg == before


@pytest.mark.filterwarnings("error")
def test_a_script_without_glyphs_warns_of_nothing():
    drawn = plot(label="漢字 שלום")
    assert "漢字" in drawn.svg
    assert drawn.png


def test_settings_of_the_user_change_nothing_and_are_left_alone():
    before = plot().svg
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert plot().svg == before
        assert matplotlib.rcParams["font.size"] == 30
