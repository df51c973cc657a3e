"""What a person reads: every figure of a document where it belongs."""

import io
import re

import pytest
from rich.console import Console

from kdistill.cli.rendering import results
from kdistill.evaluation.verdict import Answers, Pair, about_distillation, compare_pairs

ARM = {
    "accuracy": {"values": [0.9, 0.92], "mean": 0.91, "sd": 0.01414},
    "nll": {"values": [0.3, 0.3], "mean": 0.3, "sd": 0.0},
    "ece": {"values": [0.01, 0.03], "mean": 0.02, "sd": 0.0},
    "parameters": 1234567,
    "file_bytes": 2_345_678,
    "expected": 0.8682,
}
STUDENT = {**ARM, "agreement": {"values": [0.95, 0.97], "mean": 0.96, "sd": 0.01}}


def text(renderable, width=160):
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def reproduction(values=(0.01, -0.002), expected=0.8682, disagreements=(), **more):
    answers = [([1] * ours + [0] * theirs, [0] * ours + [1] * theirs) for ours, theirs in disagreements]
    answers = answers or [((), ())] * len(values)
    pairs = [
        Pair(seed, Answers(0.9 + value, ours), Answers(0.9, theirs))
        for seed, (value, (ours, theirs)) in enumerate(zip(values, answers, strict=True))
    ]
    return {
        "headline": "Student: 1.4 % of the teacher's parameters.",
        "experiment": "article",
        "seeds": list(range(len(values))),
        "arms": {
            "teacher": {**ARM, "expected": expected},
            "baseline": {**STUDENT, "expected": None},
            "distilled": {**STUDENT, "expected": None},
        },
        "formula": "loss = 0.9 * soft + 0.1 * hard",
        "imbalance": 1.0,
        "comparison": compare_pairs(pairs, about_distillation(range(len(pairs)))).to_json(),
        "warnings": [],
        "failed": [],
        "run_info": {"output_dir": "runs/article", "next": [{"why": "one page", "command": "kdistill report 'a b'"}]},
        **more,
    }


def test_reproduction_shows_ours_published_and_the_differences():
    shown = text(results.reproduction(reproduction(), verbose=True))
    assert "article: test accuracy over 2 seeds" in shown
    assert "0.9100" in shown
    assert "0.8682" in shown
    assert "1,234,567" in shown
    assert "2.3 MB" in shown
    assert "+1.00  -0.20 (points; seeds 0-1)" in shown
    assert "loss = 0.9 * soft" in shown
    assert "Inconclusive" in shown
    assert "Warning" not in shown
    assert "Failed" not in shown


def test_reproduction_says_what_the_verdict_rests_on():
    document = reproduction((0.01, 0.012, 0.011), disagreements=[(30, 5), (20, 18), (40, 10)])
    brief, shown = (" ".join(text(results.reproduction(document, verbose)).split()) for verbose in (False, True))
    assert "Distillation helps: +1.10 points" in shown
    assert "distilled is the better one in 100 % of cases" in shown
    assert "McNemar's test 2 of 3 seeds with a difference on the same test examples" in shown
    assert "seed variance" in shown
    assert "bootstrap" not in shown
    for figure in ("McNemar", "% of cases", "seed variance", "loss = ", "p < "):
        assert figure in shown
        assert figure not in brief


@pytest.mark.parametrize("verbose", [False, True])
def test_what_the_user_came_for_comes_first_and_what_to_do_next_last(verbose):
    shown = text(results.reproduction(reproduction((0.01, 0.012, 0.011)), verbose)).splitlines()
    assert shown[0].startswith("Student: 1.4 % of the teacher's parameters.")
    assert shown[1].startswith("Distillation helps: +1.10 points of test accuracy against the baseline")
    assert [line.rstrip() for line in shown[-3:]] == ["Next:", "  one page", "    kdistill report 'a b'"]


def test_the_bootstrap_is_shown_where_there_is_one():
    values = [0.01 + 0.0001 * number for number in range(20)]
    assert "bootstrap (BCa)" in text(results.reproduction(reproduction(values), verbose=True))


def test_reproduction_repeats_warnings_and_failures():
    failed = [
        {"run": "distilled seed 7", "message": "training diverged", "since": None},
        {"run": "seed 7, scores", "message": "not done", "since": "distilled seed 7"},
    ]
    shown = text(results.reproduction(reproduction(warnings=["Selected on test."], failed=failed)))
    assert "Warning: Selected on test." in shown
    assert "Failed: distilled seed 7 (why: runs/article/summary.json)" in shown
    assert "training diverged" not in shown  # which was printed when it happened


def test_published_has_no_column_where_nothing_was_published():
    assert "published" not in text(results.reproduction(reproduction(expected=None)))


def test_one_seed_is_said_to_prove_nothing():
    shown = text(results.reproduction(reproduction((0.01,)), verbose=True))
    assert "Inconclusive" in shown
    assert "one run of each" not in shown
    assert "over 1 seed\n" in shown.replace("  ", "").replace(" \n", "\n")


