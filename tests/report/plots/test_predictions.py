import dataclasses

import numpy as np
import report_content as made

from kdistill.report.plots import predictions
from kdistill.report.plots.figure import COLOURS


def test_reliability_shows_filled_bins_alone_and_those_of_few_answers_hollow():
    plot = predictions.reliability(made.reliability("baseline"))
    above, below = plot.figure.axes
    _, line, few, enough = above.lines
    np.testing.assert_array_equal(line.get_xydata(), [[0.4, 0.25], [0.6, 0.5], [0.9, 0.85]])
    np.testing.assert_array_equal(few.get_xydata(), [[0.4, 0.25]])
    np.testing.assert_array_equal(enough.get_xydata(), [[0.6, 0.5], [0.9, 0.85]])
    assert few.get_markerfacecolor() == COLOURS["paper"]
    assert [bar.get_height() for bar in below.patches] == [0, 0.04, 0.2, 0.76]
    # (4 * 0.15 + 20 * 0.1 + 76 * 0.05) / 100
    assert "on average 6.4 points overconfident; 76.0 % of the predictions" in plot.alt


def cells(plot):
    """Return colour and text of each cell, by its row and column."""
    axes = plot.figure.axes[0]
    texts = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    fills = {(round(p.get_y() + 0.5), round(p.get_x() + 0.5)): p.get_facecolor() for p in axes.patches}
    return texts, fills


def colour_of(rgba):
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgba[:3])


def test_confusions_are_in_per_cent_of_the_true_class():
    baseline, distilled, _ = predictions.confusion(made.confusion())
    assert cells(baseline)[0][0, 0] == "70"
    assert cells(baseline)[0][0, 1] == "10"
    assert cells(distilled)[0][0, 0] == "75"


def test_the_difference_is_blue_where_it_is_better_and_orange_where_it_is_worse():
    found = made.confusion("abcd")
    worse = found.distilled.copy()
    worse[2, 2], worse[2, 3] = 0.6, found.baseline[2, 3] + 0.1
    texts, fills = cells(predictions.confusion(dataclasses.replace(found, distilled=worse))[2])
    assert {place: texts[place] for place in texts} == {
        (0, 0): "+5.0", (0, 1): "-5.0", (2, 2): "-10", (2, 3): "+10"
    }  # fmt: skip
    colours = {place: colour_of(fill) for place, fill in fills.items()}
    better, bad = COLOURS["more"], COLOURS["less"]
    assert colours == {(0, 0): better, (0, 1): better, (2, 2): bad, (2, 3): bad}
    assert fills[2, 2][3] == 0.9 > fills[0, 0][3]


def test_a_class_without_examples_has_an_empty_row():
    found = made.confusion("abcd")
    found.baseline[1] = found.distilled[1] = np.nan
    for plot in predictions.confusion(found):
        texts, fills = cells(plot)
        assert not [place for place in (*texts, *fills) if place[0] == 1]


def test_softened_outputs_are_bars_at_both_temperatures_the_likeliest_on_top():
    found = made.softened(4.0)
    plot = predictions.softened(found, "abcd")[0]
    first, second = plot.figure.axes
    assert (first.get_title(), second.get_title()) == ("T = 1", "T = 4")
    for axes, shares in ((first, found.examples[0].plain), (second, found.examples[0].soft)):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], sorted(shares, reverse=True))
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b", "c", "d"]
    assert first.yaxis_inverted()
    assert "a 87.9 % at T = 1 and 50.9 % at T = 4" in plot.alt


def test_at_a_temperature_of_one_there_is_one_panel():
    plot = predictions.softened(made.softened(1.0), "abcd")[0]
    assert [axes.get_title() for axes in plot.figure.axes] == ["T = 1"]
    assert plot.alt.count("T = 1") == 2
