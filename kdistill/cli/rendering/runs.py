"""Shows experiments that are on disk: their runs, and two of them compared."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import mean
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from kdistill.cli.rendering.results import facts, mean_scores, ranges, verdict_rows
from kdistill.cli.rendering.tables import FittingTable, sections, warning
from kdistill.core import members
from kdistill.core.formatting import counted, file_size, number, setting, settings
from kdistill.evaluation.measures import ACCURACY, MEASURES, Measure, columns
from kdistill.runs import EVERY_ARM, arm_order

if TYPE_CHECKING:
    from kdistill.experiments.compare import ComparedArm, Comparison
    from kdistill.runs.survey import FoundCell, FoundExperiment, FoundRun, Replacement

SUMMARY = ("runs", "validation", "test", "verdict", "size", "last change")  # the most important first
DETAILS = ("state", "validation", "test", "size", "last change")


def experiments(document: Mapping[str, Any]) -> RenderableType:
    """Show every experiment of an output folder, with a line for each arm."""
    if not document["experiments"]:
        return Text(f"No experiments in {document['output_dir']}")
    states = Counter[str]()
    for entry in document["experiments"]:
        states.update(entry["states"])
    title = f"{document['output_dir']}: {counted(len(document['experiments']), 'experiment')}, {_states(states)}"
    lines = [line for entry in document["experiments"] for line in _summary(entry)]
    rows = [(name, dict(zip(SUMMARY, cells, strict=False))) for name, *cells in lines]
    damaged = [line for entry in document["experiments"] for line in _damaged_summary(entry)]
    return sections(FittingTable(title, rows, words=("runs",)), warning(damaged))


def _summary(entry: "FoundExperiment") -> list[tuple[str, ...]]:
    """Return the line of an experiment, and below it one for each arm and one for the cells of a sweep."""
    verdict = (entry["states"] and entry["verdict"]) or ""
    size, changed = file_size(entry["bytes"]), _local(entry["changed"])
    rows: list[tuple[str, ...]] = [(entry["experiment"], _states(entry["states"]), "", "", verdict, size, changed)]
    for arm in EVERY_ARM:
        if of_arm := [run for run in entry["runs"] if members.arm_of(run["arm"]) == arm]:
            of = sorted({run["seed"] for run in of_arm})
            seeds = f"(seed{'s' if len(of) > 1 else ''} {ranges(of)})"
            rows.append((f"  {arm}", f"{_states(_count_states(of_arm))} {seeds}", *_means(of_arm)))
    if entry["cells"]:
        in_cells = [run for cell in entry["cells"] for run in cell["runs"]]
        rows.append((f"  {counted(len(entry['cells']), 'cell')}", _states(_count_states(in_cells))))
    return rows


def runs(document: Mapping[str, Any]) -> RenderableType:
    """Show every run of some experiments, a line each; of the cells of a sweep, a line for each cell."""
    return sections(*map(_experiment, document["experiments"]))


def _experiment(entry: "FoundExperiment") -> RenderableType:
    title = f"{entry['experiment']} ({entry['folder']}): {_states(entry['states'])}"
    own = sorted(entry["runs"], key=lambda run: (run["seed"], arm_order(run["arm"])))
    tables: list[RenderableType] = []
    if own or not entry["cells"]:
        rows = [(f"{run['arm']} seed {run['seed']}", _run(run)) for run in own]
        tables.append(FittingTable(title, rows, words=("state",)) if rows else Text(title, style="bold"))
    if entry["cells"]:
        rows = [(_settings(cell), _cell(cell["runs"])) for cell in entry["cells"]]
        about = f"{entry['experiment']}: cells of a sweep" if tables else f"{title}, in cells of a sweep"
        tables.append(FittingTable(about, rows, words=("state",)))
    return sections(*tables, warning(_problems(entry)))


def _run(run: "FoundRun") -> dict[str, str]:
    return dict(
        zip(DETAILS, (_state(run), *_scores([run]), file_size(run["bytes"]), _local(run["changed"])), strict=True)
    )


def _cell(of_cell: "Sequence[FoundRun]") -> dict[str, str]:
    """Return the row of a cell: the scores are means over its distilled runs."""
    scores = _means([run for run in of_cell if run["arm"] == "distilled"])
    size = file_size(sum(run["bytes"] for run in of_cell))
    changed = _local(max((run["changed"] for run in of_cell if run["changed"]), default=None))
    return dict(zip(DETAILS, (_states(_count_states(of_cell)), *scores, size, changed), strict=True))


def _means(some: "Sequence[FoundRun]") -> tuple[str, str]:
    """Return the mean scores on validation and test of the complete runs among some."""
    return _scores([run for run in some if run["state"] == "complete"])


def _scores(some: "Sequence[FoundRun]") -> tuple[str, str]:
    """Return the mean scores of runs on validation and test, which are accuracies unless another measure is named.

    Runs of different measures, as of different versions, have no mean.
    """
    measures = {run["measure"] for run in some}
    if len(measures) != 1:
        return number(None), number(None)
    measure = MEASURES[measures.pop() or ACCURACY.name]
    return _mean(measure, [run["validation"] for run in some]), _mean(measure, [run["test"] for run in some])


def _mean(measure: Measure, values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return number(mean(known) if known else None) + (f" {measure.title}" if known and measure is not ACCURACY else "")


def _state(run: "FoundRun") -> str:
    following = run["replacement"]
    return _progress(run) + (f"; being replaced: {_progress(following)}" if following else "")


def _progress(run: "FoundRun | Replacement") -> str:
    of = f" of {run['epochs']}" if run["epochs"] else ""
    match run["state"]:
        case "running":
            return f"running, epoch {(run['epoch'] or 0) + 1}{of}"
        case "interrupted":
            return f"interrupted after epoch {run['epoch']}{of}" if run["epoch"] else "interrupted in epoch 1"
        case "failed":
            return f"failed in epoch {run['epoch']}{of}"
        case state:
            return state


def _damaged_summary(entry: "FoundExperiment") -> list[str]:
    return [f"Damaged: {entry['folder']}: {entry['problem']}"] if entry["problem"] else []


def _problems(entry: "FoundExperiment") -> list[str]:
    named = [(f"{run['arm']} seed {run['seed']}", run) for run in entry["runs"]]
    for cell in entry["cells"]:
        named += [(f"{_settings(cell)} {run['arm']} seed {run['seed']}", run) for run in cell["runs"]]
    lines = _damaged_summary(entry)
    lines += [
        f"{each['state'].capitalize()}: {name}: {each['problem']}"
        for name, run in named
        for each in (run, run["replacement"])
        if each and each["problem"]
    ]
    return lines + [f"Running: {name}: {run['process']}" for name, run in named if run["process"]]


def _settings(cell: "FoundCell") -> str:
    return settings(cell["set"]) or cell["cell"]


def _count_states(some: "Sequence[FoundRun]") -> Counter[str]:
    return Counter(run["state"] for run in some)


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "no runs"


def _local(time: str | None) -> str:
    """Return a time in ISO 8601 to the minute, in the local time zone."""
    return "-" if time is None else datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")


def comparison(document: "Comparison") -> RenderableType:
    """Show two experiments side by side: config keys that differ, scores, and verdicts on paired differences."""
    names = Text(f"A  {document['a']['folder']}\nB  {document['b']['folder']}", style="bold")
    scores = [
        (f"{arm} {letter}", {**mean_scores(side, _shown(document, side)), "seeds": ranges(side["seeds"])})
        for arm, of in document["arms"].items()
        for letter, side in (("A", of["a"]), ("B", of["b"]))
        if side
    ]
    verdicts = [facts({f"{arm}, B against A": dict(_verdict(of))}) for arm, of in document["arms"].items()]
    warnings = [f"Warning: {text}" for text in document["warnings"]]
    table = FittingTable("test split", scores) if scores else None
    return sections(names, _config(document), table, *verdicts, warning(warnings))


def _shown(document: "Comparison", side: Mapping[str, Any]) -> list[Measure]:
    return columns(side, side["imbalance"], MEASURES[document["measure"]])


def _config(document: "Comparison") -> RenderableType:
    if not document["config"]:
        return Text("The configs are the same, except for the name.")
    rows = [(row["key"], {"A": _setting(row["a"]), "B": _setting(row["b"])}) for row in document["config"]]
    return FittingTable("config keys that differ", rows)


def _setting(value: Any) -> str:
    return "-" if value is None else setting(value)


def _verdict(of: "ComparedArm") -> list[tuple[str, str]]:
    if not of["paired"]:
        return [("no verdict", f"{of['why_not']}.")]
    rows = verdict_rows(of["paired"], "B - A")
    return rows[:1] if of["paired"]["same_models"] else rows
