"""CONTRIBUTING.md: its picture is the one that the imports are held to, and what it names is there."""

import re
import runpy

from places import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_picture_shows_the_floors_that_imports_are_held_to():
    floors = runpy.run_path(str(ROOT / "tests" / "test_architecture.py"))["FLOORS"]
    (picture,) = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
    shown = [{line.split()[0] for line in floor.splitlines()} for floor in picture.split("\n\n")]
    assert shown == floors[::-1]


def test_every_path_that_is_named_exists():
    named = set(re.findall(r"`((?:\.ci|kdistill|tests|docs)/[^`\s]*)`", TEXT))
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_name_is_in_the_file_that_it_is_said_to_be_in():
    named = re.findall(r"`([\w.]+)`(?: and `(\w+)`)?(?:, both)? in `(kdistill/[\w/]+\.py)`", TEXT)
    assert len(named) > 8
    for *names, path in named:
        code = (ROOT / path).read_text()
        for name in filter(None, names):
            last = name.rpartition(".")[2]
            assert re.search(rf"^ *(def|class) {last}\b|^{last}\b", code, re.MULTILINE), f"{name} in {path}"
