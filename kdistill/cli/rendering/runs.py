"""Turns what is known of experiments on disk into what a person reads, as `report` does for what commands compute."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from kdistill.cli.rendering.results import bootstrapped, by_seed, facts, pairs_won
from kdistill.cli.rendering.tables import FittingTable
from kdistill.core.formatting import counted, file_size, number, setting, settings
from kdistill.evaluation.verdict import Verdict
from kdistill.experiments.compare import ComparedArm, Comparison
from kdistill.runs import ARMS
from kdistill.runs.survey import FoundCell, FoundExperiment, FoundRun, Replacement, Survey

SCORES = ("validation", "test")


def experiments(document: Survey) -> RenderableType:
    """Show every experiment of an output folder, with a line for each arm."""
    if not document["experiments"]:
        return Text(f"No experiments in {document['output_dir']}")
    rows = _padded([row for entry in document["experiments"] for row in _arms(entry)])
    counts = Counter[str]()
    for entry in document["experiments"]:
        counts.update(entry["states"])
    title = f"{document['output_dir']}: {counted(len(document['experiments']), 'experiment')}, {_states(counts)}"
    return FittingTable(title, ("runs", *SCORES, "size", "last change", "verdict"), rows)


def runs(document: Survey) -> RenderableType:
    """Show every run of some experiments, a line each; of the cells of a sweep, a line for each cell."""
    entries = enumerate(document["experiments"])
    return Group(*(Padding(_experiment(entry), (int(place > 0), 0, 0, 0)) for place, entry in entries))


def _experiment(entry: FoundExperiment) -> RenderableType:
    own = sorted(entry["runs"], key=lambda run: (run["seed"], ARMS.index(run["arm"])))
    parts: list[RenderableType] = []
    title = f"{entry['experiment']} ({entry['folder']}): {_states(entry['states'])}"
    headings = ("state", *SCORES, "size", "last change")
    if own or not entry["cells"]:
        rows = _padded([(f"{run['arm']} seed {run['seed']}", *_cells(run)) for run in own])
        parts.append(FittingTable(title, headings, rows) if rows else Text(title, style="bold"))
    if entry["cells"]:
        rows = _padded([(_settings(cell), *_mean_cells(cell["runs"])) for cell in entry["cells"]])
        about = f"{entry['experiment']}: cells of a sweep" if parts else f"{title}, in cells of a sweep"
        parts.append(Padding(FittingTable(about, headings, rows), (int(bool(parts)), 0, 0, 0)))
    if problems := _problems(entry):
        parts.append(Padding(Text("\n".join(problems), style="yellow"), (1, 0, 0, 0)))
    return Group(*parts)


def _arms(entry: FoundExperiment) -> list[tuple[str, ...]]:
    """Return the line of an experiment, and below it one for each arm and one for the cells of a sweep."""
    everything = [*entry["runs"], *_in_cells(entry)]
    rows: list[tuple[str, ...]] = [
        (entry["experiment"], _states(entry["states"]), "", "", *_room(entry), entry["verdict"] or "")
    ]
    for arm in ARMS:
        of_arm = [run for run in entry["runs"] if run["arm"] == arm]
        if of_arm:
            rows.append((f"  {arm}", _seeds_and_states(of_arm), *_means(of_arm), "", "", ""))
    if entry["cells"]:
        rows.append((f"  {counted(len(entry['cells']), 'cell')}", _states(_count_states(_in_cells(entry))), *("",) * 5))
    if not everything:
        rows[0] = (entry["experiment"], "no runs", "", "", *_room(entry), "")
    return rows


def _in_cells(entry: FoundExperiment) -> list[FoundRun]:
    return [run for cell in entry["cells"] for run in cell["runs"]]


def _room(entry: FoundExperiment) -> tuple[str, str]:
    return file_size(entry["bytes"]), _local(entry["changed"])


def _cells(run: FoundRun) -> tuple[str, ...]:
    return (
        _state(run),
        number(run["validation_accuracy"]),
        number(run["test_accuracy"]),
        file_size(run["bytes"]),
        _local(run["changed"]),
    )


def _mean_cells(of_cell: Sequence[FoundRun]) -> tuple[str, ...]:
    """Return the line of a cell: the scores are means over its distilled runs."""
    distilled = [run for run in of_cell if run["arm"] == "distilled"]
    changed = max((run["changed"] for run in of_cell if run["changed"]), default=None)
    states = _states(_count_states(of_cell))
    return states, *_means(distilled), file_size(sum(run["bytes"] for run in of_cell)), _local(changed)


def _means(some: Sequence[FoundRun]) -> tuple[str, str]:
    """Return the mean validation and test accuracy of the complete ones of some runs."""
    complete = [run for run in some if run["state"] == "complete"]
    return _mean([run["validation_accuracy"] for run in complete]), _mean([run["test_accuracy"] for run in complete])


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return number(sum(known) / len(known) if known else None)


def _state(run: FoundRun) -> str:
    """Return how far a run has come; what is wrong with it is told elsewhere."""
    words = _progress(run)
    following = run["replacement"]
    return f"{words}; being replaced: {_progress(following)}" if following else words


def _progress(run: FoundRun | Replacement) -> str:
    of = f" of {run['epochs']}" if run["epochs"] else ""
    match run["state"]:
        case "running":
            return f"running, epoch {(run['epoch'] or 0) + 1}{of}"
        case "interrupted":
            return f"interrupted after epoch {run['epoch']}{of}" if run["epoch"] else "interrupted in epoch 1"
        case "failed":
            return f"failed in epoch {run['epoch']}{of}"
        case state:
            return str(state)


def _problems(entry: FoundExperiment) -> list[str]:
    lines = []
    named = [("", run) for run in entry["runs"]]
    named += [(f"{_settings(cell)} ", run) for cell in entry["cells"] for run in cell["runs"]]
    for prefix, run in named:
        for what in (run, run["replacement"]):
            if what and what["problem"]:
                lines.append(
                    f"{what['state'].capitalize()}: {prefix}{run['arm']} seed {run['seed']}: {what['problem']}"
                )
    lines += [
        f"Running: {prefix}{run['arm']} seed {run['seed']}: {run['process']}" for prefix, run in named if run["process"]
    ]
    return lines


def _settings(cell: FoundCell) -> str:
    return settings(cell["set"]) or cell["cell"]


def _count_states(some: Sequence[FoundRun]) -> Counter[str]:
    return Counter(run["state"] for run in some)


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "no runs"


def _seeds_and_states(some: Sequence[FoundRun]) -> str:
    seeds = _ranges(sorted(run["seed"] for run in some))
    return f"{_states(_count_states(some))} (seed{'s' if len(some) > 1 else ''} {seeds})"


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers in words, runs of them shortened: 0-4, 7."""
    parts: list[list[int]] = []
    for one in numbers:
        if parts and one == parts[-1][-1] + 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _padded(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows whose first cell after the name, which is text, stands on the left of its column."""
    width = max((len(row[1]) for row in rows), default=0)
    return [(row[0], row[1].ljust(width), *row[2:]) for row in rows]


def _local(time: str | None) -> str:
    """Return a time of ISO 8601 to the minute, as the clocks here show it."""
    return "-" if time is None else datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")


def comparison(document: Comparison) -> RenderableType:
    """Show two experiments side by side: configs, results, and what the paired differences say."""
    names = f"A  {document['a']['folder']}\nB  {document['b']['folder']}"
    parts: list[RenderableType] = [Text(names, style="bold"), Padding(_config(document), (1, 0))]
    rows = [row for arm, of in document["arms"].items() for row in _results(arm, of)]
    if rows:
        headings = ("accuracy", "sd", "NLL", "ECE", "agreement", "parameters", "file", "seeds")
        parts.append(FittingTable("test split", headings, rows))
    for arm, of in document["arms"].items():
        parts.append(Padding(facts({f"{arm}, B against A": _verdict_on(of)}), (1, 0, 0, 0)))
    if document["warnings"]:
        lines = "\n".join(f"Warning: {warning}" for warning in document["warnings"])
        parts.append(Padding(Text(lines, style="yellow"), (1, 0, 0, 0)))
    return Group(*parts)


def _config(document: Comparison) -> RenderableType:
    if not document["config"]:
        return Text("The configs are the same, the name apart.")
    rows = [
        (row["key"], *("-" if value is None else setting(value) for value in (row["a"], row["b"])))
        for row in document["config"]
    ]
    return FittingTable("config keys that differ", ("A", "B"), rows)


def _results(arm: str, of: ComparedArm) -> list[tuple[str, ...]]:
    rows = []
    for letter, summary in (("A", of["a"]), ("B", of["b"])):
        if summary:
            measures = (summary["nll"], summary["ece"], summary["agreement"])
            means = [number(measure and measure["mean"]) for measure in measures]
            accuracy, size = summary["accuracy"], summary["file_bytes"]
            figures = (number(accuracy["mean"]), number(accuracy["sd"]), *means)
            seeds = _ranges(sorted(summary["seeds"]))
            rows.append((f"{arm} {letter}", *figures, f"{summary['parameters']:,}", file_size(size), seeds))
    return rows


def _verdict_on(of: ComparedArm) -> dict[str, str]:
    paired = of["paired"]
    if not paired:
        return {"no verdict": f"{of['why_not']}."}
    verdict = Verdict.from_json(paired)
    rows = {"verdict": verdict.sentence}
    if paired["same_models"]:
        return rows
    seeds = f" (points, seeds {_ranges(verdict.seeds)})" if len(verdict.seeds) > 1 else " points"
    rows |= {"B - A": by_seed(verdict) + seeds, "better in": pairs_won(verdict)}
    return {**rows, **dict(bootstrapped(verdict)), "about": verdict.about}
