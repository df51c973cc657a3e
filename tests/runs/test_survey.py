"""What is found in an output folder, whatever state it is in, and that looking changes nothing."""

import json
import os
import subprocess
import sys

import pytest

from kdistill.core.errors import OutputError
from kdistill.runs import Experiment, RunWriter, record_scores, survey

SPEC = {"training": {"epochs": 9}}
ABOUT = {"threads": 1, "device": "CPU", "data": {"fingerprint": "f"}, "versions": {"keras": "3"}}


@pytest.fixture
def experiment(tmp_path):
    made = Experiment(tmp_path / "runs" / "mine")
    made.create("name: mine\ndistill: {temperature: 2.0, alpha: 0.5}\n")
    return made


def record(epoch, accuracy=0.5, best=True):
    return {"epoch": epoch, "val_accuracy": accuracy, "best": best}


def begin(experiment, arm="baseline", seed=0, spec=SPEC, epochs=0):
    writer = RunWriter(experiment.run(arm, seed), {**spec, "seed": seed}, ABOUT, lambda text: None)
    for epoch in range(1, epochs + 1):
        writer.record(record(epoch, accuracy=epoch / 10))
    return writer


def finish(experiment, arm="baseline", seed=0, accuracy=0.8, **more):
    writer = begin(experiment, arm, seed, epochs=2)
    writer.run.model_file.write_bytes(b"weights")
    writer.finish({"arm": arm, "epochs": 2, "validation": {"accuracy": accuracy}, "file_bytes": 7, **more})
    return experiment.run(arm, seed)


def described(experiment, **options):
    return survey.describe(experiment.folder, **options)


def only(experiment, **options):
    (run,) = described(experiment, **options)["runs"]
    return run


def test_a_complete_run_with_its_scores(experiment):
    run = finish(experiment)
    assert only(experiment)["test_accuracy"] is None
    record_scores(run, {"accuracy": 0.75}, "some teacher", [True], run.model_sha256)
    found = only(experiment)
    assert (found["state"], found["epoch"], found["epochs"]) == ("complete", 2, 9)
    assert (found["validation_accuracy"], found["test_accuracy"]) == (0.8, 0.75)
    assert found["changed"] == run.manifest["finished"]
    assert found["bytes"] == sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    assert found["problem"] is found["replacement"] is found["process"] is None


def test_scores_of_another_model_are_none_of_this_one(experiment):
    run = finish(experiment)
    record_scores(run, {"accuracy": 0.75}, None, [True], "another")
    assert only(experiment)["test_accuracy"] is None


def test_the_main_score_is_an_accuracy_or_of_multi_label_data_the_mean_average_precision(experiment):
    run = finish(experiment)
    record_scores(run, {"accuracy": 0.75}, None, [True], run.model_sha256)
    found = only(experiment)
    assert (found["measure"], found["validation"], found["test"]) == ("accuracy", 0.8, 0.75)
    writer = begin(experiment, seed=1, epochs=0)
    for number, of_epoch in enumerate(({"best": True}, {"best": False, "val_mean_average_precision": 0.2}), start=1):
        writer.record({**record(number, accuracy=0.1), "val_mean_average_precision": 0.6, **of_epoch})
    (found,) = (row for row in described(experiment)["runs"] if row["seed"] == 1)
    assert (found["measure"], found["validation"], found["test"]) == ("mean_average_precision", 0.6, None)
    assert found["validation_accuracy"] == 0.1


def test_a_history_that_cannot_be_read_is_named(experiment):
    writer = begin(experiment, epochs=1)
    writer.run.history_file.unlink()
    writer.run.history_file.mkdir()
    assert only(experiment)["problem"].startswith("history.jsonl: cannot be read: ")


