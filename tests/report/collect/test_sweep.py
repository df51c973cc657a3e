"""The cells of a sweep: finished, unfinished, damaged, with failed runs."""

import json

import pytest
from heard import Heard

from kdistill import config as configs
from kdistill import runs
from kdistill.recipes.session import Options
from kdistill.report.collect import subject, sweep
from kdistill.runs import Experiment, RunWriter

SUMMARY = {
    "seeds": [0, 1],
    "axes": {"distill.temperature": [1, 4], "student.hidden": [[8], [16]]},
    "chosen_by": "mean validation accuracy",
    "baseline": {"validation": {"accuracy": {"values": [0.7, 0.8], "mean": 0.75, "sd": 0.07}}},
    "winner": {"set": {"distill.temperature": 4, "student.hidden": [16]}},
    "test": None,
    "run_info": {"winner": {"config": "w", "command": "kdistill x"}},
}


def cell(temperature, hidden, mean, failed=()):
    summary = {"values": [mean], "mean": mean, "sd": None}
    scores = None if failed else {"accuracy": summary, "nll": summary}
    settings = {"distill.temperature": temperature, "student.hidden": hidden}
    return {"set": settings, "status": "done", "validation": scores, "failed": list(failed)}


CELLS = [cell(1, [8], 0.6), cell(1, [16], 0, ["diverged"]), cell(4, [8], 0.7), cell(4, [16], 0.9)]


@pytest.fixture
def home(tmp_path):
    config = configs.load("quickstart", [])
    experiment = Experiment(tmp_path / config.name)
    experiment.create(configs.dump(config))
    return experiment


def collected(experiment):
    return sweep.collect_sweep(subject.find(experiment.folder, Options()))


def test_a_finished_sweep_is_read_from_its_summary(home):
    (home.folder / "sweep.json").write_text(json.dumps({**SUMMARY, "cells": CELLS}))
    found, why = collected(home)
    assert why == ""
    assert list(found.axes.items()) == [("distill.temperature", [1, 4]), ("student.hidden", [[8], [16]])]
    assert [list(one.settings.values()) for one in found.cells] == [[1, [8]], [1, [16]], [4, [8]], [4, [16]]]
    assert [one.score and one.score["mean"] for one in found.cells] == [0.6, None, 0.7, 0.9]
    assert [one.is_winner for one in found.cells] == [False, False, False, True]
    assert [one.done for one in found.cells] == [2, 1, 2, 2]
    assert found.cells[1].failed == ["diverged"]
    assert (found.seeds, found.baseline, found.test, found.command) == (2, 0.75, None, "kdistill x")


def test_a_summary_written_by_0_1_0_has_the_winners_command_beside_its_settings(home):
    before = {"set": SUMMARY["winner"]["set"], "config": "w", "command": "kdistill old"}
    (home.folder / "sweep.json").write_text(json.dumps({**SUMMARY, "winner": before, "cells": CELLS, "run_info": {}}))
    found, why = collected(home)
    assert (why, found.command) == ("", "kdistill old")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "expected a JSON object: Expecting property name"),
        ("[" * 100_000, "too many levels"),
        ("[]", "expected a JSON object; received something else"),
        ('{"axes": 3}', "seeds: field required"),
        (json.dumps({**SUMMARY, "cells": CELLS[1:]}), "cells: expected one for each of the 4 combinations"),
        (json.dumps({**SUMMARY, "cells": CELLS, "winner": {"set": {}}}), "winner: expected the settings of a cell"),
        (json.dumps({**SUMMARY, "cells": CELLS, "seeds": ["0"]}), "seeds.0: input should be a valid integer"),
        (json.dumps({**SUMMARY, "cells": CELLS, "sha256": "0"}), "its SHA-256 differs"),
        (json.dumps({**SUMMARY, "cells": CELLS, "measure": "f2"}), "measure: expected one of accuracy, nll, "),
        (json.dumps({**SUMMARY, "cells": CELLS, "measure": "auc"}), "cells: expected the validation score auc"),
    ],
)
def test_a_damaged_summary_is_told_and_as_good_as_none(home, text, problem):
    (home.folder / "sweep.json").write_text(text)
    assert collected(home) == (None, "")
    heard = Heard()
    found = subject.find(home.folder, Options(), heard)
    assert f"{home.folder / 'sweep.json'} is damaged: " in found.left_out[0]
    assert problem in found.left_out[0]
    assert heard.warnings == found.left_out


def test_a_verdict_of_another_version_is_told(home):
    (home.folder / "sweep.json").write_text(json.dumps({**SUMMARY, "cells": CELLS, "test": {"comparison": {}}}))
    found, why = collected(home)
    assert found is None
    assert "sweep.json cannot be read" in why


def begin(home, name, temperature, accuracies):
    config = configs.load(home.folder / "config.yaml", [f"distill.temperature={temperature}"])
    experiment = Experiment(home.folder / "cells" / name)
    experiment.create(configs.dump(config))
    for seed, accuracy in enumerate(accuracies):
        spec = runs.specification(config, "distilled", seed, "teacher")
        writer = RunWriter(experiment.run("distilled", seed), spec, {}, print)
        if accuracy is not None:
            writer.run.model_file.write_bytes(b"weights")
            writer.finish({"validation": {"accuracy": accuracy, "nll": 1 - accuracy}, "file_bytes": 7})


def test_an_unfinished_sweep_has_the_cells_that_were_started(home):
    begin(home, "b", 8, [0.5, None])
    begin(home, "a", 2, [0.6, 0.8])
    found, why = collected(home)
    assert (why, found.seeds, found.command) == ("", 2, None)
    assert found.axes == {"distill.temperature": [2.0, 8.0]}
    assert [(one.settings["distill.temperature"], one.done) for one in found.cells] == [(2.0, 2), (8.0, 1)]
    assert [one.score["mean"] for one in found.cells] == pytest.approx([0.7, 0.5])
    assert [one.nll["mean"] for one in found.cells] == pytest.approx([0.3, 0.5])
    assert not any(one.is_winner for one in found.cells)


def test_a_single_cell_does_not_show_what_the_sweep_varies(home):
    begin(home, "a", 2, [0.6])
    assert collected(home) == (
        None,
        "Only one cell of the sweep was started, so that the keys it varies are not known yet.",
    )


def test_an_experiment_that_is_no_sweep_misses_nothing(home):
    assert collected(home) == (None, "")
