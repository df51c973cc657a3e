"""The blocks of the documentation's pages, and the commands in them."""

import re
import shlex
import textwrap
from dataclasses import dataclass

import typer.main
from places import ROOT

from kdistill.cli import app

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page that it begins on."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A kdistill command: its arguments, the file that its output goes to, and the exit code that is promised."""

    arguments: tuple[str, ...]
    output: str | None = None
    code: int = 0


def blocks(page):
    """Return the blocks of a page, from top to bottom."""
    text = page.read_text()
    return [
        Block(match[2], textwrap.dedent(match[3]), text.count("\n", 0, match.start()) + 1)
        for match in BLOCK.finditer(text)
    ]


def command(line):
    """Read a line of a `bash` block that is one kdistill command."""
    words = shlex.split(line, comments=True)
    promised = re.search(r"#.*\bexit code (\d+)", line)
    output = words[words.index(">") + 1] if ">" in words else None
    arguments = words[: words.index(">")] if output else words
    if arguments[0] != "kdistill":
        raise ValueError(f"expected a kdistill command alone: {line}")
    return Command(tuple(arguments[1:]), output, int(promised[1]) if promised else 0)


def typed(lines):
    """Return the lines that somebody types: where some follow a prompt, the others were printed."""
    return [line for line in lines if re.match(r"\w*\$ ", line)] or lines


def mentioned(page):
    """Return the arguments of every kdistill command of a page, whether its block can be run here or not."""
    found = []
    for block in blocks(page):
        if block.language in ("bash", "console"):
            for line in typed(block.text.splitlines()):
                for part in re.split(r"&&|\|\||;|\|", line):
                    words = shlex.split(part.split(" > ")[0], comments=True)
                    starts = [n for n, word in enumerate(words) if word == "kdistill" or word.endswith("/kdistill")]
                    found += [tuple(words[n + 1 :]) for n in starts]
    prose = BLOCK.sub("", page.read_text())
    named = re.findall(r"(?<!`)`(kdistill [a-z][^`]+)`", prose)
    return found + [tuple(shlex.split(text)[1:]) for text in named]


def parse(arguments):
    """Read a command line as the program would, and run nothing; a usage error is raised."""
    group, name, rest = typer.main.get_command(app), "kdistill", list(arguments)
    context = group.make_context(name, rest)
    while hasattr(group, "commands"):
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        context = group.make_context(name, rest, parent=context)
    return context
