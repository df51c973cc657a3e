"""Command lines that work when they are pasted, in the folder where kdistill was run."""

import json
import shlex
from pathlib import Path

from kdistill.recipes.session import Session


def options_of(session: Session) -> str:
    """Return the options that name an experiment on the command line: its own config has every `--set`."""
    folder = session.experiment.folder
    return f"-c {quoted(folder / 'config.yaml')} --output-dir {quoted(folder.parent)}"


def teacher_option(session: Session) -> str:
    """Return the option for teachers that the command line has named and the config does not; else nothing."""
    if not session.teacher_files or session.config.distill.teachers:
        return ""
    return f" --set {shlex.quote('distill.teachers=' + json.dumps(list(map(str, session.teacher_files))))}"


def quoted(path: Path) -> str:
    """Return a path as one word of a command line."""
    return shlex.quote(str(path))
