"""The stored result of `kdistill benchmark`."""

import shlex

from kdistill.recipes.command_lines import options_of
from kdistill.report.collect.subject import Subject
from kdistill.runs import benchmark as store
from kdistill.runs.benchmark import Benchmark


def collect_benchmark(subject: Subject) -> tuple[Benchmark | None, str]:
    """Return the last benchmark of an experiment; or None, and why there is none that still holds."""
    experiment = subject.session.experiment
    stored = store.kept(experiment)
    again = f"`kdistill benchmark {_models(subject)}`"
    if stored is None and (experiment.folder / store.NAME).exists():
        return None, f"{store.NAME} is not what was written. Run {again} to measure again."
    if stored is None:
        is_there = any(subject.runs.values())
        return None, f"Size and latency were not measured{f': run {again}' if is_there else ''}."
    if names := store.changed(experiment, stored):
        return None, f"{', '.join(names)}: changed since the benchmark. Run {again} to measure again."
    return stored, ""


def _models(subject: Subject) -> str:
    """Return the arguments that name the models: of a sweep the winner's folder, since its config is another."""
    distilled = list(subject.runs["distilled"].values())
    return shlex.quote(str(distilled[0].folder)) if subject.is_winner and distilled else options_of(subject.home)
