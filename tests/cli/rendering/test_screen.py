"""Progress on stderr: a live view in a terminal, plain lines elsewhere, warnings alone with --quiet."""

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from epochs import record
from places import ROOT
from rich.console import Console
from rich.text import Text

from kdistill.cli.rendering import screen as progress
from kdistill.cli.rendering.console import console as new_console
from kdistill.cli.rendering.screen import Screen
from kdistill.core.listener import Downloading, EpochDone, EpochProgress, Planned, RunFailed, RunFinished, RunStarted

RESULT = {
    "validation": {"accuracy": 0.91234},
    "best_epoch": 3,
    "epochs": 5,
    "stopped": "no improvement",
    "run_info": {"seconds": 1.5},
}


def screen(terminal=False, width=120, **options):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, highlight=False, no_color=True)
    return Screen(console, **options), stream


def play(watcher):
    watcher.note("Starting")
    watcher.warning("the teacher is weak")
    watcher.handle(RunStarted("distilled", 3, 5))
    for epoch in (1, 2):
        watcher.handle(EpochProgress(0.5))
        watcher.handle(EpochDone(record(epoch)))
    watcher.handle(RunFinished("distilled", 3, RESULT))
    watcher.close()


def test_away_from_a_terminal_there_are_a_few_plain_lines():
    watcher, stream = screen()
    play(watcher)
    lines = stream.getvalue().splitlines()
    assert lines == [
        "Starting",
        "Warning: the teacher is weak",
        "distilled seed 3  val acc 0.9123  best epoch 3 of 5  1.5 s  stopped early",
    ]


def test_in_a_terminal_there_is_a_live_view():
    watcher, stream = screen(terminal=True, width=200, monitors={"teacher": "val_loss", "student": "val_nll"})
    play(watcher)
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert re.search(r"distilled seed 3 +2/5 +0\.9000 +0\.3000 at 2 .* 4 .* +0\.5000 +0\.2500 +0\.7500", text)
    assert "\x1b[?25h" in text  # the cursor is back


def test_the_live_view_is_no_wider_than_a_narrow_terminal():
    watcher, stream = screen(terminal=True, width=30)
    watcher.handle(RunStarted("distilled", 3, 5))
    watcher.handle(EpochDone(record(1)))
    watcher.close()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", stream.getvalue()).splitlines()
    assert any("1/5" in line for line in lines)
    assert max(map(len, lines)) <= 30


def test_verbose_leaves_a_line_an_epoch():
    watcher, stream = screen(verbose=True, monitors={"student": "val_nll"})
    watcher.handle(RunStarted("distilled", 3, 2))
    watcher.handle(EpochDone(record(1)))
    watcher.handle(EpochDone(record(2, best=False, val_accuracy=0.8)))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("distilled seed 3  epoch 2/2")
    assert lines[1].endswith(
        "val acc 0.8000  best val NLL 0.3000 at 1  patience 4  loss 0.5000  soft 0.2500  hard 0.7500"
    )


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_progress_that_cannot_be_written_is_dropped(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken())
    play(Screen(verbose=True))


def test_a_long_run_says_something_now_and_then():
    watcher, stream = screen()
    now = [0]
    watcher.console.get_time = lambda: now[0]
    watcher.handle(RunStarted("teacher", 0, 50))
    for epoch in range(1, 9):
        now[0] += 20
        watcher.handle(EpochDone(record(epoch, patience_left=None)))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert "patience" not in lines[0]


def test_quiet_shows_warnings_alone():
    for terminal in (False, True):
        watcher, stream = screen(terminal, quiet=True)
        play(watcher)
        assert stream.getvalue() == "Warning: the teacher is weak\n"


def test_a_warning_is_shown_once():
    watcher, stream = screen()
    watcher.warning("twice")
    watcher.warning("twice")
    assert stream.getvalue() == "Warning: twice\n"


WORDS = "the values of a split have another scale than those of train, in the folder"
PATH = "/home/somebody/projects/distillation/with/a/long/name"


