"""Files of a report: whole or not there, without files of an earlier report."""

import dataclasses
import os

import pytest
from small_experiment import session, with_few_pictures

from kdistill.core import errors
from kdistill.recipes.session import Options
from kdistill.report.collect.collector import collect
from kdistill.report.pages import write
from kdistill.runs import judge


@pytest.fixture(scope="module")
def report(finished_experiment):
    return collect(finished_experiment / "quickstart", Options(), 2)


@pytest.fixture(scope="module")
def small(report):
    return with_few_pictures(report)


def test_every_file_that_is_named_is_written(report, tmp_path):
    said = write.write(tmp_path, report)
    assert said["bytes"] == os.path.getsize(tmp_path / "report.html")
    assert (said["headline"], said["verdict_text"]) == (report.headline, report.verdict.sentence)
    assert {str(path) for path in (tmp_path / "report-files").iterdir()} == set(said["pictures"])
    assert said["pictures"]
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.md", "report-files"}
    text = (tmp_path / "report.md").read_text()
    for path in (tmp_path / "report-files").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert f"(report-files/{path.name})" in text or f'"report-files/{path.name}"' in text


@pytest.mark.slow
def test_the_same_material_gives_the_same_bytes(report, tmp_path):
    written = []
    for _ in range(2):
        write.write(tmp_path, report)
        written.append({path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})
    assert written[0] == written[1]


def test_pictures_of_a_page_before_are_removed_and_other_files_are_not(small, tmp_path):
    (tmp_path / "report-files").mkdir()
    (tmp_path / "report-files" / "old.png").write_bytes(b"old")
    (tmp_path / "report-files" / "notes.txt").write_text("mine")
    write.write(tmp_path, small)
    names = {path.name for path in (tmp_path / "report-files").iterdir()}
    assert "old.png" not in names
    assert "notes.txt" in names


def test_a_page_before_stays_where_a_new_one_cannot_be_written(small, tmp_path, monkeypatch):
    write.write(tmp_path, small)
    before = (tmp_path / "report.html").read_bytes()
    monkeypatch.setattr("kdistill.core.files.move", _full)
    with pytest.raises(errors.OutputError, match="the disk is full"):
        write.write(tmp_path, dataclasses.replace(small, name="another"))
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.rglob(".new-*"))


def _full(source, target):
    raise OSError(28, "No space left on device", str(target))


def test_nothing_of_a_run_is_touched(experiment_copy):
    folder = experiment_copy / "quickstart"
    runs = {path: path.read_bytes() for path in folder.glob("seed-*/**/*") if path.is_file()}
    write.write(folder, with_few_pictures(collect(folder, Options(), 2)))
    assert {path: path.read_bytes() for path in folder.glob("seed-*/**/*") if path.is_file()} == runs
    assert judge(session(experiment_copy).experiment.run("distilled", 0)).counts
