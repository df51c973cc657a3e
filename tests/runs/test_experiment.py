"""Experiment folders: what is accepted as one, and what is in it."""

import pytest

from kdistill.core.errors import OutputError
from kdistill.runs import Experiment, RunWriter


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


def test_seeds_lists_those_that_have_a_folder(tmp_path):
    experiment = Experiment(tmp_path)
    for seed in (3, 10, 0):
        experiment.run("teacher", seed).folder.mkdir(parents=True)
    (tmp_path / "seed-x").mkdir()
    assert experiment.seeds() == [0, 3, 10]


def test_the_threads_are_those_that_its_runs_were_made_with(tmp_path):
    experiment = Experiment(tmp_path)
    assert experiment.threads() is None
    RunWriter(experiment.run("baseline", 3), {}, {"threads": 7}, print)
    assert experiment.threads() == 7
    (experiment.run("baseline", 3).folder / "manifest.json").write_text("{}")
    assert experiment.threads() is None


def test_what_a_killed_process_left_of_a_new_experiment_is_no_stranger(tmp_path):
    (tmp_path / ".new-123-abc-config.yaml").write_text("na")
    Experiment(tmp_path).check_usable()


def test_the_cache_of_a_teacher_that_was_checked_first_is_no_stranger(tmp_path):
    experiment = Experiment(tmp_path)
    experiment.cache.mkdir()
    experiment.check_usable()