def test_evaluation_has_a_row_for_each_arm_and_model():
    scores = {"accuracy": 0.5, "nll": 1.25, "ece": 0.125, "parameters": 610, "file_bytes": 24_000}
    document = {
        "experiment": "quick",
        "examples": 540,
        "imbalance": 1.0,
        "measure": "accuracy",
        "arms": {"teacher": {**scores, "agreement": None, "kl_to_teacher": None}},
        "models": [{**scores, "path": "a/[b].keras", "agreement": 0.75, "kl_to_teacher": 0.0625}],
        "run_info": {"next": []},
    }
    shown = text(results.evaluation(document))
    assert "quick: test split, 540 examples" in shown
    assert "a/[b].keras" in shown
    assert "0.7500" in shown
    assert "24 kB" in shown


def test_facts_show_nested_values_in_words():
    shown = text(results.facts({"cores": 2, "gpus": [], "extras": {"gpu": False, "x": None}}))
    assert "none" in shown
    assert "no" in shown
    assert "cores" in shown


def test_training_shows_where_the_model_is():
    document = {
        "arm": "baseline",
        "seed": 4,
        "validation": {"accuracy": 0.5, "nll": 1.0},
        "epochs": 7,
        "best_epoch": 3,
        "monitor": "val_nll",
        "stopped": "no improvement",
        "parameters": 610,
        "file_bytes": 24_000,
        "formula": "loss = hard",
        "run_info": {"model": "runs/x/model.keras", "next": []},
    }
    shown = text(results.training(document))
    assert "baseline, seed 4" in shown
    assert "runs/x/model.keras (24 kB)" in shown
    assert "7 (best val NLL at epoch 3; stopped early)" in shown
    assert "cross-entropy of the labels" in shown


def evaluation(*names):
    scores = {"accuracy": 0.5, "nll": 1.25, "ece": 0.125, "parameters": 1_234_567, "file_bytes": 24_000}
    rows = {name: {**scores, "agreement": 0.75, "kl_to_teacher": None} for name in names}
    models = [{**row, "path": name} for name, row in rows.items() if name.endswith(".keras")]
    arms = {name: row for name, row in rows.items() if not name.endswith(".keras")}
    about = {"experiment": "quick", "examples": 540, "imbalance": 1.0, "measure": "accuracy", "run_info": {"next": []}}
    return {**about, "arms": arms, "models": models}


HEADINGS = ["accuracy", "sd", "published", "NLL", "ECE", "agreement", "KL to teacher", "parameters", "file"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "table",
    [
        results.evaluation(evaluation("teacher", "baseline", "distilled")),
        results.reproduction(reproduction()),
        results.reproduction(reproduction(expected=None)),
    ],
    ids=["evaluate", "published", "reproduce"],
)
def test_a_narrow_table_keeps_its_names_and_drops_whole_columns(table, width):
    lines = text(table, width).splitlines()
    assert max(map(len, lines)) <= width
    for arm in ("teacher", "baseline", "distilled"):
        (row,) = [line for line in lines if line.startswith(f"{arm} ")]
        assert len(re.findall(r"\S+", row.replace(" kB", "").replace(" MB", ""))) >= 4
    shown = " ".join(" ".join(lines).split())
    table_part, _, missing = shown.partition("Hidden at this width: ")
    for heading in HEADINGS:
        assert not (f" {heading} " in table_part and heading in re.split(", | Distilled", missing))
    assert ("Hidden at this width" in shown) == (width < 80 or (width == 80 and "published" in shown))
    # The unit is there or the whole column is not.
    assert ("MB" in table_part or "kB" in table_part) == (" file " in table_part)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_names_of_model_files_can_be_told_apart(width):
    names = [f"/home/somebody/projects/distillation/runs/fashion/seed-{seed}/distilled/model.keras" for seed in (0, 1)]
    lines = text(results.evaluation(evaluation(*names)), width).splitlines()
    first_column = "".join(line[: line.rfind("  ")].split("  ")[0].strip() for line in lines[2:])
    for name in names:
        assert name in first_column
    assert sum("0.5000" in line for line in lines) == 2


def test_a_plan_shows_what_changed():
    run = {"arm": "teacher", "seed": 0, "state": "to make again", "folder": "runs/q/seed-0/teacher"}
    document = {
        "experiment": "q",
        "part": None,
        "runs": [{**run, "changes": ["training.epochs: was 3, is now 4"]}],
        "data": {"dataset": "mnist", "state": "to download"},
        "examples": None,
        "teacher": {"path": "t.keras", "measure": "accuracy", "validation": 0.5},
        "formula": "loss = hard",
        "run_info": {"threads": 1},
    }
    shown = text(results.plan(document))
    for part in ("to make again", "was 3, is now 4", "mnist: to download", "cross-entropy of the labels", "t.keras"):
        assert part in shown
