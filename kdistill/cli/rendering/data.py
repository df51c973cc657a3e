"""Turns what is found in the user's own data into what a person reads."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from kdistill.cli.rendering import results
from kdistill.core.formatting import dimensions

CLASSES_SHOWN = 50


def own_data(document: Mapping[str, Any]) -> RenderableType:
    """Show the user's own data, of which `datasets.describe` returned the description, under the name of its form."""
    return results.facts({name: _rows(info) for name, info in document.items()})


def exported(document: Mapping[str, Any]) -> RenderableType:
    """Show what `datasets.export` has written."""
    names = document["classes"]
    more = f" and {len(names) - CLASSES_SHOWN:,} more" if len(names) > CLASSES_SHOWN else ""
    classes = f"{len(names):,}: {', '.join(names[:CLASSES_SHOWN])}{more}"
    return results.facts({**document, "shape": dimensions(document["shape"]), "classes": classes})


def _rows(info: Mapping[str, Any]) -> dict[str, Any]:
    size, count = dimensions(info["shape"]), len(info["classes"])
    rows = {
        "place": info["folder"],
        "examples": ", ".join(f"{number:,} {part}" for part, number in info["examples"].items()),
        "shape": f"{size}, {count} classes",
        "values": f"{info['type']}, {info['scaling']}",
        f"{' + '.join(info['per_class'])}": _by_class(info),
    }
    return {**rows, "warnings": info["warnings"]} if info["warnings"] else rows


def _by_class(info: Mapping[str, Any]) -> list[str]:
    counts = list(zip(info["classes"], *info["per_class"].values(), strict=True))
    lines = [f"{name}: {' + '.join(f'{number:,}' for number in of)}" for name, *of in counts[:CLASSES_SHOWN]]
    more = len(counts) - CLASSES_SHOWN
    return [*lines, f"and {more} more: --json has them all"] if more > 0 else lines
