"""What a person reads of experiments on disk: every state in words, at every width."""

import pytest
from printed import text

from kdistill.cli.rendering import runs as ledger


def run(arm="distilled", seed=0, state="complete", **more):
    values = {"arm": arm, "seed": seed, "state": state, "epoch": 12, "epochs": 400, "goes_on_from": None}
    values |= {"problem": None, "process": None, "measure": "accuracy", "validation": 0.9, "test": None}
    return {**values, "bytes": 26_800, "changed": "2026-01-02T03:04:05+00:00", "replacement": None, **more}


def entry(runs, cells=(), **more):
    every = [*runs, *(one for cell in cells for one in cell["runs"])]
    states = {}
    for one in every:
        states[one["state"]] = states.get(one["state"], 0) + 1
    values = {
        "experiment": "mine",
        "folder": "runs/mine",
        "verdict": None,
        "problem": None,
        "states": states,
        "runs": runs,
    }
    return {**values, "cells": list(cells), "bytes": 1_500_000, "changed": None, **more}


def listed(*entries):
    return {"output_dir": "runs", "experiments": list(entries)}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (run(), "complete"),
        (run(state="running", process="process 7 on here"), "running, epoch 13 of 400"),
        (run(state="interrupted"), "interrupted after epoch 12 of 400"),
        (run(state="interrupted", epoch=0), "interrupted in epoch 1"),
        (run(state="failed", problem="training diverged: NaN"), "failed in epoch 12 of 400"),
        (run(state="damaged", epochs=None, problem="model.keras is missing"), "damaged"),
        (run(replacement=run(state="failed", epochs=None)), "complete; being replaced: failed in epoch 12"),
    ],
)
def test_each_state_has_its_words(found, words):
    shown = text(ledger.runs(listed(entry([found]))))
    (line,) = [line for line in shown.splitlines() if line.startswith("distilled seed 0")]
    assert f"distilled seed 0  {words}  " in line
    assert "0.9000" in line
    for problem in (found["problem"], found["process"]):
        assert problem is None or f"distilled seed 0: {problem}" in shown


def test_a_score_that_is_no_accuracy_has_its_name():
    tags = {"measure": "mean_average_precision", "validation": 0.75, "test": 0.5}
    shown = text(ledger.runs(listed(entry([run(**tags), run(seed=1)]))))
    assert "0.7500 mAP" in shown
    assert "0.5000 mAP" in shown
    assert "0.9000 mAP" not in shown
    line = text(ledger.experiments(listed(entry([run(**tags), run(seed=1, **tags)])))).splitlines()[3]
    assert "0.7500 mAP" in line
    mixed = text(ledger.experiments(listed(entry([run(**tags), run(seed=1)])))).splitlines()[3]
    assert "0." not in mixed.partition("distilled")[2].partition("kB")[0]


def test_a_summary_has_a_line_for_each_arm_with_seeds_and_means():
    runs = [run(seed=seed, test=seed / 10) for seed in (0, 1, 2, 5)]
    runs += [run("teacher", 3, state="failed", test=1.0)]
    cells = [{"cell": "abc", "set": {"distill.alpha": 0.5}, "runs": [run(), run(seed=1, state="interrupted")]}]
    shown = text(ledger.experiments(listed(entry(runs, cells, verdict="helps"), entry([], experiment="empty"))))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == "runs: 2 experiments, 5 complete, 1 failed, 1 interrupted"
    assert "mine 5 complete, 1 failed, 1 interrupted helps 1.5 MB -" in lines
    assert "distilled 4 complete (seeds 0-2, 5) 0.9000 0.2000" in lines
    assert "teacher 1 failed (seed 3) - -" in lines
    assert "1 cell 1 complete, 1 interrupted" in lines
    assert "empty no runs 1.5 MB -" in lines


def test_cells_are_summarised_each_in_a_line():
    cells = [
        {"cell": "abc", "set": {"distill.alpha": 0.5}, "runs": [run(), run(seed=1, validation=0.8)]},
        {"cell": "def", "set": {}, "runs": [run(state="failed", problem="diverged")]},
    ]
    shown = text(ledger.runs(listed(entry([], cells))))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert any(line.startswith("distill.alpha=0.5 2 complete 0.8500 - 54 kB") for line in lines)
    assert any(line.startswith("def 1 failed - -") for line in lines)
    assert "Failed: def distilled seed 0: diverged" in lines


def test_nothing_is_said_to_be_nothing():
    assert text(ledger.experiments(listed())) == "No experiments in runs\n"
    assert "mine (runs/mine): no runs" in text(ledger.runs(listed(entry([]))))


@pytest.mark.parametrize("width", [30, 40, 60, 100])
def test_a_narrow_terminal_loses_columns_and_no_names(width):
    runs = [run(arm, state="interrupted") for arm in ("teacher", "baseline", "distilled")]
    for shown in (text(ledger.runs(listed(entry(runs))), width), text(ledger.experiments(listed(entry(runs))), width)):
        lines = shown.splitlines()
        assert max(map(len, lines)) <= width
        for arm in ("teacher", "baseline", "distilled"):
            assert arm in shown


def test_in_a_narrow_terminal_the_verdict_stays_longer_than_sizes_and_times():
    cells = [{"cell": "a", "set": {}, "runs": [run()]}]
    shown = text(ledger.experiments(listed(entry([run()], cells, verdict="helps"))), 68)
    assert "helps" in shown
    assert "Hidden at this width: last change" in " ".join(shown.split())
