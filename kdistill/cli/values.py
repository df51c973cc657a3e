"""Readers of option values. Unlike those of Typer, their messages say what was expected and what was received."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from kdistill.core.errors import ModelError

# The files of models that no program here opens.
FOREIGN = (
    *(".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".onnx", ".pkl", ".pickle", ".joblib", ".pb", ".tflite"),
    *(".gguf", ".msgpack", ".mlmodel"),
)
LARGEST_SEED = 2**31 - 1
MOST_THREADS = 1024


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        digits = str(text).strip()
        # Python refuses to read thousands of digits, and a number with more digits than the limit exceeds it anyway.
        if digits.isascii() and digits.isdecimal() and len(digits.lstrip("0")) <= len(str(most)):
            number = int(digits)
            if least <= number <= most:
                return number
        raise typer.BadParameter(f"expected a whole number from {least} to {most}; received {text!r}")

    return read


def a_path(text: str) -> Path:
    """Read a path. An empty one is refused: it would be the working directory, and is mostly an unset variable."""
    if not str(text).strip():
        raise typer.BadParameter(f"expected a path; received {text!r}")
    return Path(text)


def a_path_to(suffix: str) -> Callable[[str], Path]:
    """Return a reader of paths that end in `suffix`."""

    def read(text: str) -> Path:
        path = a_path(text)
        if path.suffix != suffix:
            raise typer.BadParameter(f"expected the path of a {suffix} file; received {text!r}")
        return path

    return read


def a_teacher(text: str) -> Path:
    """Read the path of a teacher; ModelError for a file of another framework, with how such a teacher can teach."""
    path = a_path(text)
    if path.suffix.lower() in FOREIGN:
        raise ModelError(
            f"{path}: expected a `.keras` file; received one that ends in {path.suffix}",
            hint="A teacher of another framework teaches by its logits: write them to an .npz file, and give it with "
            "--teacher-logits FILE.npz. `kdistill data export` writes the examples in the order of its rows; "
            "docs/how-to/other-frameworks.md has an example.",
        )
    return path


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Return a reader of one of some names."""

    def read(text: str) -> str:
        if text not in names:
            raise typer.BadParameter(f"expected one of {', '.join(names)}; received {text!r}")
        return text

    return read


@dataclass(frozen=True)
class AcceptedDifference:
    """The value of `--tolerance`."""

    difference: float
    agreement: float | None = None


def accepted_difference(text: str) -> AcceptedDifference:
    """Read `DIFFERENCE` or `DIFFERENCE,AGREEMENT`."""
    try:
        difference, *agreement = (float(part) for part in str(text).split(","))
        if 0 <= difference < math.inf and (not agreement or (len(agreement) == 1 and 0 <= agreement[0] <= 1)):
            return AcceptedDifference(difference, *agreement)
    except ValueError:
        pass
    raise typer.BadParameter(f"expected a share of the outputs' size, or two such as 0.4,0.95; received {text!r}")


def number_option(least: int, most: int, help: str, metavar: str = "N", **more: Any) -> Any:
    """Return an option whose value is a whole number from `least` to `most`."""
    return typer.Option(parser=whole_number(least, most), metavar=metavar, help=help, **more)


def path_option(help: str, metavar: str = "PATH", *names: str, **more: Any) -> Any:
    """Return an option whose value is a path."""
    return typer.Option(*names, parser=a_path, metavar=metavar, help=help, **more)


def path_argument(metavar: str, help: str) -> Any:
    """Return an argument that is a path."""
    return typer.Argument(parser=a_path, metavar=metavar, help=help)
