import dataclasses

import numpy as np
import report_content as made

from kdistill.report.plots import curves
from kdistill.report.plots.figure import COLOURS, DASHES


def drawn(arms, name="curves-val-accuracy"):
    plots = {plot.name: plot for plot in curves.curves(arms)}
    return plots[name]


def by_colour(plot, arm):
    return [line for line in plot.figure.axes[0].lines if line.get_color() == COLOURS[arm]]


def test_each_measure_is_drawn_of_the_arms_that_have_it():
    arms = [made.curves(name) for name in ("teacher", "baseline", "distilled")]
    names = [plot.name for plot in curves.curves(arms)]
    assert names == ["curves-val-accuracy", "curves-loss", "curves-soft", "curves-hard", "curves-val-nll"]
    assert not by_colour(drawn(arms, "curves-soft"), "baseline")
    assert by_colour(drawn(arms, "curves-soft"), "distilled")
    assert "curves-soft" not in [plot.name for plot in curves.curves(arms[:2])]


def test_few_runs_are_a_line_each_with_a_mark_where_the_weights_were_kept():
    arm = made.curves("baseline", runs=3)
    *lines, marks = by_colour(drawn([arm]), "baseline")
    assert len(lines) == 3
    for line, run in zip(lines, arm.runs, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([run.epochs, run.val_accuracy]))
    kept = [(run.best, run.val_accuracy[run.best - 1]) for run in arm.runs]
    np.testing.assert_array_equal(marks.get_xydata(), kept)


def test_many_runs_are_their_median_and_a_band():
    arm = made.curves("baseline", runs=30)
    plot = drawn([arm])
    line, mark = by_colour(plot, "baseline")
    first = [run.val_accuracy[0] for run in arm.runs]
    assert line.get_ydata()[0] == np.median(first)
    assert len(mark.get_xydata()) == 1
    band = plot.figure.axes[0].collections[0].get_paths()[0].vertices
    at_start = band[band[:, 0] == 1, 1]
    np.testing.assert_allclose([at_start.min(), at_start.max()], np.quantile(first, [0.1, 0.9]))


def test_long_runs_are_thinned_and_one_epoch_is_a_mark():
    long = dataclasses.replace(made.curves("baseline"), runs=[made.curve(epochs=5000)])
    assert len(by_colour(drawn([long]), "baseline")[0].get_xdata()) <= curves.MOST_POINTS
    single = dataclasses.replace(made.curves("baseline"), runs=[made.curve(epochs=1, best=1)])
    assert by_colour(drawn([single]), "baseline")[0].get_marker() == "^"


def test_epochs_are_whole_numbers():
    axes = drawn([dataclasses.replace(made.curves("baseline"), runs=[made.curve(epochs=3, best=2)])]).figure.axes[0]
    assert all(place == round(place) for place in axes.get_xticks())


def test_arms_differ_in_more_than_colour():
    assert len({str(dashes) for dashes in DASHES.values()}) == 3


def test_the_alternative_text_has_the_kept_epoch_and_its_score():
    alt = drawn([made.curves("baseline", runs=1)]).alt
    assert alt == "baseline, 1 run: mean 0.9000 at kept epoch 5 of 8."


def test_first_epochs_beyond_the_axes_are_noted():
    assert drawn([made.curves("baseline")], "curves-loss").note == ""
    run = made.curve(epochs=50)
    bad = dataclasses.replace(run, loss=np.concatenate([[1e6], run.loss[1:]]))
    plot = drawn([dataclasses.replace(made.curves("baseline"), runs=[bad])], "curves-loss")
    assert plot.figure.axes[0].get_ylim()[1] < 1e6
    assert "beyond the axes" in plot.note
