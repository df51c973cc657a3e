"""Run folders: complete or not, whose they are, and what a failing disk leaves behind."""

import errno
import json
import os
from pathlib import Path

import pytest

from kdistill import config as configs
from kdistill import runs
from kdistill.errors import OutputError
from kdistill.runs import Experiment, Run

SPEC = {"seed": 0, "student": {"hidden": [8]}}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "seed-0" / "baseline", "baseline", 0)


def finish(run, spec=SPEC):
    run.begin(spec, {"threads": 1})
    run.record({"epoch": 1, "val_nll": 0.5})
    run.model_file.write_bytes(b"weights")
    run.finish({"arm": "baseline", "warnings": []})


def test_a_run_is_complete_once_its_result_is_written(run):
    assert not run.is_complete()
    run.begin(SPEC, {})
    run.record({"epoch": 1})
    run.model_file.write_bytes(b"weights")
    assert not run.is_complete()
    run.finish({"arm": "baseline"})
    assert run.is_complete()
    assert run.history() == [{"epoch": 1}]
    assert run.manifest["attempts"][0]["from_epoch"] == 0


@pytest.mark.parametrize("name", ["model.keras", "history.jsonl"])
def test_a_changed_or_missing_file_makes_a_run_incomplete(run, name):
    finish(run)
    (run.folder / name).write_bytes(b"changed")
    assert "SHA-256" in run.damage()
    assert not run.is_complete()
    (run.folder / name).unlink()
    assert run.damage() == f"{name} is missing"


def test_a_damaged_manifest_makes_a_run_incomplete(run):
    finish(run)
    (run.folder / "manifest.json").write_text("{")
    assert run.damage() == "manifest.json is missing or damaged"
    assert not run.is_complete()


def test_beginning_again_empties_the_folder_and_counts_the_attempt(run):
    run.begin(SPEC, {})
    run.record({"epoch": 1})
    run.begin(SPEC, {})
    assert run.history() == []
    assert len(run.manifest["attempts"]) == 2


def test_conflict_names_the_keys_that_differ(run):
    finish(run)
    assert run.conflict(SPEC) == []
    other = {"seed": 0, "student": {"hidden": [16]}}
    assert run.conflict(other) == ["student.hidden: was [8], is now [16]"]
    with pytest.raises(OutputError, match=r"student\.hidden: was \[8\], is now \[16\]"):
        runs.check_no_conflict(run, other)


def test_test_scores_belong_to_one_model_and_one_teacher(run):
    finish(run)
    run.record_test({"accuracy": 0.9}, "weights")
    assert run.test_scores("weights") == {"accuracy": 0.9}
    assert run.test_scores("other") is None
    run.model_file.write_bytes(b"other")
    run.finish({})
    assert run.test_scores("weights") is None


def test_what_a_run_depends_on_leaves_out_place_and_names():
    base = configs.load("quickstart")
    for override in ("name=other", "data.dir=/somewhere", "expected.teacher=0.9", "training.checkpoint_every=3"):
        changed = configs.load("quickstart", [override])
        assert runs.specification(base, "teacher", 0) == runs.specification(changed, "teacher", 0)


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("distill.temperature=9", {"distilled"}),
        ("student.hidden=[3]", {"baseline", "distilled"}),
        ("teacher.hidden=[3]", {"teacher"}),
        ("data.split_seed=7", {"teacher", "baseline", "distilled"}),
        ("training.optimizer=sgd", {"teacher", "baseline", "distilled"}),
        ("student.patience=77", {"baseline", "distilled"}),
    ],
)
def test_a_key_changes_the_identity_of_the_runs_that_read_it(override, changes):
    base, changed = configs.load("quickstart"), configs.load("quickstart", [override])
    different = {
        arm
        for arm in runs.ARMS
        if runs.identity(runs.specification(base, arm, 0, "w"))
        != runs.identity(runs.specification(changed, arm, 0, "w"))
    }
    assert different == changes


def test_a_distilled_run_depends_on_its_teachers_weights():
    config = configs.load("quickstart")
    one, two = (runs.specification(config, "distilled", 0, weights) for weights in ("a", "b"))
    assert runs.identity(one) != runs.identity(two)


def test_experiment_refuses_a_folder_that_is_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"no config\.yaml"):
        Experiment(tmp_path).check_usable()
    with pytest.raises(OutputError, match="this is a file"):
        Experiment(tmp_path / "notes.txt").check_usable()


def test_experiment_accepts_a_new_an_empty_and_its_own_folder(tmp_path):
    experiment = Experiment(tmp_path / "new" / "place")
    experiment.check_usable()
    experiment.create("name: place\n")
    experiment.check_usable()
    assert (experiment.folder / "config.yaml").read_text() == "name: place\n"
    (tmp_path / "empty").mkdir()
    Experiment(tmp_path / "empty").check_usable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_experiment_refuses_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        Experiment(tmp_path / "new").check_usable()


def test_seeds_lists_those_that_have_a_folder(tmp_path):
    experiment = Experiment(tmp_path)
    for seed in (3, 10, 0):
        experiment.run("teacher", seed).folder.mkdir(parents=True)
    (tmp_path / "seed-x").mkdir()
    assert experiment.seeds() == [0, 3, 10]


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")],
)
def test_a_failing_disk_gives_one_message_and_keeps_what_was_there(run, monkeypatch, number, text):
    finish(run)
    before = (run.folder / "result.json").read_bytes()

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=text):
        run.finish({"arm": "changed"})
    assert (run.folder / "result.json").read_bytes() == before
    assert not [path for path in run.folder.iterdir() if path.name.startswith(".")]


def test_write_json_replaces_the_whole_file(tmp_path):
    path = tmp_path / "a.json"
    runs.write_json(path, {"a": 1})
    runs.write_json(path, {"b": 2})
    assert json.loads(path.read_text()) == {"b": 2}
    with pytest.raises(ValueError, match="JSON"):
        runs.write_json(path, {"nan": float("nan")})
    assert json.loads(path.read_text()) == {"b": 2}
    assert list(tmp_path.iterdir()) == [Path(path)]
