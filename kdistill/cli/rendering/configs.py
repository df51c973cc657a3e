"""Shows the built-in configs, and what is right and wrong with configs."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from kdistill.cli.rendering.tables import FittingTable, Pairs, sections
from kdistill.core.formatting import counted, dimensions

Document = Mapping[str, Any]


def listed(document: Document) -> RenderableType:
    """Show the built-in configs with a line on each."""
    return Pairs(None, [(entry["name"], entry["summary"]) for entry in document["configs"]])


def checked(document: Document) -> RenderableType:
    """Show of each config whether it is valid."""
    lines = ["; ".join([f"{entry['config']}: {_judged(entry)}", *entry["notes"]]) for entry in document["configs"]]
    return sections(Text("\n".join(lines)), *(table for entry in document["configs"] for table in _layers(entry)))


def _layers(entry: Document) -> list[RenderableType]:
    """Return a table of the layers of each model that hints may name; those that cannot give one are left out."""
    return [
        FittingTable(
            f"{entry['config']}: layers of the {role}",
            [
                (layer["layer"], {"outputs": dimensions(layer["shape"]), "kind": layer["kind"]})
                for layer in layers
                if not layer["problem"]
            ],
            words=("kind",),
        )
        for role, layers in entry.get("layers", {}).items()
        if layers
    ]


def _judged(entry: Document) -> str:
    return "valid" if entry["valid"] else counted(len(entry["problems"]), "problem")