@pytest.mark.parametrize("width", [30, 40, 80])
def test_in_a_terminal_a_message_is_broken_at_words_and_what_follows_is_indented(width):
    watcher, stream = screen(terminal=True, width=width)
    watcher.warning(f"{WORDS} {PATH}\nanother line")
    lines = Text.from_ansi(stream.getvalue()).plain.splitlines()
    assert " ".join(line.strip() for line in lines) == f"Warning: {WORDS} {PATH} another line"
    assert lines[-1] == "another line"
    assert all(line.startswith("  ") for line in lines[1:-1])
    assert max(len(line) for line in lines if PATH not in line) <= width
    assert f"  {PATH}" in lines or width == 80


def test_away_from_a_terminal_a_message_is_one_line():
    watcher, stream = screen(width=30)
    watcher.warning(f"{WORDS} {PATH}")
    assert stream.getvalue() == f"Warning: {WORDS} {PATH}\n"


def test_square_brackets_are_text():
    watcher, stream = screen()
    watcher.note("hidden [128, 64] [bold]x[/bold]")
    assert stream.getvalue() == "hidden [128, 64] [bold]x[/bold]\n"


@pytest.mark.parametrize("total", [1000, None])
def test_downloads_are_shown_as_they_come(total):
    watcher, stream = screen(terminal=True)
    watcher.handle(Downloading("train.gz", 500, total))
    watcher.handle(Downloading("train.gz", 1000, total))
    watcher.close()
    assert "downloading train.gz" in stream.getvalue()
    assert ("downloaded train.gz" in stream.getvalue()) == (total is not None)


def test_console_off_a_terminal_leaves_tables_room(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert new_console().width == 140
    monkeypatch.setenv("COLUMNS", "60")
    assert new_console().width == 60


def test_several_runs_are_a_table_until_they_have_ended():
    watcher, stream = screen(terminal=True)
    watcher.handle(Planned(0, 4))
    for seed in (1, 2):
        watcher.handle(RunStarted("baseline", seed, 10, (), 50_000), f"baseline seed {seed}")
        watcher.handle(EpochDone(record(5)), f"baseline seed {seed}")
        watcher.handle(EpochProgress(0.25), f"baseline seed {seed}")
    watcher.handle(RunFinished("baseline", 1, RESULT), "baseline seed 1")
    assert [run.description for run in watcher._table.tasks] == ["baseline seed 2"]
    watcher.handle(Planned(1, 4))
    watcher.handle(RunFailed("training diverged"), "baseline seed 2")
    watcher.close()
    shown = stream.getvalue()
    assert "[1/4] baseline  seed 1  val acc 0.9123" in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "1 of 4 runs done" in shown
    assert "baseline seed 2: training diverged" in shown


def numbers(stream):
    return re.findall(r"^\[([ 0-9]+/[0-9]+)\]", stream.getvalue(), re.MULTILINE)


def test_each_run_that_ends_has_its_number():
    watcher, stream = screen()
    watcher.handle(Planned(3, 12))
    for seed in (1, 2):  # two that end before it is told that either has
        watcher.handle(RunStarted("baseline", seed, 10), f"baseline seed {seed}")
    for seed in (1, 2):
        watcher.handle(RunFinished("baseline", seed, RESULT), f"baseline seed {seed}")
    watcher.handle(Planned(4, 12))
    watcher.handle(Planned(7, 12))  # two could not be made
    watcher.handle(RunStarted("teacher", 0, 10), "x")
    watcher.handle(RunFinished("teacher", 0, RESULT), "x")
    assert numbers(stream) == [" 4/12", " 5/12", " 8/12"]


def test_one_run_alone_has_no_number():
    watcher, stream = screen(terminal=True)
    watcher.handle(Planned(0, 1))
    play(watcher)
    assert numbers(stream) == []
    assert "runs done" not in stream.getvalue()


def test_the_time_left_is_that_of_the_runs_before():
    now = [100.0]
    count = progress._Count(lambda: now[0])
    assert count.words() == ""
    count.planned(1, 12)
    assert count.words() == "1 of 12 runs done"
    now[0] = 140.0
    count.planned(2, 12)  # the first of this command, which compiled: it says nothing
    assert count.words() == "2 of 12 runs done"
    now[0] = 190.0
    count.planned(7, 12)  # five in 50 s
    assert count.words() == "7 of 12 runs done, about 0:00:50 left"
    now[0] = 200.0
    assert count.words() == "7 of 12 runs done, about 0:00:40 left"
    now[0] = 1000.0
    assert count.words() == "7 of 12 runs done, about 0:00:01 left"
    count.planned(12, 12)
    assert count.words() == "12 of 12 runs done"


def test_plain_lines_say_how_many_are_done():
    watcher, stream = screen(verbose=True)
    watcher.handle(Planned(1, 4))
    watcher.handle(RunStarted("baseline", 1, 10), "baseline seed 1")
    watcher.handle(EpochDone(record(5)), "baseline seed 1")
    assert stream.getvalue().endswith("hard 0.7500  (1 of 4 runs done)\n")


PLAYED = """
import sys
from kdistill.core.listener import EpochDone, Planned, RunFinished, RunStarted
from kdistill.cli.rendering.console import console
from kdistill.cli.rendering.screen import Screen
now = 0.0
stderr = console(stderr=True)
stderr.get_time = lambda: now
screen = Screen(stderr, quiet={quiet}, monitors={{"student": "val_nll"}})
screen.handle(Planned(0, 2))
screen.handle(RunStarted("distilled", 3, 5, (), 60_000))
for epoch in (1, 2):
    now += 2.0
    losses = {{"loss": 0.5, "soft": 0.25, "hard": 0.75}}
    screen.handle(EpochDone({{"epoch": epoch, **losses, "val_accuracy": 0.9, "val_nll": 0.3, "best": True,
                             "patience_left": 4, "seconds": 2.0}}))
screen.warning("the teacher is weak")
screen.handle(RunFinished("distilled", 3, {result}))
screen.close()
"""


def played(columns, quiet=False, **environment):
    """Return what a process shows on its standard error, which is a terminal of so many columns, or a file if none."""
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
    variables |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns or 80, 0, 0))
    program = [sys.executable, "-c", PLAYED.format(quiet=quiet, result=RESULT)]
    with subprocess.Popen(program, stderr=theirs if columns else subprocess.PIPE, env=variables) as process:
        os.close(theirs)
        shown = b"" if columns else process.stderr.read()
        with contextlib.suppress(OSError):  # what a terminal says once nobody holds its other end
            while columns and (chunk := os.read(ours, 10_000)):
                shown += chunk
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode().replace("\r\n", "\n")


