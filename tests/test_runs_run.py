"""Run folders: complete or not, whose they are, and what a failing disk leaves behind."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdistill import runs
from kdistill.errors import OutputError
from kdistill.runs import Run

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
    assert run.damage() == "manifest.json is missing or is not what was written"
    assert not run.is_complete()


def test_beginning_again_empties_the_folder_and_counts_the_attempt(run):
    run.begin(SPEC, {})
    run.record({"epoch": 1})
    run.begin(SPEC, {})
    assert run.history() == []
    assert len(run.manifest["attempts"]) == 2


ABOUT = {"threads": 1, "device": "CPU", "data": {"fingerprint": "f"}, "versions": {"keras": "3"}}


def interrupted(run, epochs=2):
    """Begin a run and leave it with a checkpoint after each epoch, and an epoch that no checkpoint knows of."""
    run.begin(SPEC, ABOUT)
    for epoch in range(1, epochs + 1):
        run.record({"epoch": epoch})
        run.write_checkpoint(epoch, 0, lambda path, epoch=epoch: path.write_text(str(epoch)))
    run.record({"epoch": epochs + 1})


def test_an_interrupted_run_goes_on_from_its_newest_checkpoint(run):
    interrupted(run)
    assert run.state() == "interrupted"
    (run.folder / ".new-1-2-model.keras").write_text("half")
    warnings = []
    found = run.begin(SPEC, ABOUT, warnings.append)
    assert (found.epochs, found.batches, warnings) == (2, 0, [])
    assert run.history() == [{"epoch": 1}, {"epoch": 2}]
    assert [attempt["from_epoch"] for attempt in run.manifest["attempts"]] == [0, 2]
    assert not list(run.folder.glob(".new-*"))


def test_the_history_comes_back_from_the_checkpoint_whatever_became_of_it(run):
    interrupted(run)
    run.history_file.write_text("rubbish")
    run.begin(SPEC, ABOUT)
    assert run.history() == [{"epoch": 1}, {"epoch": 2}]


def test_a_damaged_manifest_does_not_cost_the_checkpoints(run):
    interrupted(run)
    (run.folder / "manifest.json").write_text("{")
    assert run.begin(SPEC, ABOUT).epochs == 2


def test_other_data_starts_afresh_with_a_warning(run):
    interrupted(run)
    warnings = []
    assert run.begin(SPEC, {**ABOUT, "data": {"fingerprint": "other"}}, warnings.append) is None
    assert len(warnings) == 2
    assert run.history() == []
    assert not run.checkpoints.exist()


def test_another_config_starts_afresh_without_a_word(run):
    interrupted(run)
    warnings = []
    assert run.begin({"seed": 0, "student": {"hidden": [9]}}, ABOUT, warnings.append) is None
    assert warnings == []
    assert run.manifest["attempts"][0]["from_epoch"] == 0
    assert len(run.manifest["attempts"]) == 1


def test_going_on_with_other_software_or_threads_is_said(run):
    interrupted(run)
    warnings = []
    run.begin(SPEC, {**ABOUT, "threads": 2, "versions": {"keras": "4"}}, warnings.append)
    assert ["threads (1 before, now 2)" in warnings[0], "keras (3 before, now 4)" in warnings[1]] == [True, True]


def test_finishing_removes_the_checkpoints(run):
    interrupted(run)
    run.model_file.write_bytes(b"weights")
    run.finish({"arm": "baseline"})
    assert not run.checkpoints.exist()
    assert run.state() == "complete"


@pytest.mark.parametrize("name", ["result.json", "manifest.json", "model.keras", "history.jsonl"])
def test_any_changed_byte_of_a_finished_run_is_damage(run, name):
    finish(run)
    path = run.folder / name
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 0b100
        path.write_bytes(changed)
        assert run.state() == "damaged" or (run.result, run.manifest["files"]) == before(run, path, content)
    path.write_bytes(content)
    assert run.state() == "complete"


def before(run, path, content):
    """What result and manifest were before one byte was changed, such as a blank between two keys."""
    changed = path.read_bytes()
    path.write_bytes(content)
    found = (run.result, run.manifest["files"])
    path.write_bytes(changed)
    return found


def test_dying_at_any_step_leaves_a_run_that_goes_on(tmp_path):
    program = Path(__file__).parent / "crash_steps.py"
    done = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 100


def replacing(run):
    """Finish a run, then begin the one that is to replace it."""
    finish(run)
    run.begin({"seed": 0, "student": {"hidden": [9]}}, ABOUT)
    run.record({"epoch": 1})


def test_a_finished_run_waits_until_what_replaces_it_has_finished(run):
    replacing(run)
    assert not run.is_complete()
    assert run.was_set_aside(SPEC)
    assert not run.was_set_aside({"seed": 1})
    run.model_file.write_bytes(b"other")
    run.finish({"arm": "new"})
    assert run.result == {"arm": "new"}
    assert not run.was_set_aside(SPEC)
    assert [path.name for path in run.folder.parent.iterdir()] == ["baseline"]


def test_a_finished_run_comes_back_where_what_was_to_replace_it_is_given_up(run):
    replacing(run)
    assert run.put_back()
    assert run.is_complete()
    assert run.conflict(SPEC) == []
    assert [path.name for path in run.folder.parent.iterdir()] == ["baseline"]
    assert not run.put_back()


def test_what_waits_is_not_lost_by_trying_twice(run):
    replacing(run)
    run.begin({"seed": 0, "student": {"hidden": [10]}}, ABOUT)
    assert run.put_back()
    assert run.is_complete()


def test_conflict_names_the_keys_that_differ(run):
    finish(run)
    assert run.conflict(SPEC) == []
    other = {"seed": 0, "student": {"hidden": [16]}}
    assert run.conflict(other) == ["student.hidden: was [8], is now [16]"]
    with pytest.raises(OutputError, match=r"student\.hidden: was \[8\], is now \[16\]"):
        runs.check_no_conflict(run, other)


def test_test_scores_belong_to_one_model_and_one_teacher(run):
    finish(run)
    assert run.test_correct() == []
    run.record_test({"accuracy": 0.9}, "weights", [True, False, True])
    assert run.test_correct() == [True, False, True]
    assert run.test_scores("weights") == {"accuracy": 0.9}
    assert run.test_scores("other") is None
    run.model_file.write_bytes(b"other")
    run.finish({})
    assert run.test_scores("weights") is None
    assert run.test_correct() == []


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
