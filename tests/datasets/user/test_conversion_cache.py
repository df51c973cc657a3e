"""Conversions in the cache: made once, found again, replaced when the files change, never half there."""

import errno
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kdistill.core import files
from kdistill.core.errors import DataError
from kdistill.datasets.splits import fingerprint
from kdistill.datasets.user import conversion_cache

X = np.arange(12, dtype=np.uint8).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1], np.int32)


def convert(folder):
    np.save(conversion_cache.examples_file(folder, "train"), X)
    conversion_cache.write_labels(folder, {"train": Y})
    return {"classes": ["a", "b"]}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "one"


def test_what_was_made_is_found_again(folder):
    assert conversion_cache.find(folder, "s") is None
    made, facts = conversion_cache.make(folder, lambda: "s", convert)
    found, again = conversion_cache.find(folder, "s")
    for splits in (made, found):
        np.testing.assert_array_equal(splits["train"].images, X)
        np.testing.assert_array_equal(splits["train"].labels, Y)
    assert facts.items() <= {**again, "classes": facts["classes"]}.items()
    assert again["fingerprint"] == fingerprint([made["train"]], ("a", "b"))
    assert (again["lowest"], again["highest"]) == (0.0, 11.0)
    assert conversion_cache.find(folder, "other") is None


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["facts.json", "train-x.npy", "train-y.npy", "train-h.npy"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-3] + b"\1" + path.read_bytes()[-2:]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"descr", b"DESCR").replace(b'"a"', b'"c"')),
        lambda path: path.unlink(),
        _pipe,
        _folder,
    ],
)
def test_a_damaged_conversion_is_not_taken_and_told(folder, name, damage):
    conversion_cache.make(folder, lambda: "s", convert)
    damage(folder / name)
    notes = []
    assert conversion_cache.find(folder, "s", notes.append) is None
    (note,) = notes
    assert note.startswith(f"{folder}: the cache of converted data is damaged: ")
    assert name in note
    conversion_cache.make(folder, lambda: "s", convert)
    found, _ = conversion_cache.find(folder, "s", notes.append)
    np.testing.assert_array_equal(found["train"].images, X)
    assert len(notes) == 1


def test_nothing_is_told_where_there_is_none_or_another(folder):
    notes = []
    assert conversion_cache.find(folder, "s", notes.append) is None
    conversion_cache.make(folder, lambda: "s", convert)
    assert conversion_cache.find(folder, "other", notes.append) is None
    assert notes == []


def test_a_part_that_was_not_written_is_not_taken(folder):
    conversion_cache.make(folder, lambda: "s", convert)
    for kind in ("x", "y"):
        shutil.copy(folder / f"train-{kind}.npy", folder / f"test-{kind}.npy")
    notes = []
    assert conversion_cache.find(folder, "s", notes.append) is None
    assert "a file that was not written" in notes[0]


def test_what_earlier_versions_have_made_of_the_same_data_is_removed(tmp_path):
    place = (tmp_path / "data", {"label": "a"})
    old, now = (conversion_cache.folder_for("csv", *place, form) for form in (1, conversion_cache.FORMAT))
    other = conversion_cache.folder_for("csv", tmp_path / "other", {"label": "a"}, 1)
    for folder in (old, now, other):
        conversion_cache.make(folder, lambda: "s", convert)
    conversion_cache.remove_earlier("csv", *place)
    assert [folder.exists() for folder in (old, now, other)] == [False, True, True]


def test_equal_examples_are_counted_once_for_all_commands(folder):
    def with_test(place):
        np.save(conversion_cache.examples_file(place, "test"), X[[1, 1, 2]] + np.uint8([[0], [0], [100]]))
        conversion_cache.write_labels(place, {"test": Y[:3]})
        return convert(place)

    _, facts = conversion_cache.make(folder, lambda: "s", with_test)
    assert (facts["shared"], facts["repeats"]) == ({"test": 2}, False)


def test_a_file_is_read_once_in_a_process_while_it_does_not_change(folder, monkeypatch):
    conversion_cache.make(folder, lambda: "s", convert)
    monkeypatch.setattr(files, "SETTLED", -1.0)
    read, real = [], files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.name) or real(path))
    for _ in range(3):
        assert conversion_cache.find(folder, "s") is not None
    assert sorted(read) == ["train-h.npy", "train-x.npy", "train-y.npy"]
    (folder / "train-y.npy").write_bytes(b"changed")
    assert conversion_cache.find(folder, "s") is None


