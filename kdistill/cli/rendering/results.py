"""Turns documents into what a person reads. It reads what others have stored and computes nothing new."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from kdistill.cli.rendering.tables import FittingTable, Pairs
from kdistill.core.formatting import counted, dimensions, file_size, number
from kdistill.evaluation.verdict import Verdict

if TYPE_CHECKING:
    from kdistill.experiments.dry_run import FoundData, FoundTeacher, Plan, PlannedRun, ScoringPlan, TrainingPlan
    from kdistill.experiments.reproduce import Compared, ExperimentSummary, PartSummary
    from kdistill.experiments.sweep import SweepSummary
    from kdistill.report.pages.write import Page

Document = Mapping[str, Any]

NAMED = 8  # of runs that failed


def training(document: Document) -> RenderableType:
    """Show the result of one run."""
    rows = [
        ("validation accuracy", number(document["validation"]["accuracy"])),
        ("validation NLL", number(document["validation"]["nll"])),
        ("epochs", f"{document['epochs']} (best: {document['best_epoch']}; {document['stopped']})"),
        ("parameters", f"{document['parameters']:,}"),
        ("model", f"{document['run_info']['model']} ({file_size(document['file_bytes'])})"),
        ("objective", _objective(document["formula"])),
    ]
    return Pairs(f"{document['arm']}, seed {document['seed']}", rows)


def evaluation(document: Document) -> RenderableType:
    """Show the scores of arms or model files on the test split, one row each."""
    headings = ("accuracy", "NLL", "ECE", "agreement", "KL to teacher", "parameters", "file")
    named = list(document["arms"].items())
    named += [(model["path"], model) for model in document["models"]]
    rows = [
        (
            name,
            number(scores["accuracy"]),
            number(scores["nll"]),
            number(scores["ece"]),
            number(scores["agreement"]),
            number(scores["kl_to_teacher"]),
            f"{scores['parameters']:,}",
            file_size(scores["file_bytes"]),
        )
        for name, scores in named
    ]
    title = f"{document['experiment']}: test split, {document['examples']:,} examples"
    return FittingTable(title, headings, rows)


def reproduction(document: "ExperimentSummary") -> RenderableType:
    """Show all arms over all seeds, the published figures beside ours, and the paired differences."""
    parts = [compared(document["experiment"], document)]
    if speaks_against := caveats(document, "summary.json"):
        parts.append(Padding(speaks_against, (1, 0, 0, 0)))
    return Group(*parts)


def compared(name: str, document: "Compared") -> RenderableType:
    """Show a table of all arms, and below it the verdict with what it rests on."""
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
            arm,
            number(of["accuracy"]["mean"]),
            number(of["accuracy"]["sd"]),
            *([number(of["expected"])] if published else []),
            number(of["nll"]["mean"]),
            number(of["ece"]["mean"]),
            number(of["agreement"]["mean"]) if "agreement" in of else "",
            "-" if of["parameters"] is None else f"{of['parameters']:,}",
            file_size(of["file_bytes"]),
        )
        for arm, of in document["arms"].items()
    ]
    verdict = Verdict.from_json(document["comparison"])
    title = f"{name}: test accuracy over {counted(len(verdict.seeds), 'seed')}"
    return Group(FittingTable(title, headings, rows), Padding(_verdict(verdict, document["formula"]), (1, 0, 0, 0)))


def _verdict(verdict: Verdict, formula: str) -> RenderableType:
    rows = [("verdict", verdict.sentence)]
    if len(verdict.seeds) > 1:
        rows.append(("distilled - baseline", f"{by_seed(verdict)} (points, seed by seed)"))
        rows.append(("better in", pairs_won(verdict, "on the same test examples ")))
    return Pairs(None, [*rows, *bootstrapped(verdict), ("about", verdict.about), ("objective", formula)])


def by_seed(verdict: Verdict) -> str:
    """Return the differences in points, seed by seed."""
    return "  ".join(f"{100 * value:+.2f}" for value in verdict.difference["values"])


def pairs_won(verdict: Verdict, where: str = "") -> str:
    """Return how often the first model of a pair is better, and in how many seeds McNemar's test tells, `where`."""
    share = f"{100 * verdict.probability_of_improvement:.0f} % of all pairs of runs"
    if verdict.significant_seeds is None:
        return share
    return f"{share}; {where}{verdict.significant_seeds} of {len(verdict.seeds)} seeds differ by McNemar's test at 5 %"


