"""What a person sees of a sweep: the map or the list, the winner, and what to do next."""

import io
import re

import pytest
from rich.console import Console

from kdistill.cli.rendering import sweep
from kdistill.evaluation.leaderboard import Entry, leaderboard
from kdistill.evaluation.measures import ACCURACY

COMMAND = f"kdistill reproduce -c '{'x' * 60}/winner.yaml' --output-dir '{'x' * 60}'"


def cell(mean, **settings):
    scores = {"mean": mean, "sd": 0.01, "values": [mean]}
    validation = None if mean is None else {"accuracy": scores, "nll": {**scores, "mean": 1 - mean}}
    return {"set": {key.replace("_", "."): value for key, value in settings.items()}, "validation": validation}


def document(*cells, axes, **more):
    return {
        "experiment": "q",
        "seeds": [0],
        "axes": axes,
        "cells": cells,
        "baseline": None,
        "leaderboard": None,
        "winner": {"set": cells[0]["set"]},
        "chosen_by": "validation",
        "measure": "accuracy",
        "test": None,
        "warnings": [],
        "failed": [],
        "run_info": {
            "output_dir": "runs/q",
            "winner": {"config": "winner.yaml", "command": COMMAND},
            "next": [{"why": "new seeds", "command": COMMAND}],
        },
        **more,
    }


TWO = document(
    cell(0.9, distill_T=1, distill_alpha=0.5),
    cell(0.5, distill_T=1, distill_alpha=0.9),
    cell(None, distill_T=4, distill_alpha=0.5),
    cell(0.7, distill_T=4, distill_alpha=0.9),
    axes={"distill.T": [1, 4], "distill.alpha": [0.5, 0.9]},
    failed=[{"run": "T=4 alpha=0.5 seed 0", "message": "training diverged", "since": None}],
)


def text(renderable, width=100, **options):
    stream = io.StringIO()
    Console(file=stream, width=width, **options).print(renderable, crop=False)
    return stream.getvalue()


def test_a_map_is_dark_where_there_are_colours_and_says_so_nowhere_else():
    coloured = text(sweep.sweep(TWO), force_terminal=True, color_system="truecolor")
    assert "the darker, the better" in coloured
    assert "48;2;20;90;160" in coloured  # the best
    assert "48;2;230;240;250" in coloured  # the worst
    for plain in (text(sweep.sweep(TWO)), text(sweep.sweep(TWO), force_terminal=True, no_color=True)):
        assert "darker" not in plain
        assert "* is the winner\n" in plain.replace("\x1b[2m", "").replace("\x1b[0m", "")


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_what_to_run_next_is_one_line_and_all_else_fits(width):
    shown = [line.rstrip() for line in text(sweep.sweep(TWO), width).splitlines()]
    assert f"    {COMMAND}" in shown
    assert max(len(line) for line in shown if COMMAND not in line) <= width
    assert " ".join(shown).count("failed") == 1
    assert "Failed: T=4 alpha=0.5 seed 0 (why: runs/q/sweep.json)" in " ".join(shown)


def test_a_narrow_list_has_short_names_unless_they_are_the_same():
    narrow = text(sweep.sweep(TWO), 30)
    assert "T=1, alpha=0.5 0.9000* " in " ".join(narrow.split())
    assert "distill.alpha=0.9" not in narrow
    same = document(
        cell(0.9, teacher_hidden=[8], student_hidden=[4]),
        axes={"teacher.hidden": [[8]], "student.hidden": [[4]]},
    )
    assert "teacher.hidden" in text(sweep.sweep(same), 30)


def test_a_plan_counts_the_states_of_the_runs_of_a_cell():
    def row(of, home, state, arm="distilled", changes=()):
        return {"of": of, "home": home, "state": state, "arm": arm, "seed": 0, "changes": list(changes)}

    plan = {
        "experiment": "q",
        "part": None,
        "seeds": [0, 1, 2],
        "chosen_by": "validation",
        "measure": "accuracy",
        "runs": [
            row("teacher", "runs/q", "to make again", "teacher", ["training.epochs: was 1, is now 2"]),
            *(row("T=1", "runs/q/cells/a", state) for state in ("complete", "to train", "complete")),
            row("T=4", "runs/q/cells/b", "interrupted"),
        ],
        "data": {"dataset": "digits", "state": "here"},
        "examples": {"train": 10},
        "given_teachers": [{"path": "t.keras", "measure": "accuracy", "validation": 0.5}],
        "formula": None,
        "run_info": {"threads": 1},
    }
    shown = [" ".join(line.split()) for line in text(sweep.plan(plan)).splitlines()]
    assert "T=1 3 2 2 complete, 1 to train runs/q/cells/a" in shown
    assert "T=4 1 0 interrupted runs/q/cells/b" in shown
    assert "teacher 0 training.epochs: was 1, is now 2" in shown
    assert "teacher t.keras (validation accuracy 0.5000)" in shown
    assert not any("objective" in line for line in shown)


def test_a_leaderboard_fits_into_eighty_columns_with_its_differences():
    scores = {"kl": [0.90, 0.91, 0.89], "dkd": [0.92, 0.935, 0.91], "none": None}
    cells = [
        {**cell(values and sum(values) / 3, distill_soft_loss=name), "name": name} for name, values in scores.items()
    ]
    entries = [Entry(name, {"distill.soft.loss": name}, values) for name, values in scores.items() if values]
    board = leaderboard([*entries, Entry("baseline", None, [0.88, 0.895, 0.88])], "dkd", ACCURACY)
    alone = {"validation": cell(0.885)["validation"]}
    swept = document(*cells, axes={"distill.soft.loss": list(scores)}, leaderboard=board, baseline=alone)
    swept["winner"] = {"set": cells[1]["set"]}
    shown = text(sweep.sweep(swept), 80)
    names = [
        line.split()[0] for line in shown.splitlines() if "loss=" in line.split("  ")[0] or line[:9] == "baseline "
    ]
    assert [name.removeprefix("distill.soft.") for name in names] == ["loss=dkd", "loss=kl", "baseline", "loss=none"]
    assert re.search(r"vs winner +p +vs baseline +p", shown)
    assert re.search(r"loss=kl +0\.9000 +0\.0100 +-2\.17 +0\.018 +\+1\.50 +0\.035", shown)
    assert "p by Holm's method" in shown
    assert "dkd has the best mean validation accuracy, 0.9217." in " ".join(shown.split())
    assert max(len(line.rstrip()) for line in shown.splitlines() if COMMAND not in line) <= 80
