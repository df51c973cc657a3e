"""Turns documents into what a person reads. It reads what others have stored and computes nothing new."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Document = Mapping[str, Any]

GAP = 2  # columns between two columns of a table


def training(document: Document) -> RenderableType:
    """Show the result of one run."""
    rows = [
        ("validation accuracy", _number(document["validation"]["accuracy"])),
        ("validation NLL", _number(document["validation"]["nll"])),
        ("epochs", f"{document['epochs']} (best: {document['best_epoch']}; {document['stopped']})"),
        ("parameters", f"{document['parameters']:,}"),
        ("model", f"{document['run_info']['model']} ({_bytes(document['file_bytes'])})"),
        ("objective", _objective(document["formula"])),
    ]
    return _pairs(f"{document['arm']}, seed {document['seed']}", rows)


def evaluation(document: Document) -> RenderableType:
    """Show the scores of arms or model files on the test split, one row each."""
    headings = ("accuracy", "NLL", "ECE", "agreement", "KL to teacher", "parameters", "file")
    named = list(document["arms"].items())
    named += [(model["path"], model) for model in document["models"]]
    rows = [
        (
            name,
            _number(scores["accuracy"]),
            _number(scores["nll"]),
            _number(scores["ece"]),
            _number(scores["agreement"]),
            _number(scores["kl_to_teacher"]),
            f"{scores['parameters']:,}",
            _bytes(scores["file_bytes"]),
        )
        for name, scores in named
    ]
    title = f"{document['experiment']}: test split, {document['examples']:,} examples"
    return FittingTable(title, headings, rows)


def reproduction(document: Document) -> RenderableType:
    """Show all arms over all seeds, the published figures beside ours, and the paired differences."""
    published = any(arm["expected"] is not None for arm in document["arms"].values())
    headings = (
        "accuracy",
        "sd",
        *(["published"] if published else []),
        "NLL",
        "ECE",
        "agreement",
        "parameters",
        "file",
    )
    rows = [
        (
            name,
            _number(arm["accuracy"]["mean"]),
            _number(arm["accuracy"]["sd"]),
            *([_number(arm["expected"])] if published else []),
            _number(arm["nll"]["mean"]),
            _number(arm["ece"]["mean"]),
            _number(arm["agreement"]["mean"]) if "agreement" in arm else "",
            "-" if arm["parameters"] is None else f"{arm['parameters']:,}",
            _bytes(arm["file_bytes"]),
        )
        for name, arm in document["arms"].items()
    ]
    seeds = len(document["comparison"]["difference"]["values"])
    title = f"{document['experiment']}: test accuracy over {_count(seeds, 'seed')}"
    parts: list[RenderableType] = [FittingTable(title, headings, rows), Padding(_comparison(document), (1, 0, 0, 0))]
    if document["warnings"] or document["failed"]:
        parts.append(Padding(_warnings(document), (1, 0, 0, 0)))
    return Group(*parts)


def _comparison(document: Document) -> RenderableType:
    """Show the verdict, what it rests on, and what speaks against it."""
    comparison = document["comparison"]
    difference = comparison["difference"]
    rows = [("verdict", comparison["verdict_text"])]
    if len(difference["values"]) > 1:
        by_seed = "  ".join(f"{100 * value:+.2f}" for value in difference["values"])
        rows.append(("distilled - baseline", f"{by_seed} (points, seed by seed)"))
        rows.append(("better in", _pairs_won(comparison)))
    if comparison["bootstrap"]:
        low, high = (100 * comparison["bootstrap"][end] for end in ("low", "high"))
        rows.append(("bootstrap (BCa)", f"{low:+.2f} to {high:+.2f}"))
    rows += [("about", comparison["about"]), ("objective", document["formula"])]
    return _pairs(None, rows)


def _pairs_won(comparison: Document) -> str:
    share = f"{100 * comparison['probability_of_improvement']:.0f} % of all pairs of runs"
    counts = comparison["mcnemar"]
    if counts is None:
        return share
    clear = sum(row["p_value"] < 0.05 for row in counts)
    return f"{share}; on the same test examples {clear} of {len(counts)} seeds differ by McNemar's test at 5 %"


def _warnings(document: Document) -> Text:
    lines = [f"Warning: {warning}" for warning in document["warnings"]]
    lines += [f"Failed: {failure['run']}: {failure['message']}" for failure in document["failed"]]
    return Text("\n".join(lines), style="yellow")


def sweep(document: Document) -> RenderableType:
    """Show the validation accuracy of every cell, the one that was chosen, and how it does on test."""
    seeds = _count(len(document["seeds"]), "seed")
    title = f"{document['experiment']}: validation accuracy of the distilled student, mean of {seeds}"
    table = _HeatMap(title, document) if len(document["axes"]) == 2 else _cells(title, document)
    winner, alone = document["winner"], document["baseline"]
    rows = [("baseline", f"{_number(alone['validation']['accuracy']['mean'])}, the student alone")] if alone else []
    rows += [
        ("winner", f"{_settings(winner['set'])}, chosen on validation ({document['chosen_by']})"),
        ("its config", winner["config"]),
        ("fresh seeds", f"judge it: kdistill reproduce -c {shlex.quote(winner['config'])}"),
        ("on test", "the winner alone:" if document["test"] else "nothing: of no seed all three runs are there"),
    ]
    parts: list[RenderableType] = [table, Padding(_pairs(None, rows), (1, 0))]
    if document["test"]:
        test = {**document["test"], "experiment": "winner", "seeds": document["seeds"], "failed": document["failed"]}
        parts.append(reproduction({**test, "warnings": [*document["warnings"], *test["warnings"]]}))
    else:
        parts.append(_warnings(document))
    return Group(*parts)


class _HeatMap:
    """The cells of a sweep over two axes as a map; as a list where the terminal is too narrow for it."""

    def __init__(self, title: str, document: Document) -> None:
        self.title, self.document = title, document

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the map or the list."""
        table = _map(self.document)
        if Measurement.get(console, options.update(max_width=1000), table).maximum > options.max_width:
            yield _cells(self.title, self.document)
        else:
            yield Text(self.title, style="bold")
            yield table
            yield Text("* is the winner; the darker, the better", style="dim")


