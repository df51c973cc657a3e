"""Turns the documents of sweeps into what a person reads, as `report` does for the others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kdistill.cli.rendering.results import about_plan, caveats, changed, compared
from kdistill.cli.rendering.tables import FittingTable, Pairs
from kdistill.core.formatting import counted, number, setting, settings, short_names
from kdistill.experiments.dry_run import PlannedCellRun, SweepPlan
from kdistill.experiments.sweep import CellRow, SweepSummary

LIGHT, DARK = (230, 240, 250), (20, 90, 160)  # red, green and blue of the worst and the best cell


def sweep(document: SweepSummary) -> RenderableType:
    """Show the validation accuracy of every cell, the one that was chosen, and how it does on test."""
    seeds = counted(len(document["seeds"]), "seed")
    title = f"{document['experiment']}: validation accuracy of the distilled student, mean of {seeds}"
    table = _HeatMap(title, document) if len(document["axes"]) == 2 else _Cells(title, document)
    winner, alone, test = document["winner"], document["baseline"], document["test"]
    rows = [("baseline", f"{number(alone['validation']['accuracy']['mean'])}, the student alone")] if alone else []
    rows += [
        ("winner", f"{settings(winner['set'])}, chosen on validation ({document['chosen_by']})"),
        ("its config", winner["config"]),
        ("on test", "the winner alone:" if test else "nothing: of no seed all three runs are there"),
    ]
    parts: list[RenderableType] = [table, Padding(Pairs(None, rows), (1, 0))]
    if test:
        parts.append(compared("winner", test))
    if speaks_against := caveats(document, "sweep.json", test["warnings"] if test else ()):
        parts.append(Padding(speaks_against, (1, 0, 0, 0)))
    # In one line, however long it is: it can be copied.
    parts.append(Text(f"\nJudge it by fresh seeds:\n{winner['command']}", no_wrap=True, overflow="ignore"))
    return Group(*parts)


class _HeatMap:
    """The cells of a sweep over two axes as a map; as a list where the terminal is too narrow for it."""

    def __init__(self, title: str, document: SweepSummary) -> None:
        self.title, self.document = title, document

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the map or the list."""
        table = _map(self.document)
        if Measurement.get(console, options.update(max_width=1000), table).maximum > options.max_width:
            yield _Cells(self.title, self.document)
            return
        yield Text(self.title, style="bold")
        yield table
        in_colour = console.color_system is not None and not console.no_color
        yield Text(f"* is the winner{'; the darker, the better' if in_colour else ''}", style="dim")


def _map(document: SweepSummary) -> Table:
    (row_key, row_values), (column_key, column_values) = document["axes"].items()
    cells = {(setting(cell["set"][row_key]), setting(cell["set"][column_key])): cell for cell in document["cells"]}
    means = [cell["validation"]["accuracy"]["mean"] for cell in document["cells"] if cell["validation"]]
    table = Table(box=None, pad_edge=False)
    table.add_column(escape(f"{row_key} \\ {column_key}"), style="bold", no_wrap=True)
    for value in column_values:
        table.add_column(escape(setting(value)), justify="right", no_wrap=True)
    for row in row_values:
        shown = [
            _heat(cells[setting(row), setting(column)], means, document["winner"]["set"]) for column in column_values
        ]
        table.add_row(escape(setting(row)), *shown)
    return table


def _heat(cell: CellRow, means: Sequence[float], winner: Mapping[str, Any]) -> Text:
    """Show a cell in a shade between the worst and the best."""
    if not cell["validation"]:
        return Text("failed", style="red")
    mean = cell["validation"]["accuracy"]["mean"]
    share = (mean - min(means)) / (max(means) - min(means) or 1)
    red, green, blue = (round(light + share * (dark - light)) for light, dark in zip(LIGHT, DARK, strict=True))
    ink = "white" if share > 0.5 else "black"
    star = "*" if cell["set"] == winner else " "
    return Text(f" {mean:.4f}{star}", style=f"{ink} on rgb({red},{green},{blue})")


class _Cells:
    """The cells of a sweep as a list, the best first."""

    def __init__(self, title: str, document: SweepSummary) -> None:
        self.title, self.document = title, document

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the list, with the last parts of the keys alone where they would not find room otherwise."""
        cells = sorted(self.document["cells"], key=_mean_accuracy, reverse=True)
        names = [settings(cell["set"]) for cell in cells]
        if max(map(cell_len, names)) > options.max_width // 2:
            short = short_names(self.document["axes"])
            names = [settings({short[key]: value for key, value in cell["set"].items()}) for cell in cells]
        rows = []
        for cell, name in zip(cells, names, strict=True):
            scores = cell["validation"]
            star = "*" if cell["set"] == self.document["winner"]["set"] else " "
            if scores:
                accuracy, nll = scores["accuracy"], scores["nll"]
                rows.append((name, f"{number(accuracy['mean'])}{star}", number(accuracy["sd"]), number(nll["mean"])))
            else:
                rows.append((name, f"failed{star}", "", ""))
        yield FittingTable(self.title, ("accuracy ", "sd", "NLL"), rows)
        yield Text("* is the winner", style="dim")


def _mean_accuracy(cell: CellRow) -> float:
    return cell["validation"]["accuracy"]["mean"] if cell["validation"] else -1.0


def plan(document: SweepPlan) -> RenderableType:
    """Show what a sweep would do: the runs of each cell, their teachers and baselines, and where they are."""
    groups: dict[tuple[str, str], list[PlannedCellRun]] = {}
    for run in document["runs"]:
        groups.setdefault((run["of"], run["home"]), []).append(run)
    rows = [
        (name, str(len(runs)), str(_states(runs).get("complete", 0)), _in_words(_states(runs)), home)
        for (name, home), runs in groups.items()
    ]
    part = f", part {document['part']}" if document["part"] else ""
    title = f"{document['experiment']}{part}: the plan (nothing is trained)"
    about = [("seeds", ", ".join(map(str, document["seeds"])))]
    if not document["part"]:
        about.append(("then", f"one cell is chosen by {document['chosen_by']}, and it alone is scored on test"))
    table = FittingTable(title, ("runs", "done", "state", "folder"), rows, words=True)
    return Group(
        table, Pairs(None, [*changed(document["runs"]), *about, *about_plan(document, document["given_teachers"])])
    )


def _states(runs: Sequence[PlannedCellRun]) -> Counter[str]:
    return Counter(run["state"] for run in runs)


def _in_words(states: Counter[str]) -> str:
    """Return the state that all runs have, or else how many have which."""
    return next(iter(states)) if len(states) == 1 else ", ".join(f"{states[state]} {state}" for state in sorted(states))
