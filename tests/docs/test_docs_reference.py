"""The reference says what the program does: pages that it writes itself are fresh, the others are complete."""

import re
import runpy

import pages
import pytest

from kdistill.cli import doctor
from kdistill.core import errors

GENERATE = pages.DOCS / "generate.py"
FILES = (pages.DOCS / "reference" / "files.md").read_text()


@pytest.fixture(scope="module")
def generated():
    return runpy.run_path(str(GENERATE))["pages"]()


@pytest.mark.parametrize("name", ["docs/reference/cli.md", "docs/reference/config.md", "kdistill/cli/completion.json"])
def test_generated_pages_are_fresh(name, generated):
    path = pages.DOCS.parent / name
    assert path.read_text() == generated[path], f"{path} is stale: run `python docs/generate.py`"


def test_every_command_and_key_is_there(generated):
    commands, keys = (generated[pages.DOCS / "reference" / name] for name in ("cli.md", "config.md"))
    for command in ("reproduce", "config show", "data export", "predict"):
        assert f"## kdistill {command}\n" in commands
    assert "| `--part I/N` |" in commands
    assert "| `temperature` | number above 0 | `4.0` |" in keys
    assert "| `image_size` | [whole number, whole number] or null | `null` |" in keys


def test_every_exit_code_is_there():
    listed = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", FILES, re.MULTILINE) for code in row.split(",")}
    own = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert listed == own | {0, 2, 6, 129, 130, 143}


def test_every_environment_variable_is_there():
    listed = set(re.findall(r"^\| `(KDISTILL_\w+)` \|", FILES, re.MULTILINE))
    assert listed == {name for name in doctor.ENVIRONMENT if name.startswith("KDISTILL_")}
