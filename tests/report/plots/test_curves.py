import dataclasses
import statistics

import numpy as np
import pytest
import report_content as made

from kdistill.core.controls import CONTROLS
from kdistill.report.plots import curves
from kdistill.report.plots.figure import COLOURS, DASHES


def every(arms):
    return {plot.name: plot for plot in [*curves.on_validation(arms), *curves.on_train(arms)]}


def drawn(arms, name="curves-val-accuracy"):
    return every(arms)[name]


def by_colour(plot, arm):
    return [line for line in plot.figure.axes[0].lines if line.get_color() == COLOURS[arm]]


def test_each_measure_is_drawn_of_the_arms_that_have_it():
    arms = [made.curves(name) for name in ("teacher", "baseline", "distilled")]
    assert [plot.name for plot in curves.on_validation(arms)] == ["curves-val-accuracy", "curves-val-nll"]
    assert [plot.name for plot in curves.on_train(arms)] == ["curves-loss", "curves-soft", "curves-hard"]
    assert not by_colour(drawn(arms, "curves-soft"), "baseline")
    assert by_colour(drawn(arms, "curves-soft"), "distilled")
    assert "curves-soft" not in every(arms[:2])


def test_a_row_of_plots_fills_the_page():
    arms = [made.curves(name) for name in ("teacher", "baseline", "distilled")]
    assert {plot.width for plot in curves.on_validation(arms)} == {curves.WIDE}
    assert {plot.width for plot in curves.on_train(arms)} == {curves.NARROW}
    run = dataclasses.replace(made.curve(), monitored=np.linspace(0, 1, 8))
    own = [dataclasses.replace(made.curves("baseline"), monitor="val_macro_f1", runs=[run])]
    assert [plot.name for plot in curves.on_validation(own)][-1] == "curves-val-macro-f1"
    assert {plot.width for plot in curves.on_validation(own)} == {curves.NARROW}
    assert curves.on_validation([]) == curves.on_train([]) == []


def test_hints_are_drawn_where_there_are_any():
    arm = made.curves("distilled")
    assert "curves-hints" not in [plot.name for plot in curves.on_train([arm])]
    runs = [dataclasses.replace(run, hints=run.soft / 10) for run in arm.runs]
    plot = curves.on_train([dataclasses.replace(arm, runs=runs), made.curves("baseline")])[2]
    assert (plot.name, plot.title) == ("curves-hints", "Hints, against the teacher's layers")
    np.testing.assert_allclose(by_colour(plot, "distilled")[0].get_ydata(), runs[0].hints)


def test_two_runs_are_a_line_each_with_a_mark_where_the_weights_were_kept():
    arm = made.curves("baseline", runs=2)
    *lines, marks = by_colour(drawn([arm]), "baseline")
    assert len(lines) == 2
    for line, run in zip(lines, arm.runs, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([run.epochs, run.val_accuracy]))
    kept = [(run.best, run.val_accuracy[run.best - 1]) for run in arm.runs]
    np.testing.assert_array_equal(marks.get_xydata(), kept)


@pytest.mark.parametrize("runs", [3, 5, 30])
def test_three_runs_or_more_are_their_mean_and_a_band_of_one_standard_deviation(runs):
    arm = made.curves("baseline", runs=runs)
    plot = drawn([arm])
    line, mark = by_colour(plot, "baseline")
    first = [run.val_accuracy[0] for run in arm.runs]
    mean, sd = statistics.mean(first), statistics.stdev(first)
    assert line.get_ydata()[0] == pytest.approx(mean)
    band = plot.figure.axes[0].collections[0].get_paths()[0].vertices
    at_start = band[band[:, 0] == 1, 1]
    np.testing.assert_allclose([at_start.min(), at_start.max()], [mean - sd, mean + sd])
    fifth = [run.val_accuracy[4] for run in arm.runs]
    np.testing.assert_allclose(mark.get_xydata(), [[5, statistics.mean(fifth)]])


def test_a_mean_is_over_the_runs_that_have_reached_the_epoch_and_ends_with_half_of_them():
    arm = dataclasses.replace(made.curves("baseline"), runs=[made.curve(e, 2, e / 100) for e in (4, 6, 9)])
    line, _ = by_colour(drawn([arm]), "baseline")
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    left = [run.val_accuracy[4] for run in arm.runs[1:]]
    assert line.get_ydata()[4] == pytest.approx(statistics.mean(left))


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


def test_controls_have_plots_of_their_own_beside_both_students():
    arms = [made.curves(name, runs=3) for name in ("teacher", "baseline", "distilled", *CONTROLS)]
    assert curves.of_controls(arms[:3]) == []
    plots = curves.of_controls(arms)
    assert [plot.name for plot in plots] == ["curves-controls-val-accuracy", "curves-controls-val-nll"]
    for plot in plots:
        labels = [text.get_text() for text in plot.figure.axes[0].get_legend().get_texts()]
        assert labels == ["baseline", "distilled", *CONTROLS]
        assert len({line.get_color() for line in plot.figure.axes[0].lines}) == len(labels)
    assert len(plots[0].figure.axes[0].collections) == 2  # bands of the students alone
    for plot in (*curves.on_validation(arms), *curves.on_train(arms)):
        labels = [text.get_text() for text in plot.figure.axes[0].get_legend().get_texts()]
        assert not set(labels) & set(CONTROLS)
