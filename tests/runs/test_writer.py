"""A run while it is made: from where it goes on, what it replaces, and what a failing disk leaves behind."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import HELPERS

from kdistill.core.errors import OutputError
from kdistill.runs import Run, RunWriter, judge, tidy

SPEC = {"seed": 0, "student": {"hidden": [8]}}
OTHER = {"seed": 0, "student": {"hidden": [9]}}
ABOUT = {"threads": 1, "device": "CPU", "data": {"fingerprint": "f"}, "versions": {"keras": "3"}}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "seed-0" / "baseline", "baseline", 0)


def begin(run, spec=SPEC, about=ABOUT):
    """Begin a run; return it, and what it warned of."""
    warnings = []
    return RunWriter(run, spec, about, warnings.append), warnings


def epoch(writer, number):
    writer.record({"epoch": number})
    writer.write_checkpoint(number, 0, lambda path: path.write_text(str(number)))


def interrupted(run, spec=SPEC, epochs=2):
    """Leave a run with a checkpoint after each epoch, and an epoch that no checkpoint knows of."""
    writer, _ = begin(run, spec)
    for number in range(1, epochs + 1):
        epoch(writer, number)
    writer.record({"epoch": epochs + 1})
    return writer


def finish(run, spec=SPEC, result="result"):
    writer, _ = begin(run, spec)
    writer.record({"epoch": 1, "val_nll": 0.5})
    writer.run.model_file.write_bytes(b"weights")
    writer.finish({"arm": "baseline", "name": result})


def test_beginning_again_without_a_checkpoint_empties_the_folder_and_counts_the_attempt(run):
    writer, _ = begin(run)
    writer.record({"epoch": 1})
    begin(run)
    assert run.history() == []
    assert len(run.manifest["attempts"]) == 2


def test_an_interrupted_run_goes_on_from_its_newest_checkpoint(run):
    interrupted(run)
    assert judge(run).state == "interrupted"
    (run.folder / ".new-1-2-model.keras").write_text("half")
    writer, warnings = begin(run)
    assert (writer.checkpoint.epochs, writer.checkpoint.batches, warnings) == (2, 0, [])
    assert writer.history == run.history() == [{"epoch": 1}, {"epoch": 2}]
    assert [attempt["from_epoch"] for attempt in run.manifest["attempts"]] == [0, 2]
    assert not list(run.folder.glob(".new-*"))


def test_the_history_comes_back_from_the_checkpoint_whatever_became_of_it(run):
    interrupted(run)
    run.history_file.write_text("rubbish")
    writer, _ = begin(run)
    assert writer.history == run.history() == [{"epoch": 1}, {"epoch": 2}]


def test_what_happens_to_the_files_while_a_run_is_made_is_no_part_of_it(run):
    """What it has done is in memory."""
    writer = interrupted(run)
    run.history_file.write_text("rubbish\n")
    (run.folder / "manifest.json").write_text("{")
    epoch(writer, 4)
    assert begin(run)[0].history == [{"epoch": number} for number in (1, 2, 3, 4)]
    writer.run.model_file.write_bytes(b"weights")
    writer.finish({"arm": "baseline"})
    assert judge(run).counts
    assert run.manifest["spec"] == SPEC
    assert len(run.history()) == 4


def test_a_damaged_manifest_does_not_cost_the_checkpoints(run):
    interrupted(run)
    (run.folder / "manifest.json").write_text("{")
    assert begin(run)[0].checkpoint.epochs == 2


def test_other_data_is_refused_while_there_is_something_to_lose(run):
    interrupted(run)
    with pytest.raises(OutputError, match="the data has changed since it began"):
        begin(run, about={**ABOUT, "data": {"fingerprint": "other"}})
    assert begin(run)[0].checkpoint.epochs == 2


def test_another_config_starts_afresh_without_a_word(run):
    interrupted(run)
    writer, warnings = begin(run, OTHER)
    assert (writer.checkpoint, warnings, writer.history) == (None, [], [])
    assert [attempt["from_epoch"] for attempt in run.manifest["attempts"]] == [0]


def test_going_on_with_other_software_or_threads_is_said(run):
    interrupted(run)
    _, warnings = begin(run, about={**ABOUT, "threads": 2, "versions": {"keras": "4"}})
    assert "threads (1 before, now 2)" in warnings[0]
    assert "keras (3 before, now 4)" in warnings[1]


def test_finishing_removes_the_checkpoints(run):
    writer = interrupted(run)
    writer.run.model_file.write_bytes(b"weights")
    writer.finish({"arm": "baseline"})
    assert not run.checkpoints.exist()
    assert judge(run).state == "finished"


def test_a_finished_run_stays_until_what_replaces_it_has_finished(run):
    finish(run, result="old")
    writer = interrupted(run, OTHER)
    assert judge(run).counts
    assert run.result["name"] == "old"
    assert judge(run, SPEC).differences == ()
    writer, _ = begin(run, OTHER)
    assert writer.checkpoint.epochs == 2
    writer.run.model_file.write_bytes(b"other")
    writer.finish({"name": "new"})
    assert run.result["name"] == "new"
    assert judge(run).counts
    assert [path.name for path in run.folder.parent.iterdir()] == ["baseline"]


def test_a_damaged_finished_run_stays_too(run):
    """It may be the only copy of a model that took days."""
    finish(run)
    run.history_file.write_text("edited")
    assert judge(run).state == "damaged"
    interrupted(run)
    assert run.model_file.read_bytes() == b"weights"


def test_a_replacement_of_a_third_config_starts_afresh(run):
    finish(run, result="old")
    interrupted(run, OTHER)
    writer, _ = begin(run, {"seed": 0, "student": {"hidden": [10]}})
    assert writer.checkpoint is None
    assert run.result["name"] == "old"


@pytest.mark.parametrize("killed", ["before the renames", "between them", "after them"])
def test_a_replacement_that_had_finished_is_put_in_place(run, monkeypatch, killed):
    finish(run, result="old")
    writer = interrupted(run, OTHER)
    writer.run.model_file.write_bytes(b"other")
    renames, replace = [], os.replace

    def die(old, new):
        if Path(new).name in ("baseline", ".last-baseline"):
            renames.append(new)
            if len(renames) > ["before the renames", "between them", "after them"].index(killed):
                raise KeyboardInterrupt
        replace(old, new)

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(os, "replace", die)
        writer.finish({"name": "new"})
    with run.locked():
        assert judge(run).counts
        assert run.result["name"] == "new"
    tidy(run)
    assert sorted(path.name for path in run.folder.parent.iterdir()) == [".baseline.lock", "baseline"]
    assert not run.checkpoints.exist()


@pytest.mark.parametrize("what", ["removed", "moved", "replaced"])
def test_a_run_whose_folder_has_gone_writes_nothing_more(run, what):
    writer = interrupted(run)
    if what == "removed":
        shutil.rmtree(run.folder.parent)
    else:
        run.folder.rename(run.folder.with_name("elsewhere"))
    if what == "replaced":
        interrupted(run)
    before = sorted(run.folder.parent.rglob("*")) if run.folder.parent.exists() else None
    for write in (lambda: writer.record({"epoch": 9}), lambda: epoch(writer, 9), lambda: writer.finish({})):
        with pytest.raises(OutputError, match="moved or removed"):
            write()
    assert before == (sorted(run.folder.parent.rglob("*")) if run.folder.parent.exists() else None)


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")],
)
def test_a_failing_disk_gives_one_message_and_keeps_what_was_there(run, monkeypatch, number, text):
    writer = interrupted(run)

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match=text):
            writer.write_checkpoint(3, 0, lambda path: path.write_text("3"))
        with pytest.raises(OutputError, match=text):
            writer.finish({"arm": "changed"})
    assert not run.finished
    assert not list(run.folder.rglob(".new-*"))
    assert begin(run)[0].checkpoint.epochs == 2


def test_everything_is_on_disk_before_the_result_is(run, monkeypatch):
    """Else a power cut could leave a result without the history that it vouches for."""
    writer = interrupted(run)
    writer.run.model_file.write_bytes(b"weights")
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: order.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name) or fsync(fd)
    )
    monkeypatch.setattr(os, "replace", lambda old, new: order.append(f"-> {Path(new).name}") or replace(old, new))
    writer.finish({"arm": "baseline"})
    result = order.index("-> result.json")
    for name in ("history.jsonl", "manifest.json"):
        renamed = order.index(f"-> {name}")
        assert any(each.endswith(f"-{name}") for each in order[:renamed])
        assert renamed < result


@pytest.mark.slow
def test_dying_at_any_step_leaves_a_run_that_goes_on(tmp_path):
    program = HELPERS / "crash_steps.py"
    done = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 200
