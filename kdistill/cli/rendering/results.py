"""Shows the JSON documents of commands as tables and text. Every number shown is one that the document has."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from kdistill.cli.rendering import transfer_set
from kdistill.cli.rendering.tables import FittingTable, Pairs, Steps, Warnings, sections, warning
from kdistill.core.formatting import counted, file_size, first_few, number
from kdistill.evaluation.headline import SIZES, of_examples
from kdistill.evaluation.measures import ACCURACY, MEASURES, NLL, Measure, columns, imbalance, main_of, title_of

if TYPE_CHECKING:
    from kdistill.experiments.dry_run import Plan, PlannedRun
    from kdistill.experiments.reproduce import Compared, ExperimentSummary, PartSummary
    from kdistill.experiments.sweep import SweepSummary
    from kdistill.report.pages.write import Page

Document = Mapping[str, Any]

MAX_NAMED = 8  # failed runs
STOPPED_IN_WORDS = {"no improvement": "stopped early", "all epochs done": "all epochs done"}
FITTED = {"fitted T": "fitted_temperature", "fitted NLL": "fitted_nll", "fitted ECE": "fitted_ece"}
REST = {"ECE": "ece", **FITTED, "agreement": "agreement"}


def training(document: Document, verbose: bool = False) -> RenderableType:
    """Show the result of one run; of a student's, first the headline and the other arms of its seed."""
    if document.get("members"):
        return _ensemble(document)
    if not document.get("arms"):
        return sections(Pairs(_title(document), [*_validation(document), *_about_run(document, True)]), steps(document))
    measure = MEASURES[document["measure"]]
    rows = [(arm, _figures(scores, columns(scores, None, measure))) for arm, scores in document["arms"].items()]
    details = [*(_validation(document) if verbose else ()), *_about_run(document, verbose)]
    return sections(
        said(document["headline"], document["comparison_text"]),
        FittingTable(f"{document['experiment']}: validation {measure.words}, seed {document['seed']}", rows),
        Pairs(_title(document) if verbose else None, details),
        steps(document),
    )


def _ensemble(document: Document) -> RenderableType:
    """Show the result of a teacher of several members: each of them, and below them their mean probability."""
    measure = MEASURES[document["measure"]]
    shown = columns(document["validation"], None, measure)
    each = [(row["member"], {**row["validation"], **{key: row[key] for key in SIZES}}) for row in document["members"]]
    whole = {**document["validation"], **{key: document[key] for key in SIZES}}
    rows = [(name, _figures(scores, shown)) for name, scores in [*each, ("teacher, together", whole)]]
    title = f"{document['experiment']}: validation {measure.words} of the teacher's members, seed {document['seed']}"
    return sections(
        FittingTable(title, rows), Pairs(None, [("models", document["run_info"]["folder"])]), steps(document)
    )


def members_table(document: "Compared") -> RenderableType | None:
    """Show the test scores of each member of each teacher; None where teachers are single models."""
    if not (found := document.get("members")):
        return None
    shown = columns(found[0], document["imbalance"], MEASURES[document["comparison"]["measure"]])
    rows = [(f"{row['member']} seed {row['seed']}", _figures(row, shown, {"ECE": number(row["ece"])})) for row in found]
    return FittingTable("The members of the teacher, each by itself: test", rows)


def _title(document: Document) -> str:
    return f"{document['arm']}, seed {document['seed']}"


def _validation(document: Document) -> list[tuple[str, str]]:
    scores = document["validation"]
    examples = scores.get("class_examples")
    shown = [*columns(scores, imbalance(examples) if examples else None, main_of(scores)), NLL]
    return [(f"validation {measure.words}", number(scores[measure.name])) for measure in shown]


def _on_right_labels(document: Document) -> list[tuple[str, str]]:
    """Return the main score on the right labels of validation, where those in use are noisy."""
    if not (right := document.get("validation_right")):
        return []
    measure = main_of(right)
    return [(f"{measure.words} on right labels", f"{number(right[measure.name])} (validation; nothing chose by it)")]


def _about_run(document: Document, whole: bool) -> list[tuple[str, str]]:
    """Return facts on a run; all of them, or those that no table has."""
    model = document["run_info"]["model"]
    best = f"best {title_of(document['monitor'])} at epoch {document['best_epoch']}"
    rows = [
        *_on_right_labels(document),
        ("epochs", f"{document['epochs']} ({best}; {STOPPED_IN_WORDS[document['stopped']]})"),
        *transfer_set.of_run(document),
    ]
    if not whole:
        return [*rows, ("model", model)]
    return [
        *rows,
        ("parameters", f"{document['parameters']:,}"),
        ("model", f"{model} ({file_size(document['file_bytes'])})"),
        ("objective", _objective(document["formula"])),
    ]


def said(*sentences: str) -> Text | None:
    """Return the sentences that a result begins with, each on a line; None if they are empty."""
    lines = [Text(sentence, style="" if number else "bold") for number, sentence in enumerate(sentences) if sentence]
    return Text("\n").join(lines) if lines else None


