"""Follows a page of the documentation: writes its configs, executes its programs, runs its commands.

The rules are stated in docs/README.md.
"""

import contextlib
import importlib.util
import io
import re

import pages
from typer.testing import CliRunner

from kdistill.cli import app

MOST_SEEDS = {"reproduce": 3, "sweep": 1}  # three, so that there is an interval
SHORTENED = {"train-teacher", "baseline", "distill", "evaluate", "reproduce", "sweep", "export", "benchmark"}

# Where PyTorch is not installed, in place of a program that trains a teacher with it: what the page goes on with.
WITHOUT_TORCH = """
import numpy as np
from sklearn.linear_model import LogisticRegression

data = np.load("digits.npz")
model = LogisticRegression(max_iter=200).fit(data["x_train"].reshape(-1, 64) / 16, data["y_train"])


def logits_of(images):
    return model.decision_function(images.reshape(-1, 64) / 16)
"""


def name_of(page):
    """Return the path of a page from the repository's root."""
    return str(page.relative_to(pages.ROOT))


def written(block):
    """Write a config to the file that its first line names; return its name."""
    name = re.match(r"# (\S+\.yaml)\n", block.text)[1]
    with open(name, "w") as file:
        file.write(block.text)
    return name


def fewer_seeds(arguments):
    """Return the arguments with at most as many seeds as MOST_SEEDS has; a list of seeds and a batch script stay."""
    most, where = MOST_SEEDS.get(arguments[0]), arguments.index("--seeds") + 1 if "--seeds" in arguments else 0
    if not most or not where or "--emit" in arguments or not arguments[where].isdigit():
        return arguments
    return [*arguments[:where], str(min(int(arguments[where]), most)), *arguments[where + 1 :]]


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
        if re.search(r"^import torch$", program, re.MULTILINE) and importlib.util.find_spec("torch") is None:
            program = WITHOUT_TORCH
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
            arguments = fewer_seeds(arguments)
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == command.code, f"{line}\n{result.output}"
        if command.output:
            with open(command.output, "w") as file:
                file.write(result.stdout)
        self.ran += 1
        return result.output
