"""The leaderboard of a sweep: its cells in the order of their validation scores, and which differences are shown.

Every cell is compared with the winner and with the baseline, seed by seed. The winner was chosen by these same scores,
which a test of it alone would not know: so all pairs of cells and baseline are one family, of which Holm's correction
keeps the probability of one wrong claim below 5 %, whichever of the pairs are looked at.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from kdistill.core.formatting import counted, first_few, number
from kdistill.evaluation.measures import Measure
from kdistill.evaluation.statistics import (
    LEAST_SEEDS,
    Difference,
    Summary,
    claim,
    holm,
    paired_differences,
    paired_t,
    summarize,
)

MOST_CELLS = 20
"""Cells that are compared at most: of more, the correction for all pairs leaves no difference that could be shown."""
MOST_NAMED = 6
BASELINE = "baseline"


class Entry(NamedTuple):
    """A cell of a sweep, or the baseline."""

    name: str
    settings: Mapping[str, Any] | None  # None of the baseline
    scores: Sequence[float]  # (seeds,) on validation, of the same seeds in the same order


class Against(TypedDict):
    """An entry compared with another one over paired seeds."""

    difference: Difference  # the entry minus the other, with the interval of this comparison alone
    p_value: float | None  # of this comparison alone; None where all differences are equal
    p_holm: float | None  # corrected for all pairs
    verdict: str  # of the entry, by `p_holm`: better, worse or inconclusive


class Row(TypedDict):
    """An entry of a leaderboard."""

    name: str
    set: dict[str, Any] | None  # its value of each axis; None of the baseline
    validation: Summary
    against_winner: Against | None  # None of the winner
    against_baseline: Against | None  # None of the baseline, and without one


class Leaderboard(TypedDict):
    """The cells of a sweep, and the baseline if they share one, the best first."""

    rows: list[Row]
    pairs: int  # for which the p values are corrected
    sentences: list[str]
    about: str


def leaderboard(entries: Sequence[Entry], winner: str, measure: Measure) -> Leaderboard | None:
    """Return the leaderboard of the cells of a sweep, and of the baseline among the entries, if it is one of them.

    Args:
        entries: those whose runs are all there; the winner is one of them.
        winner: the name of the cell that was chosen.
        measure: what the scores are.

    Returns:
        None with fewer than two cells, or more than `MOST_CELLS`, or fewer than `LEAST_SEEDS` seeds.
    """
    cells = sum(entry.settings is not None for entry in entries)
    if not 2 <= cells <= MOST_CELLS or len(entries[0].scores) < LEAST_SEEDS:
        return None
    p_values = _p_values(entries)
    best, alone = (next((of for of in entries if of.name == name), None) for name in (winner, BASELINE))
    rows = [
        Row(
            name=entry.name,
            set=None if entry.settings is None else dict(entry.settings),
            validation=summarize(entry.scores),
            against_winner=_against(entry, best, p_values, measure),
            against_baseline=_against(entry, alone, p_values, measure),
        )
        for entry in entries
    ]
    rows.sort(key=lambda row: (measure.gain(row["validation"]["mean"]), row["name"] == winner), reverse=True)
    return {
        "rows": rows,
        "pairs": len(p_values),
        "sentences": _sentences(rows, winner, measure),
        "about": _about(len(entries[0].scores), len(p_values), alone is not None),
    }


_PValues = Mapping[frozenset[str], tuple[float | None, float | None]]


def _p_values(entries: Sequence[Entry]) -> _PValues:
    """Return for each pair of entries the p value of its paired t test, and the one corrected for all pairs."""
    pairs = list(itertools.combinations(entries, 2))
    tests = [paired_t([a - b for a, b in zip(one.scores, other.scores, strict=True)]) for one, other in pairs]
    alone = [test.p_value if test else None for test in tests]
    names = [frozenset((one.name, other.name)) for one, other in pairs]
    return dict(zip(names, zip(alone, holm(alone), strict=True), strict=True))


def _against(entry: Entry, other: Entry | None, p_values: _PValues, measure: Measure) -> Against | None:
    if other is None or other is entry:
        return None
    p_value, p_holm = p_values[frozenset((entry.name, other.name))]
    difference = paired_differences(entry.scores, other.scores)
    verdict = claim(measure.gain(difference["mean"]), p_holm)
    return {"difference": difference, "p_value": p_value, "p_holm": p_holm, "verdict": verdict}


def _sentences(rows: Sequence[Row], winner: str, measure: Measure) -> list[str]:
    """Return what is shown of the winner and the other cells, and of the cells and the baseline."""
    cells = {row["name"]: row for row in rows if row["set"] is not None}
    others = {name: row["against_winner"] for name, row in cells.items()}
    worse, unclear = _those(others, "worse"), _those(others, "inconclusive")
    shown = f"It is better than {worse}" if worse else "No cell is shown to be worse than it"
    rest = f"; no difference is shown from {unclear}" if worse and unclear else ""
    best = number(cells[winner]["validation"]["mean"])
    sentences = [f"{winner} has the best mean validation {measure.words}, {best}. {shown}{rest}."]
    of_baseline = {name: row["against_baseline"] for name, row in cells.items()}
    parts = [
        f"{words} {names}" for verdict, words in _AGAINST_BASELINE.items() if (names := _those(of_baseline, verdict))
    ]
    return [*sentences, f"Against the baseline: {'; '.join(parts)}."] if parts else sentences


_AGAINST_BASELINE = {"better": "better are", "worse": "worse are", "inconclusive": "no difference is shown for"}


def _those(compared: Mapping[str, Against | None], verdict: str) -> str:
    """Return the names of the cells with a verdict; empty if there is none."""
    return first_few([name for name, of in compared.items() if of and of["verdict"] == verdict], MOST_NAMED)


def _about(seeds: int, pairs: int, has_baseline: bool) -> str:
    of = "cells and baseline" if has_baseline else "cells"
    return (
        f"Differences are paired over {counted(seeds, 'seed')}; the p values are corrected by Holm's method for all "
        f"{counted(pairs, 'pair')} of {of}, since the winner was chosen by these same scores. They are about other "
        "seeds on this validation split, which chose the epochs too: fresh seeds on test are the confirmation."
    )
