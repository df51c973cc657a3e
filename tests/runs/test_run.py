"""Run folders: complete or not, whose they are, and what a failing disk leaves behind."""

import errno
from pathlib import Path

import pytest

from kdistill import runs
from kdistill.core import files
from kdistill.core.errors import OutputError
from kdistill.evaluation.measures import ACCURACY
from kdistill.runs import (
    Run,
    RunWriter,
    Status,
    answers_of,
    judge,
    known_scores,
    record_scores,
    run_of_model,
    tidy,
)

SPEC = {"seed": 0, "student": {"hidden": [8]}}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "seed-0" / "baseline", "baseline", 0)


def begin(run, spec=SPEC):
    return RunWriter(run, spec, {"threads": 1}, lambda warning: None)


def finish(run, spec=SPEC, model=b"weights"):
    writer = begin(run, spec)
    writer.record({"epoch": 1, "val_nll": 0.5})
    writer.run.model_file.write_bytes(model)
    writer.finish({"arm": "baseline", "warnings": []})


def test_a_run_is_complete_once_its_result_is_written(run):
    assert not judge(run).counts
    writer = begin(run)
    writer.record({"epoch": 1})
    run.model_file.write_bytes(b"weights")
    assert not judge(run).counts
    writer.finish({"arm": "baseline"})
    assert judge(run).counts
    assert run.history() == [{"epoch": 1}]
    assert run.manifest["attempts"][0]["from_epoch"] == 0


@pytest.mark.parametrize("name", ["model.keras", "history.jsonl"])
def test_a_changed_or_missing_file_makes_a_run_incomplete(run, name):
    finish(run)
    (run.folder / name).write_bytes(b"changed")
    assert "SHA-256" in judge(run).damage
    assert not judge(run).counts
    (run.folder / name).unlink()
    assert judge(run).damage == f"{name} is missing"


def test_another_document_in_place_of_the_result_makes_a_run_incomplete(run):
    """One with its seal, as test.json is."""
    finish(run)
    files.write_sealed(run.folder / "result.json", {"model_sha256": "a", "scores": {"accuracy": 0.5}, "correct": "1"})
    assert judge(run).damage == "result.json is not what was written"
    files.write_sealed(run.folder / "result.json", {"arm": "baseline"})  # as early versions wrote it
    assert judge(run).counts


def test_a_damaged_manifest_makes_a_run_incomplete(run):
    finish(run)
    (run.folder / "manifest.json").write_text("{")
    assert judge(run).damage == "manifest.json is missing or is not what was written"
    assert not judge(run).counts


@pytest.mark.parametrize("name", ["result.json", "manifest.json", "model.keras", "history.jsonl"])
def test_any_changed_byte_of_a_finished_run_is_damage(run, name):
    finish(run)
    path = run.folder / name
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 0b100
        path.write_bytes(changed)
        assert judge(run).state == "damaged" or (run.result, run.manifest["files"]) == before(run, path, content)
    path.write_bytes(content)
    assert judge(run).state == "finished"


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
        judge(run)


def test_what_was_put_into_the_folder_is_no_part_of_the_run(run):
    writer = begin(run)
    writer.run.model_file.write_bytes(b"weights")
    (run.folder / "notes.txt").write_text("mine")
    record_scores(run, {"accuracy": 0.1}, None, [], "another model")
    writer.finish({"arm": "baseline"})
    (run.folder / "notes.txt").write_text("still mine")
    record_scores(run, {"accuracy": 0.2}, None, [], run.model_sha256)
    assert judge(run).counts


def test_a_damaged_manifest_does_not_open_the_run_to_another_config(run):
    finish(run)
    (run.folder / "manifest.json").write_text("{")
    assert judge(run, SPEC).differences == ()
    assert judge(run, {"seed": 1}).differences == ("it is unknown in which keys: manifest.json is damaged",)


def test_conflict_names_the_keys_that_differ(run):
    finish(run)
    assert judge(run, SPEC).differences == ()
    other = {"seed": 0, "student": {"hidden": [16]}}
    assert judge(run, other).differences == ("student.hidden: was [8], is now [16]",)
    with pytest.raises(OutputError, match=r"student\.hidden: was \[8\], is now \[16\]"):
        runs.refuse_other_config(run, judge(run, other))


def test_test_scores_belong_to_one_model_and_one_teacher(run):
    finish(run)
    assert list(answers_of(run, {}, ACCURACY).correct) == []
    record_scores(run, {"accuracy": 0.9}, "weights", [True, False, True], run.model_sha256)
    assert list(answers_of(run, {}, ACCURACY).correct) == [True, False, True]
    assert known_scores(run, "weights") == {"accuracy": 0.9}
    assert known_scores(run, "other") is None
    before = run.model_sha256
    finish(run, {"seed": 2}, model=b"other")
    assert known_scores(run, "weights") is None
    assert list(answers_of(run, {}, ACCURACY).correct) == []
    record_scores(run, {"accuracy": 0.9}, "weights", [True], before)  # scored before, written late
    assert known_scores(run, "weights") is None


def test_tidying_leaves_alone_what_another_process_is_making(run):
    finish(run)
    (run.folder / ".new-1-a-test.json").write_text("half")
    with run.locked():
        tidy(run)
    assert (run.folder / ".new-1-a-test.json").exists()
    tidy(run)
    assert not (run.folder / ".new-1-a-test.json").exists()


def test_a_status_says_how_far_a_run_is_and_whether_it_counts(run):
    assert judge(run, SPEC) == Status("missing")
    writer = begin(run)
    assert judge(run, SPEC) == Status("missing")  # nothing to go on from
    writer.record({"epoch": 1})
    writer.write_checkpoint(1, 0, lambda path: path.write_bytes(b"state"))
    assert judge(run, SPEC) == Status("interrupted", epoch=1)
    assert judge(run, {"seed": 1}).state == "other config"
    run.model_file.write_bytes(b"weights")
    writer.finish({"arm": "baseline", "file_bytes": 7})
    assert judge(run, SPEC) == judge(run) == judge(run, by_size=True) == Status("finished")
    assert [name for name in ("missing", "interrupted", "other config", "damaged") if Status(name).counts] == []
    run.model_file.write_bytes(b"changed")
    assert judge(run, by_size=True).counts
    run.model_file.write_bytes(b"more than before")
    assert judge(run, by_size=True).damage == "model.keras has 16 bytes, and was written with 7"


def test_a_file_is_read_once_for_as_long_as_it_stays_as_it_is(run, monkeypatch):
    finish(run)
    read, original = [], files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.name) or original(path))
    assert judge(run).counts
    assert judge(run).counts
    assert read == ["model.keras", "history.jsonl"] * 2  # just written: the clock may not tell the next change
    monkeypatch.setattr(files, "SETTLED", -1.0)
    read.clear()
    for _ in range(3):
        assert judge(run).counts
    assert read == ["model.keras", "history.jsonl"]
    replacement = run.folder / "new"
    replacement.write_bytes(b"changed")
    replacement.replace(run.model_file)
    assert judge(run).damage


def test_a_model_is_known_by_the_run_that_it_is_of(run):
    assert run_of_model(run.model_file) is None
    writer = begin(run)
    run.model_file.write_bytes(b"weights")
    assert run_of_model(run.model_file) is None  # not finished
    writer.finish({"arm": "baseline"})
    assert run_of_model(run.model_file) == run
    assert run_of_model(run.folder / "other.keras") is None
    run.model_file.write_bytes(b"changed")
    assert run_of_model(run.model_file) is None