FINISHED = "[1/2] distilled seed 3  val acc 0.9123  best NLL at epoch 3 of 5  1.5 s  stopped early\n"


@pytest.mark.parametrize("columns", [30, 40, 80, 160])
def test_in_a_real_terminal_the_view_is_as_wide_as_it_and_leaves_the_cursor(columns):
    shown = played(columns)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", re.sub(r"\x1b\[[0-9;]*m", "", shown))
    live = [line for line in text.splitlines() if "2/5" in line]
    assert live
    assert max(map(len, live)) <= columns
    ended = [line for line in text.splitlines() if "[1/2]" in line]
    assert max(map(len, ended)) <= max(columns, len("[1/2] distilled seed 3  val acc 0.9123"))
    assert all(("best NLL at epoch 3 of 5" in line) == (columns >= 80) for line in ended)
    if columns >= 40:
        assert all("0.9000" in line for line in live)
    if columns >= 80:
        assert all(part in live[0] for part in ("0.3000 at 2", "< 0:00:06", " 4 ", "30,000"))
    assert "0 of 2 runs done" in text


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "dumb"}, {"CI": "true"}, {"TTY_INTERACTIVE": "0"}],
    ids=lambda environment: next(iter(environment)),
)
def test_a_terminal_that_nobody_watches_gets_plain_lines(environment):
    shown = played(160, NO_COLOR="1", **environment)
    finished = FINISHED.replace("  stopped early", "") if "TERM" in environment else FINISHED  # Rich: 80 columns
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == f"Warning: the teacher is weak\n{finished}"


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}])
def test_a_redirect_gets_plain_lines_even_in_colour(environment):
    shown = played(None, **environment)
    assert ("\x1b[" in shown) == ("FORCE_COLOR" in environment)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == f"Warning: the teacher is weak\n{FINISHED}"


def test_without_colour_the_live_view_has_none():
    shown = played(100, NO_COLOR="1")
    assert not re.search(r"\x1b\[(3|4|9)[0-9]", shown)
    assert "\x1b[?25h" in shown


def test_quiet_in_a_real_terminal_shows_the_warning_alone():
    assert re.sub(r"\x1b\[[0-9;]*m", "", played(100, quiet=True)) == "Warning: the teacher is weak\n"
