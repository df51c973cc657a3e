import dataclasses

import pytest
import report_content as made

from kdistill.report.plots import sweep


def texts(plot):
    return {tuple(map(round, text.get_position())): text.get_text() for text in plot.figure.axes[0].texts}


def test_a_sweep_over_two_keys_is_a_map_in_the_order_of_its_axes():
    plot = sweep.sweep(made.sweep())
    # By column and row: alpha, temperature.
    assert texts(plot) == {(0, 0): ".9050", (1, 0): "failed", (0, 1): ".9250 ★", (1, 1): ".9350"}
    shades = [patch.get_alpha() for patch in plot.figure.axes[0].patches]
    assert shades == pytest.approx([0.6, 0.9])  # the worst cell is as light as the page


def test_the_alternative_text_names_best_and_worst():
    alt = sweep.sweep(made.sweep()).alt
    assert "3 cells: best distill.temperature=4, distill.alpha=0.9 with 0.9350" in alt
    assert "worst distill.temperature=1, distill.alpha=0.1 with 0.9050" in alt
    assert "the student alone has 0.8800" in alt


def test_a_sweep_over_one_key_is_a_line_with_its_baseline():
    plot = sweep.sweep(made.sweep(axes=(("student.hidden", ([8], [16], [32])),)))
    axes = plot.figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["[8]", "[16]", "[32]"]
    assert any(line.get_marker() == "*" and line.get_xdata()[0] == 2 for line in axes.lines)
    assert any(set(line.get_ydata()) == {0.88} for line in axes.lines)


def test_other_sweeps_have_no_picture():
    many = tuple((f"key.{number}", (1, 2)) for number in range(3))
    assert sweep.sweep(made.sweep(axes=many)) is None
    large = (("a", tuple(range(20))), ("b", (1, 2)))
    assert sweep.sweep(made.sweep(axes=large)) is None
    begun = dataclasses.replace(made.sweep(), cells=[])
    assert sweep.sweep(begun) is None
