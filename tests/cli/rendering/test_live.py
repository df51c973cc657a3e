"""The live view of runs in progress, at every width."""

import io

import pytest
from epochs import record
from rich.console import Console

from kdistill.cli.rendering.live import RunTable, download
from kdistill.core.listener import Downloading, RunStarted


class View:
    """A table of runs on a console of one width, with a clock that the test moves."""

    def __init__(self, width=200, footer=""):
        self.now, self.stream = 10.0, io.StringIO()
        console = Console(file=self.stream, width=width, highlight=False, get_time=lambda: self.now)
        self.table = RunTable(console, lambda: footer)

    def run(self, title="distilled seed 3", epochs=500, examples=54_000, monitor="val_nll", history=()):
        return self.table.add_run(title, RunStarted("distilled", 3, epochs, history, examples), monitor)

    def train(self, row, epochs, seconds=2.0, **changes):
        for epoch in epochs:
            self.table.add_epoch(row, record(epoch, seconds=seconds, **changes))

    def plain(self, row):
        return self.table.plain_line(row)

    def shown(self):
        self.stream.seek(0)
        self.stream.truncate()
        self.table.console.print(self.table, end="")
        return [line.rstrip() for line in self.stream.getvalue().splitlines()]


def trained(view, title="distilled seed 3", epochs=500, last=99, seconds=2.0, **changes):
    row = view.run(title, epochs)
    view.train(row, range(last - 3, last + 1), seconds, **changes)
    return row


def test_a_wide_view_has_everything_a_person_wants():
    view = View()
    row = trained(view, val_accuracy=0.9123, val_nll=0.2125)
    view.train(row, [100], best=False, val_accuracy=0.85)
    assert [" ".join(line.split()) for line in view.shown()] == [
        "epoch val acc best val NLL time left patience examples/s loss soft hard",
        "distilled seed 3 100/500 0.8500 0.2125 at 99 < 0:13:20 4 27,000 0.5000 0.2500 0.7500",
    ]
    assert view.plain(row) == (
        "distilled seed 3  epoch 100/500  val acc 0.8500  best val NLL 0.2125 at 99  time left < 0:13:20  patience 4  "
        "examples/s 27,000  loss 0.5000  soft 0.2500  hard 0.7500"
    )


@pytest.mark.parametrize(
    ("monitor", "best"), [("val_nll", "best val NLL 0.3000"), ("val_mean_average_precision", "best val mAP 0.7500")]
)
def test_multi_label_data_have_the_mean_average_precision_in_place_of_the_accuracy(monitor, best):
    view = View()
    row = view.run(monitor=monitor)
    view.train(row, [1], val_nll=0.3, val_accuracy=0.1, val_mean_average_precision=0.75)
    assert view.plain(row).startswith(f"distilled seed 3  epoch 1/500  val mAP 0.7500  {best} at 1  ")
    assert "0.1000" not in view.plain(row)
    heading, figures = (" ".join(line.split()) for line in view.shown())
    assert heading.startswith("epoch val mAP best val")
    assert figures.startswith("distilled seed 3 1/500 0.7500 0.")


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_a_view_is_never_too_wide_and_hides_the_least_important_first(width):
    view = View(width)
    trained(view, "teacher seed 0", 80, last=12)
    lines = view.shown()
    assert max(map(len, lines)) <= width
    assert "teacher" in lines[1]
    order = [part in lines[1] for part in ("12/80", "0.9000", "at 12", "< 0:02", "27,000", "0.5000", "0.7500")]
    assert order == sorted(order, reverse=True)
    assert order[:2] == [True, True] or width < 34


@pytest.mark.parametrize(("title", "epochs", "seconds"), [("distilled seed 0", 200, 0.6), ("teacher seed 0", 500, 30)])
def test_60_columns_have_the_score_and_the_time_left(title, epochs, seconds):
    view = View(60)
    trained(view, title, epochs, seconds=seconds)
    assert f"{title} " in view.shown()[1]
    assert "0.9000  0.3000 at 99" in view.shown()[1]
    assert view.shown()[1].endswith("< 0:01:01" if epochs == 200 else "< 3:20:30")


def test_the_first_epoch_has_speed_and_time_once_some_of_it_is_done_and_the_compilation_does_not_count():
    view = View()
    row = view.run("teacher seed 0", 5, 60_000)
    assert view.plain(row) == "teacher seed 0  epoch 0/5"
    view.now += 500.0  # the first steps are compiled
    view.table.add_share(row, 0.25)
    assert view.plain(row) == "teacher seed 0  epoch 0/5"
    view.now += 30.0
    view.table.add_share(row, 0.5)  # 120 s an epoch
    assert view.plain(row) == "teacher seed 0  epoch 0.5/5  time left < 0:09:00  examples/s 500"
    view.now += 400.0  # the last batch is smaller, and its step is compiled
    view.table.add_share(row, 1.0)
    assert "time left < 0:08:00" in view.plain(row)
    view.train(row, [1], seconds=990.0)
    assert "epoch 1/5" in view.plain(row)
    assert "time left < 0:08:00  patience 4  examples/s 500" in view.plain(row)
    view.train(row, [2], seconds=100.0)
    assert "time left < 0:05:00" in view.plain(row)
    assert "examples/s 600" in view.plain(row)