def _map(document: Document) -> Table:
    (row_key, row_values), (column_key, column_values) = document["axes"].items()
    cells = {(_value(cell["set"][row_key]), _value(cell["set"][column_key])): cell for cell in document["cells"]}
    means = [cell["validation"]["accuracy"]["mean"] for cell in document["cells"] if cell["validation"]]
    table = Table(box=None, pad_edge=False)
    table.add_column(escape(f"{row_key} \\ {column_key}"), style="bold", no_wrap=True)
    for value in column_values:
        table.add_column(escape(_value(value)), justify="right", no_wrap=True)
    for row in row_values:
        shown = [
            _heat(cells[_value(row), _value(column)], means, document["winner"]["set"]) for column in column_values
        ]
        table.add_row(escape(_value(row)), *shown)
    return table


def _heat(cell: Document, means: Sequence[float], winner: Document) -> Text:
    """Show a cell in a shade between the worst and the best."""
    if not cell["validation"]:
        return Text("failed", style="red")
    mean = cell["validation"]["accuracy"]["mean"]
    share = (mean - min(means)) / (max(means) - min(means) or 1)
    red, green, blue = (round(light + share * (dark - light)) for light, dark in ((230, 20), (240, 90), (250, 160)))
    ink = "white" if share > 0.5 else "black"
    star = "*" if cell["set"] == winner else " "
    return Text(f" {mean:.4f}{star}", style=f"{ink} on rgb({red},{green},{blue})")


def _cells(title: str, document: Document) -> RenderableType:
    rows = []
    for cell in sorted(document["cells"], key=_mean_accuracy, reverse=True):
        star = " *" if cell["set"] == document["winner"]["set"] else ""
        scores = cell["validation"]
        figures = (
            [_number(scores[measure][of]) for measure, of in (("accuracy", "mean"), ("accuracy", "sd"))]
            if scores
            else []
        )
        figures += [_number(scores["nll"]["mean"])] if scores else ["failed", "", ""]
        rows.append((f"{_settings(cell['set'])}{star}", *figures))
    return FittingTable(title, ("accuracy", "sd", "NLL"), rows)


def _mean_accuracy(cell: Document) -> float:
    return cell["validation"]["accuracy"]["mean"] if cell["validation"] else -1.0


def _settings(settings: Document) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in settings.items())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def sweep_plan(document: Document) -> RenderableType:
    """Show what a sweep would do."""
    table = _table(f"{document['experiment']}: the plan (nothing is trained)")
    table.add_column("runs", justify="right")
    table.add_column("done", justify="right")
    for cell in document["cells"]:
        table.add_row(escape(_settings(cell["set"])), str(cell["runs"]), str(cell["done"]))
    rows = [
        ("seeds", ", ".join(map(str, document["seeds"]))),
        ("teachers", str(document["teachers"])),
        ("chosen by", document["chosen_by"]),
        ("threads", str(document["run_info"]["threads"])),
    ]
    return Group(table, _pairs(None, rows))


def part(document: Document) -> RenderableType:
    """Show which runs a part of a command has made."""
    title = f"{document['experiment']}: part {document['part']}; the same command without --part compares the runs"
    table = _table(title)
    table.add_column("status", no_wrap=True)
    table.add_column("folder", overflow="fold")
    for run in document["runs"]:
        table.add_row(escape(run["run"]), run["status"], escape(run["folder"]))
    return table


