import itertools
import re

import numpy as np
import pytest
import report_content as made

from kdistill.report.plots import verdict


def lines(figure):
    return [line.get_xydata() for line in figure.axes[0].lines]


def segments(figure):
    """Return the ends of the seeds' lines and of the interval."""
    return [segment for collection in figure.axes[0].collections for segment in collection.get_segments()]


def labels(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_every_seed_has_a_line_of_its_own_from_no_difference_to_its_own():
    found = made.verdict(seeds=3)
    plot = verdict.differences(found)
    assert labels(plot.figure) == ["seed 0", "seed 1", "seed 2", "mean"]
    for line, value in zip(segments(plot.figure)[:3], found.difference["values"], strict=True):
        np.testing.assert_allclose(line[:, 0], [0, 100 * value])
    np.testing.assert_allclose(lines(plot.figure)[0][:, 0], 100 * np.array(found.difference["values"]))


def test_the_interval_and_the_mean_are_drawn_below_the_seeds():
    found = made.verdict()
    figure = verdict.differences(found).figure
    assert any(np.allclose(segment, [[-0.1, 0], [0.42, 0]]) for segment in segments(figure))
    drawn = lines(figure)
    assert any(line.shape == (1, 2) and np.allclose(line, [[100 * found.difference["mean"], 0]]) for line in drawn)


def test_without_an_interval_none_is_drawn_and_the_note_says_so():
    plot = verdict.differences(made.verdict(seeds=1, low=None, high=None))
    assert "no interval" in plot.alt
    assert "95 %" not in plot.note
    assert not any(np.all(segment[:, 1] == 0) for segment in segments(plot.figure))


def test_the_alternative_text_has_the_numbers():
    alt = verdict.differences(made.verdict()).alt
    assert "better in 3 of 5 seeds" in alt
    assert "from -0.20 to +0.40 points, mean +0.16, 95 % interval -0.10 to +0.42" in alt


def test_a_hundred_seeds_are_stacked_each_a_dot_and_none_on_another():
    plot = verdict.differences(made.verdict(seeds=100))
    dots = next(line for line in lines(plot.figure) if len(line) == 100)
    assert len({tuple(dot) for dot in dots.round(9).tolist()}) == 100
    assert labels(plot.figure) == ["mean"]
    assert plot.figure.get_figheight() < verdict.differences(made.verdict(seeds=25)).figure.get_figheight()


def test_equal_differences_are_stacked_too():
    plot = verdict.differences(made.verdict(seeds=40, values=[0.0] * 40, low=None, high=None))
    dots = next(line for line in lines(plot.figure) if len(line) == 40)
    assert sorted(dots[:, 1]) == list(range(1, 41))


def test_costs_put_every_model_where_its_size_and_its_time_are():
    size, time = verdict.costs(made.benchmark()["rows"])
    assert [tuple(line[0]) for line in lines(size.figure)] == [(370, 0.9), (27, 0.9), (9, 0.9)]
    assert [tuple(line[0]) for line in lines(time.figure)] == [(0.5, 0.9), (0.1, 0.9), (0.05, 0.9)]
    assert size.figure.axes[0].get_xscale() == "log"
    assert "teacher 0.9000 at 370 kB" in size.alt
    assert "x<y.onnx 0.9000 at 0.05 ms" in time.alt


@pytest.mark.parametrize(("smallest", "largest"), [(26_800, 34_000), (9_000, 370_000), (40, 90_000_000_000)])
def test_costs_have_plain_numbers_on_the_axis(smallest, largest):
    first = made.benchmark()["rows"][0]
    rows = [{**first, "file_bytes": bytes_} for bytes_ in (smallest, largest)]
    size, _ = verdict.costs(rows)
    axis = size.figure.axes[0].xaxis
    low, high = sorted(axis.get_view_interval())
    shown = [label.get_text() for label, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)]
    seen = [text for text, at in zip(shown, axis.get_ticklocs(), strict=True) if low <= at <= high]
    assert len(seen) >= 2
    assert all(re.fullmatch(r"[\d,]+(\.\d+)?", text) for text in seen), seen
    assert not axis.get_minorticklocs().size


def test_numbers_of_models_that_lie_close_together_are_legible():
    first = made.benchmark()["rows"][0]
    places = [(100, 0.900), (101, 0.900), (101, 0.901), (103, 0.897), (100, 0.9), (9000, 0.93)]
    rows = [{**first, "file_bytes": bytes_, "accuracy": accuracy} for bytes_, accuracy in places]
    size, _ = verdict.costs(rows)
    axes = size.figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3", "4", "5", "6"]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    marks = axes.transData.transform([(bytes_ / 1e3, accuracy) for bytes_, accuracy in places])
    assert not any(box.contains(*mark) for box in boxes for mark in marks)
