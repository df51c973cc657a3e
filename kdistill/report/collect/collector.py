"""Collects the content of a report from the folder of an experiment."""

import re
from pathlib import Path
from typing import Any

from kdistill.core.formatting import settings
from kdistill.core.listener import Listener
from kdistill.datasets.splits import SELECTED_ON_TEST
from kdistill.evaluation import headline, statistics
from kdistill.evaluation.verdict import nothing_to_transfer
from kdistill.recipes.session import Options
from kdistill.report.collect.benchmark import collect_benchmark
from kdistill.report.collect.curves import collect_curves
from kdistill.report.collect.predictions import collect_predictions
from kdistill.report.collect.provenance import class_names, collect_data, collect_objective, collect_provenance
from kdistill.report.collect.scores import Scores
from kdistill.report.collect.subject import Subject, find, listed_seeds
from kdistill.report.collect.sweep import collect_sweep
from kdistill.report.content.report import Arm, Data, Provenance, Report, Sweep
from kdistill.runs import ARMS

FEW_SEEDS = 5


def collect(folder: Path, options: Options, images: int, listener: Listener | None = None) -> Report:
    """Return the content of a report; scores and logits on test that are not stored are computed.

    Args:
        folder: of the experiment.
        options: of the computation.
        images: the most examples to show of those that distillation fixed, and of those that it broke.
        listener: is notified of the computation.

    Raises:
        ConfigError: the experiment's config is not valid.
        OutputError: the folder cannot be read.
    """
    subject = find(folder, options, listener)
    scores = Scores(subject)
    arms = scores.arms()
    predictions, no_predictions = collect_predictions(subject, scores, images)
    parts, no_parts = _parts(subject)
    reasons = {**scores.missing(), **no_predictions, **no_parts}
    data, provenance = collect_data(subject), collect_provenance(subject)
    return Report(
        name=subject.home.config.name,
        about=_about(subject, data, arms, parts["sweep"]),
        state=_state(subject, scores, provenance),
        class_names=class_names(subject),
        data=data,
        verdict=scores.verdict(),
        arms=arms,
        **parts,
        predictions=predictions,
        objective=collect_objective(subject, scores),
        warnings=_warnings(subject, scores, arms, provenance),
        provenance=provenance,
        missing={part: reason for part, reason in reasons.items() if reason},
        headline=_headline(subject, arms),
        causes=scores.causes(),
        controls=scores.controls(),
        members=((subject.sweep or {}).get("test") or subject.summary).get("members", ()),
    )


def _parts(subject: Subject) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parts that depend on no score, by their name in the report, and why one is not there."""
    found: dict[str, tuple[Any, str]] = {
        "curves": collect_curves(subject),
        "sweep": collect_sweep(subject),
        "benchmark": collect_benchmark(subject),
    }
    return {part: of[0] for part, of in found.items()}, {part: of[1] for part, of in found.items()}


def _headline(subject: Subject, arms: list[Arm]) -> str:
    """Return what the student is beside its teacher; empty without a student that is scored."""
    of = {arm.name: {"parameters": arm.parameters, "file_bytes": arm.file_bytes, **arm.shown} for arm in arms}
    return headline.of_arms(of, subject.measure, subject.teachers_together)


def _about(subject: Subject, data: Data, arms: list[Arm], sweep: Sweep | None) -> str:
    """Return in a sentence or two what the experiment is."""
    counts = ", ".join(f"{count:,} {part}" for part, count in data.examples.items())
    text = f"Data: {data.dataset}" + (f" ({counts})." if counts else ".")
    sizes = {arm.name: f"{arm.parameters:,}" for arm in arms if arm.parameters is not None}
    student = sizes.get("distilled") or sizes.get("baseline")
    if student and "teacher" in sizes:
        text += f" The teacher has {sizes['teacher']} parameters, the student {student}."
    if subject.is_winner:
        winner = next((cell for cell in (sweep.cells if sweep else ()) if cell.is_winner), None)
        text += f" The report is about the winner of a sweep{f': {settings(winner.settings)}' if winner else ''}."
    return text


def _state(subject: Subject, scores: Scores, provenance: Provenance) -> list[str]:
    """Return a sentence for each run that is unfinished, failed or left out."""
    sentences = list[str]()
    for state in ("running", "interrupted", "failed", "damaged"):
        rows = [row.found for row in provenance.runs if row.found["state"] == state]
        if len(rows) > 6:
            sentences.append(f"{len(rows)} runs are {state}.")
            continue
        for row in rows:
            when = "in" if state == "failed" else "after"
            epochs = f" {when} epoch {row['epoch']}" if row["epoch"] and state != "damaged" else ""
            why = f": {row['problem']}" if row["problem"] else ""
            sentences.append(f"{row['arm']}, seed {row['seed']}, is {state}{epochs}{why}.")
    sentences += subject.left_out + scores.problems
    missing = [seed for seed in subject.session.experiment.seeds() if seed not in scores.seeds]
    if scores.seeds and missing:
        word, lack = ("seed", "lacks") if len(missing) == 1 else ("seeds", "lack")
        sentences.append(f"The comparison is without {word} {listed_seeds(missing)}, which {lack} a usable run.")
    for failure in subject.summary.get("failed", []):
        sentences.append(f"{failure['run']} failed: {failure['message']}.")
    return list(dict.fromkeys(re.sub(r"(?<!\.)\.\.$", ".", sentence) for sentence in sentences))


def _warnings(subject: Subject, scores: Scores, arms: list[Arm], provenance: Provenance) -> list[str]:
    warnings = []
    if subject.config.data.validation == "test":
        warnings.append(SELECTED_ON_TEST)
    seeds = len(scores.seeds)
    if 0 < seeds < FEW_SEEDS:
        least = f"an interval needs at least {statistics.LEAST_SEEDS}, and " if seeds < statistics.LEAST_SEEDS else ""
        word = "seed is" if seeds == 1 else "seeds are"
        warnings.append(f"{seeds} {word} few: {least}small differences need more than {FEW_SEEDS}.")
    for run in (run for arm in ARMS for run in subject.runs[arm].values()):
        warnings += (run.result or {}).get("warnings", [])
    by = subject.measure
    known = {arm.name: of["values"] for arm in arms if (of := arm.shown[by.name])}
    if "teacher" in known and "baseline" in known and seeds > 1:
        nothing = nothing_to_transfer(known["teacher"], known["baseline"], by)
        warnings += [nothing] if nothing else []
    versions = [f"{name} {', '.join(found)}" for name, found in provenance.versions.items() if len(found) > 1]
    if versions:
        warnings.append(f"The runs were made with different versions: {'; '.join(versions)}.")
    return list(dict.fromkeys(warnings))
