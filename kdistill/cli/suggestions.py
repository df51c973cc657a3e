"""What was probably meant by a command, an option or a choice that there is not."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from kdistill.core.formatting import closest

# What other programs call a command.
COMMANDS = {
    "train": "train-teacher",
    "fit": "train-teacher",
    "teacher": "train-teacher",
    "student": "distill",
    "run": "reproduce",
    "start": "reproduce",
    "test": "evaluate",
    "score": "evaluate",
    "grid": "sweep",
    "tune": "sweep",
    "search": "sweep",
    "convert": "export",
    "quantize": "export",
    "infer": "predict",
    "classify": "predict",
    "plot": "report",
    "diff": "compare",
    "ls": "runs ls",
    "list": "runs ls",
    "init": "config init",
    "check": "config check",
    "show": "config show",
    "schema": "config schema",
    "info": "data info",
    "fetch": "data fetch",
    "download": "data fetch",
}
# What other programs call an option.
OPTIONS = {
    "out": "--output-dir",
    "output": "--output-dir",
    "outdir": "--output-dir",
    "force": "--overwrite",
    "jobs": "--workers",
    "gpu": "--device gpu",
    "cpu": "--device cpu",
    "logits": "--teacher-logits",
}
# What people call a value.
CHOICES = {
    "tflite": "litert",
    "lite": "litert",
    "tf": "saved-model",
    "savedmodel": "saved-model",
    "tensorflow": "saved-model",
    "fp16": "float16",
    "half": "float16",
    "i8": "int8",
    "cuda": "gpu",
    "json": "jsonl",
}
NO_CHOICE = re.compile(r"'([^']*)' is not one of (.*)\.")


def command(word: str, known: Sequence[str]) -> str | None:
    """Return the command that was probably meant; None if none is similar."""
    if word in COMMANDS:
        return COMMANDS[word]
    parts = {part: name for name in reversed(known) for part in name.split("-")}
    meant = closest(word, list(parts))
    return parts[meant] if meant else None


def choice(message: str) -> str:
    """Return the message for a value that is none of some choices, with the one that was probably meant."""
    found = NO_CHOICE.fullmatch(message)
    if not found:
        return message
    known, word = re.findall(r"'([^']*)'", found[2]), found[1].lower()
    meant = CHOICES.get(word) if CHOICES.get(word) in known else closest(word, known)
    return f"{message} Did you mean '{meant}'?" if meant else message


def option(name: str, known: Iterable[str]) -> str | None:
    """Return what to write for an option that a command does not have: another one, or a config key; None if unknown.

    Args:
        name: as it was written, such as `--epochs`.
        known: the options of the command.
    """
    word, known = name.lstrip("-").replace("-", "_"), set(known)
    if (other := OPTIONS.get(word)) and other.split()[0] in known:
        return other
    if "--set" not in known:
        return None
    from kdistill.config import problems

    keys = problems.keys_named(word)
    keys = [key for key in keys if key.startswith("training.")] or keys  # those of a model alone are the exception
    return " or ".join(f"--set {key}=VALUE" for key in keys) if keys else None


def improve(error: Any) -> None:
    """Add to an error of the command line what was probably meant."""
    if name := getattr(error, "option_name", None):
        known = {text for parameter in error.ctx.command.params for text in parameter.opts} if error.ctx else set()
        if type(error).__name__ == "NoSuchOption" and (meant := option(name, known)):
            error.message, error.possibilities = f"{error.message}. Did you mean {meant}?", []
    else:
        error.message = choice(error.message)
