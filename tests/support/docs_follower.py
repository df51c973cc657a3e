"""Follows a page of the documentation: writes its configs, executes its programs, runs its commands.

The rules are stated in docs/README.md.
"""

import contextlib
import io
import re

import pages
from typer.testing import CliRunner

from kdistill.cli import app

SHORTENED = {"train-teacher", "baseline", "distill", "evaluate", "reproduce", "sweep", "export", "benchmark"}


def name_of(page):
    """Return the path of a page from the repository's root."""
    return str(page.relative_to(pages.ROOT))


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
                        self.execute(block.text, f"{name_of(page)}:{block.line}")
                    yield block, out.getvalue()
                case "bash":
                    yield block, "".join(self.run(line) for line in block.text.splitlines())
                case _:
                    yield block, None

    def execute(self, program, name):
        """Run a program of the page; what it defines is there for the next."""
        exec(compile(program, name, "exec"), self.names)

    def run(self, line):
        """Run a command of the page, hold it to its exit code; return what it printed."""
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