def bootstrapped(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the row of the bootstrap interval, if there is one."""
    if not verdict.bootstrap:
        return []
    low, high = verdict.bootstrap["low"], verdict.bootstrap["high"]
    return [("bootstrap (BCa)", f"{100 * low:+.2f} to {100 * high:+.2f}")]


def caveats(document: "ExperimentSummary | SweepSummary", file: str, more: Sequence[str] = ()) -> Text | None:
    """Return what speaks against a result, if anything: warnings, and which runs failed.

    Why they failed was told when they did, and stands in a file.

    Args:
        document: of the experiment.
        file: its name in the experiment's folder.
        more: further warnings.
    """
    lines = [f"Warning: {warning}" for warning in [*document["warnings"], *more]]
    if failed := [failure["run"] for failure in document["failed"] if not failure["since"]]:
        more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        lines.append(f"Failed: {', '.join(failed[:NAMED])}{more} (why: {document['run_info']['output_dir']}/{file})")
    return Text("\n".join(lines), style="yellow") if lines else None


def part(document: "PartSummary") -> RenderableType:
    """Show which runs a part of a command has made."""
    title = f"{document['experiment']}: part {document['part']}; the same command without --part compares the runs"
    rows = [(run["run"], run["status"], run["folder"]) for run in document["runs"]]
    return FittingTable(title, ("status", "folder"), rows, words=True)


def plan(document: "TrainingPlan") -> RenderableType:
    """Show what a command that trains would do."""
    rows = [(run["arm"], str(run["seed"]), run["state"], run["folder"]) for run in document["runs"]]
    part = f", part {document['part']}" if document["part"] else ""
    title = f"{document['experiment']}{part}: the plan (nothing is trained)"
    table = FittingTable(title, ("seed", "state", "folder"), rows, words=True)
    teachers = [document["teacher"]] if document["teacher"] else []
    return Group(table, Pairs(None, [*changed(document["runs"]), *about_plan(document, teachers)]))


def changed(runs: "Sequence[PlannedRun]") -> list[tuple[str, str]]:
    """Return for each run that is made again what its config differs in."""
    return [(f"{run['arm']} {run['seed']}", "\n".join(run["changes"])) for run in runs if run["changes"]]


def about_plan(document: "Plan", teachers: "Sequence[FoundTeacher]") -> list[tuple[str, str]]:
    """Return what a plan says besides its runs.

    Args:
        document: of the command.
        teachers: from files.
    """
    rows = _data(document)
    if document["formula"]:
        rows.append(("objective", _objective(document["formula"])))
    for teacher in teachers:
        rows.append(("teacher", f"{teacher['path']} (validation accuracy {number(teacher['validation_accuracy'])})"))
    return [*rows, ("threads", str(document["run_info"]["threads"]))]


def scoring_plan(document: "ScoringPlan") -> RenderableType:
    """Show what would be scored."""
    rows = [(arm["arm"], f"seed {document['seed']}, {arm['folder']}") for arm in document["arms"]]
    rows += [("model", model["path"]) for model in document["models"]]
    title = f"{document['experiment']}: the plan (nothing is scored)"
    return Pairs(title, [*rows, *_data(document), ("threads", str(document["run_info"]["threads"]))])


def _data(document: "FoundData") -> list[tuple[str, str]]:
    name, examples = document["data"]["dataset"], document["examples"]
    if examples is None:
        return [("data", f"{name}: to download")]
    return [("data", f"{name}: {', '.join(f'{count:,} {part}' for part, count in examples.items())}")]


def _objective(formula: str) -> str:
    return "cross-entropy of the labels" if formula == "loss = hard" else formula


def page(document: "Page") -> RenderableType:
    """Show where a page was written, and what it says first."""
    rows = [("page", f"{document['html']} ({file_size(document['bytes'])})"), ("Markdown", document["markdown"])]
    if document["verdict_text"]:
        rows.append(("verdict", document["verdict_text"]))
    return Pairs(document["experiment"], rows)


def config_list(document: Document) -> RenderableType:
    """Show the built-in configs with a line on each."""
    rows = [(entry["name"], entry["summary"]) for entry in document["configs"]]
    return Pairs(None, rows)


def config_checks(document: Document) -> RenderableType:
    """Show of each config whether it is valid."""
    words = [
        (entry["config"], "valid" if entry["valid"] else counted(len(entry["problems"]), "problem"))
        for entry in document["configs"]
    ]
    return Text("\n".join(f"{config}: {word}" for config, word in words))


def data_sets(document: Document) -> RenderableType:
    """Show for each data set whether it is there and intact, and where it was looked for."""
    groups: list[RenderableType] = []
    for name, info in document.items():
        examples = ", ".join(f"{count:,} {part}" for part, count in info["examples"].items())
        size = dimensions(info["shape"])
        rows = [
            ("state", _state(info)),
            ("holds", f"{examples}; {size}, {len(info['classes'])} classes"),
        ]
        for position, place in enumerate(info["searched"]):
            found = "intact" if place["intact"] else place["problem"]
            rows.append(("" if position else "searched", f"{place['folder']} ({place['named_by']}): {found}"))
        groups += [Text(""), Pairs(name, rows)]
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
    groups = [Pairs(None, [(key.replace("_", " "), _plain(value)) for key, value in flat])] if flat else []
    for title, section in nested:
        groups.append(Pairs(title, [(key, _plain(value)) for key, value in section.items()]))
    return Group(*groups)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_plain(item) for item in value) or "none"
    return "-" if value is None else str(value)
