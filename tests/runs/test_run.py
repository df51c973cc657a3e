"""Run folders: complete or not, whose they are, and what a failing disk leaves behind."""

import errno
from pathlib import Path

import pytest

from kdistill import runs
from kdistill.core.errors import OutputError
from kdistill.runs import Making, Run

SPEC = {"seed": 0, "student": {"hidden": [8]}}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "seed-0" / "baseline", "baseline", 0)


def begin(run, spec=SPEC):
    return Making(run, spec, {"threads": 1}, lambda warning: None)


def finish(run, spec=SPEC, model=b"weights"):
    making = begin(run, spec)
    making.record({"epoch": 1, "val_nll": 0.5})
    making.run.model_file.write_bytes(model)
    making.finish({"arm": "baseline", "warnings": []})


def test_a_run_is_complete_once_its_result_is_written(run):
    assert not run.is_complete()
    making = begin(run)
    making.record({"epoch": 1})
    run.model_file.write_bytes(b"weights")
    assert not run.is_complete()
    making.finish({"arm": "baseline"})
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


def test_what_cannot_be_read_is_no_proof_of_damage(run, monkeypatch):
    finish(run)
    original = Path.read_bytes

    def stale(path):
        if path.name == "result.json":
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(OutputError, match=r"result\.json: cannot be read: Stale"):
        run.is_complete()


def test_what_was_put_into_the_folder_is_no_part_of_the_run(run):
    making = begin(run)
    making.run.model_file.write_bytes(b"weights")
    (run.folder / "notes.txt").write_text("mine")
    run.record_test({"accuracy": 0.1}, None, [], "another model")
    making.finish({"arm": "baseline"})
    (run.folder / "notes.txt").write_text("still mine")
    run.record_test({"accuracy": 0.2}, None, [], run.model_sha256)
    assert run.is_complete()


def test_a_damaged_manifest_does_not_open_the_run_to_another_config(run):
    finish(run)
    (run.folder / "manifest.json").write_text("{")
    assert run.conflict(SPEC) == []
    assert run.conflict({"seed": 1}) == ["which keys cannot be told: manifest.json is damaged"]


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
    run.record_test({"accuracy": 0.9}, "weights", [True, False, True], run.model_sha256)
    assert run.test_correct() == [True, False, True]
    assert run.test_scores("weights") == {"accuracy": 0.9}
    assert run.test_scores("other") is None
    before = run.model_sha256
    finish(run, {"seed": 2}, model=b"other")
    assert run.test_scores("weights") is None
    assert run.test_correct() == []
    run.record_test({"accuracy": 0.9}, "weights", [True], before)  # scored before, written late
    assert run.test_scores("weights") is None


def test_tidying_leaves_alone_what_another_process_is_making(run):
    finish(run)
    (run.folder / ".new-1-a-test.json").write_text("half")
    with run.locked():
        run.tidy()
    assert (run.folder / ".new-1-a-test.json").exists()
    run.tidy()
    assert not (run.folder / ".new-1-a-test.json").exists()