def plan(document: Document) -> RenderableType:
    """Show what a command that trains would do."""
    table = _table(f"{document['experiment']}: the plan (nothing is trained)")
    table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold", min_width=12)
    table.add_column("folder", overflow="fold")
    for run in document["runs"]:
        state = "\n".join([run["state"], *run["changes"]])
        table.add_row(run["arm"], str(run["seed"]), escape(state), escape(run["folder"]))
    rows = [*_data(document), ("objective", _objective(document["formula"]))]
    if document["teacher"]:
        accuracy = document["teacher"]["validation_accuracy"]
        rows.append(("teacher", f"{document['teacher']['path']} (validation accuracy {_number(accuracy)})"))
    return Group(table, _pairs(None, [*rows, ("threads", str(document["run_info"]["threads"]))]))


def scoring_plan(document: Document) -> RenderableType:
    """Show what would be scored."""
    rows = [(arm["arm"], f"seed {document['seed']}, {arm['folder']}") for arm in document["arms"]]
    rows += [("model", model["path"]) for model in document["models"]]
    title = f"{document['experiment']}: the plan (nothing is scored)"
    return _pairs(title, [*rows, *_data(document), ("threads", str(document["run_info"]["threads"]))])


def _data(document: Document) -> list[tuple[str, str]]:
    name, examples = document["data"]["dataset"], document["examples"]
    if examples is None:
        return [("data", f"{name}: to download")]
    return [("data", f"{name}: {', '.join(f'{count:,} {part}' for part, count in examples.items())}")]


def _objective(formula: str) -> str:
    return "cross-entropy of the labels" if formula == "loss = hard" else formula


def config_list(document: Document) -> RenderableType:
    """Show the built-in configs with a line on each."""
    rows = [(entry["name"], entry["summary"]) for entry in document["configs"]]
    return _pairs(None, rows)


def config_checks(document: Document) -> RenderableType:
    """Show of each config whether it is valid."""
    words = [
        (entry["config"], "valid" if entry["valid"] else _count(len(entry["problems"]), "problem"))
        for entry in document["configs"]
    ]
    return Text("\n".join(f"{config}: {word}" for config, word in words))


def data_sets(document: Document) -> RenderableType:
    """Show for each data set whether it is there and intact, and where it was looked for."""
    groups: list[RenderableType] = []
    for name, info in document.items():
        examples = ", ".join(f"{count:,} {part}" for part, count in info["examples"].items())
        size = " x ".join(map(str, info["shape"]))
        rows = [
            ("state", _state(info)),
            ("holds", f"{examples}; {size}, {len(info['classes'])} classes"),
        ]
        for number, place in enumerate(info["searched"]):
            found = "intact" if place["intact"] else place["problem"]
            rows.append(("" if number else "searched", f"{place['folder']} ({place['named_by']}): {found}"))
        groups += [Text(""), _pairs(name, rows)]
    return Group(*groups[1:])


def _state(info: Document) -> str:
    if not info["found"]:
        return "not here"
    return f"intact, {info['folder']}" if info["intact"] else f"damaged, {info['folder']}: {info['problem']}"


def fetched(document: Document) -> RenderableType:
    """Show what was downloaded, and where to."""
    what = ", ".join(document["downloaded"]) or "nothing to download"
    return Text(f"{document['title']}: {what}; {document['folder']}")


def facts(document: Document) -> RenderableType:
    """Show a flat or nested document as sections of names and values."""
    flat = [(key, value) for key, value in document.items() if not isinstance(value, Mapping)]
    nested = [(key, value) for key, value in document.items() if isinstance(value, Mapping)]
    groups = [_pairs(None, [(key.replace("_", " "), _plain(value)) for key, value in flat])] if flat else []
    for title, section in nested:
        groups.append(_pairs(title, [(key, _plain(value)) for key, value in section.items()]))
    return Group(*groups)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_plain(item) for item in value) or "none"
    return "-" if value is None else str(value)


def _pairs(title: str | None, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, escape(value))
    return table


def _table(title: str) -> Table:
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("", style="bold", overflow="fold", min_width=9)
    return table


class FittingTable:
    """A table of names and figures that keeps its names in a narrow terminal, and leaves out the last columns.

    Args:
        title: above it.
        headings: of the columns after the names, those that matter most first.
        rows: a name, and a cell for each heading.
    """

    def __init__(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.title, self.headings, self.rows = title, headings, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table with the columns that find room, and the names of those that do not."""
        # A long name, such as that of a file, is broken into lines, and so leaves room for the first figures.
        names = min(max(cell_len(row[0]) for row in self.rows), max(9, options.max_width // 2))
        kept, room = 0, options.max_width - names
        for number, heading in enumerate(self.headings, start=1):
            room -= GAP + max(cell_len(text) for text in (heading, *(row[number] for row in self.rows)))
            if room < 0:
                break
            kept = number
        table = _table(self.title)
        table.columns[0].width = names if kept < len(self.headings) else None
        for heading in self.headings[:kept]:
            table.add_column(heading, justify="right", no_wrap=True)
        for name, *cells in self.rows:
            table.add_row(escape(name), *cells[:kept])
        yield table
        if kept < len(self.headings):
            yield Text(f"No room for: {', '.join(self.headings[kept:])}", style="dim")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
