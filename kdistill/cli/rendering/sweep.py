"""Shows sweeps: the validation accuracy of every cell, and the winner."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kdistill.cli.rendering.results import (
    about_plan,
    arms_table,
    causes,
    caveats,
    changed,
    plan_title,
    said,
    statistics,
    steps,
)
from kdistill.cli.rendering.tables import NOTHING, FittingTable, Pairs, sections
from kdistill.core.formatting import counted, number, setting, settings, short_names
from kdistill.evaluation.leaderboard import BASELINE, Against, Row
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL, Measure
from kdistill.experiments.dry_run import Plan, PlannedRun
from kdistill.experiments.sweep import CellRow, SweepSummary

LIGHT, DARK = (230, 240, 250), (20, 90, 160)  # red, green and blue of the worst and the best cell


def sweep(document: SweepSummary, verbose: bool = False) -> RenderableType:
    """Show the winner's headline, the validation accuracy of every cell, and the winner's scores on test.

    If `verbose`, all figures that the verdict on the winner rests on are there too.
    """
    seeds = counted(len(document["seeds"]), "seed")
    measure = MEASURES[document["measure"]]
    title = f"{document['experiment']}: validation {measure.words} of the distilled student, mean of {seeds}"
    winner, alone, test = document["run_info"]["winner"], document["baseline"], document["test"]
    rows = [("baseline", f"{number(alone['validation'][measure.name]['mean'])}, the student alone")] if alone else []
    rows += [
        ("winner", f"{settings(document['winner']['set'])}, chosen on validation ({document['chosen_by']})"),
        ("its config", winner["config"]),
        *_told(document),
        ("on test", "the winner only:" if test else "not scored: no seed has a complete run of all three arms"),
    ]
    return sections(
        said(test["headline"], test["comparison"]["verdict_short"]) if test else None,
        _Cells(title, document),
        Pairs(None, rows),
        arms_table("winner", test) if test else None,
        causes(test) if test else None,
        statistics(test) if test and verbose else None,
        caveats(document, "sweep.json", test["warnings"] if test else ()),
        steps(document),
    )


def _told(document: SweepSummary) -> list[tuple[str, str]]:
    """Return what the leaderboard shows, if there is one: the summary of an early version has none."""
    if not (found := document.get("leaderboard")):
        return []
    return [("leaderboard", " ".join(found["sentences"])), ("about it", found["about"])]


class _Cells:
    """The cells of a sweep: over two axes as a map, if the terminal is wide enough for it, else as a list."""

    def __init__(self, title: str, document: SweepSummary) -> None:
        self.title, self.document = title, document

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the map or the list."""
        table = _map(self.document) if len(self.document["axes"]) == 2 else None
        as_map = table and Measurement.get(console, options.update(max_width=1000), table).maximum <= options.max_width
        if as_map and table:
            yield Text(self.title, style="bold")
            yield table
        else:
            yield _list(self.title, self.document, options.max_width)
        in_colour = as_map and console.color_system is not None and not console.no_color
        notes = ["* is the winner", *(["the darker, the better"] if in_colour else [])]
        if not as_map and self.document.get("leaderboard"):
            notes.append("p by Holm's method")
        yield Text("; ".join(notes), style="dim")


def _map(document: SweepSummary) -> Table:
    (row_key, row_values), (column_key, column_values) = document["axes"].items()
    cells = {(setting(cell["set"][row_key]), setting(cell["set"][column_key])): cell for cell in document["cells"]}
    measure = MEASURES[document["measure"]]
    means = [cell["validation"][measure.name]["mean"] for cell in document["cells"] if cell["validation"]]
    table = Table(box=None, pad_edge=False)
    table.add_column(escape(f"{row_key} \\ {column_key}"), style="bold", no_wrap=True)
    for value in column_values:
        table.add_column(escape(setting(value)), justify="right", no_wrap=True)
    for row in row_values:
        shown = [cells[setting(row), setting(column)] for column in column_values]
        table.add_row(escape(setting(row)), *(_heat(cell, means, measure, document["winner"]["set"]) for cell in shown))
    return table


