"""Layout: nothing is wider than the terminal, and nothing is wrapped to less than it."""

import io
import shlex
import subprocess

import pytest
from rich.console import Console
from rich.text import Text

from kdistill.cli.rendering.tables import FittingTable, Pairs, Steps, sections, warning
from kdistill.core.formatting import counted, dimensions, file_size, number, setting


def lines(renderable, width):
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable, crop=False)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


TITLE = "an experiment of a long name: test accuracy over 12 seeds"


@pytest.mark.parametrize("width", [30, 40, 60, 80])
@pytest.mark.parametrize(
    "table", [FittingTable(TITLE, [("b", {"a": "0.5"})]), Pairs(TITLE, [("b", "0.5")])], ids=["table", "pairs"]
)
def test_a_title_takes_the_width_of_the_terminal_and_not_of_its_table(table, width):
    shown = lines(table, width)
    assert max(map(len, shown)) <= width
    title = shown[: next(number for number, line in enumerate(shown) if line.lstrip() in ("a", "b  0.5"))]
    title = [line for line in title if line]
    assert " ".join(title) == TITLE
    assert len(title) == {30: 2, 40: 2, 60: 1, 80: 1}[width]


def test_values_stand_beside_their_names_or_below_where_there_is_no_room():
    rows = [("distilled - baseline", "+0.10  +0.20  +0.30 (points; seeds 0, 1, 2)"), ("[about]", "seeds")]
    assert lines(Pairs(None, rows), 80) == [
        " distilled - baseline  +0.10  +0.20  +0.30 (points; seeds 0, 1, 2)",
        " [about]               seeds",
    ]
    assert lines(Pairs(None, rows), 40) == [
        " distilled - baseline",
        "   +0.10  +0.20  +0.30 (points; seeds 0,",
        "   1, 2)",
        " [about]",
        "   seeds",
    ]


def test_columns_of_words_begin_where_their_heading_does():
    rows = [("teacher", {"state": "complete", "folder": "a/b"}), ("x", {"state": "to train", "folder": "a/[c]"})]
    table = FittingTable("t", rows, words=("state", "folder"))
    assert lines(table, 80) == [
        "t",
        "           state     folder",
        "teacher    complete  a/b",
        "x          to train  a/[c]",
    ]
    assert " ".join(lines(table, 25)[-2:]) == "Hidden at this width: folder"


def test_a_table_without_rows_is_its_title():
    assert lines(FittingTable("t", []), 30)[0] == "t"
    assert "".join(lines(FittingTable("t", []), 30)[1:]) == ""


def test_columns_that_are_empty_in_all_rows_are_left_out():
    shown = lines(FittingTable(None, [("a", {"x": "1", "y": ""}), ("b", {"x": "2", "z": "3"})]), 30)
    assert [line.split() for line in shown] == [["x", "z"], ["a", "1"], ["b", "2", "3"]]


def test_in_a_terminal_warnings_are_broken_at_words_and_indented():
    stream = io.StringIO()
    Console(file=stream, width=30, force_terminal=True, no_color=True).print(
        warning(["Warning: one two three four five", "x"])
    )
    assert stream.getvalue() == "Warning: one two three four\n  five\nx\n"
    assert lines(warning(["Warning: one two three four five"]), 80) == ["Warning: one two three four five"]


def test_columns_without_a_value_are_the_first_to_be_hidden():
    cells = {"accuracy": "0.5", "AUC": "-", "top-5": "", "loss": "1.0", "seconds": "2"}
    table = FittingTable(None, [("a", cells), ("b", {**cells, "top-5": "-"})])
    assert lines(table, 80)[0].split() == ["accuracy", "AUC", "top-5", "loss", "seconds"]
    shown = lines(table, 35)
    assert shown[0].split() == ["accuracy", "loss", "seconds"]
    assert shown[-1] == "Hidden at this width: AUC, top-5"
    assert lines(table, 30)[0].split() == ["accuracy", "loss"]


def test_sections_are_separated_by_a_line_and_none_is_left_out():
    assert lines(sections(None, Text("a"), None, Text("b"), warning([])), 30) == ["a", "", "b"]
    assert lines(sections(warning(["c", "d"])), 30) == ["c", "d"]


COMMAND = "kdistill sweep -c 'my runs/x/config.yaml' --output-dir 'my runs' --grid distill.temperature=1,2 --seeds 0,1"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_in_a_terminal_a_long_command_is_continued_so_that_a_shell_reads_it_as_one(width):
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=True, no_color=True).print(
        Steps([{"why": "x", "command": COMMAND}])
    )
    shown = [line.rstrip() for line in Text.from_ansi(stream.getvalue()).plain.splitlines()]
    assert max(map(len, shown)) <= width
    pasted = "\n".join(shown[2:]).replace("kdistill", "printf '%s|'", 1)
    read = subprocess.run(["sh", "-c", pasted], capture_output=True, text=True, check=True).stdout
    assert read.split("|")[:-1] == shlex.split(COMMAND)[1:]


def test_in_a_file_a_command_is_one_line():
    assert lines(Steps([{"why": "x", "command": COMMAND}]), 60) == ["Next:", "  x", f"    {COMMAND}"]


def test_figures():
    assert (number(0.5), number(None)) == ("0.5000", "-")
    assert (file_size(2_345_678), file_size(24_400)) == ("2.3 MB", "24 kB")
    assert (counted(1, "seed"), counted(0, "seed")) == ("1 seed", "0 seeds")


def test_settings_are_shown_as_a_config_has_them():
    shown = [setting(value) for value in (None, True, 4.0, [16, 8], "kl", {"hidden": [4]}, ["größe"])]
    assert shown == ["null", "true", "4.0", "[16, 8]", "kl", '{"hidden": [4]}', '["größe"]']


def test_shapes_are_shown_by_their_sizes():
    assert (dimensions((28, 28, 3)), dimensions([64])) == ("28 x 28 x 3", "64")
