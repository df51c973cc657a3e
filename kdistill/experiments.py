"""Many runs: which there are, and what they say together."""

import time
from collections.abc import Sequence
from pathlib import Path

from kdistill import checks, files, stats
from kdistill.config import Config
from kdistill.runs import ARMS, Experiment
from kdistill.sessions import SUMMARY, Document, Session


def train(session: Session, arm: str, seed: int, teacher_file: Path | None = None) -> Document:
    """Train one run unless it is complete; return its result, and where it is."""
    result = session.train(arm, seed, teacher_file)
    run = session.experiment.run(arm, seed)
    info = {**result["run_info"], "model": str(run.model_file)}
    return {"experiment": session.experiment.name, **result, "run_info": info}


def reproduce(session: Session, seeds: Sequence[int]) -> Document:
    """Train and score all arms for all seeds, and compare; writes `summary.json`.

    Returns:
        The document of DESIGN 3: `experiment`, `seeds`, `arms`, `comparison`, `warnings`, `run_info`.
    """
    started = time.perf_counter()
    for seed in seeds:  # before anything is trained
        for arm in ("teacher", "baseline"):
            session.check_no_conflict(session.experiment.run(arm, seed), None)
    if session.options.overwrite or any(_is_missing(session.experiment, seed) for seed in seeds):
        for arm in ARMS:
            checks.batch_fits(session.config, arm, session.splits)
    scores: dict[str, list[Document]] = {arm: [] for arm in ARMS}
    warnings: list[str] = []
    for seed in seeds:
        results = {arm: session.train(arm, seed) for arm in ARMS}
        for arm in ARMS:
            warnings += results[arm]["warnings"]
            scores[arm].append(session.evaluate(session.experiment.run(arm, seed)))
        # A distilled run that is reused may have been made before there was a baseline.
        validation = {arm: result["validation"]["accuracy"] for arm, result in results.items()}
        warnings += stats.little_to_teach(seed, validation["teacher"], validation["baseline"])
    document = {
        "experiment": session.experiment.name,
        "seeds": list(seeds),
        "arms": {arm: _arm_summary(session.config, arm, scores[arm]) for arm in ARMS},
        "comparison": _comparison(scores),
        "warnings": list(dict.fromkeys(warnings)),
        "run_info": {
            "seconds": round(time.perf_counter() - started, 1),
            "workers": 1,
            "engine": "local",
            "output_dir": str(session.experiment.folder),
        },
    }
    with files.writing(session.experiment.folder):
        files.write_json(session.experiment.folder / SUMMARY, document)
    return document


def _is_missing(experiment: Experiment, seed: int) -> bool:
    return any(experiment.run(arm, seed).state() != "complete" for arm in ARMS)


def _arm_summary(config: Config, arm: str, scores: list[Document]) -> Document:
    measures = ["accuracy", "nll", "ece"]
    if arm != "teacher":
        measures += ["agreement", "kl_to_teacher"]
    return {
        **{name: stats.summarize([score[name] for score in scores]) for name in measures},
        "parameters": scores[0]["parameters"],
        "file_bytes": scores[0]["file_bytes"],
        "expected": getattr(config.expected, arm),
    }


def _comparison(scores: dict[str, list[Document]]) -> Document:
    """Compare distilled with baseline. Interval and tests are not computed yet: their fields are None."""
    accuracy = {arm: [score["accuracy"] for score in scores[arm]] for arm in ARMS}
    return {
        "difference": stats.paired_differences(accuracy["distilled"], accuracy["baseline"]),
        "p_value": None,
        "probability_of_improvement": None,
        "mcnemar": None,
        "verdict": None,
        "verdict_text": None,
    }
