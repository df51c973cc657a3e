"""The live view: one line in a terminal, plain lines elsewhere, and nothing that is not asked for."""

import io
import re

import pytest
from rich.console import Console

from kdistill import progress
from kdistill.progress import Screen

RESULT = {
    "validation": {"accuracy": 0.91234},
    "best_epoch": 3,
    "epochs": 5,
    "stopped": "no improvement",
    "run_info": {"seconds": 1.5},
}


def record(epoch, **changes):
    values = {"epoch": epoch, "loss": 0.5, "soft": 0.25, "hard": 0.75, "val_accuracy": 0.9, "best": True}
    return {**values, "patience_left": 4, "seconds": 2.0, **changes}


def screen(terminal=False, width=120, **options):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, highlight=False, no_color=True)
    return Screen(console, **options), stream


def play(watcher):
    watcher.note("Starting")
    watcher.warning("the teacher is weak")
    watcher.run_started("distilled", 3, 5, 4)
    for epoch in (1, 2):
        watcher.progress(0.5)
        watcher.epoch(record(epoch))
    watcher.run_finished("distilled", 3, RESULT)
    watcher.close()


def test_away_from_a_terminal_there_are_a_few_plain_lines():
    watcher, stream = screen()
    play(watcher)
    lines = stream.getvalue().splitlines()
    assert lines == [
        "Starting",
        "Warning: the teacher is weak",
        "distilled seed 3  validation accuracy 0.9123  best epoch 3 of 5  (no improvement; 1.5 s)",
    ]


def test_in_a_terminal_there_is_a_live_line():
    watcher, stream = screen(terminal=True, width=200, monitors={"teacher": "val_loss", "student": "val_nll"})
    play(watcher)
    text = stream.getvalue()
    assert "distilled seed 3" in text
    assert "loss 0.5000 (soft 0.2500, hard 0.7500)" in text
    assert "val accuracy 0.9000  best epoch by val_nll: 2 (0.9000)" in text
    assert "patience 4" in text
    assert "at most 6 s left" in text
    assert "\x1b[?25h" in text  # the cursor is back


def test_the_live_line_stays_on_one_line_of_a_narrow_terminal():
    watcher, stream = screen(terminal=True, width=30)
    watcher.run_started("distilled", 3, 5, 4)
    watcher.epoch(record(1))
    watcher.close()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", stream.getvalue()).splitlines()
    assert any("seed 3" in line for line in lines)
    assert max(map(len, lines)) <= 30


@pytest.mark.parametrize(("arm", "epochs", "seconds"), [("distilled", 200, 0.6), ("teacher", 500, 30.0)])
def test_at_60_columns_the_score_and_the_time_left_stay_and_the_bar_goes(arm, epochs, seconds):
    run = progress._RunState(f"{arm} seed 0", epochs, "val_nll")
    run.take(record(99, seconds=seconds))
    line = run.line(60)
    assert len(line) <= 60
    assert "val 0.9000" in line or "val accuracy 0.9000" in line
    assert re.search(r" (min|s|h)\b", line)
    assert "━" not in line
    wide = run.line(200)
    assert "╌" in wide
    assert "best epoch by val_nll: 99" in wide


def test_verbose_leaves_a_line_an_epoch():
    watcher, stream = screen(verbose=True, monitors={"student": "val_nll"})
    watcher.run_started("distilled", 3, 2, 4)
    watcher.epoch(record(1))
    watcher.epoch(record(2, best=False, val_accuracy=0.8))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("distilled seed 3  epoch 2/2  loss 0.5000")
    assert "val accuracy 0.8000  best epoch by val_nll: 1 (0.9000)" in lines[1]
    assert "at most 2 s left" in lines[0]
    assert "left" not in lines[1]
    quick = progress._RunState("teacher seed 0", 3)
    quick.take(record(1, seconds=0.01))
    assert "at most 1 s left" in quick.plain_line()


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_narration_that_nobody_hears_is_dropped(monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", Broken())
    play(Screen(progress.console(stderr=True), verbose=True))


def test_a_long_run_says_something_now_and_then(monkeypatch):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    watcher, stream = screen()
    watcher.run_started("teacher", 0, 50, None)
    for epoch in range(1, 9):
        watcher.epoch(record(epoch, patience_left=None))
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 5
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


def test_square_brackets_are_text():
    watcher, stream = screen()
    watcher.note("hidden [128, 64] [bold]x[/bold]")
    assert stream.getvalue() == "hidden [128, 64] [bold]x[/bold]\n"


@pytest.mark.parametrize("total", [1000, None])
def test_downloads_are_shown_as_they_come(total):
    watcher, stream = screen(terminal=True)
    watcher.download("train.gz", 500, total)
    watcher.download("train.gz", 1000, total)
    watcher.close()
    assert "downloading train.gz" in stream.getvalue()
    assert ("downloaded train.gz" in stream.getvalue()) == (total is not None)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")])
def test_durations_are_short(seconds, text):
    assert progress._duration(seconds) == text


def test_console_off_a_terminal_leaves_tables_room(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert progress.console().width == 140
    monkeypatch.setenv("COLUMNS", "60")
    assert progress.console().width == 60


def test_several_runs_have_a_line_each_until_they_have_ended():
    watcher, stream = screen(terminal=True)
    for seed in (1, 2):
        watcher.of(f"baseline seed {seed}").run_started("baseline", seed, 10, 4)
        watcher.of(f"baseline seed {seed}").epoch(record(5))
    watcher.planned(1, 4)
    watcher.of("baseline seed 1").run_finished("baseline", 1, RESULT)
    assert list(watcher._runs) == ["baseline seed 2"]
    assert "━━━━━━━━╌╌╌╌╌╌╌╌" in watcher._runs["baseline seed 2"].line(200)
    watcher.run_failed("baseline seed 2", "training diverged")
    watcher.close()
    shown = stream.getvalue()
    assert "1 of 4 done" in shown
    assert "baseline seed 2: training diverged" in shown
