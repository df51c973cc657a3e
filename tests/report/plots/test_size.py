"""The measure of the verdict against the size of the models."""

import dataclasses

import pytest
import report_content as made

from kdistill.report.plots.figure import COLOURS
from kdistill.report.plots.size import size


def arms(*sizes, **changed):
    names = ("teacher", "baseline", "distilled")
    return [
        dataclasses.replace(made.arm(name, 0.9 + place / 100), parameters=count, **changed)
        for place, (name, count) in enumerate(zip(names, sizes, strict=True))
    ]


def marks(plot):
    """Return place and score of each mark, by the colour of its arm."""
    of = {colour: arm for arm, colour in COLOURS.items()}
    containers = plot.figure.axes[0].containers
    return {of[each[0].get_color()]: tuple(each[0].get_xydata()[0]) for each in containers}


def test_each_arm_is_a_mark_at_its_parameters_and_its_mean():
    plot = size(arms(85_002, 2420, 1210), "accuracy")
    assert marks(plot) == {
        "teacher": (85_002, pytest.approx(0.905)),
        "baseline": (2420, pytest.approx(0.915)),
        "distilled": (1210, pytest.approx(0.925)),
    }
    axes = plot.figure.axes[0]
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parameters (logarithmic)", "test accuracy (0 to 1)")
    assert plot.alt.startswith("teacher 0.9050 ± 0.0071 with 85,002 parameters; baseline 0.9150")


def test_a_bar_is_one_standard_deviation_to_either_side():
    plot = size(arms(85_002, 1210, 1210), "accuracy")
    (low, high) = plot.figure.axes[0].containers[0][2][0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(0.01 / 2**0.5)
    assert "one standard deviation" in plot.note
    single = made.summary(0.9)
    one = [dataclasses.replace(arm, shown={"accuracy": single}) for arm in arms(85_002, 1210, 1210)]
    assert size(one, "accuracy").note == "Models of one size stand side by side."
    assert size(one[:2], "accuracy").note == ""


def test_students_of_one_size_stand_side_by_side():
    found = marks(size(arms(85_002, 1210, 1210), "accuracy"))
    assert found["baseline"][0] < 1210 < found["distilled"][0] < 3000
    same = marks(size(arms(1210, 1210, 1210), "accuracy"))
    assert same["teacher"][0] < same["baseline"][0] == pytest.approx(1210)
    assert same["distilled"][0] > 1210


def test_files_are_compared_where_parameters_are_not_known():
    plot = size(arms(None, 1210, 1210), "accuracy")
    assert plot.figure.axes[0].get_xlabel() == "size of the file (kB, logarithmic)"
    assert "with 27 kB" in plot.alt


def test_there_is_no_plot_of_sizes_that_are_not_known_or_of_one_arm():
    assert size(arms(None, 1210, 1210, file_bytes=None), "accuracy") is None
    assert size(arms(85_002, 1210, 1210)[:1], "accuracy") is None
    assert size(arms(85_002, 1210, 1210), "auc") is None
    assert size([], "accuracy") is None


def test_the_axis_has_the_words_and_the_unit_of_the_measure():
    found = [dataclasses.replace(arm, shown={"nll": arm.nll}) for arm in arms(85_002, 1210, 1210)]
    plot = size(found, "nll")
    assert plot.figure.axes[0].get_ylabel() == "test NLL (nats)"
    assert plot.title == "Test NLL against size"