def _heat(cell: CellRow, means: Sequence[float], measure: Measure, winner: Mapping[str, Any]) -> Text:
    """Show a cell in a shade between the worst and the best."""
    if not cell["validation"]:
        return Text("failed", style="red")
    mean = cell["validation"][measure.name]["mean"]
    share = (mean - min(means)) / (max(means) - min(means) or 1)
    share = share if measure.higher_is_better else 1 - share
    red, green, blue = (round(light + share * (dark - light)) for light, dark in zip(LIGHT, DARK, strict=True))
    ink = "white" if share > 0.5 else "black"
    star = "*" if cell["set"] == winner else " "
    return Text(f" {mean:.4f}{star}", style=f"{ink} on rgb({red},{green},{blue})")


def _list(title: str, document: SweepSummary, width: int) -> FittingTable:
    """Return the cells, the best first. In a narrow terminal, names have only the last part of each config key.

    With a leaderboard, the baseline is among them, and each has its differences from the winner and the baseline.
    """
    found = document.get("leaderboard")
    cells: list[Mapping[str, Any]] = [*document["cells"]]
    if found and (alone := document["baseline"]):
        cells.append({"set": {}, **alone})
    cells.sort(key=partial(_rank, document), reverse=True)
    names = [settings(cell["set"]) or BASELINE for cell in cells]
    if max(map(cell_len, names)) > width // (3 if found else 2):
        short = short_names(document["axes"])
        names = [settings({short[key]: value for key, value in cell["set"].items()}) or BASELINE for cell in cells]
    ranked = {json.dumps(row["set"] or {}): row for row in (found["rows"] if found else ())}
    return FittingTable(
        title,
        [
            (name, _scores(document, cell, ranked.get(json.dumps(cell["set"]))))
            for cell, name in zip(cells, names, strict=True)
        ],
    )


def _scores(document: SweepSummary, cell: Mapping[str, Any], row: Row | None) -> dict[str, str]:
    """Return the scores of a cell on validation, and its differences on the leaderboard, if it is there."""
    measure = MEASURES[document["measure"]]
    star = "*" if cell["set"] == document["winner"]["set"] else " "
    if not (scores := cell["validation"]):
        return {f"{measure.title} ": f"failed{star}"}
    chosen, others = scores[measure.name], [of for of in (ACCURACY, NLL) if of is not measure]
    figures = {f"{measure.title} ": f"{number(chosen['mean'])}{star}", "sd": number(chosen["sd"])}
    if row:
        figures |= _difference(row["against_winner"], "vs winner", "p", measure)
        figures |= _difference(row["against_baseline"], "vs baseline", "p ", measure)
    return figures | {of.title: number(scores[of.name]["mean"]) for of in others}


def _difference(of: Against | None, title: str, p_title: str, measure: Measure) -> dict[str, str]:
    """Return a difference and its corrected p value."""
    if of is None:
        return {title: "", p_title: ""}
    p = of["p_holm"]
    return {title: measure.signed(of["difference"]["mean"]), p_title: NOTHING if p is None else f"{p:.2g}"}


def _rank(document: SweepSummary, cell: Mapping[str, Any]) -> tuple[float, bool]:
    measure, scores = MEASURES[document["measure"]], cell["validation"]
    gain = measure.gain(scores[measure.name]["mean"]) if scores else -math.inf
    return gain, cell["set"] == document["winner"]["set"]


def plan(document: Plan) -> RenderableType:
    """Show what a sweep would do: the runs of each cell, their teachers and baselines, and their folders."""
    groups: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in document["runs"]:
        groups.setdefault((run["of"], run["home"]), []).append(run)
    rows = [(name, _planned(runs, home)) for (name, home), runs in groups.items()]
    about = [("seeds", ", ".join(map(str, document["seeds"])))]
    if not document["part"]:
        about.append(("then", f"one cell is chosen by {document['chosen_by']}; only its runs are scored on test"))
    table = FittingTable(plan_title(document), rows, words=("state", "folder"))
    rest = [*changed(document["runs"]), *about, *about_plan(document, document["given_teachers"])]
    return Group(table, Pairs(None, rest))


def _planned(runs: Sequence[PlannedRun], home: str) -> dict[str, str]:
    states = Counter(run["state"] for run in runs)
    counts = [f"{states[state]} {state}" for state in sorted(states)]
    in_words = next(iter(states)) if len(states) == 1 else ", ".join(counts)
    return {"runs": str(len(runs)), "done": str(states["complete"]), "state": in_words, "folder": home}
