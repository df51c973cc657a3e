"""The pages in docs: every command exists, every link leads somewhere, and each page can be followed to its end.

The rules are stated in docs/README.md.
"""

import re

import pages
import pytest
from docs_follower import SHORTENED, Follower, name_of, written

from kdistill import config as configs

WRITTEN = pages.DOCS / "reference"
FOLLOWED = [page for page in pages.PAGES if pages.DOCS in page.parents and WRITTEN not in page.parents]
TUTORIAL, EXPORT = pages.DOCS / "tutorial.md", pages.DOCS / "how-to" / "export.md"
WALK_THROUGH = pages.DOCS / "walk-through.md"  # followed in test_walkthrough.py
TRAINED_SHORT = [page for page in FOLLOWED if page not in (TUTORIAL, EXPORT, WALK_THROUGH)]
NUMBER = r"[-+]?\d"


@pytest.mark.parametrize("page", [page for page in pages.PAGES if WRITTEN not in page.parents], ids=name_of)
def test_every_command_has_the_options_that_it_is_shown_with(page):
    for arguments in pages.mentioned(page):
        pages.parse(arguments)


def test_what_does_not_exist_does_not_parse():
    for arguments in (["reproduce", "--sedes", "3"], ["reproduse"], ["config", "shw"], ["sweep", "--workers", "none"]):
        with pytest.raises(Exception, match=r"(?i)no such|expected a whole number"):
            pages.parse(arguments)


def test_commands_are_found_on_the_pages():
    found = {arguments[0] for page in FOLLOWED for arguments in pages.mentioned(page)}
    assert found >= SHORTENED | {"predict", "data", "config", "doctor"}


def anchors(page):
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages.PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_in_the_index():
    index = (pages.DOCS / "README.md").read_text()
    for page in FOLLOWED:
        if page.name != "README.md":
            assert f"({page.relative_to(pages.DOCS)})" in index


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_configs_are_valid_and_programs_compile(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in pages.blocks(page):
        if block.language == "python":
            compile(block.text, f"{name_of(page)}:{block.line}", "exec")
        elif block.language == "yaml":
            assert configs.load(written(block)).student
        else:
            assert block.language in ("bash", "console", "text")


@pytest.mark.slow
@pytest.mark.parametrize("page", TRAINED_SHORT, ids=name_of)
def test_a_page_can_be_followed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    follower = Follower(shorten=True)
    for _ in follower.follow(page):
        pass
    assert follower.ran == sum(len(b.text.splitlines()) for b in pages.blocks(page) if b.language == "bash")


@pytest.mark.export
def test_the_page_on_exports_can_be_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    follower = Follower(shorten=True)
    for _ in follower.follow(EXPORT):
        pass
    assert follower.ran > 5


@pytest.mark.parametrize(
    "shorten",
    [
        pytest.param(True, marks=pytest.mark.slow, id="short"),
        pytest.param(False, marks=pytest.mark.campaign, id="in full"),
    ],
)
def test_the_tutorial_shows_what_comes_out(tmp_path, monkeypatch, shorten):
    """Numbers differ from machine to machine, and with the epochs; all the rest has to be there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    compared, printed = 0, ""
    for block, output in Follower(shorten).follow(TUTORIAL):
        if output is not None:
            printed = output
            continue
        if block.language == "text":
            out, words = {label(line) for line in printed.splitlines()}, " ".join(printed.split())
            for line in block.text.splitlines():
                # Sentences are broken elsewhere where their numbers have other widths.
                assert label(line) in out or label(line) in words, f"line {block.line}: {line!r} is not in\n{printed}"
                compared += 1
    assert compared > 50


def label(line):
    """Return what a line begins with, before its numbers and its second column; nothing where a cell is continued."""
    if line.startswith(" " * 8):
        return ""
    return re.split(rf"\s{{2,}}|{NUMBER}", line.strip())[0].strip()