def test_another_takes_its_place(folder):
    conversion_cache.make(folder, lambda: "old", convert)
    conversion_cache.make(folder, lambda: "new", convert)
    assert conversion_cache.find(folder, "old") is None
    assert conversion_cache.find(folder, "new") is not None
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_failure_leaves_what_was_there(folder):
    conversion_cache.make(folder, lambda: "old", convert)

    def fail(place):
        convert(place)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversion_cache.make(folder, lambda: "new", fail)
    assert conversion_cache.find(folder, "old") is not None
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_files_that_change_meanwhile_are_not_kept(folder):
    signatures = iter(["before", "after"])
    with pytest.raises(DataError, match="changed while they were read"):
        conversion_cache.make(folder, lambda: next(signatures), convert)
    assert list(folder.parent.iterdir()) == []


def test_another_process_may_have_been_quicker(folder, monkeypatch):
    """It gives its own the name between our taking the old one away and our giving ours."""
    real = files.move

    def quicker(source, target):
        if target == folder:
            shutil.copytree(source, target)
        real(source, target)

    monkeypatch.setattr(files, "move", quicker)
    splits, _ = conversion_cache.make(folder, lambda: "s", convert)
    np.testing.assert_array_equal(splits["train"].images, X)
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(DataError, match="the cache cannot be written") as raised:
        conversion_cache.make(tmp_path / "cache" / "one", lambda: "s", convert)
    assert "KDISTILL_CACHE_DIR" in raised.value.hint


@pytest.mark.parametrize("name", ["train-x.npy", "train-h.npy", "facts.json"])
def test_a_disk_that_is_full_leaves_nothing(folder, monkeypatch, name):
    """Whichever file of the conversion it is that finds no room."""
    conversion_cache.make(folder, lambda: "old", convert)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*given):
        raise full

    for module, function in {
        "train-x.npy": [(conversion_cache.memory_map, "open_array")],
        "train-h.npy": [(np, "save")],
        "facts.json": [(files, "write_sealed")],
    }[name]:
        monkeypatch.setattr(module, function, fail)
    with pytest.raises(DataError, match="the cache cannot be written: No space left on device") as raised:
        conversion_cache.make(folder, lambda: "new", convert)
    assert "Make room" in raised.value.hint
    monkeypatch.undo()
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    assert conversion_cache.find(folder, "old") is not None


def test_two_processes_that_convert_the_same_data_at_once_have_the_same(folder):
    """Threads, which write to folders of their own as processes do."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: conversion_cache.make(folder, lambda: "s", convert), range(6)))
    assert {facts["fingerprint"] for _, facts in made} == {made[0][1]["fingerprint"]}
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    assert conversion_cache.find(folder, "s") is not None


def test_what_killed_processes_left_is_removed_after_a_day(folder):
    old, young = (folder.parent / f"{files.TEMPORARY}{name}" for name in ("old", "young"))
    for left in (old, young):
        left.mkdir(parents=True)
        (left / "train-x.npy").write_bytes(b"1")
    os.utime(old, (time.time() - 90_000,) * 2)
    conversion_cache.make(folder, lambda: "s", convert)
    assert not old.exists()
    assert young.exists()


def test_a_place_depends_on_path_and_settings(tmp_path):
    places = {
        conversion_cache.folder_for("csv", tmp_path / "a", {"label": "x"}),
        conversion_cache.folder_for("csv", tmp_path / "a", {"label": "y"}),
        conversion_cache.folder_for("csv", tmp_path / "b", {"label": "x"}),
        conversion_cache.folder_for("npz", tmp_path / "a", {"label": "x"}),
    }
    assert len(places) == 4
    assert conversion_cache.folder_for("csv", tmp_path / "c" / ".." / "a", {"label": "x"}) in places


def test_one_that_is_taken_away_while_it_is_made_is_used_all_the_same(folder, monkeypatch):
    """Another process replaces it as soon as it has its name."""
    real = files.move

    def and_away(source, target):
        real(source, target)
        if target == folder:
            shutil.rmtree(target)

    monkeypatch.setattr(files, "move", and_away)
    splits, _ = conversion_cache.make(folder, lambda: "s", convert)
    np.testing.assert_array_equal(splits["train"].images, X)


@pytest.mark.parametrize("then", ["gone", "another"])
def test_one_that_is_replaced_while_it_is_found_is_not_taken(folder, monkeypatch, then):
    conversion_cache.make(folder, lambda: "s", convert)
    real = conversion_cache._open

    def meanwhile(place):
        if then == "gone":
            shutil.rmtree(place)
        found = real(place)
        if then == "another":
            monkeypatch.setattr(conversion_cache, "_open", real)
            conversion_cache.make(folder, lambda: "other", convert)
        return found

    monkeypatch.setattr(conversion_cache, "_open", meanwhile)
    assert conversion_cache.find(folder, "s") is None