def test_a_first_epoch_without_parts_says_nothing_of_the_next_ones():
    view = View()
    row = view.run(epochs=12, examples=1000)
    view.train(row, [1], seconds=30.0)
    assert "time left" not in view.plain(row)
    view.train(row, [2], seconds=1.0)
    assert "time left < 0:00:10" in view.plain(row)


def test_one_slow_epoch_does_not_change_the_estimate():
    view = View()
    row = view.run(epochs=12, examples=1000)
    for epoch, seconds in enumerate([50.0, 1.0, 1.0, 30.0, 1.0, 1.0], start=1):
        view.train(row, [epoch], seconds)
    assert "time left < 0:00:06" in view.plain(row)
    assert "examples/s 1,000" in view.plain(row)


def test_what_is_not_known_is_not_said():
    view = View()
    row = view.run("teacher seed 0", 3, examples=0, monitor=None)
    view.train(row, [1, 2, 3], patience_left=None, soft=0.0)
    assert view.plain(row) == "teacher seed 0  epoch 3/3  val acc 0.9000  best 0.9000 at 3  loss 0.5000"
    assert "patience" not in view.shown()[0]


def test_a_resumed_run_starts_with_the_figures_of_its_history():
    view = View()
    row = view.run(epochs=10, history=[record(1, val_nll=0.25), record(2, best=False)])
    assert "epoch 2/10  val acc 0.9000  best val NLL 0.2500 at 1  time left < 0:00:16" in view.plain(row)
    view.table.add_share(row, 0.5)
    assert "time left < 0:00:15" in view.plain(row)


def test_several_runs_are_rows_of_one_table():
    view = View(100, footer="3 of 15 runs done, about 0:02:05 left")
    rows = [view.run("teacher seed 0", 400), view.run("baseline seed 11", 80), view.run("distilled seed 2", 80)]
    view.train(rows[0], [98, 99], 4.0)
    view.train(rows[1], [7, 8], 2.0, val_accuracy=0.5)
    view.table.add_share(rows[0], 0.5)
    assert view.shown() == [
        "                     epoch  val acc  best val NLL  time left  patience  examples/s    loss    soft",
        "teacher seed 0    99.5/400   0.9000  0.3000 at 99  < 0:20:02         4      14,000  0.5000  0.2500",
        "baseline seed 11      8/80   0.5000   0.3000 at 8  < 0:02:24         4      27,000  0.5000  0.2500",
        "distilled seed 2      0/80",
        "3 of 15 runs done, about 0:02:05 left",
    ]


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_a_narrow_table_keeps_run_epoch_and_score(width):
    view = View(width, footer="12 of 60 runs done")
    for seed in (1, 2):
        trained(view, f"temperature=20 alpha=0.5 seed {seed}", 80, last=7)
    lines = view.shown()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert [words.count(part) for part in ("1", "2", "7/80")] == [1, 1, 2]
    assert words.count("0.9000") == 2 or width == 30
    assert lines[-1] == "12 of 60 runs done"


def test_no_run_is_nothing_but_the_count():
    assert View(footer="1 of 2 runs done").shown() == ["1 of 2 runs done"]
    assert View().shown() == []


def test_square_brackets_and_wide_letters_are_text():
    view = View(40)
    trained(view, "hidden=[16] 温度 seed 1")
    assert "hidden=[16] 温度" in " ".join(view.shown())


@pytest.mark.parametrize(("total", "bar"), [(2_000_000, "0.5/2.0 MB"), (None, "0.5/? MB")])
def test_a_download_is_a_bar_with_its_size(total, bar):
    console = Console(file=io.StringIO(), width=80)
    console.print(download(Downloading("[a].gz", 500_000, total), console))
    assert "downloading [a].gz" in console.file.getvalue()
    assert "━" in console.file.getvalue()
    assert bar in console.file.getvalue() or total is None


def test_what_is_monitored_is_said_of_each_run_where_it_differs():
    view = View(120)
    for title, monitor in (("teacher seed 0", "val_nll"), ("baseline seed 0", "val_macro_f1")):
        view.train(view.run(title, 80, monitor=monitor), [7, 8], val_macro_f1=0.75)
    heading, teacher, baseline = view.shown()
    assert heading.split()[:5] == ["epoch", "val", "acc", "monitored", "best"]
    assert teacher.split()[4:10] == ["0.9000", "val", "NLL", "0.3000", "at", "8"]
    assert "0.9000  val macro F1 0.7500  val macro F1 0.7500 at 8  " in baseline
