"""Completion of values in a shell: configs, config keys and their values, experiments.

Nothing that takes long is loaded: the keys of configs are in `completion.json`, which `python docs/generate.py` writes.
"""

import json
import os
from collections.abc import Iterator, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

import typer

FILE = Path(__file__).with_name("completion.json")
VARIABLE = "_KDISTILL_COMPLETE"
YAML = (".yaml", ".yml")
BETWEEN = "="  # at which bash divides words


@cache
def known() -> dict[str, Any]:
    """Return the names of the built-in `configs`; the `keys` with the values that complete each."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def configs(incomplete: str) -> list[str]:
    """Return built-in configs and config files that begin with a word; of folders with a slash, to go on in them."""
    names = [name for name in known()["configs"] if name.startswith(incomplete)]
    return [*names, *_files(incomplete, YAML)]


def settings(incomplete: str) -> list[str]:
    """Return `KEY=` for the config keys that begin with a word, or `KEY=VALUE` for the values of one."""
    keys, (key, equals, _) = known()["keys"], incomplete.partition(BETWEEN)
    if equals:
        found = [f"{key}={value}" for value in keys.get(key, ())]
    else:
        found = [f"{name}=" for name in keys if name.startswith(key)]
        if len(found) == 1:  # a shell would go on to the next word
            found += [f"{found[0]}{value}" for value in keys[found[0][:-1]]]
    return [text for text in found if text.startswith(incomplete)]


def experiments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the experiments in the output folder whose name begins with a word, and paths of other experiments."""
    root = str(ctx.params.get("output_dir") or os.environ.get("KDISTILL_OUTPUT_DIR") or "runs")
    names = [Path(entry).name for entry in _entries(root) if os.path.isfile(os.path.join(entry, "config.yaml"))]
    return [*(name for name in names if name.startswith(incomplete)), *_files(incomplete, ())]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield the files with one of some suffixes, and the folders, whose path begins with a word."""
    for entry in _entries(os.path.dirname(incomplete)):
        hidden = os.path.basename(entry).startswith(".") and not os.path.basename(incomplete)
        if entry.startswith(incomplete) and not hidden:
            if os.path.isdir(entry):
                yield f"{entry}/"
            elif entry.endswith(suffixes) and suffixes:
                yield entry


def _entries(folder: str) -> list[str]:
    """Return the paths in a folder, in order; none if it cannot be read."""
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder or os.curdir))
    except OSError:
        return []


def rejoin(environment: MutableMapping[str, str]) -> str:
    """Put together in the environment what bash has divided at `=`: `--set`, `KEY`, `=`, `VALUE` into three words.

    Returns:
        What stands before the word that bash completes, and has to be left out of each answer.
    """
    if environment.get(VARIABLE) != "complete_bash" or BETWEEN not in environment.get("COMP_WORDS", ""):
        return ""
    words, at = environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"])
    joined, cut = list[str](), ""
    for number, word in enumerate(words[: at + 1]):
        if joined and BETWEEN in (word, words[number - 1]):
            cut = joined[-1] + (word if word == BETWEEN else "")
            joined[-1] += word
        else:
            joined, cut = [*joined, word], ""
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(joined), str(len(joined) - 1)
    return cut


def cut_off(text: str, before: str) -> str:
    """Return answers, one a line, without what stands before the word that the shell completes."""
    return "".join(f"{line.removeprefix(before)}\n" for line in text.splitlines())
