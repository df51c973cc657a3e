"""Collects what a page tells from the folder of an experiment."""

import re
from pathlib import Path

import kdistill
from kdistill.core.formatting import settings
from kdistill.core.listener import Listener
from kdistill.evaluation import statistics
from kdistill.evaluation.verdict import nothing_to_transfer
from kdistill.recipes.session import Options
from kdistill.report.collect import benchmark as costs
from kdistill.report.collect import curves as histories
from kdistill.report.collect import predictions
from kdistill.report.collect import provenance as origins
from kdistill.report.collect import sweep as swept
from kdistill.report.collect.scores import Scores
from kdistill.report.collect.subject import Subject, find, reproduced, seeds_in_words
from kdistill.report.content.report import Arm, Data, Material, Provenance, Sweep
from kdistill.runs import ARMS

FEW_SEEDS = 5


def collect(folder: Path, options: Options, images: int, listener: Listener | None = None) -> Material:
    """Return what there is to tell of an experiment.

    What is missing is computed as far as it can be; whatever else is missing is told.

    Args:
        folder: of the experiment.
        options: with how many threads, and on which device, is computed what is missing.
        images: how many examples to show of those that distillation fixed, and of those that it broke.
        listener: hears what is computed.

    Raises:
        ConfigError: the experiment's config is not valid.
        OutputError: the folder cannot be read.
    """
    subject = find(folder, options, listener)
    scores = Scores(subject)
    verdict, arms = scores.verdict(), scores.arms()
    found = predictions.answers(subject, scores, images)
    curves = histories.curves(subject)
    sweep, no_sweep = swept.sweep(subject)
    benchmark, no_benchmark = costs.benchmark(subject)
    about, provenance = origins.data(subject), origins.provenance(subject)
    missing = {**scores.missing(), **found.missing}
    if not curves:
        missing["curves"] = "No epoch has been recorded yet."
    missing |= {"sweep": no_sweep} if no_sweep else {}
    missing |= {"benchmark": no_benchmark} if no_benchmark else {}
    return Material(
        name=subject.home.config.name,
        about=_about(subject, about, arms, sweep),
        state=_state(subject, scores, provenance),
        seeds=subject.session.experiment.seeds(),
        class_names=origins.class_names(subject),
        data=about,
        verdict=verdict,
        arms=arms,
        curves=curves,
        reliability=found.reliability,
        confusion=found.confusion,
        classes=found.classes,
        fixed=found.fixed,
        broken=found.broken,
        softened=found.softened,
        sweep=sweep,
        benchmark=benchmark,
        objective=origins.objective(subject),
        warnings=_warnings(subject, scores, arms) + _other_versions(provenance),
        provenance=provenance,
        missing=missing,
        version=kdistill.__version__,
    )


def _about(subject: Subject, about: Data, arms: list[Arm], sweep: Sweep | None) -> str:
    """Return in a sentence or two what the experiment is."""
    counts = ", ".join(f"{count:,} {part}" for part, count in about.examples.items())
    text = f"Data: {about.dataset}" + (f" ({counts})." if counts else ".")
    sizes = {arm.name: f"{arm.parameters:,}" for arm in arms if arm.parameters is not None}
    student = sizes.get("distilled") or sizes.get("baseline")
    if student and "teacher" in sizes:
        text += f" A teacher of {sizes['teacher']} parameters and a student of {student}."
    if subject.is_winner:
        winner = next((cell for cell in (sweep.cells if sweep else ()) if cell.is_winner), None)
        which = ""
        if sweep and winner:
            keys = [key for key, _ in sweep.axes]
            which = f": {settings(dict(zip(keys, winner.settings, strict=True)))}"
        text += f" This is a sweep: what follows is about the cell that it has chosen{which}."
    return text


def _state(subject: Subject, scores: Scores, provenance: Provenance) -> list[str]:
    """Return what is not finished, has failed or was left out."""
    sentences = list[str]()
    for state in ("running", "interrupted", "failed", "damaged"):
        of_state = [row for row in provenance.runs if row.state == state]
        if len(of_state) > 6:
            sentences.append(f"{len(of_state)} runs are {state}.")
            continue
        for row in of_state:
            when = "in" if state == "failed" else "after"
            epochs = f" {when} epoch {row.epochs}" if row.epochs and state != "damaged" else ""
            why = f": {row.problem}" if row.problem else ""
            sentences.append(f"{row.arm}, seed {row.seed}, is {state}{epochs}{why}.")
    sentences += [f"Left out is {text}" for text in subject.left_out]
    sentences += scores.problems
    begun = subject.session.experiment.seeds()
    if scores.seeds and len(scores.seeds) < len(begun):
        not_whole = [seed for seed in begun if seed not in scores.seeds]
        word = "seed" if len(not_whole) == 1 else "seeds"
        sentences.append(f"The comparison is without {word} {seeds_in_words(not_whole)}, not all of whose runs count.")
    for failure in (reproduced(subject.session.experiment.folder) or {}).get("failed", []):
        sentences.append(f"{failure['run']} has failed: {failure['message']}.")
    return list(dict.fromkeys(re.sub(r"(?<!\.)\.\.$", ".", sentence) for sentence in sentences))


def _warnings(subject: Subject, scores: Scores, arms: list[Arm]) -> list[str]:
    """Return what speaks against the result."""
    warnings = []
    if subject.config.data.validation == "test":
        warnings.append(
            "Early stopping chose the epoch on the test split (data.validation: test), so test scores flatter."
        )
    seeds = len(scores.seeds)
    if 0 < seeds < FEW_SEEDS:
        least = f"an interval takes at least {statistics.LEAST_SEEDS}, and " if seeds < statistics.LEAST_SEEDS else ""
        word = "seed is" if seeds == 1 else "seeds are"
        warnings.append(f"{seeds} {word} few: {least}small differences take more than {FEW_SEEDS}.")
    for of_arm in (subject.runs[arm] for arm in ARMS):
        for run in of_arm.values():
            warnings += (run.result or {}).get("warnings", [])
    known = {arm.name: arm.accuracy["values"] for arm in arms}
    if "teacher" in known and "baseline" in known and seeds > 1:
        nothing = nothing_to_transfer(known["teacher"], known["baseline"])
        warnings += [nothing] if nothing else []
    return list(dict.fromkeys(warnings))


def _other_versions(provenance: Provenance) -> list[str]:
    several = [f"{name} {', '.join(found)}" for name, found in provenance.versions.items() if len(found) > 1]
    return [f"The runs were made with different versions: {'; '.join(several)}."] if several else []