def _trained_on(document: Document) -> Text | None:
    """Return on how many examples each arm was trained, where some have no label."""
    sentence = of_examples(document.get("trained_on", {}))
    return Text(sentence) if sentence else None


def steps(document: Document) -> Steps | None:
    """Return what to do after the command of a document; None where that is nothing."""
    found = document["run_info"]["next"]
    return Steps(found) if found else None


def _figures(
    scores: Document, shown: Sequence[Measure], more: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Return the scores of a model on a split and its size."""
    return {
        **{of.title: number(scores.get(of.name)) for of in dict.fromkeys([*shown, NLL])},
        **more,
        "parameters": _parameters(scores),
        "file": file_size(scores["file_bytes"]),
    }


def evaluation(document: Document) -> RenderableType:
    """Show the scores of arms or model files on the test split, one row each."""
    scored = [*document["arms"].items(), *((model["path"], model) for model in document["models"])]
    shown = columns(scored[0][1], document["imbalance"], MEASURES[document["measure"]])
    rows = [
        (
            name,
            _figures(
                scores,
                shown,
                {
                    "ECE": number(scores["ece"]),
                    **{title: number(scores[key]) if key in scores else "" for title, key in FITTED.items()},
                    "agreement": number(scores["agreement"]),
                    "KL to teacher": number(scores["kl_to_teacher"]),
                },
            ),
        )
        for name, scores in scored
    ]
    return sections(
        said(document.get("headline", ""), document.get("comparison_text", "")),
        FittingTable(f"{document['experiment']}: test split, {document['examples']:,} examples", rows),
        steps(document),
    )


def reproduction(document: "ExperimentSummary", verbose: bool = False) -> RenderableType:
    """Show the headline, all arms over all seeds, published figures beside them, warnings, and what to do next.

    If `verbose`, all figures that the verdict rests on are there too.
    """
    return sections(
        said(document["headline"], document["comparison"]["verdict_short"]),
        arms_table(document["experiment"], document),
        _trained_on(document),
        transfer_set.table(document),
        causes(document),
        members_table(document) if verbose else None,
        statistics(document) if verbose else None,
        caveats(document, "summary.json"),
        steps(document),
    )


def arms_table(name: str, document: "Compared") -> RenderableType:
    """Show a table of all arms."""
    chosen = MEASURES[document["comparison"]["measure"]]
    title = f"{name}: test {chosen.words} over {counted(len(document['comparison']['seeds']), 'seed')}"
    published = any(arm["expected"] is not None for arm in document["arms"].values())
    shown = columns(document["arms"]["baseline"], document["imbalance"], chosen)
    return FittingTable(title, [(arm, mean_scores(of, shown, published)) for arm, of in document["arms"].items()])


def causes(document: "Compared") -> Pairs | None:
    """Show what each control arm tells; None without controls."""
    if not (found := document.get("causes")):
        return None
    return Pairs("What the controls tell", [*found["sentences"].items(), ("about", found["about"])])


def statistics(document: "Compared") -> RenderableType:
    """Show the verdict on distilled and baseline with all figures that it rests on, and the objective."""
    rows = verdict_rows(document["comparison"], "distilled - baseline")
    return Pairs(None, [*rows, ("objective", document["formula"])])


def mean_scores(arm: Document, shown: Sequence[Measure], published: bool = False) -> dict[str, str]:
    """Return the scores of an arm on the test split, means over its seeds, and its `published` accuracy beside them.

    Of the measures `shown`, the first has its standard deviation too.
    """
    first, *others = dict.fromkeys([*shown, NLL])
    rest = {**{of.title: of.name for of in others}, **REST}
    return {
        first.title: _mean(arm, first.name),
        "sd": number(arm[first.name] and arm[first.name]["sd"]) if first.name in arm else "",
        **({"published": number(arm["expected"])} if published else {}),
        **{title: _mean(arm, name) if name in arm else "" for title, name in rest.items()},
        "parameters": _parameters(arm),
        "file": file_size(arm["file_bytes"]),
    }


def _parameters(scores: Document) -> str:
    return "-" if scores["parameters"] is None else f"{scores['parameters']:,}"


def _mean(arm: Document, name: str) -> str:
    return number(arm.get(name) and arm[name]["mean"])


def verdict_rows(comparison: Document, difference: str) -> list[tuple[str, str]]:
    """Return a verdict with the figures that it rests on.

    Args:
        comparison: as `Verdict.to_json` returned it.
        difference: names the paired differences, such as `distilled - baseline`.
    """
    from kdistill.evaluation.verdict import Verdict

    verdict = Verdict.from_json(comparison)
    measure = MEASURES[verdict.measure]
    values = "  ".join(map(measure.rounded, verdict.difference["values"]))
    rows = [("verdict", verdict.sentence), (difference, f"{values} ({measure.unit}; {_seeds(verdict.seeds)})")]
    if len(verdict.seeds) > 1:
        first, share = difference.partition(" ")[0], f"{100 * verdict.probability_of_improvement:.0f} %"
        rows.append(("one run of each", f"{first} is the better one in {share} of cases, whatever the two seeds"))
    if verdict.significant_seeds is not None:
        significant = f"{verdict.significant_seeds} of {counted(len(verdict.seeds), 'seed')}"
        of = "a difference" if measure is ACCURACY else "a difference of accuracy"
        rows.append(("McNemar's test", f"{significant} with {of} on the same test examples (p < 0.05)"))
    if interval := verdict.bootstrap:
        rows.append(("bootstrap (BCa)", " to ".join(measure.rounded(interval[end]) for end in ("low", "high"))))
    return [*rows, ("about", verdict.about)]


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {ranges(seeds)}"


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers in ascending order, consecutive ones as a range: 0-4, 7."""
    parts: list[list[int]] = []
    for one in sorted(numbers):
        if parts and one == parts[-1][-1] + 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def caveats(document: "ExperimentSummary | SweepSummary", file: str, more: Sequence[str] = ()) -> Warnings | None:
    """Return the warnings of a result and its failed runs, if there are any.

    Args:
        document: of the experiment.
        file: its name in the experiment's folder, where the reasons of the failures are.
        more: further warnings.
    """
    lines = [f"Warning: {text}" for text in [*document["warnings"], *more]]
    if failed := [failure["run"] for failure in document["failed"] if not failure["since"]]:
        lines.append(f"Failed: {first_few(failed, MAX_NAMED)} (why: {document['run_info']['output_dir']}/{file})")
    return warning(lines)


def part(document: "PartSummary") -> RenderableType:
    """Show which runs a part of a command has made."""
    title = f"{document['experiment']}: part {document['part']}; the same command without --part compares the runs"
    rows = [(run["run"], {"status": run["status"], "folder": run["folder"]}) for run in document["runs"]]
    return FittingTable(title, rows, words=("status", "folder"))


def plan(document: "Plan") -> RenderableType:
    """Show what a command that trains would do."""
    rows = [
        (run["arm"], {"seed": str(run["seed"]), "state": run["state"], "folder": run["folder"]})
        for run in document["runs"]
    ]
    table = FittingTable(plan_title(document), rows, words=("state", "folder"))
    teachers = [document["teacher"]] if document["teacher"] else []
    return Group(table, Pairs(None, [*changed(document["runs"]), *about_plan(document, teachers)]))


def plan_title(document: Document) -> str:
    """Return the title of a plan to train."""
    part = f", part {document['part']}" if document["part"] else ""
    return f"{document['experiment']}{part}: the plan (nothing is trained)"


def changed(runs: "Sequence[PlannedRun]") -> list[tuple[str, str]]:
    """Return for each run that is to be made again the config keys that differ."""
    return [(f"{run['arm']} {run['seed']}", "\n".join(run["changes"])) for run in runs if run["changes"]]


def about_plan(document: "Plan", teachers: Sequence[Document]) -> list[tuple[str, str]]:
    """Return the data, the updates, the objective, the teachers from files and the threads of a plan."""
    objective = [("objective", _objective(document["formula"]))] if document["formula"] else []
    given = [
        ("teacher", f"{teacher['path']} (validation {_words(teacher)} {number(teacher['validation'])})")
        for teacher in teachers
    ]
    updates = [(f"{role}'s updates", words) for role, words in document.get("updates", {}).items()]
    chosen = [("distilled on", document["transfer_set"])] if document.get("transfer_set") else []
    return [_data(document), *chosen, *updates, *objective, *given, ("threads", str(document["run_info"]["threads"]))]


def _words(teacher: Document) -> str:
    return MEASURES[teacher["measure"] or ACCURACY.name].words


def scoring_plan(document: "Plan") -> RenderableType:
    """Show what would be scored."""
    rows = [(arm["arm"], f"seed {document['seed']}, {arm['folder']}") for arm in document["arms"]]
    rows += [("model", model["path"]) for model in document["models"]]
    title = f"{document['experiment']}: the plan (nothing is scored)"
    return Pairs(title, [*rows, _data(document), ("threads", str(document["run_info"]["threads"]))])


def _data(document: "Plan") -> tuple[str, str]:
    examples = document["examples"]
    parts = "to download" if examples is None else ", ".join(f"{count:,} {part}" for part, count in examples.items())
    return "data", f"{document['data']['dataset']}: {parts}"


def _objective(formula: str) -> str:
    return "cross-entropy of the labels" if formula == "loss = hard" else formula


def page(document: "Page") -> RenderableType:
    """Show where a report was written, and its verdict."""
    rows = [("page", f"{document['html']} ({file_size(document['bytes'])})"), ("Markdown", document["markdown"])]
    verdict = [("verdict", document["verdict_text"])] if document["verdict_text"] else []
    return Pairs(document["experiment"], rows + verdict)


def facts(document: Document) -> RenderableType:
    """Show a flat or nested document as sections of names and values."""
    flat = [(key.replace("_", " "), _plain(value)) for key, value in document.items() if not isinstance(value, Mapping)]
    nested = {key: value for key, value in document.items() if isinstance(value, Mapping)}
    groups = [Pairs(None, flat)] if flat else []
    groups += [Pairs(title, [(key, _plain(value)) for key, value in of.items()]) for title, of in nested.items()]
    return Group(*groups)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(map(_plain, value)) or "none"
    return "-" if value is None else str(value)
