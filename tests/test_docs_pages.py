"""The pages in docs: every command exists, every link leads somewhere, and each page can be followed to its end.

The rules are stated in docs/README.md.
"""

import contextlib
import io
import re

import pages
import pytest
from typer.testing import CliRunner

from kdistill import config as configs
from kdistill.cli import app

WRITTEN = pages.DOCS / "reference"
FOLLOWED = [page for page in pages.PAGES if pages.DOCS in page.parents and WRITTEN not in page.parents]
TUTORIAL, EXPORT = pages.DOCS / "tutorial.md", pages.DOCS / "how-to" / "export.md"
SHORTENED = {"train-teacher", "baseline", "distill", "evaluate", "reproduce", "sweep", "export", "benchmark"}
NUMBER = r"[-+]?\d"


def name_of(page):
    return str(page.relative_to(pages.ROOT))


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
        if target.startswith("http") or target.endswith("report-light.png"):  # for which there is a test of its own
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


def written(block):
    """Write a config to the file that its first line names; return its name."""
    name = re.match(r"# (\S+\.yaml)\n", block.text)[1]
    with open(name, "w") as file:
        file.write(block.text)
    return name


class Follower:
    """Follows a page in the working folder: writes its configs, executes its programs, runs its commands."""

    def __init__(self, shorten):
        self.shorten = shorten
        self.names = {}
        self.ran = 0

    def follow(self, page):
        """Yield each block with what it printed."""
        for block in pages.blocks(page):
            match block.language:
                case "yaml":
                    written(block)
                case "python":
                    with contextlib.redirect_stdout(io.StringIO()) as out:
                        exec(compile(block.text, f"{name_of(page)}:{block.line}", "exec"), self.names)
                    yield block, out.getvalue()
                case "bash":
                    yield block, "".join(self.run(line) for line in block.text.splitlines())
                case _:
                    yield block, None

    def run(self, line):
        command = pages.command(line)
        arguments = list(command.arguments)
        if arguments[0] in {"reproduce", "sweep"} and "--workers" not in arguments:
            arguments += ["--workers", "1"]
        if self.shorten and arguments[0] in SHORTENED:
            for section in ("training", "teacher", "student"):
                arguments += ["--set", f"{section}.epochs=2"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == command.code, f"{line}\n{result.output}"
        if command.output:
            with open(command.output, "w") as file:
                file.write(result.stdout)
        self.ran += 1
        return result.output


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in FOLLOWED if page not in (TUTORIAL, EXPORT)], ids=name_of)
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


@pytest.mark.slow
def test_the_tutorial_shows_what_comes_out(tmp_path, monkeypatch):
    """Trained in full. Numbers differ from machine to machine; all the rest has to be there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    compared, printed = 0, ""
    for block, output in Follower(shorten=False).follow(TUTORIAL):
        if output is not None:
            printed = output
            continue
        if block.language == "text":
            out = {label(line) for line in printed.splitlines()}
            for line in block.text.splitlines():
                assert label(line) in out, f"line {block.line}: {line!r} is not in\n{printed}"
                compared += 1
    assert compared > 50


def label(line):
    """Return what a line begins with, before its numbers and its second column; nothing where a cell is continued."""
    if line.startswith(" " * 8):
        return ""
    return re.split(rf"\s{{2,}}|{NUMBER}", line.strip())[0].strip()