def test_an_interrupted_run_tells_how_far_it_has_come_and_from_where_it_goes_on(experiment):
    writer = begin(experiment, epochs=2)
    writer.write_checkpoint(2, 5, lambda path: path.write_text("state"))
    writer.record(record(3, accuracy=0.1, best=False))
    found = only(experiment)
    assert (found["state"], found["epoch"], found["epochs"], found["goes_on_from"]) == ("interrupted", 3, 9, 2)
    assert found["validation_accuracy"] == 0.2  # of the best epoch, not of the last
    with writer.run.history_file.open("a") as file:
        file.write('{"epoch": 4, "val_')
    assert only(experiment)["epoch"] == 3


def test_a_failed_run_tells_why_until_it_is_tried_again(experiment):
    writer = begin(experiment, epochs=2)
    writer.fail("training diverged: the loss is not a finite number", 3)
    found = only(experiment)
    assert (found["state"], found["epoch"]) == ("failed", 3)
    assert found["problem"] == "training diverged: the loss is not a finite number"
    begin(experiment, epochs=1)
    assert only(experiment)["state"] == "interrupted"
    assert not (writer.run.folder / "failure.json").exists()


def test_a_failure_on_a_disk_that_takes_nothing_is_the_first_one_still(experiment):
    writer = begin(experiment)
    writer.run.folder.rename(experiment.folder / "elsewhere")
    writer.fail("training diverged", 1)
    assert not writer.run.folder.exists()


def test_a_run_that_another_process_is_at_is_running(experiment):
    writer = begin(experiment, epochs=1)
    program = (
        "import sys, time; from pathlib import Path; from kdistill.runs import Run\n"
        f"with Run(Path({str(writer.run.folder)!r}), 'baseline', 0).locked():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = only(experiment)
        assert (found["state"], found["epoch"]) == ("running", 1)
        assert f"process {process.pid} on " in found["process"]
        process.stdin.close()
        process.wait(10)
    assert only(experiment)["state"] == "interrupted"


def test_what_is_to_replace_a_finished_run_is_told_beside_it(experiment):
    finish(experiment)
    begin(experiment, spec={"training": {"epochs": 20}}, epochs=4)
    found = only(experiment)
    assert found["state"] == "complete"
    replacement = {key: found["replacement"][key] for key in ("state", "epoch", "epochs", "problem")}
    assert replacement == {"state": "interrupted", "epoch": 4, "epochs": 20, "problem": None}


def test_a_replacement_whose_folder_is_not_yet_in_its_place_is_the_run(experiment):
    run = finish(experiment)
    run.folder.rename(run.next.folder)
    assert only(experiment)["state"] == "complete"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda run: run.model_file.write_bytes(b"WEIGHTS"), "SHA-256 differs"),
        (lambda run: run.model_file.unlink(), "model.keras is missing"),
        (lambda run: (run.folder / "result.json").write_text("{}"), "result.json is not what was written"),
        (lambda run: (run.folder / "manifest.json").write_text("["), "manifest.json is missing or is not"),
    ],
)
def test_a_damaged_run_tells_what_is_wrong(experiment, spoil, problem):
    run = finish(experiment)
    spoil(run)
    found = only(experiment)
    assert found["state"] == "damaged"
    assert problem in found["problem"]


def test_a_large_model_is_read_only_if_all_is(experiment, monkeypatch):
    monkeypatch.setattr(survey, "LARGE", 6)
    run = finish(experiment)
    run.model_file.write_bytes(b"WEIGHTS")
    assert only(experiment)["state"] == "complete"
    assert only(experiment, thorough=True)["state"] == "damaged"
    run.model_file.write_bytes(b"weights and more")
    assert "has 16 bytes, and was written with 7" in only(experiment)["problem"]


