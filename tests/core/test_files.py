"""Files: whole or not at all, and documents that tell when they were changed."""

import errno
import json
import os
import time
from pathlib import Path

import pytest

from kdistill.core import files
from kdistill.core.errors import OutputError


def test_write_json_replaces_the_whole_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"b": 2})
    assert json.loads(path.read_text()) == {"b": 2}
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"nan": float("nan")})
    assert json.loads(path.read_text()) == {"b": 2}
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a"
    files.write_text(path, "old")

    def fail():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: order.append(os.readlink(f"/proc/self/fd/{fd}")) or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda old, new: order.append("rename") or replace(old, new))
    files.write_text(tmp_path / "a", "text")
    assert [os.path.basename(order[0])[:5], *order[1:]] == [files.TEMPORARY, "rename", str(tmp_path)]


def test_a_temporary_name_keeps_the_ending():
    """Keras and NumPy choose the format by it."""
    assert files.temporary_for(Path("x/model.keras")).suffix == ".keras"
    assert files.temporary_for(Path("x/a")) != files.temporary_for(Path("x/a"))


def test_a_sealed_document_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "a.json"
    document = {"number": 0.1 + 0.2, "list": [1, None, True], "text": "é", "nested": {"x": 1e-300}}
    files.write_sealed(path, document)
    assert files.read_sealed(path) == document


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": "0"}', '{"a": 1, "sha256": null}', "[" * 100_000])
def test_what_was_not_sealed_is_not_read(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert files.read_sealed(path) is None
    assert files.read_sealed(tmp_path / "missing.json") is None


def test_no_changed_byte_of_a_sealed_document_changes_what_is_read(tmp_path):
    path = tmp_path / "a.json"
    document = {"epochs": 12, "accuracy": 0.875, "name": "x"}
    files.write_sealed(path, document)
    good = path.read_bytes()
    for position in range(len(good)):
        for bit in range(8):
            changed = bytearray(good)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            assert files.read_sealed(path) in (None, document)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_failing_disk_is_one_message(tmp_path, number, text):
    with pytest.raises(OutputError, match=text) as caught, files.writing(tmp_path):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path) in caught.value.message
    assert "still there" in caught.value.hint


def test_only_what_has_been_left_for_a_day_is_swept_away(tmp_path):
    for age, name in ((0, "young"), (2 * files.STALE, "old")):
        file, folder = (tmp_path / f"{files.TEMPORARY}{name}-{kind}" for kind in ("file", "folder"))
        file.touch()
        (folder / "inside").mkdir(parents=True)
        for path in (file, folder):
            os.utime(path, (time.time() - age,) * 2)
    (tmp_path / "kept").touch()
    files.remove_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".new-young-file", ".new-young-folder", "kept"}
    files.remove_stale(tmp_path, "kept")
    assert (tmp_path / "kept").exists()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_put_in_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    source, target = tmp_path / ".new-it", tmp_path / "it"
    for path, content in ((source, "new"), (target, "old")):
        path.mkdir()
        (path / "file").write_text(content)
    real = os.replace

    def fail(old, new):
        if old == source:
            raise OSError(errno.ENOSPC, "full")
        real(old, new)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        files.put(source, target)
    monkeypatch.undo()
    assert (target / "file").read_text() == "old"
    files.put(source, target)
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "x.npz").mkdir()
    (tmp_path / "x.npz" / "keep").write_text("mine")
    with pytest.raises(OSError, match="directory"):
        files.write_text(tmp_path / "x.npz", "other")
    assert (tmp_path / "x.npz" / "keep").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_a_folder_that_cannot_be_put_back_is_not_lost(tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "of").write_text(folder.name)

    def fail(source, target):
        raise OSError("the disk has gone")

    move = files.move
    monkeypatch.setattr(files, "move", lambda source, target: (fail if source == new else move)(source, target))
    monkeypatch.setattr(files.os, "rename", fail)
    with pytest.raises(OSError, match="the disk has gone"):
        files.put(new, old)
    assert sorted(path.read_text() for path in tmp_path.rglob("of")) == ["new", "old"]
