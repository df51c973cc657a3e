"""Shows what became of classes that the transfer set left out, and scores before and after biases were moved."""

from collections.abc import Mapping
from typing import Any

from kdistill.cli.rendering.tables import FittingTable
from kdistill.core.formatting import number
from kdistill.evaluation import transfer_set

SHOWN = {"validation accuracy": "accuracy", "NLL": "nll", "ECE": "ece"}


def table(document: Mapping[str, Any]) -> FittingTable | None:
    """Show the test scores of each arm, before and after; None where a document has none of them."""
    if not (found := document.get("transfer_set")):
        return None
    every = found["rows"]
    rows = [(transfer_set.name_of(row, every), transfer_set.figures(row)) for row in every]
    return FittingTable(transfer_set.title(found), rows)


def of_run(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the validation scores of one run before and after its biases were moved, by name; none without."""
    if not (before := document.get("before_adjustment")):
        return []
    after = document["validation"]
    figures = [f"{name} {number(before[key])} before, {number(after[key])} after" for name, key in SHOWN.items()]
    return [("biases moved", "; ".join(figures))]
