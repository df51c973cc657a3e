"""What the live view says of runs that are on, at every width."""

import io
import re

import pytest
from rich.console import Console

from kdistill.cli.rendering import live
from kdistill.cli.rendering.live import RunState, View


def record(epoch, **changes):
    values = {"epoch": epoch, "loss": 0.5, "soft": 0.25, "hard": 0.75, "val_accuracy": 0.9, "best": True}
    return {**values, "patience_left": 4, "seconds": 2.0, **changes}


def state(title="distilled seed 3", epochs=500, examples=54_000, epoch=99, **changes):
    run = RunState(title, epochs, examples, "val_nll")
    run.take(record(epoch, **changes))
    return run


def shown(view, width, height=25):
    stream = io.StringIO()
    Console(file=stream, width=width, height=height, highlight=False).print(view, end="")
    return stream.getvalue().splitlines()


def test_a_wide_line_has_everything_a_person_wants():
    run = state(val_accuracy=0.9123)
    run.take(record(100, best=False, val_accuracy=0.85))
    run.progress(0.5)
    assert run.line(300) == (
        "distilled seed 3  ━━━━━━━━╌╌╌╌╌╌╌╌  epoch 101/500  loss 0.5000 (soft 0.2500, hard 0.7500)  "
        "val accuracy 0.8500  best epoch by val_nll: 99 (0.9123)  patience 4  27,000 examples/s  "
        "at most 13 min 19 s left"
    )


@pytest.mark.parametrize(("arm", "epochs", "seconds"), [("distilled", 200, 0.6), ("teacher", 500, 30.0)])
def test_at_60_columns_the_score_and_the_time_left_stay_and_the_bar_goes(arm, epochs, seconds):
    line = state(f"{arm} seed 0", epochs, seconds=seconds).line(60)
    assert len(line) <= 60
    assert "val 0.9000  best 0.9000" in line
    assert re.search(r"≤ (1m01s|3h20m)$", line)
    assert "━" not in line


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_a_line_is_never_too_wide_and_loses_the_least_first(width):
    run = state("teacher seed 0", 80, epoch=12)
    (line,) = shown(View([run], str), width)
    assert len(line) <= width
    there = {name: part in line for name, part in (("score", "0.9000"), ("epoch", "13/80"), ("title", "teacher"))}
    assert all(there.values()) or width < 34
    order = [" ≤ " in line or "at most" in line, "best" in line, "patience" in line, "/s" in line]
    assert order == sorted(order, reverse=True)


def test_the_first_epoch_tells_speed_and_time_once_some_of_it_is_done(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    run = RunState("teacher seed 0", 5, 60_000)
    assert run.line(200).split() == ["teacher", "seed", "0", "╌" * 16, "epoch", "1/5"]
    now[0] = 40.0
    run.progress(0.25)  # 120 s an epoch
    assert "500 examples/s  at most 9 min 30 s left" in run.line(200)
    run.take(record(1, seconds=100.0))
    assert "600 examples/s  at most 6 min 40 s left" in run.line(200)


def test_what_is_not_known_is_not_said():
    run = RunState("teacher seed 0", 3)
    run.take(record(3, patience_left=None, soft=0.0))
    assert run.plain_line() == ("teacher seed 0  epoch 3/3  loss 0.5000  val accuracy 0.9000  best epoch: 3 (0.9000)")
    quick = RunState("teacher seed 0", 3)
    quick.take(record(1, seconds=0.01))
    assert "at most 1 s left" in quick.plain_line()


def test_one_slow_epoch_does_not_change_the_estimate():
    run = RunState("x", 12, 1000)
    for epoch, seconds in enumerate([50.0, 1.0, 1.0, 30.0, 1.0, 1.0], start=1):
        run.take(record(epoch, seconds=seconds))
    assert "1,000 examples/s  at most 6 s left" in run.plain_line()


def test_several_runs_are_a_table():
    runs = [state("teacher seed 0", 400, seconds=3.0), state("baseline seed 11", 80, epoch=7, val_accuracy=0.5)]
    runs.append(RunState("distilled seed 2", 80, 54_000))
    runs[0].progress(0.5)
    lines = shown(View(runs, lambda: "3 of 15 runs done, about 2 min 05 s left"), 100)
    assert lines == [
        "                        epoch  val acc    best  patience  examples/s  at most",
        "teacher seed 0    100/400 50%   0.9000  0.9000         4      18,000   15m02s",
        "baseline seed 11         8/80   0.5000  0.5000         4      27,000    2m26s",
        "distilled seed 2         1/80",
        "3 of 15 runs done, about 2 min 05 s left",
    ]


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_a_narrow_table_keeps_run_epoch_and_score(width):
    runs = [state(f"temperature=20 alpha=0.5 seed {seed}", 80, epoch=7) for seed in (1, 2)]
    lines = shown(View(runs, lambda: "12 of 60 runs done"), width)
    assert max(map(len, lines)) <= width
    for seed, line in zip((1, 2), lines[1:3], strict=True):
        assert re.search(rf"seed {seed} +8/80 +0\.9000", line) or width == 30
        assert f"seed {seed}" in line
    assert lines[-1] == "12 of 60 runs done"


def test_nothing_on_is_nothing_but_the_count():
    assert shown(View([], lambda: "1 of 2 runs done"), 80) == ["1 of 2 runs done"]
    assert shown(View([], str), 80) == []


def test_square_brackets_and_wide_letters_are_text():
    lines = shown(View([state("hidden=[16] 温度 seed 1"), state("seed 2")], str), 40)
    assert "hidden=[16]" in lines[1] or "…" in lines[1]
    assert "seed 1" in lines[1]


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")])
def test_durations_are_short(seconds, text):
    assert live.duration(seconds) == text
