"""What students know of classes that the transfer set left out, and scores before and after biases were moved."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from kdistill.core.formatting import first_few, number
from kdistill.evaluation.statistics import Summary, summaries

AS_TRAINED, MOVED = "biases as trained", "biases moved"
NAMED_AT_MOST = 10


class Row(TypedDict):
    """Test scores of an arm, over its seeds."""

    arm: str
    biases: str  # `AS_TRAINED` for scores before they were moved to the prior; else empty
    accuracy: Summary
    nll: Summary
    left_out: NotRequired[Summary | None]  # accuracy on the classes left out; None if test has none of them
    kept: NotRequired[Summary | None]  # accuracy on the others


class TransferSet(TypedDict):
    """The classes left out of the transfer set, and the scores that tell what became of them."""

    left_out: list[str]  # empty where none are, and biases are moved alone
    rows: list[Row]


def scored(
    arms: Mapping[str, Sequence[Mapping[str, Any]]], classes: Sequence[str], left_out: Sequence[str]
) -> TransferSet | None:
    """Return the scores of arms beside each other; None where no class is left out and no biases were moved.

    Args:
        arms: the test scores of each arm, by seed, with `before_adjustment` where biases were moved.
        classes: their names, in the order of labels.
        left_out: those that the transfer set does not have.
    """
    numbers = [classes.index(name) for name in left_out]
    rows: list[Row] = []
    for arm, scores in arms.items():
        before = [of["before_adjustment"] for of in scores if "before_adjustment" in of]
        if not scores or not (left_out or before):
            continue
        if before:
            rows.append(_row(arm, AS_TRAINED, before, numbers))
        rows.append(_row(arm, "", scores, numbers))
    return {"left_out": list(left_out), "rows": rows} if rows else None


def _row(arm: str, biases: str, scores: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> Row:
    found: Row = {"arm": arm, "biases": biases, **summaries(scores, "accuracy", "nll")}  # type: ignore[typeddict-item]
    if numbers:
        parts = [_accuracy_by_part(of, numbers) for of in scores]
        found |= summaries(parts, "left_out", "kept")  # type: ignore[typeddict-item]
    return found


def _accuracy_by_part(scores: Mapping[str, Any], numbers: Sequence[int]) -> dict[str, float | None]:
    """Return the accuracy on the classes with these numbers, and on the others; None for no example."""
    accuracy, examples = scores.get("class_accuracy") or [], scores.get("class_examples") or []
    right = {True: 0.0, False: 0.0}
    count = {True: 0, False: 0}
    for of, (share, total) in enumerate(zip(accuracy, examples, strict=False)):
        right[of in numbers] += (share or 0.0) * total
        count[of in numbers] += total
    return {
        name: right[is_in] / count[is_in] if count[is_in] else None
        for name, is_in in (("left_out", True), ("kept", False))
    }


def title(found: TransferSet) -> str:
    """Return the title of a table of these scores."""
    if not found["left_out"]:
        return "Biases moved to the prior of the classes: test scores before and after"
    names = first_few(found["left_out"], NAMED_AT_MOST)
    return f"Left out of the transfer set: {'class' if len(found['left_out']) == 1 else 'classes'} {names}"


def name_of(row: Row, every: Sequence[Row]) -> str:
    """Return the name of a row: that of the arm, and which biases its scores are of, where it has two rows."""
    if row["biases"]:
        return f"{row['arm']}, {row['biases']}"
    has_two = any(other["biases"] for other in every if other["arm"] == row["arm"])
    return f"{row['arm']}, {MOVED}" if has_two else row["arm"]


def figures(row: Row) -> dict[str, str]:
    """Return the figures of a row by the headings of their columns."""
    of = {"accuracy": row["accuracy"], "NLL": row["nll"]}
    if "kept" in row:
        of |= {"left out": row["left_out"], "others": row["kept"]}  # type: ignore[dict-item]
    return {heading: number(each["mean"] if each else None) for heading, each in of.items()}


def sentences(found: TransferSet) -> list[str]:
    """Return the scores as sentences, for a page: one for each row."""
    words = {"left out": "on the classes left out", "others": "on the others"}
    lines = [f"{title(found)}."]
    for row in found["rows"]:
        figure = figures(row)
        first = f"test accuracy {figure['accuracy']}, NLL {figure['NLL']}"
        rest = [f"accuracy {figure[heading]} {text}" for heading, text in words.items() if heading in figure]
        lines.append(f"{name_of(row, found['rows'])}: {', '.join([first, *rest])}.")
    return lines