def test_cells_are_told_apart_by_the_keys_in_which_they_differ(experiment):
    for number, (temperature, alpha) in enumerate([(20.0, 0.5), (4.0, 0.5), (4.0, 0.1)]):
        cell = Experiment(experiment.folder / "cells" / f"{number}")
        cell.create(f"name: mine\ndistill: {{temperature: {temperature}, alpha: {alpha}, scale_by_t_squared: true}}\n")
        finish(cell, "distilled", accuracy=temperature / 100)
    (experiment.folder / "cells" / "stray").mkdir()
    found = described(experiment)
    assert [cell["set"] for cell in found["cells"]] == [
        {"distill.temperature": 4.0, "distill.alpha": 0.1},
        {"distill.temperature": 4.0, "distill.alpha": 0.5},
        {"distill.temperature": 20.0, "distill.alpha": 0.5},
    ]
    assert [cell["runs"][0]["validation_accuracy"] for cell in found["cells"]] == [0.04, 0.04, 0.2]
    assert found["states"] == {"complete": 3}
    assert found["runs"] == []


def test_strange_things_are_passed_over(experiment):
    root = experiment.folder.parent
    finish(experiment, seed=3)
    (root / "file").write_text("x")
    (root / "no-experiment").mkdir()
    (root / "loop").symlink_to(root / "loop")
    (root / "broken" / "config.yaml").mkdir(parents=True)
    for name in ("seed-x", "seed-7", "seed-8/teacher", "seed-9", "cells"):
        place = experiment.folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text("not a folder")
    (experiment.folder / "summary.json").write_text('{"comparison": []}')
    (experiment.folder / "config.yaml").write_text("a: [")
    (found,) = survey.survey(root)
    assert [(run["arm"], run["seed"]) for run in found["runs"]] == [("baseline", 3)]
    assert (found["verdict"], found["cells"]) == (None, [])
    assert found["problem"].startswith("summary.json: comparison: ")


def test_the_verdict_of_the_last_comparison_is_told(experiment):
    (experiment.folder / "summary.json").write_text(json.dumps({"comparison": {"verdict": "helps"}}))
    assert described(experiment)["verdict"] == "helps"


def test_nothing_is_changed_by_looking(experiment):
    finish(experiment)
    begin(experiment, "teacher", epochs=1).fail("diverged", 2)

    def state():
        return {path: path.lstat() for path in experiment.folder.parent.rglob("*")}

    for path in experiment.folder.parent.rglob("*"):
        os.utime(path, (0, 0))
    before = {path: (found.st_mtime, found.st_size) for path, found in state().items()}
    survey.survey(experiment.folder.parent)
    assert {path: (found.st_mtime, found.st_size) for path, found in state().items()} == before


def test_an_experiment_is_found_by_path_and_by_name(experiment, tmp_path):
    root = tmp_path / "runs"
    assert survey.find("mine", root) == survey.find(str(experiment.folder), tmp_path) == experiment.folder
    with pytest.raises(OutputError, match=r"yours: expected an experiment's folder") as refused:
        survey.find("yours", root)
    assert "there are: mine" in refused.value.hint
    with pytest.raises(OutputError, match=r"this is not an experiment: it has no config.yaml"):
        survey.find(str(root), root)
    with pytest.raises(OutputError) as refused:
        survey.find("mine", tmp_path / "none")
    assert "no experiment in" in refused.value.hint


def test_an_output_folder_that_is_not_there_is_empty(tmp_path):
    assert survey.survey(tmp_path / "none") == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be read: Not a directory"):
        survey.survey(tmp_path / "file")


def test_the_newest_experiment_is_the_one_whose_runs_changed_last(tmp_path):
    for name, when in (("a", 100), ("b", 300), ("c", 200)):
        folder = tmp_path / name / "seed-0" / "baseline"
        folder.mkdir(parents=True)
        for path in (tmp_path / name / "config.yaml", folder / "history.jsonl"):
            path.write_text("")
            os.utime(path, (when, when))
    assert survey.newest(tmp_path) == tmp_path / "b"
    cell = tmp_path / "a" / "cells" / "x" / "seed-0" / "distilled"
    cell.mkdir(parents=True)
    (cell / "history.jsonl").write_text("")
    os.utime(cell / "history.jsonl", (400, 400))
    assert survey.newest(tmp_path) == tmp_path / "a"
    with pytest.raises(OutputError, match="there is no experiment"):
        survey.newest(tmp_path / "nowhere")
